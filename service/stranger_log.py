"""What strangers bring about, logged so often and no oftener: a flood of it must not fill the disk, and who is loud
must not hide who is not."""

from collections.abc import Callable
from typing import Any

from engine.rate_limit import RateLimit
from engine.sip.peers import counted_source

LINES = 5.0
"""Lines a second, for each kind of them."""
BURST = 25
LINES_OF_ONE = 0.2
"""Of them, lines a second about one source (an address; of IPv6 a /64)."""
BURST_OF_ONE = 3
MOST_COUNTED = 4096
"""Sources and kinds whose unlogged lines are counted; the ones that came first are forgotten."""


class StrangerLog:
    """Lines about what anybody can cause. `clock`: monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lines = RateLimit(LINES, BURST)
        self._lines_of_one = RateLimit(LINES_OF_ONE, BURST_OF_ONE)
        self._unlogged: dict[str, int] = {}

    def tell(self, tell: Callable[..., Any], kind: str, event: str, **values: Any) -> None:
        """Log what a stranger (`source` or `address` among the values) did, unless much of this `kind` has just been
        logged of it, or in all; `unlogged` tells how much of the same stranger's."""
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
        tell(event, **values, **({"unlogged": unlogged} if unlogged else {}))
