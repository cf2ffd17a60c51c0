"""Who a client over TLS is by its certificate, with OpenSSL's own client in the place of a carrier."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Authority, Files
from tests.peers.engine import Engine, write_config
from tests.peers.process import require

pytestmark = pytest.mark.peer

ENGINE, PORT = "127.0.1.10", 6061
CARRIER = "carrier.example"

_INVITE = f"""\
INVITE sip:+15559999999@{ENGINE}:{PORT} SIP/2.0
Via: SIP/2.0/TLS host.invalid:5061;branch=z9hG4bK{{branch}}
Max-Forwards: 70
From: <sip:+15550001111@carrier.example>;tag=1
To: <sip:+15559999999@sbc.example>
Call-ID: {{branch}}
CSeq: 1 INVITE
Contact: <sip:carrier.example;transport=tls>
Content-Length: 0

"""


def config(authority: Authority, client_certificates: str) -> dict[str, Any]:
    own = authority.issue("sbc.example")
    return {
        "sip": {
            "listen": [f"tls://{ENGINE}:{PORT}"],
            "trusted_networks": [],
            "allow_guests": False,
            "tls": {
                "certificates": [{"certificate": str(own.certificate), "key": str(own.key)}],
                "client_ca": str(authority.ca),
                "client_certificates": client_certificates,
            },
        },
        "log": {"level": "info", "format": "json"},
        "providers": [{"name": "carrier", "hostname": "192.0.2.1", "transport": "tls", "tls_client_names": [CARRIER]}],
    }


def invite(files: Files | None, folder: Path) -> str:
    """What an INVITE to a number that nobody has is answered with; "" where the handshake fails, or nothing comes."""
    program = require("openssl", "openssl")
    shown = [] if files is None else ["-cert", str(files.certificate), "-key", str(files.key)]
    argv = [program, "s_client", "-connect", f"{ENGINE}:{PORT}", "-servername", "sbc.example", "-quiet", *shown]
    text = _INVITE.format(branch=folder.name).replace("\n", "\r\n")
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as client:
        assert client.stdin is not None and client.stdout is not None
        try:
            client.stdin.write(text.encode())
            client.stdin.flush()
            for line in client.stdout:
                words = line.decode().split()
                if words[:1] == ["SIP/2.0"] and words[1] != "100":
                    return words[1]
        except BrokenPipeError:
            pass
        finally:
            client.kill()
    return ""


@pytest.mark.parametrize(
    ("client_certificates", "shown", "answer"),
    [
        ("request", [CARRIER], "404"),  # the trunk is told that the number is none of ours
        ("request", ["sip:carrier.example"], "404"),
        ("request", ["other.example"], "403"),  # anybody else is a guest, and none is let in
        ("request", ["sip:other.example", CARRIER], "403"),
        ("request", None, "403"),
        ("require", [CARRIER], "404"),
        ("require", ["other.example"], "403"),
        ("require", None, ""),
        ("off", [CARRIER], "403"),
    ],
)
def test_who_calls(tmp_path: Path, client_certificates: str, shown: list[str] | None, answer: str) -> None:
    authority = Authority(tmp_path)
    files = None if shown is None else authority.issue(*shown, file="client")
    with Engine.start(write_config(tmp_path, config(authority, client_certificates))) as engine:
        assert invite(files, tmp_path) == answer, engine.log


@pytest.mark.parametrize(("client_certificates", "answer"), [("request", "403"), ("require", "")])
@pytest.mark.parametrize("wrong", ["other CA", "expired", "self-signed"])
def test_a_carriers_name_in_a_certificate_that_proves_nothing(
    tmp_path: Path, client_certificates: str, answer: str, wrong: str
) -> None:
    """With `request` its owner is a stranger, and a guest like any other; with `require` there is no handshake."""
    authority = Authority(tmp_path)
    if wrong == "other CA":
        (tmp_path / "other").mkdir()
        forged = Authority(tmp_path / "other", "Another CA").issue(CARRIER, file="client")
    elif wrong == "expired":
        forged = authority.issue(CARRIER, file="client", days=-1)
    else:
        forged = authority.issue(CARRIER, file="client", self_signed=True, common=CARRIER)
    with Engine.start(write_config(tmp_path, config(authority, client_certificates))) as engine:
        assert invite(forged, tmp_path) == answer, engine.log
        engine.process.wait_line("client's certificate is not trusted", 30)
