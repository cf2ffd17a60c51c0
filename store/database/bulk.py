"""Many rows at a time, for what is written for every call: a statement that is prepared once and tuples of values.

SQLAlchemy's own way with many rows looks at each value of each row anew: for an event that is 90 microseconds of the
loop's time, and some 12 here. The statement is compiled by SQLAlchemy and the values take the way through its
types, so both databases get what `tables` says.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from store.database.columns import UtcTime
from store.database.timestamps import utc_text

Row = dict[str, Any]

MOST = 1_000
"""Rows a statement. Each is a journey to the driver's thread and back, which costs as much as ten rows."""
STEP = 40
"""Rows whose values are made without a break: in that millisecond no packet is read."""

_Processor = Callable[[Any], Any]


class BulkWrite:
    """Inserts rows of one table; with `upsert`, one whose key is there already is replaced, but for the columns that
    `stay` as they were: an index over such alone is not written again.

    Rows are dicts that have a value for every column.
    """

    def __init__(self, table: sa.Table, *, upsert: bool = False, stay: Iterable[str] = ()) -> None:
        self._table = table
        self._upsert = upsert
        self._stay = frozenset(stay)
        self._prepared: dict[str, tuple[str, Callable[[Row], Sequence[Any]], list[tuple[int, _Processor]]]] = {}

    async def write(self, connection: AsyncConnection, rows: Sequence[Row]) -> None:
        """Write all rows. The loop gets its turn meanwhile."""
        dialect = connection.dialect
        prepared = self._prepared.get(dialect.name)
        if prepared is None:
            prepared = self._prepared[dialect.name] = self._prepare(dialect)
        statement, values, processors = prepared
        for first in range(0, len(rows), MOST):
            last = min(first + MOST, len(rows))
            many: list[tuple[Any, ...]] = []
            for step in range(first, last, STEP):
                if step > first:
                    await asyncio.sleep(0)
                many += [_processed(values(row), processors) for row in rows[step : min(step + STEP, last)]]
            await connection.exec_driver_sql(statement, many)

    def _prepare(self, dialect: sa.Dialect) -> tuple[str, Callable[[Row], Sequence[Any]], list[tuple[int, _Processor]]]:
        table = self._table
        columns = list(table.c)
        insert = postgresql.insert(table) if dialect.name == "postgresql" else sqlite.insert(table)
        statement: Any = insert.values({column.name: sa.bindparam(column.name) for column in columns})
        if self._upsert:
            key = [column.name for column in table.primary_key]
            stay = self._stay.union(key)
            changed = {column.name: statement.excluded[column.name] for column in columns if column.name not in stay}
            statement = statement.on_conflict_do_update(index_elements=key, set_=changed)
        compiled = statement.compile(dialect=dialect, column_keys=[column.name for column in columns])
        order: list[str] = list(compiled.positiontup)
        processors: list[tuple[int, _Processor]] = []
        for place, name in enumerate(order):
            processor = _processor(table.c[name].type, dialect)
            if processor is not None:
                processors.append((place, processor))
        values: Callable[[Row], Sequence[Any]] = itemgetter(*order)
        return str(compiled), values, processors


def _processor(type_: sa.types.TypeEngine[Any], dialect: sa.Dialect) -> _Processor | None:
    if isinstance(type_, UtcTime) and dialect.name == "sqlite":
        return _sqlite_time  # a call has thirty moments to write in its life
    written = type_.dialect_impl(dialect).bind_processor(dialect)
    if written is not None and isinstance(type_, sa.JSON):
        return partial(_json, written, {kind: written(kind()) for kind in (dict, list)})
    return written


def _sqlite_time(moment: datetime | None) -> str | None:
    """As SQLAlchemy keeps moments in SQLite: in UTC, without saying so."""
    return None if moment is None else utc_text(moment)


def _json(written: _Processor, empty: Mapping[type, Any], value: Any) -> Any:
    """Most objects and lists of a call are empty."""
    return written(value) if value else empty.get(type(value)) or written(value)


def _processed(values: Sequence[Any], processors: Iterable[tuple[int, _Processor]]) -> tuple[Any, ...]:
    row = list(values)
    for place, processor in processors:
        row[place] = processor(row[place])
    return tuple(row)


async def next_ids(connection: AsyncConnection, table: sa.Table, count: int) -> range | list[int]:
    """Ids for `count` new rows of a table that counts them, ascending and higher than any that it ever had.

    On SQLite they are good within this transaction (it is the only one that writes), on PostgreSQL for ever.
    """
    if connection.dialect.name == "postgresql":
        query = "SELECT nextval(pg_get_serial_sequence($1, 'id')) FROM generate_series(1, $2)"
        return [row[0] for row in await connection.exec_driver_sql(query, (table.name, count))]
    # Kept by AUTOINCREMENT: also what has been deleted since is not given out again.
    found = await connection.exec_driver_sql("SELECT seq FROM sqlite_sequence WHERE name = ?", (table.name,))
    last: int = found.scalar_one_or_none() or 0
    return range(last + 1, last + 1 + count)
