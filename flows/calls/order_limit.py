"""Limits on ordered calls: each order begins a tree of its own, and webhooks may order without end."""

from collections.abc import Callable
from typing import Final
from uuid import UUID

from engine.rate_limit import RateLimit
from routing.identifiers import NIL, PLATFORM

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
