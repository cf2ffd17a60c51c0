"""The status of agents, kept in the store: every engine sees it, and the API shows it."""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from engine.log import Log
from engine.worker import WOKEN, Worker
from store.database.engines import reason
from store.database.errors import StoreError
from store.resources.agents import AVAILABLE, held, release_all, turn
from store.store import Store, to_its_end

RETRY: Final = 1.0  # s
LAST_WRITE_WITHIN: Final = 5.0  # s

_Failures = (StoreError, SQLAlchemyError, OSError)


class AgentStatusStore:
    """A `flows.queues.model.AgentBoard`. All but claims are written in the background, in order, until the store takes
    them; of an agent only the last counts.

    While the store does not answer, agents are rung all the same: a phone that is busy says so itself.
    """

    def __init__(self, store: Store, node_id: UUID, log: Log) -> None:
        self._store = store
        self._log = log
        self._node_id = node_id
        self._ringing, self._busy = held("ringing", node_id), held("busy", node_id)
        self._wanted: dict[UUID, tuple[Sequence[str], str]] = {}
        self._worker = Worker("agent status", self._write_wanted, first=WOKEN, failed=self._retry)
        self._away = False

    def start(self) -> None:
        """Begin to write."""
        self._worker.start()

    async def close(self) -> None:
        """End; all agents of ours are available."""
        if not self._worker.running:
            return
        await self._worker.close()
        try:
            async with asyncio.timeout(LAST_WRITE_WITHIN), self._store.write() as transaction:
                await release_all(transaction, self._node_id)
        except (*_Failures, TimeoutError) as error:
            self._log.warning("agents not released", error=reason(error))

    # ---- AgentBoard

    async def claim(self, agent_id: UUID) -> bool:
        """`available` becomes `ringing`."""
        claimed = True

        async def write() -> None:
            nonlocal claimed
            async with self._store.write() as transaction:
                claimed = await turn(transaction, agent_id, (AVAILABLE,), self._ringing) is not None

        try:
            await self._written(write())
        except _Failures as error:
            self._failed(error)
        return claimed

    def talks(self, agent_id: UUID) -> None:
        """`ringing` becomes `busy`."""
        self._want(agent_id, (self._ringing,), self._busy)

    def hold(self, agent_id: UUID) -> None:
        """`available` becomes `busy`."""
        self._want(agent_id, (AVAILABLE,), self._busy)

    def release(self, agent_id: UUID) -> None:
        """What we have made of it becomes `available`."""
        self._want(agent_id, (self._ringing, self._busy), AVAILABLE)

    # ---- writing

    def _want(self, agent_id: UUID, before: Sequence[str], after: str) -> None:
        self._wanted.pop(agent_id, None)
        self._wanted[agent_id] = (before, after)
        self._worker.wake()

    async def _write_wanted(self) -> None:
        writing, self._wanted = self._wanted, {}
        try:
            await self._written(self._write(writing))
        except _Failures:
            self._wanted = writing | self._wanted
            raise
        if self._away:
            self._away = False
            self._log.info("agent status stored again")

    def _retry(self, error: Exception) -> float:
        if not isinstance(error, _Failures):
            raise error
        self._failed(error)
        return RETRY

    async def _write(self, writing: Mapping[UUID, tuple[Sequence[str], str]]) -> None:
        async with self._store.write() as transaction:
            for agent_id, (before, after) in writing.items():
                await turn(transaction, agent_id, before, after)

    async def _written(self, work: Coroutine[Any, Any, None]) -> None:
        """Wait for a write. On SQLite however often this task is cancelled meanwhile: a statement that is given up in
        its middle keeps the file locked for as long as anybody, a traceback even, remembers its cursor."""
        if self._store.dialect != "sqlite":
            await work
        elif (cancelled := await to_its_end(work)) is not None:
            raise cancelled

    def _failed(self, error: Exception) -> None:
        if not self._away:
            self._away = True
            self._log.warning("agent status not stored", error=reason(error))
