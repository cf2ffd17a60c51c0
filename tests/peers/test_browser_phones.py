"""Phones of browsers, JsSIP and SIP.js, over ws:// and wss://: they register, call, text and come back (RFC 7118)."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Authority
from tests.network import reserved_port
from tests.peers.engine import Engine, write_config
from tests.peers.process import Process, require
from tests.peers.scripted import ScriptedPhone, node_phone

pytestmark = pytest.mark.peer

HOST = "127.0.43.1"
PHONES = ["jssip.cjs", "sipjs.mjs"]
ROOT = Path(__file__).parents[2]


class Office:
    """An engine with two extensions, and the address that browsers connect to."""

    def __init__(self, directory: Path, scheme: str, **websocket: Any) -> None:
        self.directory, self.scheme, self.port = directory, scheme, reserved_port()
        self.url = f"{scheme}://{HOST}:{self.port}"
        self.ca: Path | None = None
        sip: dict[str, Any] = {
            "listen": [f"udp://{HOST}:5060", self.url],
            "realm": "office",
            "trusted_networks": [],
            "websocket": websocket,
        }
        if scheme == "wss":
            authority = Authority(directory)
            shown = authority.issue(HOST)
            self.ca = authority.ca
            sip["tls"] = {"certificates": [{"certificate": str(shown.certificate), "key": str(shown.key)}]}
        extensions = [
            {"name": name, "password": f"{name}-pw", "display_name": name.title()} for name in ("alice", "bob")
        ]
        self.engine = Engine.start(write_config(directory / "engine", {"sip": sip, "extensions": extensions}))

    def phone(self, program: str, name: str, url: str = "", **more: Any) -> ScriptedPhone:
        """A phone that has registered."""
        phone = node_phone(program, ca=self.ca)
        try:
            phone.do("register", server=url or self.url, uri=f"sip:{name}@{HOST}", password=f"{name}-pw", **more)
            phone.wait("registered")
        except BaseException:
            phone.stop()
            raise
        return phone

    def __enter__(self) -> "Office":
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.stop()


@pytest.fixture(params=["ws", "wss"])
def office(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Office]:
    require("node", "nodejs")
    with Office(tmp_path, request.param) as office:
        yield office


@pytest.mark.parametrize(("one", "other"), [PHONES, PHONES[::-1]])
def test_two_browsers_call_each_other(office: Office, one: str, other: str) -> None:
    with office.phone(one, "alice") as alice, office.phone(other, "bob") as bob:
        alice.do("call", to=f"sip:bob@{HOST}")
        assert "alice" in bob.wait("incoming")["from"]
        alice.wait("ringing")
        bob.do("answer")
        alice.wait("answered")
        bob.wait("answered")
        # Within the dialog too, requests go over the connection, whatever Contact says.
        contacts = re.findall(r"(?m)^<< Contact: <(\S+)>", alice.process.log)
        assert any("transport=ws" in contact for contact in contacts)
        assert re.search(rf"(?m)^<< Via: SIP/2.0/{office.scheme.upper()} {HOST}:{office.port}", bob.process.log)
        bob.do("hangup")
        alice.wait("ended")
        bob.wait("ended")
        alice.do("call", to=f"sip:bob@{HOST}")
        bob.wait("incoming")
        alice.wait("ringing")
        alice.do("hangup")
        bob.wait("ended")
        alice.do("message", to=f"sip:bob@{HOST}", text="hëllo")
        assert bob.wait("message")["text"] == "hëllo"
        assert alice.wait("sent")["status"] in (200, 202)


@pytest.mark.parametrize("program", PHONES)
def test_a_browser_that_loses_its_connection_comes_back_and_is_rung(office: Office, program: str) -> None:
    other = PHONES[program == PHONES[0]]
    with office.phone(program, "alice") as alice, office.phone(other, "bob") as bob:
        alice.do("drop")
        alice.wait("disconnected")
        alice.wait("registered")
        bob.do("call", to=f"sip:alice@{HOST}")
        alice.wait("incoming")
        alice.do("refuse", status=486)
        bob.wait("ended")
        alice.kill()  # as when the page is closed: nothing is said
        bob.do("call", to=f"sip:alice@{HOST}")
        bob.wait("ended")


def test_a_page_of_another_origin_is_refused(tmp_path: Path) -> None:
    with Office(tmp_path, "ws", origins=["https://phone.example.com"], path="/sip") as office:
        script = (
            "const {WebSocket} = require('ws');"
            "for (const [path, origin] of [['/sip', 'https://phone.example.com'], ['/sip', 'https://evil.example'],"
            " ['/', 'https://phone.example.com']]) {"
            f"const socket = new WebSocket('{office.url}' + path, 'sip', {{origin}});"
            "socket.on('open', () => {console.log(path, origin, 'open'); socket.close();});"
            "socket.on('unexpected-response', (q, r) => {console.log(path, origin, r.statusCode); q.destroy();});"
            "socket.on('error', () => {});}"
        )
        if not (ROOT / "tests/peers/node/node_modules").is_dir():
            pytest.skip("JsSIP and SIP.js are not installed: scripts/peers.sh")
        process = Process([require("node", "nodejs"), "-e", script], cwd=ROOT / "tests/peers/node")
        try:
            process.wait_line(r"^/sip https://phone.example.com open$", 30)
            process.wait_line(r"^/sip https://evil.example 403$", 30)
            process.wait_line(r"^/ https://phone.example.com 404$", 30)
        finally:
            process.stop()
