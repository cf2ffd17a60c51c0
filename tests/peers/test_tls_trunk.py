"""A trunk over TLS, Kamailio with its tls module in a carrier's place: whose certificate it has to have (RFC 5922), and
a whole call whose requests find their way by addresses in Record-Route."""

import re
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Authority, Files
from tests.peers import route_set
from tests.peers.engine import Engine, write_config
from tests.peers.kamailio import Kamailio
from tests.peers.test_kamailio import WHOLE_CALL

pytestmark = pytest.mark.peer

ENGINE, PROXY, CALLEE, CALLER = "127.0.1.10", "127.0.0.1", "127.0.1.5", "127.0.1.6"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def issued(authority: Authority, names: Sequence[str], days: float = 9) -> Files:
    """The proxy's certificate; `CN=…` is its common name."""
    common = [name[3:] for name in names if name.startswith("CN=")]
    others = [name for name in names if not name.startswith("CN=")]
    return authority.issue(*others, file="proxy", days=days, common=common[0] if common else "")


def config(authority: Authority, tls: dict[str, Any]) -> dict[str, Any]:
    """An engine whose one provider is the proxy, found by a name of this machine's."""
    own = authority.issue("sbc.example", file="own")
    return {
        "sip": {
            "listen": [f"udp://{ENGINE}:6060", "tls://127.0.0.1:6061"],
            "trusted_networks": [f"{CALLER}/32"],
            "tls": {"certificates": [{"certificate": str(own.certificate), "key": str(own.key)}]},
        },
        "log": {"level": "info", "format": "json"},
        "providers": [
            {"name": "proxy", "hostname": "localhost:6201", "transport": "tls", "tech_prefix": "7", "tls": tls}
        ],
        "routes": [{"target": "all", "provider": "proxy"}],
    }


@pytest.mark.parametrize(
    ("names", "tls"),
    [
        (["localhost"], {}),
        (["sip:localhost", "other.example"], {}),
        (["CN=localhost"], {}),  # without alternative names it counts
        (["*.carrier.example"], {"names": ["sip.carrier.example"], "allow_wildcards": True}),
    ],
)
@pytest.mark.parametrize("bye", ["caller", "callee"])
def test_a_whole_call_goes_over_tls(
    tmp_path: Path, authority: Authority, names: list[str], tls: dict[str, Any], bye: route_set.Side
) -> None:
    shown = issued(authority, names)
    with (
        Engine.start(write_config(tmp_path, config(authority, {"ca": str(authority.ca)} | tls))) as engine,
        Kamailio(tmp_path / "proxy", PROXY, 6200, f"{CALLEE}:6210", tls=shown) as proxy,
        route_set.start("callee", tmp_path, CALLEE, 6210, bye=bye) as callee,
        route_set.start(
            "caller", tmp_path, CALLER, 6220, bye=bye, to=f"{ENGINE}:6060", service="+821012345678"
        ) as caller,
    ):
        try:
            route_set.finish(caller, tmp_path)
            route_set.finish(callee, tmp_path)
            proxy.wait_seen("loose BYE")
            assert proxy.seen() == WHOLE_CALL
            assert "Traceback" not in engine.log
        except AssertionError as error:
            error.add_note(f"engine:\n{engine.log}\nproxy: {proxy.seen()}")
            raise


_INVITE = f"""\
INVITE sip:+821012345678@{ENGINE}:6060 SIP/2.0
Via: SIP/2.0/UDP {CALLER}:6220;branch=z9hG4bKrefused
Max-Forwards: 70
From: <sip:caller@{CALLER}>;tag=1
To: <sip:+821012345678@{ENGINE}>
Call-ID: refused
CSeq: 1 INVITE
Contact: <sip:{CALLER}:6220>
Content-Length: 0

"""


def final_status() -> int:
    """What an INVITE of the caller's is answered with in the end."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
        caller.bind((CALLER, 6220))
        caller.settimeout(30)
        caller.sendto(_INVITE.replace("\n", "\r\n").encode(), (ENGINE, 6060))
        status = 100
        while status < 200:
            status = int(caller.recv(65_536).split()[1])
        return status


@pytest.mark.parametrize(
    ("names", "days", "tls", "cause"),
    [
        (["other.example"], 9, {}, "certificate names other.example, not localhost"),
        (["other.example", "CN=localhost"], 9, {}, "certificate names other.example, not localhost"),
        (["sip:other.example", "localhost"], 9, {}, "certificate names sip:other.example, localhost, not localhost"),
        (
            ["*.carrier.example"],
            9,
            {"names": ["sip.carrier.example"]},
            "certificate names *.carrier.example, not sip.carrier.example",
        ),
        (["localhost"], -1, {}, "the certificate of localhost is not trusted: certificate has expired"),
        (
            ["localhost"],
            9,
            {"ca": ""},
            "the certificate of localhost is not trusted: unable to get local issuer certificate",
        ),
    ],
)
def test_what_is_not_the_carriers_certificate_gets_no_byte(
    tmp_path: Path, authority: Authority, names: list[str], days: float, tls: dict[str, Any], cause: str
) -> None:
    shown = issued(authority, names, days)
    with (
        Engine.start(write_config(tmp_path, config(authority, {"ca": str(authority.ca)} | tls))) as engine,
        Kamailio(tmp_path / "proxy", PROXY, 6200, f"{CALLEE}:6210", tls=shown) as proxy,
    ):
        status = final_status()
        assert status >= 500, engine.log
        engine.process.wait_line(re.escape(cause), 30)
        assert proxy.seen() == []
