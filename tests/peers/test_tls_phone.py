"""Phones over TLS: a call that stays when the certificate is replaced; OpenSSL's client sees which one is shown."""

import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Authority
from tests.peers.baresip import Baresip
from tests.peers.engine import Engine, write_config
from tests.peers.process import require

pytestmark = pytest.mark.peer

ENGINE, PORT, PHONE = "127.0.1.10", 6061, "127.0.1.2"


def config(*names: str) -> dict[str, Any]:
    return {
        "sip": {
            "listen": [f"tls://{ENGINE}:{PORT}"],
            "trusted_networks": [f"{PHONE}/32"],
            "tls": {"certificates": [{"certificate": f"{name}.pem", "key": f"{name}.key"} for name in names]},
        },
        "log": {"level": "info", "format": "json"},
        "numbers": [{"number": "+899100000001", "call_flow": "echo"}],
        "flows": [{"name": "echo", "actions": [{"type": "answer"}, {"type": "echo", "option": {"duration": 60000}}]}],
    }


def shown(authority: Authority, asked: str, *more: str) -> str:
    """The name in the certificate that a client is shown who asks for this one, and whether OpenSSL verifies it."""
    program = require("openssl", "openssl")
    words = ["-connect", f"{ENGINE}:{PORT}", "-CAfile", str(authority.ca), "-verify_return_error", *more]
    words += ["-servername", asked] if asked else ["-noservername"]
    done = subprocess.run(
        [program, "s_client", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False
    )
    assert "Verify return code: 0 (ok)" in done.stdout, done.stdout + done.stderr
    text = subprocess.run(
        [program, "x509", "-noout", "-ext", "subjectAltName"],
        input=done.stdout, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    found = re.search(r"DNS:(\S+)", text)
    assert found is not None, text
    return found[1]


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_is_shown_the_certificate_that_it_asks_for(tmp_path: Path, version: str) -> None:
    authority = Authority(tmp_path)
    for name in ("a.example", "b.example"):
        authority.issue(name)
    with Engine.start(write_config(tmp_path, config("a.example", "b.example"))):
        for asked, found in (
            ("b.example",) * 2,
            ("a.example",) * 2,
            ("unknown.example", "a.example"),
            ("", "a.example"),
        ):
            assert shown(authority, asked, version) == found, asked


def test_a_call_stays_up_when_the_certificate_is_replaced(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.issue("old.example", file="shown")
    with (
        Engine.start(write_config(tmp_path, config("shown"))) as engine,
        Baresip(tmp_path / "phone", PHONE, 6100, pitch=440, trace=True) as phone,
    ):
        phone.dial(f"sip:+899100000001@{ENGINE}:{PORT};transport=tls")
        phone.wait_event("CALL_ESTABLISHED")
        phone.wait_heard(440, 0.4)
        assert shown(authority, "old.example") == "old.example"
        authority.issue("new.example", file="shown")
        os.kill(engine.pid, signal.SIGHUP)
        engine.process.wait_line(r"certificate read", 30)
        assert shown(authority, "old.example") == "new.example"
        phone.hold()  # over the connection with the old one
        phone.resume()
        phone.hangup()
        phone.wait_event("CALL_CLOSED")
        assert "Traceback" not in engine.log
