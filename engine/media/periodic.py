"""Periodic timer of all streams: reports that are due, peers that have fallen silent."""

from collections.abc import Callable
from typing import Final, Protocol

from engine.media.pacer import Timer

INTERVAL: Final = 0.5
"""Seconds between two rounds: RTCP's intervals are random by seconds, and silence is counted in minutes."""


class Watched(Protocol):
    """What is looked after."""

    def check(self, now: float) -> None:
        """Do what is due at `now`. May leave."""
        ...


class PeriodicTimer:
    """The rounds. It sleeps while there is nobody to look after."""

    __slots__ = ("_call_at", "_clock", "_timer", "_watched")

    def __init__(self, clock: Callable[[], float], call_at: Callable[[float, Callable[[], None]], Timer]) -> None:
        self._clock = clock
        self._call_at = call_at
        self._watched: dict[Watched, None] = {}
        self._timer: Timer | None = None

    def __len__(self) -> int:
        return len(self._watched)

    def __contains__(self, watched: Watched) -> bool:
        return watched in self._watched

    def add(self, watched: Watched) -> None:
        """From now on it is looked after."""
        self._watched[watched] = None
        if self._timer is None:
            self._timer = self._call_at(self._clock() + INTERVAL, self._round)

    def remove(self, watched: Watched) -> None:
        """No more. Nothing where it was not."""
        self._watched.pop(watched, None)
        if not self._watched:
            self.stop()

    def stop(self) -> None:
        """Ends the rounds."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _round(self) -> None:
        now = self._clock()
        self._timer = self._call_at(now + INTERVAL, self._round)
        for watched in tuple(self._watched):
            if watched in self._watched:
                watched.check(now)
