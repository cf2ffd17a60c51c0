"""TLS of SIP's listeners in a whole engine: new certificates, who is banned for what, and what `check` says."""

import asyncio
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from engine.transport.certificates import CertificateFiles, Certificates, ServerTls
from service.certificates import CertificateReader
from service.cli.commands import main
from tests.certificates import Authority, Files

GUEST = "127.0.0.9"
Run = Any


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def section(*files: Files, **more: Any) -> dict[str, Any]:
    """`sip` of an engine with these certificates."""
    pairs = [{"certificate": pair.certificate.name, "key": pair.key.name} for pair in files]
    return {"listen": ["udp://127.0.0.1:0", "tls://127.0.0.1:0"], "tls": {"certificates": pairs, **more}}


def address(engine: Any) -> tuple[str, int]:
    host, _, port = engine.at("tls").rpartition(":")
    return host, int(port)


async def names(engine: Any, authority: Authority) -> Any:
    """The alternative names that a new connection is shown."""
    context = ssl.create_default_context(cafile=str(authority.ca))
    context.check_hostname = False
    _, writer = await asyncio.open_connection(*address(engine), ssl=context)
    found = writer.get_extra_info("peercert")["subjectAltName"]
    writer.close()
    return found


def shake_hands(where: tuple[str, int], data: bytes | None) -> None:
    """A client that sends these bytes, or that does not trust our certificate, until it is closed."""
    with socket.create_connection(where, timeout=30, source_address=(GUEST, 0)) as sock:
        if data is None:
            with pytest.raises(ssl.SSLError, match="certificate verify failed"):
                ssl.create_default_context().wrap_socket(sock, server_hostname="sip.example")
            return
        sock.sendall(data)
        try:
            while sock.recv(4096):
                pass
        except ConnectionError:
            pass


# ---- certificates while it runs


def test_sighup_shows_new_certificates_and_keeps_the_old_one_where_a_file_is_bad(
    run: Run, authority: Authority
) -> None:
    async def test(bench: Any) -> None:
        files = authority.issue("old.example", file="shown")
        engine = await bench.serve(sip=section(files))
        assert await names(engine, authority) == (("DNS", "old.example"),)
        authority.issue("new.example", file="shown")
        await engine.reload(bench.document(sip=section(files)))
        assert await names(engine, authority) == (("DNS", "new.example"),)
        files.key.write_text("nothing")
        assert (await engine.reload(bench.document(sip=section(files))))["event"] == "reloaded"
        line = await engine.log.wait("certificate not read: the old one is shown")
        assert line["problem"].startswith(f"{files.key}: no private key in PEM")
        assert (line["setting"], line["hint"][:16]) == ("sip.tls.certificates", "correct the file")
        assert engine.node.certificates.unread == 1
        assert await names(engine, authority) == (("DNS", "new.example"),)
        other = authority.issue("other.example")
        await engine.reload(bench.document(sip=section(other)))
        assert await names(engine, authority) == (("DNS", "other.example"),)
        assert engine.node.certificates.unread == 0
        assert not engine.log.named("reload")

    run(test)


def test_a_certificate_is_told_of_once_a_day_before_its_end_and_after_it(authority: Authority) -> None:
    files = authority.issue("a.example", days=30)
    shown = Certificates(ServerTls(certificates=(CertificateFiles(files.certificate, files.key),)))
    now = datetime.now(UTC)
    told = []
    with capture_logs() as lines:
        reader = CertificateReader(shown, "sip.tls.certificates", structlog.get_logger(), now=lambda: now)
        for hours in (0, 8 * 24, 9.5 * 24, 9.6 * 24, 10.6 * 24, 30.5 * 24, 30.6 * 24, 31.6 * 24):
            now = datetime.now(UTC) + timedelta(hours=hours)
            count = len(lines)
            asyncio.run(reader.look())
            told.append([(line["event"], line["log_level"]) for line in lines[count:]])
    soon, ended = ("certificate expires soon", "warning"), ("certificate has expired", "error")
    assert told == [[], [], [soon], [], [soon], [ended], [], [ended]]
    assert lines[0]["file"] == str(files.certificate) and lines[0]["names"] == "a.example"


