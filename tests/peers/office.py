"""An engine that phones register with, in one place for the tests of phones: its configuration, and what its API says.

Every phone has an address of its own in 127.0.2.0/24. Some of them connect from 127.0.0.1 over TCP and TLS, whatever
they are told to bind to.
"""

import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

from tests.api.tutorials import Curl
from tests.certificates import Authority
from tests.peers.baresip import Baresip
from tests.peers.engine import Engine, write_config
from tests.peers.linphone import Linphone
from tests.peers.scripted import ScriptedPhone, node_phone, pjsua2_phone

HOST = "127.0.2.10"
PASSWORD = "secret17"
KEY = "a-key-for-the-office"

SOCKETS = {"ws": f"ws://{HOST}:5080", "wss": f"wss://{HOST}:5443"}

Contact = dict[str, Any]


def home(transport: str) -> str:
    """Where phones register over a transport: the host, its port and the transport, as URIs have them."""
    return f"{HOST}:{5061 if transport == 'tls' else 5060};transport={transport}"


def address(name: str) -> str:
    """How a phone dials an extension."""
    return f"sip:{name}@{HOST}"


class Office:
    """A running engine with extensions. `ca` is who has signed its certificate."""

    def __init__(self, engine: Engine, ca: Path) -> None:
        self.engine, self.ca = engine, ca
        self.api = Curl(f"http://{HOST}:8080", KEY)

    def extension(self, name: str) -> dict[str, Any]:
        """An extension as GET /v1.0/extensions shows it."""
        rows = self.api("GET", "/v1.0/extensions?page_size=100", status=200)["result"]
        return next(row for row in rows if row["name"] == name)

    def wait_contacts(
        self,
        name: str,
        fits: Callable[[list[Contact]], bool] = lambda contacts: len(contacts) == 1,
        timeout: float = 30,
    ) -> list[Contact]:
        """Waits until an extension has contacts that fit, one at first, and returns them."""
        deadline, tick = monotonic() + timeout, threading.Event()
        while True:
            row = self.extension(name)
            contacts: list[Contact] = row["contacts"]
            assert row["registered"] == bool(contacts), row
            if fits(contacts):
                return contacts
            assert monotonic() < deadline, f"{row}\n{self.engine.log[-8000:]}"
            tick.wait(0.1)

    def baresip(self, directory: Path, name: str, host: str, transport: str = "udp", **more: Any) -> Baresip:
        """A baresip that registers as an extension; over TCP it keeps its connection and says so (RFC 5626)."""
        if transport == "tcp":
            more["account"] = f'sipnat=outbound;outbound="sip:{home("tcp")}"' + more.get("account", "")
        return Baresip(
            directory,
            host,
            6100,
            **{"user": name, "password": PASSWORD, "registrar": home(transport), "ca": self.ca, "trace": True} | more,
        )

    def linphone(self, directory: Path, name: str, host: str, transport: str = "udp", **more: Any) -> Linphone:
        """A linphone that registers as an extension."""
        # Its TLS knows names in certificates, and no addresses.
        settings = {"root_ca": str(self.ca), "verify_server_cn": "0"}
        return Linphone(
            directory,
            host,
            6100,
            **{"user": name, "password": PASSWORD, "registrar": home(transport), "settings": settings} | more,
        )

    def pjsua2(self, directory: Path, name: str, host: str, transport: str = "udp", **more: Any) -> ScriptedPhone:
        """A PJSIP that is told to register as an extension."""
        phone = pjsua2_phone(directory, host)
        order = {"uri": address(name), "registrar": f"sip:{home(transport)}", "transport": transport}
        phone.do("register", **order | {"password": PASSWORD} | more)
        return phone

    def browser(self, kind: str, name: str, socket: str, **more: Any) -> ScriptedPhone:
        """JsSIP or SIP.js, told to register as an extension over "ws" or "wss"."""
        phone = node_phone(kind, ca=self.ca)
        order = {"server": SOCKETS[socket], "uri": address(name), "password": PASSWORD}
        # SIP.js has the same instance at every start; JsSIP thinks of another one each time.
        phone.do("register", **order | {"instance": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{kind} {name}"))} | more)
        return phone


@contextmanager
def open_office(
    directory: Path, names: Mapping[str, Mapping[str, Any]], sip: Mapping[str, Any], **config: Any
) -> Iterator[Office]:
    """Starts an engine that has these extensions, by their names. `sip` and `config` are added to its configuration."""
    directory.mkdir(parents=True, exist_ok=True)
    authority = Authority(directory)
    issued = authority.issue(HOST, "office.example")
    extensions = [{"name": name, "password": PASSWORD} | more for name, more in names.items()]
    whole: dict[str, Any] = {
        "sip": {
            "listen": [
                *(f"{transport}://{HOST}:5060" for transport in ("udp", "tcp")),
                f"tls://{HOST}:5061",
                f"ws://{HOST}:5080",
                f"wss://{HOST}:5443",
            ],
            "tls": {"certificates": [{"certificate": str(issued.certificate), "key": str(issued.key)}]},
            "trusted_networks": [],
        }
        | sip,
        "api": {"listen": f"{HOST}:8080", "admin_key": KEY},
        "log": {"level": "info", "format": "json"},
        "extensions": extensions,
    } | config
    with Engine.start(write_config(directory, whole)) as engine:
        engine.process.wait_line(r"ready: http", 30)
        yield Office(engine, authority.ca)
        assert "Traceback" not in engine.log, engine.log
