"""Handshakes that are under way at one listener: how many, how long, and how much time strangers' get of ours.

A handshake costs us a signature, some hundred times what a message costs, and whoever asks for one costs it next to
nothing. Known peers' are worked on at once; strangers' in turns of a few milliseconds, between which everything else
goes on.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from engine.transport.listen_spec import ListenerLimits


class Handshaking(Protocol):
    """A connection whose handshake is under way."""

    def step(self) -> None:
        """Go on with what the peer has sent."""

    def hold(self) -> None:
        """Take no more of it until the next step."""

    def abort(self, error: str = "") -> None:
        """Close it at once."""


class Handshakes:
    """The handshakes of a listener's accepted connections, the oldest first. `late` is told of each that is given up
    because it took too long."""

    __slots__ = ("_known", "_late", "_limits", "_loop", "_strangers", "_timer", "_turn", "_turns")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, limits: ListenerLimits, late: Callable[[Handshaking], None]
    ) -> None:
        self._loop = loop
        self._limits = limits
        self._late = late
        self._known: dict[Handshaking, float] = {}
        self._strangers: dict[Handshaking, float] = {}
        self._turns: deque[Handshaking] = deque()
        self._turn: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._known) + len(self._strangers)

    def enter(self, connection: Handshaking, known: bool) -> Handshaking | None:
        """One more; and the one that gives way to it, the oldest of a stranger (RFC 4987 §3.4), where there are too
        many."""
        (self._known if known else self._strangers)[connection] = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(self._limits.handshake_timeout, self._expire)
        if len(self) <= self._limits.handshakes or not self._strangers:
            return None
        oldest = next(iter(self._strangers))
        del self._strangers[oldest]
        return oldest

    def leave(self, connection: Handshaking) -> None:
        """It is done, or over."""
        if self._known.pop(connection, None) is None:
            self._strangers.pop(connection, None)

    def came(self, connection: Handshaking) -> None:
        """Something of a handshake has come: it goes on now, or when it is its turn."""
        if connection not in self._strangers:
            connection.step()
            return
        connection.hold()
        self._turns.append(connection)
        if self._turn is None:
            self._turn = self._loop.call_soon(self._serve)

    def close(self) -> None:
        """No timer is left."""
        for handle in (self._turn, self._timer):
            if handle is not None:
                handle.cancel()
        self._turn = self._timer = None
        self._turns.clear()

    def _serve(self) -> None:
        self._turn = None
        end = time.monotonic() + self._limits.handshakes_turn  # uvloop's own time stands still within a turn
        while self._turns:
            connection = self._turns.popleft()
            if connection in self._strangers:
                connection.step()
            if time.monotonic() >= end:
                break
        if self._turns:
            self._turn = self._loop.call_soon(self._serve)

    def _expire(self) -> None:
        self._timer = None
        before = self._loop.time() - self._limits.handshake_timeout
        for table in (self._known, self._strangers):
            while table:
                connection, since = next(iter(table.items()))
                if since > before:
                    break
                del table[connection]
                self._late(connection)
        left = [since for table in (self._known, self._strangers) for since in list(table.values())[:1]]
        if left:
            self._timer = self._loop.call_at(min(left) + self._limits.handshake_timeout, self._expire)
