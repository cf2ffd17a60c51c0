"""The heartbeat of this process: its row among the nodes of the store, and the signs of life that keep it there."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from engine.log import Log
from engine.worker import Worker
from store import rows
from store.database.engines import reason
from store.database.errors import StoreError
from store.database.file import database_path, disk_problem
from store.database.tables import nodes
from store.resources.nodes import SILENCE, is_over, this_process
from store.store import Executor, Store

HEARTBEAT: Final = 5.0
"""Seconds between two signs of life."""


class NodeHeartbeat:
    """A row of `nodes` for this start.

    Attributes:
        id: New at every start.
        name: The same at every start.
        problem: Why the last sign of life could not be written; "" where it could. It is the one write that comes
            whatever the calls do: a disk that is full, or a database that can only be read, shows here.
    """

    def __init__(self, store: Store, name: str, *, every: float = HEARTBEAT, log: Log | None = None) -> None:
        """`log` is told once when nothing can be written, and once when that is over."""
        self._store = store
        self._every = every
        self._log = log
        self._path = database_path(store.address)
        self._worker = Worker("heartbeat", self._beat, first=every, every=every)
        self.id: UUID = uuid4()
        self.name = name
        self.problem = ""

    async def start(self, *, given: bool = False) -> None:
        """Make the row, and begin to give signs of life. Raises StoreError, or SQLAlchemy's DBAPIError.

        given: The name was chosen by somebody, so that two engines may have it: StoreError while another of that name
            runs. This one would take the other's calls for left open by an earlier run, and close them. (A name that
            is made of a listener's address is as unique as that.)
        """
        async with self._store.write() as transaction:
            values = {"id": self.id, "name": self.name, "process": this_process()}
            values |= {"tm_create": transaction.now, "tm_seen": await self._store.common_now(transaction)}
            earlier = await self._unended(transaction) if given else {}
            await rows.insert(transaction, nodes, values)
            # The feed remembers where it is by a row of `changes`: from here on there is one.
            transaction.changed("node", self.id)
        self._worker.start()
        await self._outlive({node: found for node, found in earlier.items() if not is_over(found[0])})

    async def _unended(self, executor: Executor) -> dict[UUID, tuple[str, datetime]]:
        """Others of this name that did not end by themselves, and may live: process, last sign of life."""
        recently = nodes.c.tm_seen >= await self._store.common_now(executor) - SILENCE
        query = sa.select(nodes).where(
            nodes.c.name == self.name, nodes.c.process != "", recently, nodes.c.id != self.id
        )
        return {row.id: (row.process, row.tm_seen) for row in await executor.execute(query)}

    async def _outlive(self, earlier: Mapping[UUID, tuple[str, datetime]]) -> None:
        """Wait for another sign of life of these for as long as one takes to come. Raises StoreError where it does."""
        end = asyncio.get_running_loop().time() + 2 * self._every
        while earlier and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(self._every / 5)
            async with self._store.read() as connection:
                now = await self._unended(connection)
            for node, (process, seen) in now.items():
                if node in earlier and seen != earlier[node][1]:
                    problem = f"an engine with the node_name {self.name} runs already, on {process}"
                    raise StoreError(f"{self._store.url}: {problem}; give each a name of its own, or end that one")

    async def alone(self) -> bool:
        """Whether no other node has given a sign of life lately. Raises StoreError, or SQLAlchemy's DBAPIError."""
        async with self._store.read() as connection:
            recently = nodes.c.tm_seen >= await self._store.common_now(connection) - SILENCE
            others = nodes.c.name != self.name, recently
            return (await connection.execute(sa.select(nodes.c.id).where(*others).limit(1))).first() is None

    async def close(self) -> None:
        """End with a last sign of life, as what this node left open counts up to it."""
        if not self._worker.running:
            return
        await self._worker.close()
        with suppress(StoreError, SQLAlchemyError, OSError, TimeoutError):
            async with asyncio.timeout(self._every):
                await self._seen(process="")

    async def _beat(self) -> None:
        try:
            await self._seen()
        except (StoreError, SQLAlchemyError, OSError) as error:
            self._judge(reason(error), away=isinstance(error, StoreError))
        else:
            # What changes in its place needs no room; calls do.
            self._judge(await self.disk_problem(), away=False)

    async def disk_problem(self) -> str:
        """Why the disk takes nothing more, as a sentence; "" where it does, or where the database is elsewhere."""
        return "" if self._path is None else await asyncio.to_thread(disk_problem, self._path)

    def _judge(self, problem: str, *, away: bool) -> None:
        before, self.problem = self.problem, problem
        # A store that is away makes itself heard elsewhere, and loudly.
        if self._log is None or away or bool(before) == bool(problem):
            return
        if problem:
            self._log.error("the store cannot be written", store=self._store.url, error=problem)
        else:
            self._log.info("the store can be written again", store=self._store.url)

    async def _seen(self, **more: str) -> None:
        async with self._store.write() as transaction:
            values = more | {"tm_seen": await self._store.common_now(transaction)}
            await transaction.execute(sa.update(nodes).where(nodes.c.id == self.id).values(values))
