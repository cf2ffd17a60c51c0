"""What has become old is deleted: a little at a time, so that whoever writes waits a moment and not a minute.

The feed prunes `changes` itself, as it alone knows what its readers still need.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from store.database.tables import (
    attempts,
    calls,
    deliveries,
    events,
    flows,
    groupcalls,
    idempotency,
    message_attempts,
    messages,
    nodes,
    recordings,
)
from store.resources.deliveries import free_waiting
from store.resources.temporary_flows import TEMPORARY
from store.store import Store, Transaction

BATCH: Final = 2_000
"""Rows a transaction."""
PAUSE: Final = 0.05
"""Seconds between two transactions, in which others write."""
IDEMPOTENCY: Final = timedelta(hours=24)
NODES: Final = timedelta(days=1)


@dataclass(kw_only=True, slots=True)
class Pruned:
    """How many rows were deleted."""

    calls: int = 0
    attempts: int = 0
    groupcalls: int = 0
    messages: int = 0
    flows: int = 0
    events: int = 0
    deliveries: int = 0
    recordings: int = 0
    idempotency: int = 0
    nodes: int = 0

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in self.__slots__)


async def prune(
    store: Store,
    *,
    calls_for: float,
    events_for: float,
    recordings_for: float = 0.0,
    batch: int = BATCH,
    pause: float = PAUSE,
) -> Pruned:
    """Delete what is older than these seconds (0: keep it for ever): calls that are over with their attempts,
    groupcalls, messages and temporary flows, events with their deliveries, recordings that are over (their files
    are their nodes' to delete). Answers to repeated requests are kept for a day, and nodes that are gone, once none of
    their calls is open."""
    now = store.clock()
    done = Pruned()
    sweep = _Sweep(store, batch, pause)
    if calls_for:
        before = now - timedelta(seconds=calls_for)
        done.calls, done.attempts = await sweep.calls(before)
        done.groupcalls = await sweep.rows(groupcalls, groupcalls.c.tm_create < before, groupcalls.c.status == "hangup")
        done.messages = await sweep.messages(before)
        done.flows = await sweep.rows(flows, flows.c.tm_create < before, TEMPORARY)
    if events_for:
        before = now - timedelta(seconds=events_for)
        done.deliveries = await sweep.rows(deliveries, deliveries.c.tm_create < before)
        if done.deliveries:
            async with store.write() as transaction:
                await free_waiting(transaction)
        done.events = await sweep.rows(events, events.c.tm_create < before)
    if recordings_for:
        before = now - timedelta(seconds=recordings_for)
        done.recordings = await sweep.rows(recordings, recordings.c.tm_end < before)
    done.idempotency = await sweep.rows(idempotency, idempotency.c.tm_create < now - IDEMPOTENCY)
    still_open = sa.exists().where(calls.c.node_id == nodes.c.id, calls.c.tm_hangup.is_(None))
    done.nodes = await sweep.rows(nodes, nodes.c.tm_seen < now - NODES, ~still_open)
    return done


class _Sweep:
    def __init__(self, store: Store, batch: int, pause: float) -> None:
        self._store = store
        self._batch = batch
        self._pause = pause

    async def rows(self, table: sa.Table, *old: Any) -> int:
        """Delete the rows of one table that are old."""
        key = list(table.primary_key)
        found = sa.select(*key).where(*old).limit(self._batch)
        statement = sa.delete(table).where(sa.tuple_(*key).in_(found) if len(key) > 1 else key[0].in_(found))

        async def some(transaction: Transaction) -> int:
            return (await transaction.execute(statement)).rowcount

        return await self._until_done(some)

    async def calls(self, before: datetime) -> tuple[int, int]:
        """Delete old calls and their attempts, which are found by them."""
        query = (
            sa.select(calls.c.id)
            .where(calls.c.tm_create < before, calls.c.tm_hangup.is_not(None))
            .order_by(calls.c.tm_create)
            .limit(self._batch)
        )
        tries = 0

        async def some(transaction: Transaction) -> int:
            nonlocal tries
            ids = (await transaction.execute(query)).scalars().all()
            if ids:
                tries += (await transaction.execute(sa.delete(attempts).where(attempts.c.call_id.in_(ids)))).rowcount
                await transaction.execute(sa.delete(calls).where(calls.c.id.in_(ids)))
            return len(ids)

        return await self._until_done(some), tries

    async def messages(self, before: datetime) -> int:
        """Delete old messages that are not being sent, and what the statistics have of them."""
        query = (
            sa.select(messages.c.id)
            .where(messages.c.tm_create < before, messages.c.status != "sending")
            .order_by(messages.c.tm_create)
            .limit(self._batch)
        )

        async def some(transaction: Transaction) -> int:
            ids = (await transaction.execute(query)).scalars().all()
            if ids:
                tried = message_attempts.c.message_id
                await transaction.execute(sa.delete(message_attempts).where(tried.in_(ids)))
                await transaction.execute(sa.delete(messages).where(messages.c.id.in_(ids)))
            return len(ids)

        return await self._until_done(some)

    async def _until_done(self, some: Callable[[Transaction], Any]) -> int:
        total = 0
        while True:
            async with self._store.write() as transaction:
                count: int = await some(transaction)
            total += count
            if count < self._batch:
                return total
            await asyncio.sleep(self._pause)
