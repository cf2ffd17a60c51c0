"""The call registry: the calls that run, the last ones that are over, and their observers."""

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from engine.log import Log
from flows.calls.ports import Running
from flows.calls.record import CallRecord


class CallObserver(Protocol):
    """Who is told of calls. Synchronous and on the way of every call: what takes time is only noted down.

    An exception is logged, and no call hears of it.
    """

    def begun(self, record: CallRecord) -> None:
        """The call is there; nothing has been sent for it yet, or its INVITE has just come."""

    def changed(self, record: CallRecord) -> None:
        """Its status is another; at the answer, when it was answered as well."""

    def ended(self, record: CallRecord) -> None:
        """It is over and so is all that ran on it: the record is complete. Once for each call."""


class CallRegistry:
    """The records of calls: all that run (as many as the engine lets run), and the last `limit` that are over.

    Attributes:
        observers: Told of every call, in this order. To be filled before there are calls.
        log: Where their exceptions are logged.
    """

    __slots__ = ("_limit", "_over", "_records", "_running", "log", "observers")

    def __init__(self, limit: int = 2_000, log: Log | None = None) -> None:
        self._limit = limit
        self.log = log
        self.observers: list[CallObserver] = []
        self._records: dict[str, CallRecord] = {}  # in the order in which the calls began
        self._running: dict[str, Running] = {}
        self._over: deque[str] = deque()  # in the order in which they ended

    def __len__(self) -> int:
        return len(self._records)

    # ---- for those who make or take a call

    def begin(self, record: CallRecord, running: Running) -> None:
        """Keeps the record of a call that begins; `running` can end it."""
        self._records[record.id] = record
        self._running[record.id] = running
        if self.observers:
            self._tell("begun", record)

    def changed(self, record: CallRecord) -> None:
        """Its status has changed."""
        if self.observers:
            self._tell("changed", record)

    def over(self, record: CallRecord) -> None:
        """It runs no more: it cannot be hung up, and makes room for others in its time."""
        if self._running.pop(record.id, None) is not None:
            self._grows_old(record.id)

    def ended(self, record: CallRecord) -> None:
        """Its record is complete. To be told once, after `over`."""
        if self.observers:
            self._tell("ended", record)

    def add(self, record: CallRecord) -> None:
        """Keeps the record of a call that is over, and tells nobody."""
        self._records[record.id] = record
        self._grows_old(record.id)

    def _grows_old(self, call_id: str) -> None:
        self._over.append(call_id)
        if len(self._over) > self._limit:
            self._records.pop(self._over.popleft(), None)

    def _tell(self, what: str, record: CallRecord) -> None:
        for observer in self.observers:
            notify: Callable[[CallRecord], Any] = getattr(observer, what)
            try:
                notify(record)
            except Exception as error:
                if self.log is not None:
                    self.log.error(
                        "call observer failed",
                        call_id=record.id,
                        observer=type(observer).__name__,
                        event_=what,
                        error=f"{type(error).__name__}: {error}"[:500],
                    )

    # ---- look-ups

    def get(self, call_id: str) -> CallRecord | None:
        """The record of a call, None where it is not known or was long ago."""
        return self._records.get(call_id)

    def running(self, call_id: str) -> Running | None:
        """What can end a call, None where it is over or not known."""
        return self._running.get(call_id)

    def running_records(self) -> list[CallRecord]:
        """The records of the calls that run, oldest first."""
        return [self._records[call_id] for call_id in self._running]

    def newest(self, limit: int = 100) -> list[CallRecord]:
        """The last `limit` records, newest first."""
        return [self._records[key] for key, _ in zip(reversed(self._records), range(limit), strict=False)]
