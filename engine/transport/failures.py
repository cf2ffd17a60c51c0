"""Reports of failed messages, made from the event loop and never from within a send."""

import asyncio
from collections import deque

from engine.transport.hop import Hop, Sink


class Failures:
    """Collects what failed while something was being sent and tells the sink at the loop's next turn.

    A sink that heard of a failure inside its own `send` would have to be ready for that in the middle of every change
    of state. One handle serves however many failures came together.
    """

    __slots__ = ("_loop", "_sink", "_timer", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop, sink: Sink) -> None:
        self._loop = loop
        self._sink = sink
        self._waiting: deque[tuple[Hop, bytes | None, str]] = deque()
        self._timer: asyncio.Handle | None = None

    def add(self, hop: Hop, data: bytes | None, error: str) -> None:
        """`error` is in words, as in "connection refused"; `data` the message where it is known."""
        self._waiting.append((hop, data, error))
        if self._timer is None:
            self._timer = self._loop.call_soon(self._report)

    def _report(self) -> None:
        self._timer = None
        # What fails while these are reported is for the next turn: a sink that sends again to a dead peer from
        # `failed` must not keep the loop here for ever.
        for _ in range(len(self._waiting)):
            self._sink.failed(*self._waiting.popleft())

    def close(self) -> None:
        """Drops what has not been told; the listener is closing and nobody waits for it."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
