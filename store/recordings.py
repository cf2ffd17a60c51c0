"""Recordings in the store: written when they begin and when they end; those of dead nodes are closed."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from store.bulk import BulkWrite
from store.rows import Row
from store.store import Store, Transaction
from store.tables import calls, recordings

GRACE: Final = timedelta(seconds=60)
"""That a recording may take to end after its call."""
_ROWS = BulkWrite(recordings, upsert=True)


async def save(transaction: Transaction, rows: Sequence[Row]) -> None:
    """Write recordings, whether or not they are there already."""
    await _ROWS.write(transaction.connection, rows)


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
    )
    async with store.write() as transaction:
        done = await transaction.execute(statement)
    return int(done.rowcount)
