"""Calls that are refused because a bound is reached, in the log: a flood of them must not become a flood of lines."""

import asyncio
from typing import Any, Protocol

EVERY = 1.0  # s between two lines


class Warns(Protocol):
    """A logger, as far as it is needed here."""

    def warning(self, event: str, **values: Any) -> Any: ...


class Refusals:
    """Logs the first refusal at once, and from then on how many there were each second, until there are none.

    A bound's cause ("max_calls", "invite_rate") has its own line; `source` in it is that of the last one.
    """

    __slots__ = ("_counts", "_handle", "_log", "_loop")

    def __init__(self, log: Warns, loop: asyncio.AbstractEventLoop) -> None:
        self._log = log
        self._loop = loop
        self._counts: dict[str, tuple[int, str]] = {}  # cause -> refused since its last line, source of the last one
        self._handle: asyncio.TimerHandle | None = None

    def add(self, cause: str, source: str) -> None:
        """One call was refused."""
        known = self._counts.get(cause)
        if known is None:
            self._counts[cause] = (0, source)
            self._tell(cause, 1, source)
            if self._handle is None:
                self._handle = self._loop.call_later(EVERY, self._tell_counted)
        else:
            self._counts[cause] = (known[0] + 1, source)

    def close(self) -> None:
        """Log what has been counted; no timer is left."""
        if self._handle is not None:
            self._handle.cancel()
            self._tell_counted()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _tell_counted(self) -> None:
        counted = {cause: found for cause, found in self._counts.items() if found[0]}
        for cause, (count, source) in counted.items():
            self._tell(cause, count, source)
        self._counts = {cause: (0, source) for cause, (_, source) in counted.items()}
        self._handle = self._loop.call_later(EVERY, self._tell_counted) if counted else None

    def _tell(self, cause: str, count: int, source: str) -> None:
        self._log.warning("calls refused", status=503, cause=cause, count=count, source=source)
