"""A background loop: one piece of work again and again, in a task of its own.

worker = Worker("deny file", self.look, first=5.0, every=5.0)
worker.start()
worker.wake()           # a turn now
await worker.close()
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Final

WOKEN: Final = math.inf
"""In place of seconds: until it is woken."""


class Worker:
    """Runs `work` until `close`: the first time `first` seconds after the start, then `every` seconds after the end of
    the last turn, and whenever it is woken.

    failed: told of an exception of the work, and returns the seconds until the next turn, which no wake shortens; what
    it raises ends the worker, as everything does where there is none.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], Awaitable[object]],
        *,
        first: float = 0.0,
        every: float = WOKEN,
        failed: Callable[[Exception], float] | None = None,
    ) -> None:
        self._name = name
        self._work = work
        self._first = first
        self._every = every
        self._failed = failed
        self._awake = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether it has been started, and not closed."""
        return self._task is not None

    @property
    def woken(self) -> bool:
        """Whether it was woken since its turn began."""
        return self._awake.is_set()

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name=self._name)

    def wake(self) -> None:
        """A turn now, or another one after that which is under way."""
        self._awake.set()

    async def close(self, within: float = 0.0) -> None:
        """End. With `within`, turns go on for at most so many seconds while the work wakes the worker again."""
        task, self._task = self._task, None
        if task is None:
            return
        if within:
            self._closing = True
            self._awake.set()
            await asyncio.wait((task,), timeout=within)
        task.cancel()
        await asyncio.wait((task,))

    async def _run(self) -> None:
        await self._rest(self._first)
        while True:
            self._awake.clear()
            try:
                await self._work()
            except Exception as error:
                if self._failed is None:
                    raise
                await asyncio.sleep(self._failed(error))
                continue
            if self._closing and not self._awake.is_set():
                return
            await self._rest(self._every)

    async def _rest(self, seconds: float) -> None:
        if not seconds or self._awake.is_set():
            await asyncio.sleep(0)  # work that waits for nothing must not keep the loop from everything else
        elif seconds == WOKEN:
            await self._awake.wait()
        else:
            timer = asyncio.get_running_loop().call_later(seconds, self._awake.set)
            try:
                await self._awake.wait()
            finally:
                timer.cancel()
