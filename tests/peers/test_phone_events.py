"""Events of real phones: the light for waiting messages, and presence that one phone tells and another is shown.

Lamps are in test_browser_calls.py.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.office import Office, address, open_office
from tests.peers.scripted import ScriptedPhone

pytestmark = pytest.mark.peer

ANN, PJ, LIN = "127.0.2.21", "127.0.2.22", "127.0.2.23"


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    names: dict[str, dict[str, str]] = {"ann": {"mailbox": "sales"}, "pj": {"mailbox": "sales"}, "lin": {}, "web": {}}
    with open_office(tmp_path_factory.mktemp("office"), names, {}) as office:
        yield office


def test_waiting_messages_are_shown_by_all_phones_of_a_mailbox(office: Office, tmp_path: Path) -> None:
    """RFC 3842: at the beginning, and after each change."""
    box = f"/v1.0/extensions/{office.extension('ann')['id']}/mailbox"
    office.api("PUT", box, {"new": 1, "old": 4}, status=200)
    with (
        office.baresip(tmp_path / "ann", "ann", ANN, modules=["mwi.so"]) as ann,
        office.pjsua2(tmp_path / "pj", "pj", PJ, mailbox=True) as pj,
    ):
        shown(pj, "1/4")
        ann.process.wait_line(r"^Voice-Message: 1/4", 30)
        office.api("PUT", box, {"new": 2, "old": 3}, status=200)
        shown(pj, "2/3")
        ann.process.wait_line(r"^Voice-Message: 2/3", 30)
        office.api("PUT", box, {"new": 0, "old": 5}, status=200)
        shown(pj, "0/5")
        ann.process.wait_line(r"^Messages-Waiting: no", 30)


def shown(phone: ScriptedPhone, count: str) -> None:
    """Waits until the phone shows so many messages, new/old."""
    while f"Voice-Message: {count}" not in phone.wait("mailbox")["body"]:
        pass


def presence(phone: ScriptedPhone, *words: str) -> None:
    """Waits until a watcher is told all of these."""
    while True:
        body = phone.wait("notify")["body"]
        if all(word in body for word in words):
            return


@pytest.mark.parametrize("watcher", ["jssip.cjs", "sipjs.mjs"])
def test_a_phone_is_watched_as_it_comes_and_goes(office: Office, tmp_path: Path, watcher: str) -> None:
    """RFC 3856: closed, open while linphone is registered, closed again."""
    with office.browser(watcher, "web", "ws") as web:
        web.wait("registered")
        web.do("subscribe", to=address("lin"), name="presence", accept="application/pidf+xml")
        presence(web, "<basic>closed</basic>")
        with office.linphone(tmp_path, "lin", LIN, publish=True) as lin:
            lin.wait_registered()
            presence(web, "<basic>open</basic>")
            lin.process.tell("unregister")
            lin.wait_registered(registered=False)
            presence(web, "<basic>closed</basic>")


def test_what_a_phone_says_of_itself_is_shown_to_who_watches_it(office: Office) -> None:
    pidf = (
        '<?xml version="1.0"?><presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:ann@office">'
        '<tuple id="a"><status><basic>open</basic></status><note>at lunch</note></tuple></presence>'
    )
    with office.browser("sipjs.mjs", "ann", "wss") as ann, office.browser("jssip.cjs", "web", "ws") as web:
        ann.wait("registered")
        web.wait("registered")
        web.do("subscribe", to=address("ann"), name="presence", accept="application/pidf+xml")
        presence(web, "<basic>open</basic>")
        ann.do("publish", body=pidf)
        ann.wait("publication", state="Published")
        presence(web, "at lunch")
