"""What the tests of calls in the store share: rows of calls and attempts, and a store whose clock stands."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from routing.identifiers import NIL
from store.rows import Row
from store.store import Store

NOW = datetime(2026, 5, 4, 12, 30, 0, 123456, tzinfo=UTC)
CUSTOMER = UUID(int=7)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@asynccontextmanager
async def opened(url: str, clock: Clock | None = None) -> AsyncIterator[Store]:
    store = await Store.open(url, clock or Clock())
    try:
        yield store
    finally:
        await store.close()


def call(**values: Any) -> Row:
    """A call that has just begun."""
    row: Row = {
        "id": uuid4(),
        "customer_id": CUSTOMER,
        "node_id": UUID(int=1),
        "direction": "incoming",
        "status": "dialing",
        "source_type": "tel",
        "source": "+15550001111",
        "source_name": "Ann",
        "destination_type": "tel",
        "destination": "+15551234567",
        "anonymous": False,
        "number_id": UUID(int=2),
        "flow_id": UUID(int=3),
        "provider_id": NIL,
        "groupcall_id": NIL,
        "end_status": 0,
        "end_reason": "",
        "hangup_reason": "",
        "hangup_by": "",
        "notes": [],
        "metadata": {},
        "media": {},
        "sip_call_ids": ["a@b"],
        "tm_create": NOW,
        "tm_ringing": None,
        "tm_progressing": None,
        "tm_hangup": None,
        "tm_update": NOW,
        "tm_delete": None,
    }
    assert not set(values) - set(row)
    return row | values


def attempt(provider_id: UUID, call_id: UUID | None = None, **values: Any) -> Row:
    """An attempt that was answered after 1.5 s and talked for a minute."""
    row: Row = {
        "call_id": call_id or uuid4(),
        "place": 0,
        "provider_id": provider_id,
        "provider_name": "carrier",
        "request_uri": "sip:821012345678@127.0.0.2",
        "tm_start": NOW,
        "start_ms": 0,
        "tm_first_reply": NOW,
        "first_reply_ms": 500,
        "tm_end": NOW,
        "end_ms": 1_500,
        "kind": "answered",
        "status": 200,
        "reason": "OK",
        "skipped": "",
        "talk_ms": 60_000,
        "tm_create": NOW,
    }
    assert not set(values) - set(row)
    return row | values


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


async def table(store: Store, table: sa.Table, *where: Any) -> list[Row]:
    """All rows of a table that fulfil `where`, in the order of its key."""
    async with store.read() as connection:
        query = sa.select(table).where(*where).order_by(*table.primary_key)
        return [dict(row) for row in (await connection.execute(query)).mappings()]
