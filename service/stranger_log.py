"""What strangers bring about, logged so often and no oftener: a flood of it must not fill the disk."""

from collections.abc import Callable
from typing import Any

from engine.rate_limit import RateLimit

LINES = 2.0
"""Lines a second, for each kind of them."""
BURST = 10


class StrangerLog:
    """Lines about what anybody can cause. `clock`: monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lines = RateLimit(LINES, BURST)
        self._unlogged: dict[str, int] = {}

    def tell(self, tell: Callable[..., Any], kind: str, event: str, **values: Any) -> None:
        """Log what a stranger did, unless much of this `kind` has been logged just now; `unlogged` tells how much."""
        if not self._lines.allows(event + kind, self._clock()):
            self._unlogged[event + kind] = self._unlogged.get(event + kind, 0) + 1
            return
        unlogged = self._unlogged.pop(event + kind, 0)
        tell(event, **values, **({"unlogged": unlogged} if unlogged else {}))
