"""What a store needs now and then: calls of dead nodes closed, and what has become old deleted."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from config.settings import RetentionSettings
from flows.contracts import Log
from store.engines import StoreError, reason
from store.nodes import NodeLife
from store.store import Store

RECOVER_EVERY: Final = 30.0  # s
PRUNE_EVERY: Final = 3600.0  # s


class Upkeep:
    """Two tasks, which a store that does not answer only delays."""

    def __init__(self, store: Store, life: NodeLife, retention: RetentionSettings, log: Log) -> None:
        self._store = store
        self._life = life
        self._retention = retention
        self._log = log
        self._tasks: list[asyncio.Task[None]] = []

    async def recover(self) -> None:
        """Close what nodes that are gone left open: earlier runs of this one, and others that give no sign of life.
        Raises StoreError, or SQLAlchemy's errors."""

    async def prune(self) -> None:
        """Delete what is older than the settings say. Raises StoreError, or SQLAlchemy's errors."""

    def start(self) -> None:
        """Begin to do both now and then."""
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._every(RECOVER_EVERY, self.recover), name="recovery"),
            loop.create_task(self._every(PRUNE_EVERY, self.prune), name="retention"),
        ]

    async def close(self) -> None:
        """End."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await work()
            except (StoreError, SQLAlchemyError, OSError) as error:
                self._log.warning(f"{work.__name__} waits for the store", error=reason(error))
