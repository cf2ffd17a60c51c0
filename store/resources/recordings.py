"""Recordings in the store: written when they begin and when they end; those of dead nodes are closed."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from store.database.bulk import BulkWrite
from store.database.tables import calls, recordings
from store.database.timestamps import api_time
from store.event_types import EventType
from store.resources.nodes import living
from store.rows import Row
from store.store import Store, Transaction

GRACE: Final = timedelta(seconds=60)
"""That a recording may take to end after its call."""
AT_ONCE: Final = 500
"""Files that are asked for in one query."""
_ROWS = BulkWrite(recordings, upsert=True)


def recording_document(row: Mapping[str, Any]) -> dict[str, Any]:
    """A recording as JSON. `row` has the columns of `tables.recordings`."""
    return {
        "id": str(row["id"]),
        "customer_id": str(row["customer_id"]),
        "call_id": str(row["call_id"]),
        "status": row["status"],
        "ended_by": row["ended_by"],
        "format": row["format"],
        "filename": row["filename"],
        "channels": row["channels"],
        "duration": row["duration"],
        "size": row["size"],
        "tm_create": api_time(row["tm_create"]),
        "tm_start": api_time(row["tm_start"]),
        "tm_end": api_time(row["tm_end"]),
        "tm_update": api_time(row["tm_update"]),
        "tm_delete": api_time(row["tm_delete"]),
    }


async def save(transaction: Transaction, rows: Sequence[Row]) -> None:
    """Write recordings, whether or not they are there already, and tell of each."""
    await _ROWS.write(transaction.connection, rows)
    for row in rows:
        _tell(transaction, row)


def _tell(transaction: Transaction, row: Mapping[str, Any]) -> None:
    kind: EventType = "recording_started" if row["status"] == "recording" else "recording_finished"
    moment = row["tm_start"] if row["status"] == "recording" else row["tm_end"]
    transaction.event(kind, row["customer_id"], recording_document(row), moment)


async def cut_off(store: Store, node_id: UUID, name: str, filenames: Sequence[str]) -> list[Row]:
    """Those of these files that a process which is gone has not ended. `node_id`, `name`: as
    `store.resources.nodes.living` takes them."""
    alive = await living(store, node_id, name)
    found: list[Row] = []
    async with store.read() as connection:
        for start in range(0, len(filenames), AT_ONCE):
            query = sa.select(recordings).where(
                recordings.c.filename.in_(filenames[start : start + AT_ONCE]),
                recordings.c.status != "ended",
                recordings.c.node_id.not_in(alive),
                recordings.c.tm_delete.is_(None),
            )
            found += [dict(row) for row in (await connection.execute(query)).mappings()]
    return found


async def mended(store: Store, recording_id: UUID, values: Mapping[str, Any]) -> None:
    """Its file is there, up to where the process was killed: `values` are its duration, size and end."""
    async with store.write() as transaction:
        changed = {**values, "status": "ended", "ended_by": "crash", "tm_update": transaction.now}
        where = recordings.c.id == recording_id, recordings.c.status != "ended"
        statement = sa.update(recordings).where(*where).values(changed).returning(*recordings.c)
        for row in (await transaction.execute(statement)).mappings():
            _tell(transaction, dict(row))


async def close_lost(store: Store, node_id: UUID) -> int:
    """Mark as failed what other processes began and never ended, where the call is over; how many there were.

    A recording ends with its call, some seconds later at most: what is open behind a call that recovery has closed has
    nobody who writes it any more.
    """
    over = sa.exists().where(
        calls.c.id == recordings.c.call_id,
        calls.c.node_id == recordings.c.node_id,
        calls.c.tm_hangup < store.clock() - GRACE,
    )
    statement = (
        sa.update(recordings)
        .where(recordings.c.status == "recording", recordings.c.node_id != node_id, over)
        .values(status="failed", ended_by="error", tm_end=store.clock(), tm_update=store.clock())
        .returning(*recordings.c)
    )
    async with store.write() as transaction:
        closed = [dict(row) for row in (await transaction.execute(statement)).mappings()]
        for row in closed:
            _tell(transaction, row)
    return len(closed)
