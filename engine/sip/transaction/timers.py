"""Timer values (RFC 3261 §17, table 4) and one deadline heap for everything that waits."""

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Protocol

NEVER = float("inf")
COMPACT_FROM = 1_000  # cleared entries before the heap is looked through


@dataclass(slots=True)
class TimerValues:
    """T1, T2 and T4 in seconds (RFC 3261 §17.1.1.1); the lettered timers follow from them."""

    t1: float = 0.5
    t2: float = 4.0
    t4: float = 5.0
    d: float = 32.0  # wait time for response retransmissions over an unreliable transport

    @property
    def timeout(self) -> float:
        """64*T1: Timers B, F, H, J, and the Timers L and M of RFC 6026."""
        return 64 * self.t1


class Waiter(Protocol):
    """What can wait in the heap. Initialise both fields to NEVER and let only Deadlines change them."""

    deadline: float  # when on_deadline is due
    queued: float  # the earliest heap entry that stands for it

    def on_deadline(self, now: float) -> None: ...


class Deadlines:
    """A heap of deadlines with lazy deletion: moving or clearing one costs no search.

    A waiter has one deadline. Postponed or cleared, its old entry stays until it is due and is then re-queued or
    dropped, so the usual life of a transaction (set, postpone, clear) pushes once.
    """

    __slots__ = ("_cleared", "_order", "_wake", "heap")

    def __init__(self, wake: Callable[[float], None] | None = None) -> None:
        """`wake` is called when something is due earlier than everything before."""
        self._wake = wake
        self.heap: list[tuple[float, int, Waiter]] = []
        self._order = count()
        self._cleared = 0

    def __len__(self) -> int:
        """The waiters with a deadline ahead; walks the heap, for tests and metrics."""
        return len({id(waiter) for _, _, waiter in self.heap if waiter.deadline < NEVER})

    def set(self, waiter: Waiter, when: float) -> None:
        """Let `waiter.on_deadline` run at `when` (seconds on the caller's clock) instead of any earlier setting."""
        waiter.deadline = when
        if when < waiter.queued:
            waiter.queued = when
            heappush(self.heap, (when, next(self._order), waiter))
            if self._wake is not None and self.heap[0][2] is waiter:
                self._wake(when)

    def clear(self, waiter: Waiter) -> None:
        """The waiter waits for nothing any more."""
        if waiter.queued == NEVER:
            return
        waiter.deadline = NEVER
        self._cleared += 1
        # Hours-long deadlines of calls that are over must not keep those calls in memory until they are due.
        if self._cleared > COMPACT_FROM and self._cleared * 2 > len(self.heap):
            self._compact()

    def _compact(self) -> None:
        kept = []
        for entry in self.heap:
            when, _, waiter = entry
            if when == waiter.queued and waiter.deadline < NEVER:
                kept.append(entry)
            elif when == waiter.queued:
                waiter.queued = NEVER
        heapify(kept)
        self.heap = kept
        self._cleared = 0

    def stop(self) -> None:
        """Nothing is due any more."""
        self.heap.clear()
        self._wake = None

    def next(self) -> float:
        """When `run` has something to do at the latest; NEVER when there is nothing."""
        return self.heap[0][0] if self.heap else NEVER

    def run(self, now: float, most: int = 10_000) -> None:
        """Call what is due at `now`; at most `most` entries, so that a storm leaves the network its turn."""
        while most and self.heap and self.heap[0][0] <= now:
            most -= 1
            when, _, waiter = heappop(self.heap)
            if when != waiter.queued:
                continue  # an earlier entry stood for it
            waiter.queued = NEVER
            if waiter.deadline <= now:
                waiter.deadline = NEVER
                waiter.on_deadline(now)
            elif waiter.deadline < NEVER:
                self.set(waiter, waiter.deadline)