def test_a_key_that_others_can_read_is_a_warning_and_one_of_a_group_is_none(run: Run, authority: Authority) -> None:
    async def test(bench: Any) -> None:
        open_, group = authority.issue("a.example"), authority.issue("b.example")
        open_.key.chmod(0o644)
        group.key.chmod(0o640)
        engine = await bench.engine(sip=section(open_, group))
        [line] = engine.log.named("secret file readable by others")
        assert (line["file"], line["mode"], line["hint"]) == (str(open_.key), "0644", f"chmod o= {open_.key}")

    run(test)


# ---- bans


def test_four_handshakes_that_are_none_are_enough(run: Run, authority: Authority) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(sip=section(authority.issue("a.example")) | {"trusted_networks": []})
        for data in (b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 50, b"\x16\x03\x01\x00\x05hello" * 9, b"SSH-2.0-x\r\n"):
            assert not engine.node.peers.banned(GUEST)
            await asyncio.to_thread(shake_hands, address(engine), data)
        line = await engine.log.wait("source banned")
        assert (line["address"], line["score"], line["reason"]) == (GUEST, 12, "handshake")
        await asyncio.to_thread(shake_hands, address(engine), b"")  # it is closed unread

    run(test)


def test_phones_that_do_not_trust_our_certificate_are_told_of_and_not_banned(run: Run, authority: Authority) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(sip=section(authority.issue("a.example")) | {"trusted_networks": []})
        for _ in range(12):
            await asyncio.to_thread(shake_hands, address(engine), None)
        line = await engine.log.wait("TLS handshake failed")
        assert (line["source"], line["cause"]) == (GUEST, "the client refuses our certificate: unknown ca")
        assert "have it trust this CA" in line["hint"]
        await asyncio.to_thread(shake_hands, address(engine), b"REGISTER sip:a SIP/2.0\r\n\r\n")
        assert (await engine.log.wait("TLS handshake failed", 2))["cause"] != ""
        assert not engine.node.peers.banned(GUEST) and not engine.log.named("source banned")

    run(test)


# ---- check


@pytest.mark.parametrize(
    ("spoil", "code", "said"),
    [
        (lambda files, other: None, 0, ""),
        (lambda files, other: files.key.unlink(), 1, "a.example.key: No such file or directory; correct the file"),
        (lambda files, other: files.key.write_bytes(other.key.read_bytes()), 1, "is not the key of"),
        (lambda files, other: files.certificate.write_text("x"), 1, "no certificate in PEM"),
    ],
)
def test_check_says_which_file_cannot_be_used(
    authority: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: Any, code: int, said: str
) -> None:
    files, other = authority.issue("a.example"), authority.issue("b.example")
    spoil(files, other)
    path = tmp_path / "t.yaml"
    path.write_text("sip:\n  listen: [tls://127.0.0.1]\n  tls:\n    certificates:\n"
                    "      - {certificate: a.example.pem, key: a.example.key}\n")  # fmt: skip
    assert main(["check", "-c", str(path)]) == code
    line = capsys.readouterr().err
    assert said in line and (not said or line.startswith(f"{path}:5: sip.tls.certificates[0]: "))


def test_check_warns_of_a_trunks_file_that_cannot_be_used(
    authority: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    authority.issue("a.example")
    path = tmp_path / "t.yaml"
    pair = "certificate: a.example.pem, key: a.example.key"
    path.write_text(
        f"sip: {{listen: [tls://127.0.0.1], tls: {{certificates: [{{{pair}}}]}}}}\n"
        "providers:\n"
        f"  - {{name: good, hostname: a.example, transport: tls, tls: {{{pair}}}}}\n"
        "  - {name: bad, hostname: b.example, transport: tls, tls: {ca: missing.pem}}\n"
    )
    assert main(["check", "-c", str(path)]) == 0
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"{path}:4: providers[1].tls: warning: {tmp_path}/missing.pem: No such file or directory; no"
    )


def test_check_warns_of_a_certificate_that_has_expired(
    authority: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    authority.issue("a.example", days=-3)
    path = tmp_path / "t.yaml"
    path.write_text(
        "sip: {listen: [tls://127.0.0.1], tls: {certificates: [{certificate: a.example.pem, key: a.example.key}]}}"
    )
    assert main(["check", "-c", str(path)]) == 0
    assert "a.example.pem has expired on 20" in capsys.readouterr().err
