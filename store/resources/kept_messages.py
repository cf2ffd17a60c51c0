"""Messages that wait for a phone to register, in the store."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from store.database.tables import kept_messages as table
from store.rows import Row
from store.store import Executor, Transaction


async def keep(transaction: Transaction, row: Row) -> None:
    """One more."""
    await transaction.execute(sa.insert(table), row)


async def all_kept(executor: Executor) -> list[tuple[UUID, str, datetime]]:
    """Id, extension and when it was sent, the oldest first."""
    query = sa.select(table.c.id, table.c.extension, table.c.tm_create).order_by(table.c.tm_create, table.c.id)
    return [(row.id, row.extension, row.tm_create) for row in await executor.execute(query)]


async def find(executor: Executor, message_id: UUID) -> Row | None:
    """One of them."""
    found = (await executor.execute(sa.select(table).where(table.c.id == message_id))).mappings().first()
    return None if found is None else dict(found)


async def drop(transaction: Transaction, message_id: UUID) -> None:
    """It is kept no longer."""
    await transaction.execute(sa.delete(table).where(table.c.id == message_id))
