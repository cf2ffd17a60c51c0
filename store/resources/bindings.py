"""Where phones are registered, for a node's next start: written in batches, behind the REGISTERs."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from store.database.bulk import BulkWrite
from store.database.tables import bindings, extensions
from store.event_types import EventType
from store.store import Executor, Store, Transaction

DELETED_AT_ONCE: Final = 500
READ_AT_ONCE: Final = 2_000
CONTACT: Final = "contact"
"""The kind of the change that has a node end a binding: its id, and the name of the extension as key."""
_OUTLIVED = (
    sa.exists()
    .where(
        extensions.c.name == bindings.c.extension,
        extensions.c.tm_delete.is_(None),
        extensions.c.tm_create > bindings.c.tm_create,
    )
    .correlate(bindings)
)
"""Who has the name of its extension was made later: it is another one, whose phone this is not."""
_LOADED: Final = (
    *("id", "extension", "contact", "expires_place", "uri", "q", "instance", "reg_id", "call_id", "cseq", "path"),
    *("listener", "host", "port", "source", "user_agent", "natted", "tm_create", "tm_expire"),
)
_WRITE = BulkWrite(bindings, upsert=True, stay=("node", "extension", "tm_create"))

Row = dict[str, Any]


class BindingNews(NamedTuple):
    """What customers are told of a binding. `tm`: when it happened."""

    kind: EventType
    customer_id: UUID
    data: Mapping[str, Any]
    tm: datetime


async def load(store: Store, node: str, take: Callable[[Sequence[Any]], None]) -> None:
    """Have the bindings of a node that are not over taken, the oldest first, some at a time: a row of the database is
    larger than a binding. The columns of each: id, extension, contact, expires_place, uri, q, instance, reg_id,
    call_id, cseq, path; listener, host, port, source, user_agent, natted, tm_create, tm_expire, outlived (see
    `_OUTLIVED`)."""
    table = bindings
    async with store.read() as connection:
        now = await store.common_now(connection)
        columns = [table.c[name] for name in _LOADED]
        query = sa.select(*columns, _OUTLIVED.label("outlived")).where(table.c.node == node, table.c.tm_expire > now)
        query = query.order_by(table.c.tm_create)
        async with connection.stream(query) as rows:
            async for some in rows.partitions(READ_AT_ONCE):
                take(some)


async def write(store: Store, rows: Sequence[Row], gone: Sequence[str], news: Sequence[BindingNews]) -> None:
    """Keep these rows, forget those that are gone, and tell of it, all at once. Every row has all columns."""
    async with store.write() as transaction:
        for first in range(0, len(gone), DELETED_AT_ONCE):
            some = gone[first : first + DELETED_AT_ONCE]
            await transaction.execute(sa.delete(bindings).where(bindings.c.id.in_(some)))
        if rows:
            await _WRITE.write(transaction.connection, rows)
        for kind, customer_id, data, tm in news:
            transaction.event(kind, customer_id, data, tm)


async def clear(store: Store, node: str) -> None:
    """Forget all of a node's."""
    async with store.write() as transaction:
        await transaction.execute(sa.delete(bindings).where(bindings.c.node == node))


async def of_extensions(
    executor: Executor, names: Collection[str], now: datetime, *, other_than: str = ""
) -> dict[str, list[Row]]:
    """The bindings of these extensions that are not over, the oldest first; without those of the node `other_than`,
    which knows its own better."""
    table, found = bindings.c, dict[str, list[Row]]()
    query = sa.select(bindings).where(table.tm_expire > now, table.node != other_than, ~_OUTLIVED)
    query = query.order_by(table.tm_create)
    for some in _portions(list(names)):
        for row in (await executor.execute(query.where(table.extension.in_(some)))).mappings():
            found.setdefault(row["extension"], []).append(dict(row))
    return found


async def end(transaction: Transaction, rows: Iterable[Row]) -> None:
    """Forget these of other nodes, and have the nodes that they are of do so."""
    for row in rows:
        await transaction.execute(sa.delete(bindings).where(bindings.c.id == row["id"]))
        transaction.changed(CONTACT, UUID(row["id"]), row["extension"])


def _portions(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[start : start + DELETED_AT_ONCE] for start in range(0, len(names), DELETED_AT_ONCE))
