"""What was refused, counted, and in the log at a bounded rate: a flood of it must not become a flood of lines, and who
is loud must not hide who is not."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Any, Protocol

EVERY = 1.0  # s between two lines of the same cause and source
LINES = 5  # in each such time, of all sources together
MOST_ROWS = 256  # causes and sources that are told apart
OTHERS = "others"  # in place of a source, where there are more


class Warns(Protocol):
    """A logger, as far as it is needed here."""

    def warning(self, event: str, **values: Any) -> Any: ...


@dataclass(slots=True)
class _Row:
    """What is owed to the log of one cause and source."""

    event: str
    status: int
    count: int = 0


class Refusals:
    """Logs the first refusal of a cause and source at once, and from then on how many there were each second, until
    there are none. Sources take turns where there are too many for a line each.

    Attributes:
        counts: How many there were since the start, by cause.
    """

    __slots__ = ("_handle", "_left", "_log", "_loop", "_more", "_rows", "counts")

    def __init__(self, log: Warns, loop: asyncio.AbstractEventLoop) -> None:
        self._log = log
        self._loop = loop
        self._rows: dict[tuple[str, str], _Row] = {}
        self._more: dict[tuple[str, str, int], int] = {}  # of sources beyond MOST_ROWS: by cause, event and status
        self._left = LINES
        self._handle: asyncio.TimerHandle | None = None
        self.counts: Counter[str] = Counter()

    def count(self, cause: str) -> None:
        """Something was refused, which whoever refused it has logged."""
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
            self._handle = self._loop.call_later(EVERY, self._tell_counted)

    def close(self) -> None:
        """Log what has been counted, as far as there is room; no timer is left."""
        if self._handle is not None:
            self._handle.cancel()
            self._tell_counted()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _tell_counted(self) -> None:
        self._left = LINES
        for (cause, event, status), count in self._more.items():
            self._log.warning(event, status=status, cause=cause, count=count, source=OTHERS)
        self._more.clear()
        for key, row in list(self._rows.items()):
            if not row.count:
                del self._rows[key]  # a second without any
            elif self._left:
                self._rows[key] = self._rows.pop(key)  # whoever has had a line goes behind the others
                self._tell(*key, row)
        self._handle = self._loop.call_later(EVERY, self._tell_counted) if self._rows else None

    def _tell(self, cause: str, source: str, row: _Row) -> None:
        self._left -= 1
        self._log.warning(row.event, status=row.status, cause=cause, count=row.count, source=source)
        row.count = 0
