"""Connections that are left half open, from many addresses: a phone registers and calls past them."""

import os
import resource
import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.peers.office import HOST, address, open_office

pytestmark = pytest.mark.peer

ATTACKERS = [f"127.0.77.{number}" for number in range(1, 251)]
AT_ONCE = int(os.environ.get("TRUNKLINE_HALF_OPEN", "1000"))
"""Connections that each kind of listener is kept busy with."""
BEGUN = {
    5061: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # the first bytes of a ClientHello
    5080: b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n",
    5443: b"",
}


class Flood:
    """Keeps so many connections half open at each port: what the engine closes is opened anew."""

    def __init__(self) -> None:
        self.opened = self.closed = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flood")

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @contextmanager
    def running(self) -> Iterator["Flood"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            self._thread.join(60)

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for _ in range(AT_ONCE):
                for port in BEGUN:
                    self._open(selector, port)
            while not self._stop.is_set():
                for key, _ in selector.select(0.1):
                    sock, port = key.fileobj, key.data
                    assert isinstance(sock, socket.socket)
                    if self._is_over(sock):
                        selector.unregister(sock)
                        sock.close()
                        self.closed += 1
                        self._open(selector, port)
            for key in list(selector.get_map().values()):
                assert isinstance(key.fileobj, socket.socket)
                key.fileobj.close()

    def _open(self, selector: selectors.BaseSelector, port: int) -> None:
        if self._stop.is_set():
            return
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.settimeout(30)
        sock.bind((ATTACKERS[self.opened % len(ATTACKERS)], 0))
        sock.connect((HOST, port))
        sock.sendall(BEGUN[port])
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_READ, port)
        self.opened += 1

    @staticmethod
    def _is_over(sock: socket.socket) -> bool:
        try:
            return not sock.recv(65_536)
        except BlockingIOError:
            return False
        except OSError:
            return True


def resident(pid: int) -> int:
    """Bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def test_a_phone_registers_and_calls_past_half_open_handshakes_and_upgrades(tmp_path: Path) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536), hard))
    flood = Flood()
    with open_office(tmp_path / "office", {"ann": {}, "ben": {}}, {}) as office:
        before = resident(office.engine.pid)
        with flood.running():
            tick = threading.Event()
            while flood.opened < 3 * AT_ONCE:
                assert flood.alive
                tick.wait(0.1)
            with (
                office.baresip(tmp_path / "ann", "ann", "127.0.2.41", "tls") as ann,
                office.baresip(tmp_path / "ben", "ben", "127.0.2.42", "tls", auto_answer=True) as ben,
            ):
                for phone in (ann, ben):
                    phone.wait_registered(60)
                ann.dial(f"{address('ben')}:5061;transport=tls")
                for phone in (ann, ben):
                    phone.wait_event("CALL_ESTABLISHED", timeout=60)
                ann.hangup()
                ben.wait_event("CALL_CLOSED", timeout=60)
            assert flood.alive
        grown = (resident(office.engine.pid) - before) / 2**20
        print(f"{flood.opened} opened, {flood.closed} closed by the engine, {grown:.0f} MiB more")
        assert grown < 200
