"""Estimated waiting time of a queue, from how long its last talks took."""

from typing import Final
from uuid import UUID

MOST_QUEUES: Final = 10_000
"""Queues of which something is remembered; the one that was heard of first is forgotten."""
_WEIGHT: Final = 0.25
"""How much the last talk counts among all before it."""


class WaitEstimator:
    """The time that agents need for a caller, by queue: a moving average."""

    __slots__ = ("_needed",)

    def __init__(self) -> None:
        self._needed: dict[UUID, float] = {}

    def __len__(self) -> int:
        return len(self._needed)

    def served(self, queue_id: UUID, seconds: float) -> None:
        """An agent has served a caller, and was busy for so long, with the time after the talk."""
        before = self._needed.pop(queue_id, seconds)
        self._needed[queue_id] = before + _WEIGHT * (seconds - before)
        while len(self._needed) > MOST_QUEUES:
            del self._needed[next(iter(self._needed))]

    def estimate(self, queue_id: UUID, place: int, agents: int) -> float | None:
        """Seconds until who stands at `place` (from 1) is served by so many agents; None where nobody knows: nobody has
        been served yet, or there is no agent."""
        needed = self._needed.get(queue_id)
        return None if needed is None or not agents else place * needed / agents
