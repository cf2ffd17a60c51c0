"""What the tests of the feed share: a store with a directory that follows it, and rows to put into it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from routing.directory.directory import Directory
from routing.models.number import Number
from routing.models.provider import Provider
from routing.models.route import Route
from store import rows
from store.cluster.notifications import PostgresNotifications, RedisNotifications
from store.database import tables
from store.directory.mapping import Row, number_row, provider_row, route_row
from store.directory.sync import DirectorySync
from store.feed import ChangeFeed
from store.store import Store, Transaction

BOUND = 30.0  # s, for what takes milliseconds


class Shelf:
    """Flows as rows, by id."""

    def __init__(self) -> None:
        self.rows: dict[UUID, Row] = {}

    async def replace(self, found: Sequence[Row]) -> None:
        self.rows = {row["id"]: row for row in found}

    def put(self, row: Row) -> None:
        self.rows[row["id"]] = row

    def remove(self, flow_id: UUID) -> None:
        self.rows.pop(flow_id, None)


class Lines:
    """A log that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def info(self, event: str, **values: Any) -> None:
        self.lines.append(("info", event, values))

    def warning(self, event: str, **values: Any) -> None:
        self.lines.append(("warning", event, values))

    def error(self, event: str, **values: Any) -> None:
        self.lines.append(("error", event, values))

    def events(self, level: str = "") -> list[str]:
        return [event for found, event, _ in self.lines if level in ("", found)]


class Process:
    """What one process has: a store, a directory and the feed between them; and what hears other processes."""

    notices: PostgresNotifications | RedisNotifications

    def __init__(self, store: Store, poll: float, limit: int) -> None:
        self.store = store
        self.directory = Directory(limit)
        self.shelf = Shelf()
        self.log = Lines()
        self.told = 0
        """How often others have told it to look."""
        self.feed = ChangeFeed(store, DirectorySync(store, self.directory, self.shelf, self.log), self.log, poll=poll)

    def look(self) -> None:
        self.told += 1
        self.feed.look()

    async def settled(self) -> None:
        async with asyncio.timeout(BOUND):
            await self.feed.settled()


@asynccontextmanager
async def process(
    url: str, *, poll: float = 3600.0, limit: int = 1_000_000, listen: bool = False, redis: str = ""
) -> AsyncIterator[Process]:
    """A process on this database. By default it never looks by itself, so that what comes came by a notice: of
    PostgreSQL with `listen`, of this Redis server with `redis`."""
    async with AsyncExitStack() as stack:
        store = await Store.open(url)
        stack.push_async_callback(store.close)
        made = Process(store, poll, limit)
        stack.push_async_callback(made.feed.close)
        await made.feed.start()
        if listen or redis:
            heard = {"changes": made.look}
            made.notices = (
                RedisNotifications(redis, store, heard, made.log)
                if redis
                else PostgresNotifications(store, heard, made.log)
            )
            made.notices.start()
            stack.push_async_callback(made.notices.close)
            await until(lambda: made.notices.connected)
        yield made


async def until(condition: Callable[[], Any]) -> None:
    """Waits until the condition holds."""
    async with asyncio.timeout(BOUND):
        while not condition():  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.001)


async def add_number(transaction: Transaction, number: str, **values: Any) -> Row:
    row = await rows.insert(transaction, tables.numbers, number_row(Number(number=number, id=uuid4(), **values)))
    transaction.changed("number", row["id"], number)
    return row


async def add_provider(transaction: Transaction, name: str, **values: Any) -> Row:
    values = {"hostname": "192.0.2.1", "id": uuid4()} | values
    row = await rows.insert(transaction, tables.providers, provider_row(Provider(name=name, **values)))
    transaction.changed("provider", row["id"])
    return row


async def add_route(transaction: Transaction, provider_id: UUID, **values: Any) -> Row:
    row = await rows.insert(transaction, tables.routes, route_row(Route(provider_id=provider_id, **values)))
    transaction.changed("route", row["id"])
    return row


async def add_flow(transaction: Transaction, name: str, **values: Any) -> Row:
    row = await rows.insert(transaction, tables.flows, {"name": name, "actions": [{"type": "answer"}]} | values)
    transaction.changed("flow", row["id"])
    return row


async def delete(transaction: Transaction, table: sa.Table, kind: str, row: Row) -> None:
    await rows.soft_delete(transaction, table, row["id"])
    transaction.changed(kind, row["id"], row.get("number", "") if kind == "number" else "")
