"""A bad line between two programs: UDP that is lost, late, out of order and doubled on its way, all by a seed.

It stands on an address of its own with the very ports of whoever is behind it, who tells peers that address for its
own (`sip.advertise`). What comes back from there goes to whoever sent first.
"""

import contextlib
import heapq
import random
import selectors
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import monotonic
from typing import Self

Rewrite = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Weather:
    """What happens to packets: parts of all, 0 to 1, and seconds."""

    loss: float = 0.0
    jitter: float = 0.0
    """Each is late by anything up to so much."""
    doubled: float = 0.0
    reorders: bool = True
    """One that is less late overtakes those before it; otherwise all keep their order, as in a router's queue."""


CLEAR = Weather()


class Wire:
    """Passes UDP between everybody and `target` on `ports`. A context manager; leaving it ends its thread.

    Attributes:
        passed: Packets that have gone on.
        lost: Packets that have not.
    """

    def __init__(
        self,
        host: str,
        target: str,
        ports: Iterable[int],
        *,
        weather: Weather = CLEAR,
        clear: Iterable[int] = (),
        seed: int = 1,
        rewrite: Rewrite | None = None,
    ) -> None:
        """Listens at `host` on `ports`, where `weather` is, and on `clear`, where nothing happens to what passes.
        `rewrite` changes what goes to `target`."""
        self.passed = self.lost = 0
        self._host, self._target, self._rewrite, self._random = host, target, rewrite, random.Random(seed)
        self._selector = selectors.DefaultSelector()
        self._sockets: list[socket.socket] = []
        self._ways: dict[tuple[socket.socket, tuple[str, int]], socket.socket] = {}
        self._due: list[tuple[float, int, socket.socket, bytes, tuple[str, int]]] = []
        self._latest: dict[socket.socket, float] = {}
        self._count = 0
        self._over = threading.Event()
        for skies, numbers in ((weather, ports), (CLEAR, clear)):
            for port in numbers:
                self._listen(self._open(port), port, skies)
        self._thread = threading.Thread(target=self._run, name=f"wire at {host}", daemon=True)
        self._thread.start()

    def _open(self, port: int) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((self._host, port))
        sock.setblocking(False)
        self._sockets.append(sock)
        return sock

    def _listen(self, sock: socket.socket, port: int, weather: Weather) -> None:
        def there() -> None:
            data, source = sock.recvfrom(65535)
            way = self._ways.get((sock, source))
            if way is None:
                way = self._ways[sock, source] = self._open(0)
                self._selector.register(way, selectors.EVENT_READ, back(way, source))
            data = self._rewrite(data) if self._rewrite is not None else data
            self._send(way, data, (self._target, port), weather)

        def back(way: socket.socket, source: tuple[str, int]) -> Callable[[], None]:
            return lambda: self._send(sock, way.recvfrom(65535)[0], source, weather)

        self._selector.register(sock, selectors.EVENT_READ, there)

    def _send(self, sock: socket.socket, data: bytes, to: tuple[str, int], weather: Weather) -> None:
        copies = 1 + (self._random.random() < weather.doubled)
        for _ in range(copies):
            lost, late = self._random.random() < weather.loss, self._random.uniform(0, weather.jitter)
            if lost:
                self.lost += 1
                continue
            when = monotonic() + late
            if not weather.reorders:
                when = self._latest[sock] = max(when, self._latest.get(sock, 0.0))
            self._count += 1
            heapq.heappush(self._due, (when, self._count, sock, data, to))

    def _run(self) -> None:
        while not self._over.is_set():
            wait = min(self._due[0][0] - monotonic(), 0.1) if self._due else 0.1
            for key, _ in self._selector.select(max(wait, 0.0)):
                with contextlib.suppress(OSError):  # nobody was there for the packet before
                    key.data()
            while self._due and self._due[0][0] <= monotonic():
                _, _, sock, data, to = heapq.heappop(self._due)
                with contextlib.suppress(OSError):
                    sock.sendto(data, to)
                self.passed += 1

    def close(self) -> None:
        """Nothing passes any more."""
        self._over.set()
        self._thread.join(2)
        self._selector.close()
        for sock in self._sockets:
            sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
