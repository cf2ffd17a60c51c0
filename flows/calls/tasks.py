"""Tasks that outlive the call that started them: bounded in number, cancelled and awaited when the service stops."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class TooManyTasksError(Exception):
    """As many tasks run as may run at once."""


class OwnedTasks:
    """A bounded set of running tasks. `running` are these, `limit` is how many may run at once."""

    __slots__ = ("_closed", "limit", "running")

    def __init__(self, limit: int = 1000) -> None:
        self.limit = limit
        self.running: set[asyncio.Task[Any]] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self.running)

    def check(self, count: int, name: str) -> None:
        """Raises TooManyTasksError where `count` more tasks may not be started. It keeps no place for them."""
        if self._closed or len(self.running) + count > self.limit:
            state = "the service is stopping" if self._closed else f"{len(self.running)} of {self.limit} are running"
            raise TooManyTasksError(f"{name} was not started: {state}")

    def start(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Runs `work` as a task. Raises TooManyTasksError, and runs nothing, when the set is full or closed."""
        if self._closed or len(self.running) >= self.limit:
            work.close()
            state = "the service is stopping" if self._closed else f"{self.limit} are running"
            raise TooManyTasksError(f"{name} was not started: {state}")
        task = asyncio.get_running_loop().create_task(work, name=name)
        self.running.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self.running.discard(task)
        if not task.cancelled():
            task.exception()  # taken, so that asyncio does not report it a second time; the work logs its own

    async def close(self) -> None:
        """Cancels everything and waits for it to clean up. Nothing can be started afterwards."""
        self._closed = True
        while self.running:
            waiting = list(self.running)
            for task in waiting:
                task.cancel()
            await asyncio.wait(waiting)
