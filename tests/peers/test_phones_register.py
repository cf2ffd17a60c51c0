"""Phones that nobody here wrote register, refresh, take their leave, come back after a power cut, and are refused."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.peers.office import PASSWORD, SOCKETS, Office, address, home, open_office
from tests.peers.process import require

pytestmark = pytest.mark.peer

TRANSPORTS = ("udp", "tcp", "tls")
BROWSERS = ("jssip.cjs", "sipjs.mjs")
BARESIP, LINPHONE, PJSUA2, SIPSAK = "127.0.2.21", "127.0.2.22", "127.0.2.23", "127.0.2.24"
NAMES = [
    *(f"{peer}-{transport}" for peer in ("baresip", "linphone", "pjsua2") for transport in TRANSPORTS),
    *(f"{peer.partition('.')[0]}-{socket}" for peer in BROWSERS for socket in SOCKETS),
    "sipsak",
    *(f"lost-{number}" for number in range(1, 5)),
]


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    register = {"min_expires": 2.0}  # so that a phone that does nothing by order refreshes while the test waits
    with open_office(tmp_path_factory.mktemp("office"), {name: {} for name in NAMES}, {"register": register}) as office:
        yield office


def test_baresip(office: Office, tmp_path: Path) -> None:
    """All transports at once, as it refreshes by itself alone."""
    with ExitStack() as stack:
        phones = {}
        for number, transport in enumerate(TRANSPORTS):
            name = f"baresip-{transport}"
            host = f"127.0.2.{31 + number}"
            phones[name] = stack.enter_context(office.baresip(tmp_path / name, name, host, transport, expires=8))
        for name, phone in phones.items():
            phone.wait_registered()
            (contact,) = office.wait_contacts(name)
            assert contact["transport"] == name.partition("-")[2]
            assert contact["user_agent"].startswith("baresip")
        for name, phone in phones.items():
            phone.process.wait_line(r"^Date: ", 30, count=2)  # of the answers, those to a REGISTER have it
            office.wait_contacts(name)
        for name, phone in phones.items():
            phone.kill()
            again = office.baresip(tmp_path / name, name, phone.host, name.partition("-")[2], expires=600)
            stack.enter_context(again)
            again.wait_registered()
            (contact,) = office.wait_contacts(name)
            again.stop()
            office.wait_contacts(name, lambda contacts: not contacts)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_linphone(office: Office, tmp_path: Path, transport: str) -> None:
    name = f"linphone-{transport}"
    with office.linphone(tmp_path, name, LINPHONE, transport) as phone:
        phone.wait_registered()
        (first,) = office.wait_contacts(name)
        assert first["transport"] == transport
        assert first["user_agent"].startswith("Linphonec")
        phone.process.tell("unregister")
        phone.wait_registered(registered=False)
        office.wait_contacts(name, lambda contacts: not contacts)
        phone.process.tell(f"register {address(name)} sip:{home(transport)} {PASSWORD}")
        phone.wait_registered()
        office.wait_contacts(name)
        phone.kill()
    with office.linphone(tmp_path, name, LINPHONE, transport) as phone:
        phone.wait_registered()
        office.wait_contacts(name)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_pjsua2(office: Office, tmp_path: Path, transport: str) -> None:
    name = f"pjsua2-{transport}"
    with office.pjsua2(tmp_path, name, PJSUA2, transport) as phone:
        phone.wait("registered")
        (first,) = office.wait_contacts(name)
        assert first["transport"] == transport
        phone.do("refresh")
        phone.wait("registered")
        office.wait_contacts(name)
        phone.kill()
    with office.pjsua2(tmp_path, name, PJSUA2, transport) as phone:
        phone.wait("registered")
        # Over UDP it names no instance, and has another port: what was there before stays until it expires.
        many = 2 if transport == "udp" else 1
        office.wait_contacts(name, lambda contacts: len(contacts) == many)
        phone.do("unregister")
        phone.wait("unregistered")
        office.wait_contacts(name, lambda contacts: len(contacts) == many - 1)


@pytest.mark.parametrize("socket", SOCKETS)
@pytest.mark.parametrize("kind", BROWSERS)
def test_phones_of_browsers(office: Office, kind: str, socket: str) -> None:
    name = f"{kind.partition('.')[0]}-{socket}"
    with office.browser(kind, name, socket) as phone:
        phone.wait("registered")
        (first,) = office.wait_contacts(name)
        assert first["transport"] == socket
        assert ".invalid" in first["contact"]
        phone.do("refresh")
        phone.process.wait_line(r"^<< Date: ", 30, count=2)  # JsSIP says nothing about it
        phone.do("drop")
        office.wait_contacts(name, lambda contacts: [one["source"] for one in contacts] not in ([], [first["source"]]))
        phone.do("unregister")
        office.wait_contacts(name, lambda contacts: not contacts)
        phone.do("refresh")
        office.wait_contacts(name)
        phone.kill()
    office.wait_contacts(name, lambda contacts: not contacts)  # the connection is gone, and the binding with it
    with office.browser(kind, name, socket) as phone:
        phone.wait("registered")
        office.wait_contacts(name)


def sipsak(*options: str) -> str:
    """What sipsak prints; it succeeds."""
    program = require("sipsak", "sipsak")
    argv = [program, "-v", "-U", "-H", SIPSAK, "-u", "sipsak", "-s", address("sipsak"), *options]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{argv}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_sipsak(office: Office) -> None:
    contact = ("-C", f"sip:sipsak@{SIPSAK}:5077")
    sipsak(*contact, "-x", "600", "-a", PASSWORD)
    (bound,) = office.wait_contacts("sipsak")
    assert bound["contact"] == f"sip:sipsak@{SIPSAK}:5077"
    sipsak(*contact, "-x", "0", "-a", PASSWORD)
    office.wait_contacts("sipsak", lambda contacts: not contacts)


def test_a_wrong_password_is_refused(office: Office, tmp_path: Path) -> None:
    """With extensions that nobody else here registers as."""
    with (
        office.baresip(tmp_path / "baresip", "lost-1", BARESIP, password="wrong") as baresip,
        office.pjsua2(tmp_path / "pjsua2", "lost-2", PJSUA2, "tcp", password="wrong") as pjsua2,
        office.browser("jssip.cjs", "lost-3", "ws", password="wrong") as jssip,
        office.browser("sipjs.mjs", "lost-4", "wss", password="wrong") as sipjs,
    ):
        baresip.process.wait_line(r"lost-1@.*: 40[13] ", 30)
        for phone in (pjsua2, jssip, sipjs):
            assert phone.wait("refused")["status"] in (401, 403)
        for number in range(1, 5):
            assert not office.extension(f"lost-{number}")["registered"]
