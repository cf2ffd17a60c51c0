"""Keeps the routing directory, and the flows, like the store: everything at once, and change by change."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol
from uuid import UUID

import sqlalchemy as sa
from pydantic import ValidationError

from engine.log import Log
from routing.directory.directory import Directory
from routing.directory.row_factory import EXTENSION_COLUMNS, NUMBER_COLUMNS, ROUTE_COLUMNS, RowFactory
from routing.directory.snapshot import Snapshot
from store.database import tables
from store.database.vault import SecretUnreadable, transform_secrets
from store.directory.loading import flow_rows, load, unlocking
from store.directory.mapping import Row, provider_of, terms_of
from store.store import Change, Store

ASKED_AT_ONCE: Final = 500
"""Keys in one query."""
DISCARDED_AT_ONCE: Final = 2_000


class FlowSink(Protocol):
    """Where flows go: whoever compiles them. A row that is no sound flow (any more) is logged and left out."""

    async def replace(self, rows: Sequence[Row]) -> None:
        """These rows of `flows`, and no others."""

    def put(self, row: Row) -> None:
        """This flow is new or has changed."""

    def remove(self, flow_id: UUID) -> None:
        """This flow is gone."""


class DirectorySync:
    """The `Applier` of the change feed for what calls are decided by. Other kinds of changes are passed over."""

    def __init__(self, store: Store, directory: Directory, flows: FlowSink, log: Log) -> None:
        self._store = store
        self._directory = directory
        self._flows = flows
        self._log = log
        self._maker = RowFactory()
        self._unlock = unlocking(store, self._skipped)
        self._built: Snapshot | None = None
        self._flow_rows: Sequence[Row] = ()

    # ---- everything

    async def load(self) -> None:
        """Build what the store holds, aside. Raises StoreError, or SQLAlchemy's DBAPIError."""
        self._built = None
        self._flow_rows = await flow_rows(self._store)
        self._built = await load(self._store, self._skipped, limit=self._directory.limit)

    async def put_in_place(self, since: Sequence[Change]) -> None:
        """Bring what was built up to date, and let it replace the old."""
        assert self._built is not None
        scratch = Directory(self._directory.limit)
        scratch.swap(self._built)
        self._built = None
        await self._apply(scratch, since)
        await self._flows.replace(self._flow_rows)
        self._flow_rows = ()
        await self._apply_flows([change.resource_id for change in since if change.kind == "flow"])
        for provider in scratch.providers:
            # Names were looked up for the old content; whoever calls from there is still that trunk's.
            scratch.set_resolved_addresses(provider.id, self._directory.resolved_addresses(provider.id))
        old = self._directory.swap(scratch.swap(Snapshot()))
        left = True
        while left:
            left = old.discard(DISCARDED_AT_ONCE)
            await asyncio.sleep(0)

    # ---- change by change

    async def apply(self, changes: Sequence[Change]) -> None:
        """Read these resources again. Raises StoreError, or SQLAlchemy's DBAPIError."""
        await self._apply_flows([change.resource_id for change in changes if change.kind == "flow"])
        await self._apply(self._directory, changes)

    async def _apply(self, directory: Directory, changes: Sequence[Change]) -> None:
        by_kind: dict[str, list[Change]] = {}
        for change in changes:
            by_kind.setdefault(change.kind, []).append(change)
        # What others refer to comes first.
        await self._apply_customers(directory, _ids(by_kind.get("customer", ())))
        await self._apply_providers(directory, _ids(by_kind.get("provider", ())))
        await self._apply_routes(directory, _ids(by_kind.get("route", ())))
        await self._apply_extensions(directory, _ids(by_kind.get("extension", ())))
        await self._apply_numbers(directory, [change.key for change in by_kind.get("number", ()) if change.key])

    async def _apply_flows(self, ids: Sequence[UUID]) -> None:
        found = await self._by_id(tables.flows, ids)
        for flow_id in ids:
            if flow_id in found:
                self._flows.put(found[flow_id])
            else:
                self._flows.remove(flow_id)

    async def _apply_customers(self, directory: Directory, ids: Sequence[UUID]) -> None:
        found = await self._by_id(tables.customers, ids)
        for customer_id in ids:
            if customer_id in found:
                directory.put_customer(terms_of(found[customer_id]))
            else:
                directory.remove_customer(customer_id.int)

    async def _apply_providers(self, directory: Directory, ids: Sequence[UUID]) -> None:
        found = await self._by_id(tables.providers, ids)
        for provider_id in ids:
            row = found.get(provider_id)
            is_new = directory.provider(provider_id) is None
            if row is not None:
                try:
                    directory.put_provider(
                        provider_of(transform_secrets(tables.providers, row, self._store.vault.open))
                    )
                except (ValidationError, SecretUnreadable) as error:
                    self._skipped("provider", provider_id, error)
                    row = None
            if row is None:
                _remove_provider(directory, provider_id)
            elif is_new:
                # It may have had routes before it was deleted, and they were of no use without it.
                where = tables.routes.c.provider_id == provider_id
                for columns in await self._rows(tables.routes, ROUTE_COLUMNS, where):
                    directory.put_route(self._maker.route_from(columns))

    async def _apply_routes(self, directory: Directory, ids: Sequence[UUID]) -> None:
        place = ROUTE_COLUMNS.index("id")
        found = {
            columns[place]: self._maker.route_from(columns)
            for some in _portions(ids)
            for columns in await self._rows(tables.routes, ROUTE_COLUMNS, tables.routes.c.id.in_(some))
        }
        for route_id in ids:
            row = found.get(route_id)
            if row is not None and directory.trunk(row.provider) is not None:
                directory.put_route(row)
            else:
                directory.remove_route(route_id)

    async def _apply_extensions(self, directory: Directory, ids: Sequence[UUID]) -> None:
        table, place = tables.extensions, EXTENSION_COLUMNS.index("id")
        for some in _portions(ids):
            rows = await self._rows(table, EXTENSION_COLUMNS, table.c.id.in_(some))
            found = {columns[place]: columns for columns in rows}
            for extension_id in some:
                if extension_id not in found:
                    directory.remove_extension(extension_id)
                    continue
                try:
                    directory.put_extension(self._maker.extension_from(found[extension_id], self._unlock))
                except ValueError as error:
                    directory.remove_extension(extension_id)
                    self._skipped("extension", extension_id, error)
            await asyncio.sleep(0)

    async def _apply_numbers(self, directory: Directory, numbers: Sequence[str]) -> None:
        # By the number and not by its id: a number that was given back may be somebody else's by now, with another id.
        for some in _portions(list(dict.fromkeys(numbers))):
            rows = await self._rows(tables.numbers, NUMBER_COLUMNS, tables.numbers.c.number.in_(some))
            found = {columns[0]: columns for columns in rows}
            for number in some:
                columns = found.get(number)
                try:
                    made = None if columns is None else self._maker.number_from(columns)
                except ValueError as error:
                    made = None
                    self._skipped("number", number, error)
                if made is None:
                    directory.remove_number(number)
                else:
                    directory.put_number(made)
            await asyncio.sleep(0)

    async def _by_id(self, table: sa.Table, ids: Sequence[UUID]) -> Mapping[UUID, Row]:
        found: dict[UUID, Row] = {}
        for some in _portions(ids):
            query = sa.select(table).where(table.c.id.in_(some), table.c.tm_delete.is_(None))
            async with self._store.read() as connection:
                found.update({row["id"]: dict(row) for row in (await connection.execute(query)).mappings()})
        return found

    async def _rows(self, table: sa.Table, names: Sequence[str], where: Any) -> Sequence[Sequence[Any]]:
        columns = [table.c[name] for name in names]
        query = sa.select(*columns).where(table.c.tm_delete.is_(None), where)
        async with self._store.read() as connection:
            return (await connection.execute(query)).all()

    def _skipped(self, kind: str, identifier: Any, error: Exception) -> None:
        fault = " ".join(str(error).split())[:300]
        self._log.error(
            "a row of the store cannot be used: correct or delete it", kind=kind, id=str(identifier), fault=fault
        )


def _ids(changes: Iterable[Change]) -> list[UUID]:
    return list(dict.fromkeys(change.resource_id for change in changes))


def _portions(keys: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (keys[start : start + ASKED_AT_ONCE] for start in range(0, len(keys), ASKED_AT_ONCE))


def _remove_provider(directory: Directory, provider_id: UUID) -> None:
    for row in [row for row in directory.routes if row.provider == provider_id.int]:
        directory.remove_route(row.id)
    directory.remove_provider(provider_id)
