"""Event loop lag: how late everything is that waits for the loop."""

import asyncio
from collections.abc import Callable
from typing import Final

from engine.worker import Worker

EVERY: Final = 0.25
"""Seconds between two looks."""


class LoopLag:
    """A worker that asks for a turn at a time and is told how much later it was."""

    def __init__(self, observe: Callable[[float], None]) -> None:
        """`observe` is told the lag in seconds."""
        self._observe = observe
        self._worker = Worker("loop lag", self._look, first=EVERY, every=EVERY)
        self._due = 0.0

    def start(self) -> None:
        """Begin to look."""
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time() + EVERY
        self._worker.start()

    async def close(self) -> None:
        """End."""
        await self._worker.close()

    async def _look(self) -> None:
        now = self._loop.time()
        self._observe(max(0.0, now - self._due))
        self._due = now + EVERY
