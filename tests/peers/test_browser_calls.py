"""JsSIP and SIP.js, the phones of browsers, call each other over WS and WSS: lamps, and connections lost in a call.

They run under Node. Their media are described and never sent: what a browser does with them is not the engine's affair.
"""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.peers.office import Office, address, open_office
from tests.peers.scripted import ScriptedPhone

pytestmark = pytest.mark.peer

KINDS = {"jssip.cjs": "sipjs.mjs", "sipjs.mjs": "jssip.cjs"}
"""Each with the other one."""
DESK = "127.0.2.21"
DIALOG_INFO = "application/dialog-info+xml"


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    names: dict[str, dict[str, str]] = {"ann": {"display_name": "Ann Example"}, "ben": {}, "desk": {}}
    with open_office(tmp_path_factory.mktemp("office"), names, {}) as office:
        yield office


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def ann(office: Office, kind: str) -> Iterator[ScriptedPhone]:
    """One kind, over WS."""
    with office.browser(kind, "ann", "ws") as phone:
        phone.wait("registered")
        yield phone


@pytest.fixture
def ben(office: Office, kind: str) -> Iterator[ScriptedPhone]:
    """The other kind, over WSS."""
    with office.browser(KINDS[kind], "ben", "wss") as phone:
        phone.wait("registered")
        yield phone


def connect(caller: ScriptedPhone, callee: ScriptedPhone, name: str) -> None:
    """One calls the other, who answers."""
    caller.do("call", to=address(name))
    callee.wait("incoming")
    caller.wait("ringing", status=180)
    callee.do("answer")
    caller.wait("answered")
    callee.wait("answered")


def test_a_text(ann: ScriptedPhone, ben: ScriptedPhone) -> None:
    ann.do("message", to=address("ben"), text="Lunch? \u2615")
    came = ben.wait("message")
    assert came["text"] == "Lunch? \u2615"
    assert came["from"].startswith("sip:ann@")
    assert ann.wait("sent")["status"] in (200, 202)


def test_they_call_each_other(ann: ScriptedPhone, ben: ScriptedPhone) -> None:
    ann.do("call", to=address("ben"))
    came = ben.wait("incoming")
    assert (came["from"].partition("@")[0], came["name"]) == ("sip:ann", "Ann Example")
    ann.wait("ringing", status=180)
    ben.do("answer")
    ann.wait("answered")
    ben.wait("answered")
    ben.do("hangup")
    ann.wait("ended")
    ben.wait("ended")
    for phone in (ann, ben):  # what one browser says of its media, the other one hears
        assert phone.process.log.count("<< m=audio 9 UDP/TLS/RTP/SAVPF 111 0 8 110") == 1


def test_who_is_called_refuses(ann: ScriptedPhone, ben: ScriptedPhone) -> None:
    ann.do("call", to=address("ben"))
    ben.wait("incoming")
    ben.do("refuse", status=486)
    ann.wait("ended")
    assert "<< SIP/2.0 486 " in ann.process.log
    ben.wait("ended")


def test_who_calls_gives_up(ann: ScriptedPhone, ben: ScriptedPhone) -> None:
    ann.do("call", to=address("ben"))
    ben.wait("incoming")
    ann.wait("ringing", status=180)
    ann.do("hangup")
    ben.wait("ended")
    ann.wait("ended")


def lose_connection(phone: ScriptedPhone) -> None:
    """The phone's connection breaks, and it registers anew by another one."""
    phone.do("drop")
    phone.wait("disconnected")
    phone.wait("registered")


@pytest.mark.parametrize("who", ["caller", "callee"])
def test_who_has_lost_its_connection_in_a_call_hangs_up_by_its_new_one(
    ann: ScriptedPhone, ben: ScriptedPhone, who: str
) -> None:
    connect(ann, ben, "ben")
    lost, other = (ann, ben) if who == "caller" else (ben, ann)
    lose_connection(lost)
    lost.do("hangup")
    other.wait("ended")
    lost.wait("ended")


@pytest.mark.parametrize("who", ["caller", "callee"])
def test_who_has_lost_its_connection_in_a_call_hears_by_its_new_one_that_it_is_over(
    ann: ScriptedPhone, ben: ScriptedPhone, who: str
) -> None:
    connect(ann, ben, "ben")
    lost, other = (ann, ben) if who == "caller" else (ben, ann)
    lose_connection(lost)
    other.do("hangup")
    lost.wait("ended")
    other.wait("ended")


@pytest.mark.parametrize("who", ["caller", "callee"])
def test_who_is_away_when_the_other_hangs_up_hears_it_when_it_is_back(
    ann: ScriptedPhone, ben: ScriptedPhone, who: str
) -> None:
    connect(ann, ben, "ben")
    lost, other = (ann, ben) if who == "caller" else (ben, ann)
    lost.do("drop")
    lost.wait("disconnected")
    other.do("hangup")
    other.wait("ended")
    lost.wait("registered")
    lost.wait("ended")


def test_who_talks_with_a_page_that_is_loaded_anew_is_hung_up_on(office: Office, ben: ScriptedPhone, kind: str) -> None:
    """The new page has another instance, and knows nothing of the call of the old one."""
    with office.browser(kind, "ann", "ws") as ann:
        ann.wait("registered")
        connect(ann, ben, "ben")
        ann.kill()
    with office.browser(kind, "ann", "ws", instance=str(uuid4())) as anew:
        anew.wait("registered")
        ben.wait("ended", 60)
        connect(anew, ben, "ben")
        anew.do("hangup")
        ben.wait("ended")


def test_a_lamp_shows_a_call(office: Office, ann: ScriptedPhone, ben: ScriptedPhone, tmp_path: Path) -> None:
    """BLF (RFC 4235): ann watches ben, whom the desk calls."""
    with office.baresip(tmp_path, "desk", DESK) as desk:
        desk.wait_registered()
        ann.do("subscribe", to=address("ben"), name="dialog", accept=DIALOG_INFO)
        ann.wait("notify")
        desk.dial(address("ben"))
        ben.wait("incoming")
        lamp(ann, "early")
        ben.do("refuse", status=486)
        lamp(ann, "terminated")
        desk.wait_event("CALL_CLOSED")


def lamp(phone: ScriptedPhone, state: str) -> None:
    """Waits until a lamp shows a state."""
    while f"<state>{state}" not in phone.wait("notify")["body"].replace(" ", ""):
        pass
