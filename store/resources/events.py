"""Reading events on, in the order of their commits: for streams, and for webhooks."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from store.database.tables import events
from store.database.timestamps import api_time
from store.store import Event, Store

POLL: Final = 1.0
"""Seconds after which a reader looks by itself: an event of another process may have come without a notification."""


class EventSignal:
    """Wakes all who wait for new events. One for the process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._signal = asyncio.Event()
        store.hooks.events.append(self._committed)

    def close(self) -> None:
        """Stop listening to commits."""
        if self._committed in self._store.hooks.events:
            self._store.hooks.events.remove(self._committed)

    def _committed(self, _events: Sequence[Event]) -> None:
        self.notify()

    def notify(self) -> None:
        """Wake everybody who waits; also what a notification of another process calls."""
        self._signal.set()
        self._signal = asyncio.Event()

    def next_signal(self) -> Callable[[], Awaitable[None]]:
        """What waits for the next `notify` from now on, or for a second. Asked for before a look into the store, it
        wakes for what comes after that look."""
        return partial(_woken_within, self._signal, POLL)


async def _woken_within(signal: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await signal.wait()
    except TimeoutError:
        return


def event_document(number: int, kind: str, data: Any, tm: datetime) -> dict[str, Any]:
    """What is sent of an event, to webhooks and in streams. `number` is its id."""
    return {"id": number, "type": kind, "data": data, "tm": api_time(tm)}


async def newest(store: Store) -> int:
    """The id of the last event, 0 where there was none."""
    async with store.read() as connection:
        found = (await connection.execute(sa.select(sa.func.max(events.c.id)))).scalar_one()
    return found or 0


async def oldest(store: Store) -> int:
    """The id of the first event that is still kept, 0 where there is none."""
    async with store.read() as connection:
        found = (await connection.execute(sa.select(sa.func.min(events.c.id)))).scalar_one()
    return found or 0


async def after(
    store: Store,
    last: int,
    *,
    customers: Sequence[UUID] | None = None,
    types: Sequence[str] = (),
    limit: int = 500,
) -> list[Event]:
    """The events after `last`, oldest first. `customers`: whose; None: everybody's. `types`: none for all."""
    query = sa.select(events).where(events.c.id > last).order_by(events.c.id).limit(limit)
    if customers is not None:
        query = query.where(events.c.customer_id.in_(customers))
    if types:
        query = query.where(events.c.type.in_(types))
    async with store.read() as connection:
        rows = (await connection.execute(query)).all()
    return [Event(row.id, row.customer_id, row.type, row.data, row.tm_create) for row in rows]
