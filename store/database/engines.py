"""Connections: SQLite with one writer and several readers, PostgreSQL with a pool, from one URL."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from pydantic_core import PydanticSerializationError, to_json
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool, StaticPool

from store.database.errors import StoreBusy, StoreError
from store.database.file import DatabaseFile, database_path, make_private
from store.database.priority_lock import PriorityLock

READERS = 4
POSTGRES_CONNECTIONS = 10
POSTGRES_URGENT = 2
"""Connections that only urgent writes use: requests that take all others must not keep calls from the disk."""
BUSY_TIMEOUT = 30.0  # s that a write of another process is waited for
LARGEST_LOG = 64 * 2**20  # bytes that SQLite's write-ahead log keeps of the disk once it is written back
POOL_TIMEOUT = 10.0  # s that a request waits for a connection before it is told that the store is busy
# PostgreSQL may be there and say nothing: stopped, or behind a network that has lost its way. TCP would notice that
# after a quarter of an hour, and what waits for it (records of calls, signs of life) must not wait for so long.
CONNECT_WITHIN = 5.0  # s for a new connection
STATEMENT_WITHIN = 30.0  # s for a statement; those of migrations have no limit
LAST_WRITE_WITHIN = 5.0  # s that closing SQLite waits for a write that is under way
CLOSE_WITHIN = 2.0  # s for the rollback of what was left open; then the connection is dropped


class Engines:
    """The connections of one database.

    On SQLite one connection writes, so that writers wait for each other here, in order, and never find the file locked
    by their own process. A database in memory has a single connection for everything.

    Attributes:
        writer: What writes; on PostgreSQL also what reads.
        reader: What reads.
        anchor: Keeps a shared database in memory alive; None for others.
        write_lock: Whose turn it is to write; None where the database itself sees to that.
    """

    def __init__(
        self,
        url: URL,
        writer: AsyncEngine,
        reader: AsyncEngine,
        anchor: sqlite3.Connection | None = None,
        urgent: AsyncEngine | None = None,
        migrator: AsyncEngine | None = None,
    ) -> None:
        self.writer = writer
        self.reader = reader
        self._migrator = migrator
        self._urgent = urgent or writer
        self.anchor = anchor
        self.dialect = writer.dialect.name
        self.in_memory = self.dialect == "sqlite" and url.database in (None, "", ":memory:")
        shown = url.set(drivername=url.get_backend_name()).render_as_string(hide_password=True)
        self.shown_url = ":memory:" if self.in_memory else shown
        self.url = url
        self._one_at_a_time = asyncio.Lock() if self.in_memory else None
        self.write_lock = PriorityLock() if writer is not reader else None
        path = database_path(url)
        self._file = None if path is None else DatabaseFile(path)

    def read(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A connection to read from."""
        return self._connection(self.reader)

    def write(self, *, urgent: bool = False) -> AbstractAsyncContextManager[AsyncConnection]:
        """A connection with a transaction begun; who asked for it commits. An `urgent` one goes before the
        others that wait for SQLite's one writer, and has connections of its own to PostgreSQL."""
        if self.write_lock is None:
            return self._connection(self._urgent if urgent else self.writer)
        return self._in_turn(self.write_lock, urgent)

    def migrate(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """As `write`, for statements that may take as long as they take."""
        return self.write() if self._migrator is None else self._connection(self._migrator)

    @asynccontextmanager
    async def _in_turn(self, lock: PriorityLock, urgent: bool) -> AsyncIterator[AsyncConnection]:
        try:
            await lock.acquire(urgent=urgent, patience=POOL_TIMEOUT)
        except TimeoutError:
            raise StoreBusy(f"{self.shown_url} had no time to write within {POOL_TIMEOUT:g} s") from None
        try:
            async with self._connection(self.writer) as connection:
                yield connection
        finally:
            lock.release()

    @asynccontextmanager
    async def _connection(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        if self._one_at_a_time is not None:
            async with self._one_at_a_time, engine.connect() as connection:
                yield connection
            return
        if self._file is not None and (problem := self._file.problem()):
            raise StoreError(problem)
        try:
            async with asyncio.timeout(POOL_TIMEOUT if self.dialect == "postgresql" else None):
                connection = await engine.connect()
        except (PoolTimeout, TimeoutError):
            problem = f"no connection to {self.shown_url} became free, or answered, in {POOL_TIMEOUT:g} s"
            raise StoreBusy(problem) from None
        except (DBAPIError, OSError) as error:
            raise StoreError(f"{self.shown_url} cannot be reached: {reason(error)}") from error
        try:
            yield connection
        except TimeoutError as error:  # the driver's: a limit of somebody else would arrive here as a cancellation
            raise StoreError(f"{self.shown_url} did not answer within {STATEMENT_WITHIN:g} s") from error
        finally:
            await self._give_back(connection)

    async def _give_back(self, connection: AsyncConnection) -> None:
        """A rollback waits for the end of the statement before it, which may never come: then the pool drops the
        connection."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_WITHIN if self.dialect == "postgresql" else None):
                await connection.close()

    async def close(self) -> None:
        """Close every connection; a write that is under way is waited for, so that whoever opens the file next does not
        find it locked."""
        if self.write_lock is not None:
            with suppress(TimeoutError):
                await self.write_lock.acquire(urgent=True, patience=LAST_WRITE_WITHIN)
        await self.writer.dispose()
        for other in {self.reader, self._urgent, self._migrator} - {self.writer}:
            if other is not None:
                await other.dispose()
        if self.anchor is not None:
            self.anchor.close()


def _as_json(value: Any) -> str:
    # What bodies hold besides JSON's own: ids and moments. Calls write four documents each, which pydantic's encoder
    # does in a quarter of the time of Python's.
    try:
        return to_json(value, fallback=str).decode()
    except PydanticSerializationError:  # half a surrogate pair
        return json.dumps(value, default=str, separators=(",", ":"))


def open_engines(url: str) -> Engines:
    """The engines for a database URL. Raises StoreError for one that is none."""
    parsed = parse_url(url)
    if parsed.get_backend_name() == "postgresql":
        address = parsed.set(drivername="postgresql+asyncpg")
        limits = {"timeout": CONNECT_WITHIN, "command_timeout": STATEMENT_WITHIN}
        engine, urgent = (
            create_async_engine(
                address,
                pool_size=connections,
                max_overflow=0,
                pool_timeout=POOL_TIMEOUT,
                pool_pre_ping=True,
                json_serializer=_as_json,
                connect_args=limits,
            )
            for connections in (POSTGRES_CONNECTIONS, POSTGRES_URGENT)
        )
        migrator = create_async_engine(address, poolclass=NullPool, connect_args={"timeout": CONNECT_WITHIN})
        return Engines(parsed, engine, engine, urgent=urgent, migrator=migrator)
    asynchronous = parsed.set(drivername="sqlite+aiosqlite")
    if parsed.database in (None, "", ":memory:"):
        name = f"file:trunkline-{uuid4().hex}"
        shared = parsed.set(
            drivername="sqlite+aiosqlite", database=name, query={"mode": "memory", "cache": "shared", "uri": "true"}
        )
        engine = create_async_engine(shared, poolclass=StaticPool, json_serializer=_as_json)
        _set_up_sqlite(engine, "BEGIN", durable=False)
        # A request that is cancelled takes its connection along; the database lives as long as this one.
        anchor = sqlite3.connect(f"{name}?mode=memory&cache=shared", uri=True, check_same_thread=False)
        return Engines(parsed, engine, engine, anchor)
    file = database_path(parsed)
    if file is not None:
        if not file.parent.is_dir():
            raise StoreError(f"{file.parent} is no directory, so {file} cannot be kept there; make it first")
        make_private(file)
    # Writers say at once that they will write: two that had begun by reading could both wait for ever (SQLITE_BUSY).
    writer = _pooled(asynchronous, 1)
    _set_up_sqlite(writer, "BEGIN IMMEDIATE")
    reader = _pooled(asynchronous, READERS)
    _set_up_sqlite(reader, "BEGIN")
    return Engines(parsed, writer, reader)


def _pooled(url: URL, connections: int) -> AsyncEngine:
    return create_async_engine(
        url, pool_size=connections, max_overflow=0, pool_timeout=POOL_TIMEOUT, json_serializer=_as_json
    )


def parse_url(url: str) -> URL:
    """A database's URL. Raises StoreError for one that is none."""
    try:
        parsed = make_url("sqlite:///:memory:" if url == ":memory:" else url)
        backend = parsed.get_backend_name()
    except ArgumentError:
        backend = ""
    if backend == "postgres":  # the older spelling, which many tools still print
        parsed, backend = parsed.set(drivername="postgresql"), "postgresql"
    if backend not in ("sqlite", "postgresql"):
        raise StoreError("is no database; write sqlite:///FILE, postgresql://USER:PASSWORD@HOST/NAME or :memory:")
    return parsed


def _set_up_sqlite(engine: AsyncEngine, begin: str, *, durable: bool = True) -> None:
    @sa.event.listens_for(engine.sync_engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        # The driver's own BEGIN comes too late (with the first write); SQLAlchemy's "begin" event sends ours.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {round(BUSY_TIMEOUT * 1000)}")
        if durable:
            cursor.execute("PRAGMA journal_mode = WAL")
            # FULL: a commit is on the disk when it returns, so that a power cut loses nothing that was acknowledged.
            cursor.execute("PRAGMA synchronous = FULL")
            # What a long reader (a backup) makes it grow to is given back to the disk.
            cursor.execute(f"PRAGMA journal_size_limit = {LARGEST_LOG}")
        cursor.close()

    @sa.event.listens_for(engine.sync_engine, "begin")
    def began(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)


def reason(error: Exception) -> str:
    """A database's complaint in one line."""
    original = getattr(error, "orig", None) or error
    if isinstance(original, TimeoutError) and not str(original):
        return "it did not answer in time"
    return " ".join(str(original).split())[:300] or type(original).__name__


def senseless(error: DBAPIError) -> bool:
    """Whether the database understood us, and what was asked of it makes no sense: a value that it cannot hold, or a
    statement that is none. Trying again would not mend that."""
    if isinstance(error, DataError | ProgrammingError):
        return True
    # PostgreSQL's classes 22 and 42; what asyncpg finds wrong before it sends it is a ValueError.
    state = str(getattr(error.orig, "sqlstate", None) or "")
    return state[:2] in ("22", "42") or isinstance(getattr(error.orig, "__cause__", None), ValueError)
