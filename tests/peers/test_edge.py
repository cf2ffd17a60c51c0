"""Phones behind a Kamailio edge: REGISTER comes with a Path, and calls and texts go back by it (RFC 3327, RFC 5626)."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.baresip import Baresip
from tests.peers.kamailio_edge import KamailioEdge
from tests.peers.office import HOST, Office, address, open_office
from tests.peers.scripted import ScriptedPhone

pytestmark = pytest.mark.peer

EDGE, DESK, NEAR = "127.0.2.60", "127.0.2.61", "127.0.2.62"


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    names: dict[str, dict[str, str]] = {"web": {}, "desk": {}, "near": {}, "two": {}}
    with open_office(tmp_path_factory.mktemp("office"), names, {"proxies": [EDGE]}) as office:
        yield office


@pytest.fixture(scope="module")
def edge(office: Office, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KamailioEdge]:
    with KamailioEdge(tmp_path_factory.mktemp("edge"), EDGE, f"{HOST}:5060") as edge:
        yield edge


@pytest.fixture
def web(office: Office, edge: KamailioEdge) -> Iterator[ScriptedPhone]:
    """A browser behind the edge: nobody could reach it by its Contact."""
    with office.browser("jssip.cjs", "web", "ws", server=f"ws://{EDGE}:5080") as phone:
        phone.wait("registered")
        yield phone


@pytest.fixture
def desk(office: Office, edge: KamailioEdge, tmp_path: Path) -> Iterator[Baresip]:
    """A desk phone behind the edge, over TCP."""
    account = f';outbound="sip:{EDGE}:5060;transport=tcp";sipnat=outbound'
    with office.baresip(tmp_path / "desk", "desk", DESK, "udp", account=account[1:]) as phone:
        phone.wait_registered()
        yield phone


@pytest.fixture
def near(office: Office, tmp_path: Path) -> Iterator[Baresip]:
    """A phone that is not behind the edge."""
    with office.baresip(tmp_path / "near", "near", NEAR) as phone:
        phone.wait_registered()
        yield phone


def routes(phone: ScriptedPhone | Baresip) -> list[str]:
    return re.findall(r"^.*Path: (<.*>)", phone.process.log, re.MULTILINE)


def test_calls_come_by_the_flow_token_and_each_phone_has_its_own(
    edge: KamailioEdge, web: ScriptedPhone, desk: Baresip, near: Baresip
) -> None:
    tokens = [re.search(r"sip:([^@]+)@", path) for phone in (web, desk) for path in routes(phone)[-1:]]
    assert len(tokens) == 2 and tokens[0] and tokens[1] and tokens[0][1] != tokens[1][1]
    near.dial(address("desk"))
    desk.wait_event("CALL_INCOMING")
    desk.command("accept")
    near.wait_event("CALL_ESTABLISHED")
    desk.wait_event("CALL_ESTABLISHED")
    near.wait_heard(440, 0.3)
    desk.hangup()
    near.wait_event("CALL_CLOSED")
    near.dial(address("web"))
    assert web.wait("incoming")["from"].startswith("sip:near@")
    web.do("refuse", status=486)
    assert "486" in near.wait_event("CALL_CLOSED")["param"]
    assert "EDGE strayed" not in edge.process.log


def test_a_browser_behind_the_edge_calls_and_is_hung_up(web: ScriptedPhone, office: Office) -> None:
    with office.browser("sipjs.mjs", "two", "wss") as two:
        two.wait("registered")
        for caller, callee, name in ((web, two, "two"), (two, web, "web")):
            caller.do("call", to=address(name))
            callee.wait("incoming")
            callee.do("answer")
            caller.wait("answered")
            callee.wait("answered")
            callee.do("hangup")
            caller.wait("ended")
            callee.wait("ended")


def test_a_text_comes_by_the_flow_token(web: ScriptedPhone, office: Office) -> None:
    with office.browser("sipjs.mjs", "two", "wss") as two:
        two.wait("registered")
        two.do("message", to=address("web"), text="by your Path")
        assert web.wait("message")["text"] == "by your Path"
