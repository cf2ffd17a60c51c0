"""Mailboxes in the store: how many messages wait in each."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from store.database.bulk import BulkWrite
from store.database.tables import mailboxes
from store.rows import Row
from store.store import Executor, Transaction

KIND: Final = "mailbox"
"""`Change.kind` of a mailbox; its resource is its customer, its key its name."""

_WRITE: Final = BulkWrite(mailboxes, upsert=True)


async def write(transaction: Transaction, customer_id: UUID, name: str, new: int, old: int) -> None:
    """What is in a mailbox now, whatever was."""
    row = {"customer_id": customer_id, "name": name, "new": new, "old": old, "tm_update": transaction.now}
    await _WRITE.write(transaction.connection, [row])
    transaction.changed(KIND, customer_id, name)


async def read(executor: Executor, customer_id: UUID | None = None, name: str = "") -> Sequence[Row]:
    """All mailboxes that have messages; with a customer, its mailbox of this name, whatever is in it."""
    query = sa.select(mailboxes)
    if customer_id is None:
        query = query.where(sa.or_(mailboxes.c.new > 0, mailboxes.c.old > 0))
    else:
        query = query.where(mailboxes.c.customer_id == customer_id, mailboxes.c.name == name)
    return [dict(row) for row in (await executor.execute(query)).mappings()]
