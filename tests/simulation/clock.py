"""Clocks that jump: to what is due next, without anybody waiting."""

import asyncio
import heapq
import selectors
from collections.abc import Callable
from itertools import count
from typing import Any


class SteppedClock:
    """A clock for protocol cores, which have no tasks: what is due is called in its order, and nothing else happens."""

    def __init__(self) -> None:
        self._now = 0.0
        self._due: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._order = count()

    def time(self) -> float:
        """Seconds since the beginning."""
        return self._now

    def call_at(self, when: float, act: Callable[..., object], *args: Any) -> None:
        """Let `act` happen at `when`."""
        heapq.heappush(self._due, (when, next(self._order), act, args))

    def run(self, until: float) -> None:
        """Let everything happen that is due until then."""
        while self._due and self._due[0][0] <= until:
            when, _, act, args = heapq.heappop(self._due)
            self._now = max(self._now, when)
            act(*args)
        if until < float("inf"):
            self._now = max(self._now, until)


class _Selector(selectors.PollSelector):
    """Waiting is free."""

    loop: "SimulatedLoop"

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("everything waits for something that will never happen")
        if timeout > 0:
            self.loop.clock += timeout
        return super().select(0)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop that jumps to the next timer when there is nothing else to do."""

    clock = 0.0

    def __init__(self) -> None:
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.clock

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        """No thread: simulated time does not wait for one."""
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done
