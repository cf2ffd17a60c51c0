"""A database, opened: reads, and writes that are committed before anybody is told of them.

    store = await Store.open("sqlite:///./trunkline.db")
    async with store.read() as connection:
        rows = (await connection.execute(sa.select(tables.flows))).mappings().all()
    async with store.write() as transaction:
        await transaction.execute(sa.insert(tables.flows), {...})
        transaction.changed("flow", flow_id)
        transaction.event("number_created", customer_id, {...})

A write is one transaction. It is rolled back when its block raises, and committed when the block ends; only then are
its hooks called.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol, Self
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection

from routing.identifiers import NIL
from store.database import tables
from store.database.bulk import BulkWrite, next_ids
from store.database.engines import Engines, open_engines
from store.database.vault import Vault
from store.event_types import EventType
from store.migrations.upgrade import upgrade

# Taken at the end of every transaction that appends to `changes` or `events` on PostgreSQL: without it a row could
# become visible after one with a higher id, and whoever reads on from the highest id it has seen would miss it.
_APPEND_LOCK = 0x7472756E  # "trun"
_EVENTS = BulkWrite(tables.events)


KEY_LENGTH: Final = 64
"""Characters that the `key` of a change has at most."""


@dataclass(slots=True, frozen=True)
class Change:
    """One resource that is no longer what it was. `kind`: number, provider, route, flow, customer, extension, agent,
    accesskey, webhook, queue, conference, contact (to be ended). `key` is the number itself, for numbers, and the name
    of an extension."""

    kind: str
    resource_id: UUID
    key: str = ""


@dataclass(slots=True, frozen=True)
class Event:
    """One piece of news for a customer (the nil UUID: for the platform alone); `id` grows with the commits, `tm` is the
    moment when it happened."""

    id: int
    customer_id: UUID
    type: str
    data: Mapping[str, Any]
    tm: datetime


class Executor(Protocol):
    """A connection or a transaction."""

    async def execute(self, statement: Any, /) -> sa.CursorResult[Any]: ...


class Transaction:
    """A write in progress: statements, and what others are told once they are committed."""

    def __init__(self, connection: AsyncConnection, now: datetime) -> None:
        self.connection = connection
        self.now = now
        """The moment that every timestamp of this write takes."""
        self.changes: list[Change] = []
        self.news: list[tuple[UUID, EventType, Mapping[str, Any], datetime]] = []

    async def execute(
        self, statement: sa.Executable, values: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    ) -> sa.CursorResult[Any]:
        """Run a statement; with a sequence of values, once for each."""
        return await self.connection.execute(statement, values)

    def changed(self, kind: str, resource_id: UUID, key: str = "") -> None:
        """Every directory that holds this resource has to read it again."""
        self.changes.append(Change(kind, resource_id, key))

    def event(self, kind: EventType, customer_id: UUID, data: Mapping[str, Any], tm: datetime | None = None) -> None:
        """News for webhooks and event streams; `data` is JSON. `tm`: when it happened, where that is not now."""
        self.news.append((customer_id, kind, data, tm or self.now))


@dataclass(slots=True)
class CommitHooks:
    """Called in the loop after each commit of this process; they must be quick and must not raise."""

    changes: list[Callable[[Sequence[Change]], None]] = field(default_factory=list)
    events: list[Callable[[Sequence[Event]], None]] = field(default_factory=list)


def utc_now() -> datetime:
    """Now, in UTC."""
    return datetime.now(UTC)


class Store:
    """An open database. Made by `open`."""

    def __init__(self, engines: Engines, clock: Callable[[], datetime] = utc_now) -> None:
        self.engines = engines
        self.clock = clock
        # A clock that was given goes before all others.
        self._common_clock = engines.dialect == "postgresql" and clock is utc_now
        self.hooks = CommitHooks()
        self.vault = Vault()
        """Seals and opens secrets; without a key until `store.maintenance.encryption.unlock` has given it some."""

    @classmethod
    async def open(cls, url: str, clock: Callable[[], datetime] = utc_now) -> Self:
        """Connect, and bring the database up to date. `url`: `sqlite:///FILE`, `:memory:` or
        `postgresql://USER:PASSWORD@HOST/DATABASE`. Raises StoreError, a sentence for the user."""
        engines = open_engines(url)
        try:
            await upgrade(engines)
        except BaseException:
            await engines.close()
            raise
        return cls(engines, clock)

    async def common_now(self, executor: Executor) -> datetime:
        """Now, by a clock that all nodes have in common: theirs may differ by minutes. On SQLite it is this machine's,
        as they are all on it."""
        if not self._common_clock:
            return self.clock()
        now: datetime = (await executor.execute(sa.select(sa.func.clock_timestamp()))).scalar_one()
        return now

    async def close(self) -> None:
        """Close all connections. What is being written is finished first."""
        await self.engines.close()

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.engines.dialect

    @property
    def url(self) -> str:
        """The database's URL without its password, for people."""
        return self.engines.shown_url

    @property
    def address(self) -> URL:
        """The database's URL with its password, for connections of other kinds."""
        return self.engines.url

    @property
    def shared(self) -> bool:
        """Whether other processes can be on this database too (not so for `:memory:`)."""
        return not self.engines.in_memory

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection to read from; what it sees is of one moment within one statement."""
        async with self.engines.read() as connection:
            yield connection

    @asynccontextmanager
    async def write(self, *, urgent: bool = False) -> AsyncIterator[Transaction]:
        """A transaction. Committed when the block ends. A task that is cancelled during the commit learns of it when
        the commit is over and the hooks have been called.

        urgent: Goes before others that wait for their turn (SQLite has one writer): for what writes much at a time.
        """
        async with self.engines.write(urgent=urgent) as connection:
            transaction = Transaction(connection, self.clock())
            yield transaction
            committed = await self._append(transaction)
            cancelled = await to_its_end(connection.commit())
            # Before anything else is awaited: what is committed is told, whatever becomes of this task.
            if transaction.changes:
                for listen in self.hooks.changes:
                    listen(transaction.changes)
            if committed:
                for tell in self.hooks.events:
                    tell(committed)
            if cancelled is not None:
                raise cancelled

    async def _append(self, transaction: Transaction) -> list[Event]:
        if not transaction.changes and not transaction.news:
            return []
        connection, now = transaction.connection, transaction.now
        if self.dialect == "postgresql":
            await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_APPEND_LOCK)))
        if transaction.changes:
            rows = [
                {"kind": change.kind, "resource_id": change.resource_id, "key": change.key, "tm_create": now}
                for change in dict.fromkeys(transaction.changes)
            ]
            await connection.execute(sa.insert(tables.changes), rows)
            if self.dialect == "postgresql":
                # Delivered by the server at the commit, and not at all when it fails.
                await connection.execute(sa.text("NOTIFY trunkline_changes"))
        if not transaction.news:
            return []
        ids = await next_ids(connection, tables.events, len(transaction.news))
        news = [
            {"id": number, "customer_id": customer or NIL, "type": kind, "data": data, "tm_create": tm}
            for number, (customer, kind, data, tm) in zip(ids, transaction.news, strict=True)
        ]
        await _EVENTS.write(connection, news)
        if self.dialect == "postgresql":
            await connection.execute(sa.text("NOTIFY trunkline_events"))
        return [
            Event(number, customer, kind, data, tm)
            for number, (customer, kind, data, tm) in zip(ids, transaction.news, strict=True)
        ]


async def to_its_end(work: Coroutine[Any, Any, None]) -> asyncio.CancelledError | None:
    """Wait for `work`, however often this task is cancelled meanwhile. The cancellation, for the caller to raise."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as error:
            cancelled = error
    try:
        task.result()
    except Exception as error:
        if cancelled is not None:
            raise cancelled from error
        raise
    return cancelled
