"""Everything that calls are decided by, from the store into memory: a million numbers in seconds, in slices that let
calls go on in between.

Rows are read with the database's own driver: SQLAlchemy's rows cost more than all the rest of the way.
"""

import asyncio
import gc
import sqlite3
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from functools import partial
from typing import Any, Final

import asyncpg
import sqlalchemy as sa
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection

from routing.directory.extensions import Unlock
from routing.directory.row_factory import EXTENSION_COLUMNS, NUMBER_COLUMNS, ROUTE_COLUMNS
from routing.directory.snapshot import Snapshot, SnapshotBuilder
from store.database import tables
from store.database.engines import reason
from store.database.errors import StoreError
from store.database.vault import SecretUnreadable, transform_secrets
from store.directory.mapping import Row, provider_of, terms_of
from store.store import Store

SLICE: Final = 500
"""Rows between two looks at the network: a millisecond or two."""
FETCHED: Final = 500
"""Rows that the driver hands over at once."""

Skipped = Callable[[str, Any, Exception], None]
"""Told of a row that this version refuses: its kind, its id and why."""


async def load(store: Store, skipped: Skipped, *, limit: int = 0, resolved: Any = None) -> Snapshot:
    """The providers, routes, customers, extensions and numbers there are. `limit`: numbers at most (0: all); those that
    take calls go before those that wait in the inventory. Raises StoreError, or SQLAlchemy's DBAPIError."""
    with _no_collector():
        return await _load(store, skipped, limit, resolved)


async def _load(store: Store, skipped: Skipped, limit: int, resolved: Any) -> Snapshot:
    builder = SnapshotBuilder()
    async with store.read() as connection:
        for row in (await connection.execute(_living(tables.providers))).mappings():
            try:
                builder.providers([provider_of(transform_secrets(tables.providers, row, store.vault.open))])
            except (ValidationError, SecretUnreadable) as error:
                skipped("provider", row["id"], error)
        for row in (await connection.execute(_living(tables.customers))).mappings():
            builder.customers([terms_of(row)])
    # The routes of a provider that is gone lead nowhere.
    living = "EXISTS (SELECT 1 FROM providers p WHERE p.id = routes.provider_id AND p.tm_delete IS NULL)"
    await _fill(store, skipped, builder.routes_from, "routes", ROUTE_COLUMNS, [living])
    extensions = partial(builder.extensions_from, unlock=unlocking(store, skipped))
    await _fill(store, skipped, extensions, "extensions", EXTENSION_COLUMNS, [])
    async with store.read() as connection:
        count = (await connection.execute(sa.select(sa.func.count()).select_from(_numbers()))).scalar_one()
    if not limit or count <= limit:
        await _fill(store, skipped, builder.numbers_from, "numbers", NUMBER_COLUMNS, [])
        return builder.finish(resolved)
    taking_calls = "status IN ('active', 'suspended')"
    left = limit - await _fill(store, skipped, builder.numbers_from, "numbers", NUMBER_COLUMNS, [taking_calls], limit)
    if left > 0:
        await _fill(store, skipped, builder.numbers_from, "numbers", NUMBER_COLUMNS, [f"NOT {taking_calls}"], left)
    return builder.finish(resolved, complete=False)


def unlocking(store: Store, skipped: Skipped) -> Unlock:
    """Opens what is kept of extensions' passwords, when somebody logs in; with one that no key opens nobody does."""

    def unlock(kept: str, name: str) -> str:
        try:
            return store.vault.open(kept)
        except SecretUnreadable as error:
            skipped("extension", name, error)
            return ""

    return unlock


async def flow_rows(store: Store) -> Sequence[Row]:
    """The flows there are, oldest first, as rows."""
    async with store.read() as connection:
        query = _living(tables.flows).order_by(tables.flows.c.tm_create, tables.flows.c.id)
        return [dict(row) for row in (await connection.execute(query)).mappings()]


@contextmanager
def _no_collector() -> Iterator[None]:
    """Millions of new objects, none of them garbage: the collector would look through them again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _living(table: sa.Table) -> sa.Select[Any]:
    return sa.select(table).where(table.c.tm_delete.is_(None))


def _numbers() -> Any:
    return sa.select(tables.numbers.c.id).where(tables.numbers.c.tm_delete.is_(None)).subquery()


def _take(
    take: Callable[[Sequence[Sequence[Any]]], None],
    rows: Sequence[Sequence[Any]],
    told: Callable[[Sequence[Any], Exception], None],
) -> None:
    try:
        take(rows)
    except ValueError:  # somebody wrote into the table by hand: one row must not cost all the others
        for row in rows:
            try:
                take([row])
            except ValueError as error:
                told(row, error)


def _told(skipped: Skipped, table: str, columns: Sequence[str], row: Sequence[Any], error: Exception) -> None:
    skipped(table.removesuffix("s"), row[columns.index("id")], error)


async def _fill(
    store: Store,
    skipped: Skipped,
    take: Callable[[Sequence[Sequence[Any]]], None],
    table: str,
    columns: Sequence[str],
    where: Sequence[str],
    limit: int = 0,
) -> int:
    query = f"SELECT {', '.join(columns)} FROM {table} WHERE {' AND '.join(['tm_delete IS NULL', *where])}"
    if limit:
        query += f" LIMIT {limit}"
    count = 0
    async with store.read() as connection, aclosing(_fetched(store.dialect, connection, query)) as batches:
        async for rows in batches:
            for start in range(0, len(rows), SLICE):
                _take(take, rows[start : start + SLICE], partial(_told, skipped, table, columns))
                await asyncio.sleep(0)
            count += len(rows)
    return count


async def _fetched(dialect: str, connection: AsyncConnection, query: str) -> AsyncGenerator[Sequence[Any], None]:
    driver: Any = (await connection.get_raw_connection()).driver_connection
    try:
        if dialect == "postgresql":
            async with driver.transaction(readonly=True):
                cursor = await driver.cursor(query)
                try:
                    while rows := await cursor.fetch(FETCHED):
                        yield rows
                except TimeoutError:
                    driver.terminate()  # else the end of the transaction would wait for what never comes
                    raise
            return
        async with driver.execute(query) as cursor:
            while rows := await cursor.fetchmany(FETCHED):
                yield rows
    except (sqlite3.Error, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise StoreError(f"the store cannot be read: {reason(error)}") from error
