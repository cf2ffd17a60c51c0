"""Trees of flow runs: what one call, message or order sets off, of bounded depth, number and breadth.

Flows call numbers whose flows call numbers, and send messages whose flows send messages: what one of them began would
never end, or double with each step (RFC 3261 §16.3, RFC 5393). Everything that comes of one beginning knows its tree,
which is gone when its last part is.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple
from uuid import UUID

from engine.log import Log
from engine.rate_limit import RateLimit
from routing.identifiers import NIL, PLATFORM

MOST_DEEP: Final = 20
"""Flow runs that led to one another, the first one included."""
MOST_RUNS: Final = 100
"""Flow runs within WITHIN seconds: the one that a call or message is for, and what comes of it. Those of an order with
several destinations count as one."""
WITHIN: Final = 600.0
MOST_LEGS: Final = 100
"""Legs to phones, agents and trunks at once."""

LOOP_DETECTED = (482, "Loop Detected")


class Tree:
    """What came of one beginning. `guest`: it was a guest's call or message."""

    __slots__ = ("_runs", "_told", "guest", "legs")

    def __init__(self, *, guest: bool = False) -> None:
        self.guest = guest
        self.legs = 0
        self._runs: deque[float] | None = None
        self._told = False

    def full(self, now: float) -> str:
        """Why no flow may run in it now; "" where one may."""
        runs = self._runs
        if runs is None:
            return ""
        while runs and now - runs[0] >= WITHIN:
            runs.popleft()
        return f"{MOST_RUNS} flows have run within {WITHIN / 60:.0f} minutes" if len(runs) >= MOST_RUNS - 1 else ""

    def count(self, now: float) -> None:
        """A flow runs."""
        if self._runs is None:
            self._runs = deque()
        self._runs.append(now)

    def tell(self, log: Log, why: str, origin: str) -> None:
        """A line in the log, one for each tree."""
        if not self._told:
            self._told = True
            log.warning("loop of flows ended", call_id=origin, error=why)


class Branch(NamedTuple):
    """A place in a tree: of a flow run, or of what it orders. `depth`: the runs above it."""

    tree: Tree
    depth: int = 0

    def obstacle(self, now: float) -> str:
        """Why nothing of this place may run a flow; "" where it may."""
        if self.depth + 1 >= MOST_DEEP:
            return f"{MOST_DEEP} flows have led to one another"
        return self.tree.full(now)

    def grow(self, log: Log, now: float, origin: str) -> "Branch | None":
        """The place of a flow run that comes of this one. None: there may be none, and the log says so; `origin` is the
        id of the call or message that asks."""
        if why := self.obstacle(now):
            self.tree.tell(log, why, origin)
            return None
        self.tree.count(now)
        return Branch(self.tree, self.depth + 1)

    def run(self, log: Log, now: float, origin: str) -> bool:
        """Whether a flow may run here; what an order itself was for always may."""
        if not self.depth:
            return True
        if why := self.tree.full(now):
            self.tree.tell(log, why, origin)
            return False
        self.tree.count(now)
        return True


class LocalOrigin(NamedTuple):
    """A call of our own to a number of ours, as the other end gets it (`engine.dial.DialSpec.origin`)."""

    branch: Branch


# ---- orders: each begins a tree of its own, and webhooks may order without end

MOST_AT_ONCE: Final = 200
"""Calls of a customer's orders that may be up, or dialled, at once."""
RATE: Final = 10.0
BURST: Final = 400
"""Calls a second, and in a row, that a customer may order."""


class OrderLimit:
    """Counts customers' calls. The platform's are not limited."""

    __slots__ = ("_rate", "_running")

    def __init__(self) -> None:
        self._rate = RateLimit(RATE, BURST)
        self._running: dict[int, int] = {}

    def refuses(self, customer_id: UUID, count: int, now: float) -> str:
        """Why a customer may not order `count` further calls now, as a sentence; "" where they are counted."""
        if _unlimited(customer_id):
            return ""
        running = self._running.get(customer_id.int, 0)
        if running + count > MOST_AT_ONCE:
            return f"{running} calls of this customer are up or dialled, of {MOST_AT_ONCE} that it may have at once"
        if self._rate.allows_all(str(customer_id.int), count, now):
            return ""
        return f"a customer may order {RATE:g} calls a second, and {BURST} in a row"

    def began(self, customer_id: UUID) -> Callable[[], None]:
        """A call of a customer's is dialled; to be called when it is over."""
        key = customer_id.int
        self._running[key] = self._running.get(key, 0) + 1

        def over() -> None:
            left = self._running[key] - 1
            if left:
                self._running[key] = left
            else:
                del self._running[key]

        return over


def _unlimited(customer_id: UUID) -> bool:
    return customer_id in (NIL, PLATFORM)
