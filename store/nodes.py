"""This process among those on one store: its row, and the heartbeat that says it is alive."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Final
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from store import rows
from store.engines import StoreError
from store.store import Store
from store.tables import nodes

HEARTBEAT: Final = 5.0
"""Seconds between two signs of life."""
SILENCE: Final = timedelta(seconds=60)
"""Without a sign of life for so long, a node is dead."""


class NodeLife:
    """A row of `nodes` for this start.

    Attributes:
        id: New at every start.
        name: The same at every start.
    """

    def __init__(self, store: Store, name: str, *, every: float = HEARTBEAT) -> None:
        self._store = store
        self._every = every
        self._task: asyncio.Task[None] | None = None
        self.id: UUID = uuid4()
        self.name = name

    async def start(self) -> None:
        """Make the row, and begin to give signs of life. Raises StoreError, or SQLAlchemy's DBAPIError."""
        async with self._store.write() as transaction:
            values = {"id": self.id, "name": self.name, "tm_create": transaction.now, "tm_seen": transaction.now}
            await rows.insert(transaction, nodes, values)
            # The feed remembers where it is by a row of `changes`: from here on there is one.
            transaction.changed("node", self.id)
        self._task = asyncio.get_running_loop().create_task(self._beat(), name="heartbeat")

    async def alone(self) -> bool:
        """Whether no other node has given a sign of life lately. Raises StoreError, or SQLAlchemy's DBAPIError."""
        others = nodes.c.name != self.name, nodes.c.tm_seen >= self._store.clock() - SILENCE
        async with self._store.read() as connection:
            return (await connection.execute(sa.select(nodes.c.id).where(*others).limit(1))).first() is None

    async def close(self) -> None:
        """End with a last sign of life, as what this node left open counts up to it."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait((self._task,))
        self._task = None
        with suppress(StoreError, SQLAlchemyError, OSError, TimeoutError):
            async with asyncio.timeout(self._every):
                await self._seen()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            # A store that is away makes itself heard elsewhere, and loudly.
            with suppress(StoreError, SQLAlchemyError, OSError):
                await self._seen()

    async def _seen(self) -> None:
        async with self._store.write() as transaction:
            await transaction.execute(sa.update(nodes).where(nodes.c.id == self.id).values(tm_seen=transaction.now))
