"""How late the event loop is: what everything else that waits for it waits too."""

import asyncio
from collections.abc import Callable
from typing import Final

EVERY: Final = 0.25
"""Seconds between two looks."""


class LoopLag:
    """One timer that asks to be called at a time and is told how much later it was."""

    def __init__(self, observe: Callable[[float], None]) -> None:
        """`observe` is told the lag in seconds."""
        self._observe = observe
        self._handle: asyncio.TimerHandle | None = None
        self._due = 0.0

    def start(self) -> None:
        """Begin to look."""
        self._loop = asyncio.get_running_loop()
        self._arm()

    def close(self) -> None:
        """End."""
        if self._handle is not None:
            self._handle.cancel()

    def _arm(self) -> None:
        self._due = self._loop.time() + EVERY
        self._handle = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        self._observe(max(0.0, self._loop.time() - self._due))
        self._arm()
