"""Timers that all calls' media shares: the rounds of the open streams, and lines of those who wait equally long."""

from collections.abc import Callable
from itertools import takewhile
from typing import Final, Protocol

from engine.media.pacer import Timer

INTERVAL: Final = 0.5
"""Seconds between two rounds: RTCP's intervals are random by seconds, and silence is counted in minutes."""

_EARLY: Final = 0.001
"""Seconds that somebody may be due too soon: loops round their timers."""


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


class Waiting(Protocol):
    """Who stands in a line."""

    def due(self, now: float) -> None:
        """The wait is over. May join a line again."""
        ...


class WaitingLine:
    """Those who wait for the same time each: the first to come is the first to be due, so that one timer is enough, and
    coming and going cost next to nothing."""

    __slots__ = ("_call_at", "_clock", "_due", "_fault", "_timer", "delay")

    def __init__(
        self,
        delay: float,
        clock: Callable[[], float],
        call_at: Callable[[float, Callable[[], None]], Timer],
        fault: Callable[[Exception], None],
    ) -> None:
        """`delay` in seconds; 0: nobody is ever due, and nobody is kept. `fault` is told of what `due` has raised."""
        self.delay = delay
        self._clock = clock
        self._call_at = call_at
        self._fault = fault
        self._due: dict[Waiting, float] = {}
        self._timer: Timer | None = None

    def __len__(self) -> int:
        return len(self._due)

    def __contains__(self, waiting: Waiting) -> bool:
        return waiting in self._due

    def add(self, waiting: Waiting) -> None:
        """It is due in `delay` seconds. Nothing where it waits already."""
        if self.delay and waiting not in self._due:
            due = self._due[waiting] = self._clock() + self.delay
            if self._timer is None:
                self._timer = self._call_at(due, self._wake)

    def remove(self, waiting: Waiting) -> None:
        """It waits no more. Nothing where it did not."""
        self._due.pop(waiting, None)

    def stop(self) -> None:
        """Nobody is due any more."""
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self) -> None:
        now = self._clock()
        over = [waiting for waiting, due in takewhile(lambda item: item[1] <= now + _EARLY, self._due.items())]
        for waiting in over:
            if self._due.pop(waiting, None) is not None:
                try:
                    waiting.due(now)
                except Exception as error:  # one call's fault is not to cost the others their turn
                    self._fault(error)
        self._timer = self._call_at(next(iter(self._due.values())), self._wake) if self._due else None
