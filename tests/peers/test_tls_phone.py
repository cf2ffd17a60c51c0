"""Phones over TLS: a call that stays when the certificate is replaced; OpenSSL's client sees which one is shown."""

import csv
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Authority
from tests.network import reserved_port
from tests.peers.baresip import Baresip
from tests.peers.engine import Engine, write_config
from tests.peers.process import Process, require

pytestmark = pytest.mark.peer

ENGINE, PORT, PHONE = "127.0.1.10", 6061, "127.0.1.2"
CALLED = r'"call ended"'


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


def test_no_call_of_a_load_fails_when_the_certificate_is_replaced(tmp_path: Path) -> None:
    """SIPp has no TLS: HAProxy speaks it for it, each call over a connection of its own, and verifies what it is shown.
    What it begins with is replaced under it, by one of a CA that it trusts too."""
    haproxy, sipp = require("haproxy", "haproxy"), require("sipp", "sip-tester")
    first = Authority(tmp_path, "First CA")
    (tmp_path / "second").mkdir()
    second = Authority(tmp_path / "second", "Second CA")
    first.issue("sip.example", file="shown")
    both = tmp_path / "both.pem"
    both.write_bytes(first.ca.read_bytes() + second.ca.read_bytes())
    port = reserved_port()
    path = tmp_path / "haproxy.cfg"
    path.write_text(
        "defaults\n  mode tcp\n  timeout connect 30s\n  timeout client 60s\n  timeout server 60s\n"
        f"listen sip\n  bind {PHONE}:{port}\n  server engine {ENGINE}:{PORT} source {PHONE} ssl verify required "
        f"ca-file {both} verifyhost sip.example\n"
    )
    # More connections than a stranger may have, more calls than one may make.
    argv = [sipp, f"{PHONE}:{port}", "-sn", "uac", "-t", "tn", "-i", PHONE, "-s", "+899100000001", "-r", "10"]
    argv += ["-d", "2000", "-max_socket", "1000", "-m", "100000", "-nostdin", "-trace_err", "-fd", "1"]
    argv += ["-trace_stat", "-stf", str(tmp_path / "stat.csv")]
    with Engine.start(write_config(tmp_path, config("shown"))) as engine:
        proxy = Process([haproxy, "-db", "-f", str(path)], cwd=tmp_path)
        load = Process(argv, cwd=tmp_path)
        try:
            engine.process.wait_line(CALLED, 30, count=20)
            assert shown(first, "sip.example") == "sip.example"
            new = second.issue("sip.example", file="shown")
            for file in (new.key, new.certificate):
                file.replace(tmp_path / file.name)
            os.kill(engine.pid, signal.SIGHUP)
            engine.process.wait_line(r"certificate read", 30)
            assert shown(second, "sip.example") == "sip.example"
            before = len(re.findall(CALLED, engine.log))
            engine.process.wait_line(CALLED, 30, count=before + 30)
            os.kill(load.pid, signal.SIGUSR1)  # no new calls; those that are up go on to their end
            load.wait(60)
        finally:
            load.stop()
            proxy.stop()
        with (tmp_path / "stat.csv").open() as file:
            last = list(csv.DictReader(file, delimiter=";"))[-1]
        calls = [int(last[what]) for what in ("TotalCallCreated", "SuccessfulCall(C)", "FailedCall(C)")]
        assert calls[0] == calls[1] >= 50, (calls, engine.log[-8000:])
        assert calls[2] == 0
        assert "Traceback" not in engine.log
