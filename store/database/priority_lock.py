"""Whose turn it is to write: one after the other, and who is in a hurry before those who wait."""

import asyncio
from collections import deque


class Turns:
    """A lock with two queues in one: within each it is first come, first served."""

    __slots__ = ("_hurried", "_taken", "_waiting")

    def __init__(self) -> None:
        self._taken = False
        self._hurried: deque[asyncio.Future[None]] = deque()
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self, *, hurry: bool, patience: float) -> None:
        """Wait for a turn, for `patience` seconds at most. Raises TimeoutError. `give` ends the turn."""
        if not self._taken:
            self._taken = True
            return
        mine = asyncio.get_running_loop().create_future()
        (self._hurried if hurry else self._waiting).append(mine)
        try:
            async with asyncio.timeout(patience):
                await mine
        except BaseException:
            if mine.done() and not mine.cancelled():
                self.give()  # it came in the moment of giving up
            raise

    def give(self) -> None:
        """The turn is the next one's."""
        for queue in (self._hurried, self._waiting):
            while queue:
                following = queue.popleft()
                if not following.done():
                    following.set_result(None)
                    return
        self._taken = False
