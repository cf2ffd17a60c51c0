"""tests/network.py: ports that are given to one only, and a network that is a process's own."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests import network

ROOT = Path(__file__).resolve().parents[1]
HOSTS = ["127.0.0.1", "127.0.1.1", "::1"]
KINDS = [socket.SOCK_DGRAM, socket.SOCK_STREAM]


def family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def run(program: str) -> str:
    """What another process of the same network prints."""
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_a_reserved_port_can_be_bound_on_every_address_by_udp_and_tcp() -> None:
    port = network.reserved_port()
    for host in HOSTS:
        for kind in KINDS:
            with socket.socket(family(host), kind) as sock:
                sock.bind((host, port))


def test_a_reserved_port_is_nobody_elses_until_its_process_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    port = network.reserved_port()
    ask = f"from tests import network; network._PORTS = [{port}] * 200; print(network.reserved_port())"
    monkeypatch.setattr(network, "_PORTS", [port] * 200)
    with pytest.raises(AssertionError, match="no free port"):
        network.reserved_port()
    with pytest.raises(subprocess.CalledProcessError):
        run(ask)
    network.reservations.pop().close()
    assert [int(run(ask)) for _ in range(2)] == [port, port]  # the first has ended
    assert network.reserved_port() == port


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("host", [*HOSTS, "0.0.0.0", "::"])
def test_a_port_that_somebody_has_on_any_address_is_not_reserved(
    monkeypatch: pytest.MonkeyPatch, host: str, kind: socket.SocketKind
) -> None:
    port = network.reserved_port()
    network.reservations.pop().close()
    monkeypatch.setattr(network, "_PORTS", [port] * 200)
    with socket.socket(family(host), kind) as sock:
        sock.bind((host, port))
        if kind == socket.SOCK_STREAM:
            sock.listen()
        with pytest.raises(AssertionError, match="no free port"):
            network.reserved_port()


def test_reserved_ports_are_none_that_the_system_gives_away_or_engines_have_for_rtp() -> None:
    ephemeral = Path("/proc/sys/net/ipv4/ip_local_port_range")
    lowest = int(ephemeral.read_text().split()[0]) if ephemeral.exists() else 32768
    assert all(1024 <= network.reserved_port() < min(lowest, 20000) for _ in range(20))


@pytest.mark.parametrize("host", HOSTS)
def test_a_refusing_port_refuses_and_is_held(host: str) -> None:
    with network.refusing_port(host) as port, socket.socket(family(host), socket.SOCK_DGRAM) as sender:
        sender.settimeout(5)
        sender.connect((host, port))
        sender.send(b"x")
        with pytest.raises(ConnectionRefusedError):
            sender.recv(1)
        with socket.socket(family(host), socket.SOCK_DGRAM) as another, pytest.raises(OSError):
            another.bind((host, port))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("host", HOSTS)
def test_whether_a_port_is_bound_is_seen_without_binding_it(host: str, kind: socket.SocketKind) -> None:
    port = network.reserved_port()
    assert not network.is_bound(host, port, kind)
    with socket.socket(family(host), kind) as sock:
        sock.bind((host, port))
        if kind == socket.SOCK_STREAM:
            sock.listen()
        assert network.is_bound(host, port, kind)
        assert not network.is_bound("127.0.1.2", port, kind)
        assert not network.is_bound(host, port, KINDS[KINDS.index(kind) - 1])
    assert not network.is_bound(host, port, kind)


@pytest.mark.skipif(not network.may_be_own(), reason="only root may have a network of its own")
def test_this_process_and_what_it_starts_have_a_network_of_their_own() -> None:
    say = "import pathlib, socket; print(pathlib.Path('/proc/self/ns/net').readlink())\n"
    mine = str(Path("/proc/self/ns/net").readlink())
    assert run(say).strip() == mine
    own = run(
        f"from tests import network; network.become_own(); {say}"
        "socket.create_server(('127.0.3.4', 0)); socket.create_server(('::1', 0), family=socket.AF_INET6)"
    )
    assert own.strip() != mine
