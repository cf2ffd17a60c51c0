"""Providers that the engine has no listener for: told when the file is loaded, and by `explain`."""

from pathlib import Path

import pytest

from config.loading import Configuration, load
from service.cli.commands import main
from tests.certificates import Authority

TLS = "there is no tls:// under sip.listen, so no call is sent there; add a listener"
TCP = "there is no tcp:// under sip.listen, so no call is sent there; add a listener"
UDP = "there is no udp:// under sip.listen, so no call is sent there; add a listener"


def read(tmp_path: Path, provider: str, listen: str) -> Configuration:
    path = tmp_path / "t.yaml"
    path.write_text(
        f"sip: {{listen: [{listen}]}}\n"
        f"providers:\n  - {{name: p, {provider}}}\n"
        "routes:\n  - {target: all, provider: p}\n",
        encoding="utf-8",
    )
    return load(path, {})


@pytest.mark.parametrize(
    ("provider", "listen", "note"),
    [
        ("hostname: a.example, transport: tls", '"udp://127.0.0.1:0"', TLS),
        ("hostname: a.example, transport: tcp", '"udp://127.0.0.1:0"', TCP),
        ("hostname: 192.0.2.1", '"tcp://127.0.0.1:0"', UDP),
        ("hostname: a.example", '"tcp://127.0.0.1:0"', ""),  # the name may have SRV records for TCP
        ("hostname: a.example, transport: tcp", '"udp://127.0.0.1:0", "tcp://127.0.0.1:0"', ""),
        ("hostname: 192.0.2.1", '"udp://127.0.0.1:0"', ""),
    ],
)
def test_a_provider_without_a_listener_is_a_note_and_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], provider: str, listen: str, note: str
) -> None:
    notices = read(tmp_path, provider, listen).notices
    assert notices == ([f"{tmp_path}/t.yaml:3: providers[0].transport: note: {note}"] if note else [])
    main(["explain", "-c", f"{tmp_path}/t.yaml", "+821012345678"])
    skipped = "skipped: there is no listener for its transport under sip.listen" in capsys.readouterr().out
    assert skipped == bool(note)


@pytest.mark.parametrize(
    ("shown", "names", "warned"),
    [
        ("sbc1.example.com", ["sbc1.example.com"], False),
        ("SBC1.example.com:5061", ["a.example", "*.example.com"], False),
        ("sbc1.example.com", ["sip:example.com", "sbc1.example.com"], False),
        ("sbc1.example.com", ["example.com"], True),
        ("a.sbc1.example.com", ["*.example.com"], True),
    ],
)
def test_a_name_that_no_certificate_has_is_warned_of(
    tmp_path: Path, shown: str, names: list[str], warned: bool
) -> None:
    Authority(tmp_path).issue(*names, file="own")
    listen = '"tls://127.0.0.1:0"], tls: {certificates: [{certificate: own.pem, key: own.key}]}, proxies: ['
    found = read(tmp_path, f'hostname: a.example, transport: tls, contact_host: "{shown}"', listen).warnings
    assert [line for line in found if "is no name of a certificate of ours" in line] == found
    assert len(found) == warned


def test_who_is_not_reached_over_tls_needs_no_certificate(tmp_path: Path) -> None:
    Authority(tmp_path).issue("example.com", file="own")
    listen = '"udp://127.0.0.1:0"], tls: {certificates: [{certificate: own.pem, key: own.key}]}, proxies: ['
    assert not read(tmp_path, "hostname: a.example, contact_host: sbc1.example.com", listen).warnings
