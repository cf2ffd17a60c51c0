"""The engine's log: the interface that it writes to, and logs whose rate is bounded.

A flood of what strangers bring about must not become a flood of lines that fills the disk, and who is loud must not
hide who is not.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from engine.rate_limit import RateLimit
from engine.sip.peers import counted_source

LINES = 5.0
"""Lines a second of a `RateLimitedLog`, for each kind of them."""
BURST = 25
LINES_OF_ONE = 0.2
"""Of them, lines a second about one source (an address; of IPv6 a /64)."""
BURST_OF_ONE = 3
LONGEST = 256
"""Characters of a value in a line: a peer's text has as many as a message may be long."""
MOST_COUNTED = 4096
"""Sources and kinds whose unlogged lines are counted; the ones that came first are forgotten."""

REFUSALS_EVERY = 1.0
"""Seconds between two lines of a `RefusalLog` about the same cause and source."""
REFUSAL_LINES = 5
"""In each such time, of all sources together."""
MOST_ROWS = 256
"""Causes and sources with a line of their own."""
OTHERS = "others"
"""In place of a source, where there are more."""


class Log(Protocol):
    """A structlog logger, or anything that takes an event and named values."""

    def debug(self, event: str, **values: Any) -> Any: ...
    def info(self, event: str, **values: Any) -> Any: ...
    def warning(self, event: str, **values: Any) -> Any: ...
    def error(self, event: str, **values: Any) -> Any: ...


class NoLog:
    """Where nobody wants a log."""

    def debug(self, event: str, **values: Any) -> None:
        """See `Log`."""

    def info(self, event: str, **values: Any) -> None:
        """See `Log`."""

    def warning(self, event: str, **values: Any) -> None:
        """See `Log`."""

    def error(self, event: str, **values: Any) -> None:
        """See `Log`."""


class RateLimitedLog:
    """Lines about what strangers can cause, each kind and each source at a bounded rate. `clock`: monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lines = RateLimit(LINES, BURST)
        self._lines_of_one = RateLimit(LINES_OF_ONE, BURST_OF_ONE)
        self._unlogged: dict[str, int] = {}

    @property
    def remembered(self) -> int:
        """Of how many kinds something has not been logged."""
        return len(self._unlogged)

    def write(self, log: Callable[..., Any], kind: str, event: str, **values: Any) -> None:
        """Have `log`, a method of a logger, write what a stranger (`source` or `address` among the values) did, unless
        much of this `kind` has just been logged of it, or in all; `unlogged` is how much of the same stranger's."""
        now, whole = self._clock(), f"{event} {kind}"
        source = values.get("source") or values.get("address", "")
        one = f"{whole} {counted_source(str(source))}"
        if not self._lines_of_one.has(one, now) or not self._lines.allows(whole, now):
            count = self._unlogged.pop(one, 0) + 1
            if len(self._unlogged) >= MOST_COUNTED:
                del self._unlogged[next(iter(self._unlogged))]
            self._unlogged[one] = count
            return
        self._lines_of_one.allows(one, now)
        unlogged = self._unlogged.pop(one, 0)
        shown = {name: _cut(value) for name, value in values.items()}
        log(event, **shown, **({"unlogged": unlogged} if unlogged else {}))


def _cut(value: Any) -> Any:
    return f"{value[:LONGEST]}..." if isinstance(value, str) and len(value) > LONGEST else value


@dataclass(slots=True)
class _Row:
    """What is owed to the log of one cause and source."""

    event: str
    status: int
    count: int = 0


class RefusalLog:
    """Logs the first refusal of a cause and source at once, and from then on how many there were each second, until
    there are none. Sources take turns where there are too many for a line each.

    Attributes:
        counts: How many there were since the start, by cause.
    """

    __slots__ = ("_handle", "_left", "_log", "_loop", "_more", "_rows", "counts")

    def __init__(self, log: Log, loop: asyncio.AbstractEventLoop) -> None:
        self._log = log
        self._loop = loop
        self._rows: dict[tuple[str, str], _Row] = {}
        self._more: dict[tuple[str, str, int], int] = {}  # of sources beyond MOST_ROWS: by cause, event and status
        self._left = REFUSAL_LINES
        self._handle: asyncio.TimerHandle | None = None
        self.counts: Counter[str] = Counter()

    def count(self, cause: str) -> None:
        """Something was refused, and has been logged elsewhere."""
        self.counts[cause] += 1

    def add(self, cause: str, source: str, status: int = 503, event: str = "calls refused") -> None:
        """Something was refused. There are few causes; each has its own event and status."""
        self.counts[cause] += 1
        row = self._rows.get((cause, source))
        if row is not None:
            row.count += 1
            return
        if len(self._rows) < MOST_ROWS:
            row = self._rows[cause, source] = _Row(event, status, 1)
            if self._left:
                self._tell(cause, source, row)
        else:
            self._more[cause, event, status] = self._more.get((cause, event, status), 0) + 1
        if self._handle is None:
            self._handle = self._loop.call_later(REFUSALS_EVERY, self._tell_counted)

    @property
    def remembered(self) -> int:
        """How many sources have a row of their own."""
        return len(self._rows)

    def close(self) -> None:
        """Log what has been counted, as far as there is room; no timer is left."""
        if self._handle is not None:
            self._handle.cancel()
            self._tell_counted()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _tell_counted(self) -> None:
        self._left = REFUSAL_LINES
        for (cause, event, status), count in self._more.items():
            self._log.warning(event, status=status, cause=cause, count=count, source=OTHERS)
        self._more.clear()
        for key, row in list(self._rows.items()):
            if not row.count:
                del self._rows[key]  # a second without any
            elif self._left:
                self._rows[key] = self._rows.pop(key)  # who has had a line goes behind the others
                self._tell(*key, row)
        self._handle = self._loop.call_later(REFUSALS_EVERY, self._tell_counted) if self._rows else None

    def _tell(self, cause: str, source: str, row: _Row) -> None:
        self._left -= 1
        self._log.warning(row.event, status=row.status, cause=cause, count=row.count, source=source)
        row.count = 0
