"""What every resource needs of its table: one row, a page of rows, a new one, a changed one, a deleted one.

Rows come as plain dicts of the table's columns. Deleted ones (`tm_delete`) are passed over everywhere.
"""

import base64
import binascii
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from store.store import Executor, Transaction

Row = dict[str, Any]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class TokenError(ValueError):
    """A page token that no list gave out."""


class Cursor(NamedTuple):
    """The last row of a page: the next page begins after it. Rows that share a timestamp are told apart by their id."""

    tm_create: datetime
    id: UUID

    def token(self) -> str:
        """As an opaque text for URLs."""
        packed = struct.pack(">q16s", (self.tm_create - _EPOCH) // _MICROSECOND, self.id.bytes)
        return base64.urlsafe_b64encode(packed).decode()

    @classmethod
    def parse(cls, token: str) -> "Cursor":
        """Raises TokenError."""
        try:
            moment, identifier = struct.unpack(">q16s", base64.b64decode(token, altchars=b"-_", validate=True))
            return cls(_EPOCH + moment * _MICROSECOND, UUID(bytes=identifier))
        except (binascii.Error, struct.error, OverflowError, ValueError):
            raise TokenError("is none that this list has given out") from None


@dataclass(slots=True, frozen=True)
class Page:
    """Rows newest first, and the token of the page after; "" on the last one."""

    rows: Sequence[Row]
    next_token: str


async def one(
    executor: Executor,
    table: sa.Table,
    identifier: UUID,
    customer_id: UUID | None = None,
    *,
    hold: Literal["", "shared", "alone"] = "",
) -> Row | None:
    """The living row with this id; with `customer_id`, only if it belongs to that customer.

    hold: Until the transaction ends, nobody else changes the row ("shared": others may hold it so, too; "alone"). On
        SQLite that is so in any case.
    """
    query = sa.select(table).where(table.c.id == identifier)
    if "tm_delete" in table.c:
        query = query.where(table.c.tm_delete.is_(None))
    if customer_id is not None:
        query = query.where(table.c.customer_id == customer_id)
    if hold:
        query = query.with_for_update(read=hold == "shared")
    found = (await executor.execute(query)).mappings().one_or_none()
    return None if found is None else dict(found)


async def page(
    executor: Executor,
    table: sa.Table,
    *where: Any,
    size: int = 100,
    token: str = "",
    customer_id: UUID | None = None,
    deleted: bool = False,
) -> Page:
    """One page of the living rows that fulfil `where`, newest first; of the `deleted` ones instead. Raises
    TokenError."""
    columns = table.c
    query = sa.select(table).where(*where)
    if "tm_delete" in columns:
        query = query.where(columns.tm_delete.is_not(None) if deleted else columns.tm_delete.is_(None))
    if customer_id is not None:
        query = query.where(columns.customer_id == customer_id)
    if token:
        after = Cursor.parse(token)
        query = query.where(
            sa.or_(
                columns.tm_create < after.tm_create,
                sa.and_(columns.tm_create == after.tm_create, columns.id < after.id),
            )
        )
    # One more than asked for tells whether there is another page.
    query = query.order_by(columns.tm_create.desc(), columns.id.desc()).limit(size + 1)
    rows = [dict(row) for row in (await executor.execute(query)).mappings()]
    if len(rows) <= size:
        return Page(rows, "")
    last = rows[size - 1]
    return Page(rows[:size], Cursor(last["tm_create"], last["id"]).token())


async def insert(transaction: Transaction, table: sa.Table, values: Mapping[str, Any]) -> Row:
    """A new row, with an id and its times where none are given. Raises sqlalchemy's IntegrityError when a unique
    column says no; the transaction is over then."""
    row: Row = {"id": uuid4(), "tm_create": transaction.now, "tm_update": transaction.now}
    row = {name: value for name, value in row.items() if name in table.c} | dict(values)
    result = await transaction.execute(sa.insert(table).returning(*table.c), row)
    return dict(result.mappings().one())


async def update(
    transaction: Transaction, table: sa.Table, identifier: UUID, values: Mapping[str, Any], *where: Any
) -> Row | None:
    """Change the living row with this id, if it fulfils `where`. None when there is none such."""
    statement = sa.update(table).where(table.c.id == identifier, *where)
    if "tm_delete" in table.c:
        statement = statement.where(table.c.tm_delete.is_(None))
    result = await transaction.execute(
        statement.values(**{"tm_update": transaction.now} | dict(values)).returning(*table.c)
    )
    found = result.mappings().one_or_none()
    return None if found is None else dict(found)


async def soft_delete(transaction: Transaction, table: sa.Table, identifier: UUID, *where: Any) -> Row | None:
    """Mark the row as deleted. None when there is no living one that fulfils `where`."""
    return await update(transaction, table, identifier, {"tm_delete": transaction.now}, *where)


__all__ = ["Cursor", "IntegrityError", "Page", "Row", "TokenError", "insert", "one", "page", "soft_delete", "update"]
