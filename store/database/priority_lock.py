"""The lock of SQLite's one writer: first come, first served, urgent writes before the others."""

import asyncio
from collections import deque


class PriorityLock:
    """A lock with two queues in one: within each it is first come, first served."""

    __slots__ = ("_taken", "_urgent", "_waiting")

    def __init__(self) -> None:
        self._taken = False
        self._urgent: deque[asyncio.Future[None]] = deque()
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """How many wait for it."""
        return len(self._urgent) + len(self._waiting)

    async def acquire(self, *, urgent: bool, patience: float) -> None:
        """Wait for the lock, for `patience` seconds at most. Raises TimeoutError."""
        if not self._taken:
            self._taken = True
            return
        mine = asyncio.get_running_loop().create_future()
        (self._urgent if urgent else self._waiting).append(mine)
        try:
            async with asyncio.timeout(patience):
                await mine
        except BaseException:
            if mine.done() and not mine.cancelled():
                self.release()  # it came in the moment of giving up
            raise

    def release(self) -> None:
        """Hand the lock to the next in line."""
        for queue in (self._urgent, self._waiting):
            while queue:
                following = queue.popleft()
                if not following.done():
                    following.set_result(None)
                    return
        self._taken = False
