"""What a configuration file declares, merged into the store: by name, and in one transaction.

What the file says is added or changed, and marked with the file's path; what it said before and says no longer is
deleted. A row that the API made under the same name becomes the file's and keeps its id, so that whatever refers to it
still does. What is equal is not touched.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID, uuid4

import sqlalchemy as sa

from routing.identifiers import NIL, PLATFORM, route_id
from routing.models.number import Number
from routing.models.provider import Provider
from routing.models.route import Route
from store.database import tables
from store.database.errors import StoreError
from store.database.vault import Vault, transform_secrets
from store.directory.mapping import Row, number_row, provider_row, route_row
from store.feed import EVERYTHING
from store.store import KEY_LENGTH, Store, Transaction

AT_ONCE: Final = 250
"""Rows in one statement, and between two looks at the network."""
MANY: Final = 20_000
"""Changes of which each node reads everything rather than one after the other."""

_MERGE_LOCK = 0x6D657267  # "merg"

Key = Hashable


@dataclass(kw_only=True, slots=True)
class Declarations:
    """One file's resources. `flows` are rows: id, customer_id, name, detail, actions, on_complete_flow_id and media; so
    are extensions, agents, queues and conferences, with all columns that the file decides."""

    source: str
    providers: Sequence[Provider] = ()
    routes: Sequence[Route] = ()
    numbers: Sequence[Number] = ()
    flows: Sequence[Row] = ()
    extensions: Sequence[Row] = ()
    agents: Sequence[Row] = ()
    queues: Sequence[Row] = ()
    conferences: Sequence[Row] = ()


@dataclass(slots=True)
class Merge:
    """What a merge did, by kind. `taken`: how many rows of each kind another file had declared, by its path."""

    added: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    removed: Counter[str] = field(default_factory=Counter)
    taken: dict[str, Counter[str]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """How many rows were touched."""
        return self.added.total() + self.changed.total() + self.removed.total()


@dataclass(kw_only=True, slots=True, frozen=True)
class _Kind:
    """How rows of a table are told apart: `key` of a row, and the column that is asked for to find them. `refused`: why
    a row of the API cannot become the file's, "" where it can."""

    kind: str
    table: sa.Table
    key: Callable[[Row], Key]
    column: str
    kept: frozenset[str] = frozenset()
    """Columns that stay as they are where the file says nothing (None)."""
    initial: frozenset[str] = frozenset()
    """Columns that the file decides for a new row alone."""
    refused: Callable[[Row, Row], str] = lambda _old, _new: ""
    same: Callable[[str, Any, Any], bool] = lambda _name, old, new: bool(old == new)
    told: str = ""
    """The column that is the `key` of its changes; "" for none."""


def _same_in_flows(name: str, old: Any, new: Any) -> bool:
    """Actions without an id of their author's get one at every reading of the file: such ids make no difference."""
    if name != "actions" or len(old) != len(new):
        return bool(old == new)
    return all(
        before == after or (before | {"id": ""} == after | {"id": ""} and _made_up(after["id"]))
        for before, after in zip(old, new, strict=True)
    )


def _made_up(identifier: str) -> bool:
    try:
        return UUID(identifier).version == 4
    except ValueError:
        return False


_FLOWS = _Kind(
    kind="flow",
    table=tables.flows,
    key=lambda row: (row["customer_id"], row["name"]),
    column="name",
    same=_same_in_flows,
)
_PROVIDERS = _Kind(kind="provider", table=tables.providers, key=lambda row: row["name"], column="name")
_ROUTES = _Kind(
    kind="route",
    table=tables.routes,
    key=lambda row: (row["customer_id"], row["target"], row["provider_id"], row["priority"]),
    column="provider_id",
)


def _somebody_elses(old: Row, new: Row) -> str:
    """An agent may log in: nobody comes into a file, and with it into the platform, who may do more than take calls."""
    if old["customer_id"] != new["customer_id"]:
        return f"the agent {new['name']!r} cannot be declared: another customer has a user of that name; choose another"
    if old["permission"] != "customer_agent":
        what = f"that user exists, and may do more than an agent ({old['permission']})"
        return f"the agent {new['name']!r} cannot be declared: {what}; choose another name"
    return ""


_AGENTS = _Kind(
    kind="agent",
    table=tables.agents,
    key=lambda row: row["username"],
    column="username",
    initial=frozenset({"password_hash", "permission", "status"}),
    refused=_somebody_elses,
)
_QUEUES = _Kind(kind="queue", table=tables.queues, key=lambda row: (row["customer_id"], row["name"]), column="name")
_CONFERENCES = _Kind(
    kind="conference", table=tables.conferences, key=lambda row: (row["customer_id"], row["name"]), column="name"
)
_NUMBERS = _Kind(
    kind="number",
    table=tables.numbers,
    key=lambda row: row["number"],
    column="number",
    kept=frozenset({"tm_purchase"}),
    told="number",
)


def _another_customers(old: Row, new: Row) -> str:
    """Whoever has registered as it goes on to: nobody's phones become somebody else's."""
    if {old["customer_id"], new["customer_id"]} in ({NIL, PLATFORM}, {old["customer_id"]}):
        return ""
    return f"the extension {new['name']!r} cannot be declared: another customer has one of that name; choose another"


_EXTENSIONS = _Kind(
    kind="extension",
    table=tables.extensions,
    key=lambda row: row["name"],
    column="name",
    refused=_another_customers,
    told="name",
)


async def merge(store: Store, declared: Declarations) -> Merge:
    """Make the store's rows what the file declares. Raises StoreError, or SQLAlchemy's DBAPIError; nothing has changed
    then."""
    done = Merge()
    async with store.write() as transaction:
        if store.dialect == "postgresql":
            # Nodes that start together merge one after the other.
            await transaction.execute(sa.select(sa.func.pg_advisory_xact_lock(_MERGE_LOCK)))
        merging = _Merging(transaction, declared.source, done, store.vault)
        flow_ids = await merging.merge(_FLOWS, [dict(row) for row in declared.flows])
        provider_ids = await merging.merge(_PROVIDERS, [provider_row(provider) for provider in declared.providers])
        await merging.merge(_ROUTES, [_with_provider(route_row(route), provider_ids) for route in declared.routes])
        await merging.merge(_NUMBERS, await _numbers(declared.numbers, flow_ids, provider_ids))
        await merging.merge(_EXTENSIONS, [_with_flow(row, flow_ids) for row in declared.extensions])
        agent_ids = await merging.merge(_AGENTS, [dict(row) for row in declared.agents])
        replaced = flow_ids | agent_ids
        await merging.merge(_QUEUES, [_renamed(row, replaced) if replaced else dict(row) for row in declared.queues])
        await merging.merge(_CONFERENCES, [dict(row) for row in declared.conferences])
        if len(transaction.changes) > MANY:
            transaction.changes[:] = [EVERYTHING]
    return done


async def _numbers(
    numbers: Iterable[Number], flow_ids: Mapping[UUID, UUID], provider_ids: Mapping[UUID, UUID]
) -> list[dict[str, Any]]:
    found = []
    for place, number in enumerate(numbers):
        row = number_row(number)
        row["provider_id"] = provider_ids.get(row["provider_id"], row["provider_id"])
        for name in ("call_flow_id", "message_flow_id"):
            row[name] = flow_ids.get(row[name], row[name])
        found.append(row)
        if place % AT_ONCE == 0:
            await asyncio.sleep(0)
    return found


def _with_flow(row: Row, flow_ids: Mapping[UUID, UUID]) -> dict[str, Any]:
    return {**row, "call_flow_id": flow_ids.get(row["call_flow_id"], row["call_flow_id"])}


def _with_provider(row: dict[str, Any], provider_ids: Mapping[UUID, UUID]) -> dict[str, Any]:
    known = provider_ids.get(row["provider_id"])
    if known is not None:
        parts = row["customer_id"], row["target"], row["provider_id"], row["priority"]
        if row["id"] == route_id(*parts):
            row["id"] = route_id(row["customer_id"], row["target"], known, row["priority"])
        row["provider_id"] = known
    return row


def _renamed(value: Any, ids: Mapping[UUID, UUID]) -> Any:
    """The value with one id in place of another, wherever it stands as text."""
    texts = {str(old): str(new) for old, new in ids.items()}

    def walk(inner: Any) -> Any:
        if isinstance(inner, dict):
            return {key: walk(item) for key, item in inner.items()}
        if isinstance(inner, list):
            return [walk(item) for item in inner]
        return texts.get(inner, inner) if isinstance(inner, str) else inner

    return walk(value)


class _Merging:
    def __init__(self, transaction: Transaction, source: str, done: Merge, vault: Vault) -> None:
        self._transaction = transaction
        self._vault = vault
        self._source = source
        self._done = done

    async def merge(self, kind: _Kind, wanted: Sequence[dict[str, Any]]) -> dict[UUID, UUID]:
        """Make the rows of one kind what is wanted. Returns the store's ids in place of the file's, where they
        differ."""
        known = await self._known(kind, wanted)
        pairs, ids = await self._matched(kind, wanted, known)
        if kind is _FLOWS and ids:
            # Flows may name one another by their ids.
            pairs = [(old, _renamed(row, ids)) for old, row in pairs]
        added: list[dict[str, Any]] = []
        changed: list[dict[str, Any]] = []
        gone = dict(known.ours)
        for place, (old, row) in enumerate(pairs):
            if old is None:
                added.append(row)
            else:
                gone.pop(old["id"], None)
                self._compare(kind, old, row, changed)
            if place % AT_ONCE == 0:
                await asyncio.sleep(0)
        # First what is gone: another row may take its name.
        await self._delete(kind, list(gone.values()))
        await self._update(kind, changed)
        await self._insert(kind, added)
        return ids

    async def _matched(
        self, kind: _Kind, wanted: Sequence[dict[str, Any]], known: "_Known"
    ) -> tuple[list[tuple[Row | None, dict[str, Any]]], dict[UUID, UUID]]:
        """Each wanted row beside the one that it is in the store, and the ids that this changes."""
        ids: dict[UUID, UUID] = {}
        by_key = [known.living.get(kind.key(row)) for row in wanted]
        taken = {old["id"] for old in by_key if old is not None}
        pairs: list[tuple[Row | None, dict[str, Any]]] = []
        for place, (old, row) in enumerate(zip(by_key, wanted, strict=True)):
            if place % AT_ONCE == 0:
                await asyncio.sleep(0)
            row["declared_in"] = self._source
            if old is None and row["id"] in taken:
                ids[row["id"]] = row["id"] = uuid4()  # the id of a row that has found another name in the file
            elif old is None:
                old = known.by_id.get(row["id"])
            elif old["id"] != row["id"]:
                ids[row["id"]] = row["id"] = old["id"]
            pairs.append((old, row))
        return pairs, ids

    def _compare(self, kind: _Kind, old: Row, row: dict[str, Any], changed: list[dict[str, Any]]) -> None:
        for name in kind.kept:
            if row[name] is None:
                row[name] = old[name]
        if old["tm_delete"] is None:
            if not old["declared_in"] and (problem := kind.refused(old, row)):
                raise StoreError(problem)
            row = {name: value for name, value in row.items() if name not in kind.initial}
        if old["tm_delete"] is None and all(kind.same(name, old[name], value) for name, value in row.items()):
            return
        if old["tm_delete"] is None and old["declared_in"] not in ("", self._source):
            self._done.taken.setdefault(old["declared_in"], Counter())[kind.kind] += 1
        if kind.told and old[kind.told] != row[kind.told]:
            self._transaction.changed(kind.kind, old["id"], old[kind.told][:KEY_LENGTH])
        changed.append(row)

    async def _known(self, kind: _Kind, wanted: Sequence[Row]) -> "_Known":
        """The rows that this merge is about: this file's, those with a wanted name, and those with a wanted id, which
        may be deleted."""
        table, known = kind.table, _Known()
        living = table.c.tm_delete.is_(None)
        for place, row in enumerate(await self._select(table, table.c.declared_in == self._source, living)):
            if place % AT_ONCE == 0:
                await asyncio.sleep(0)
            known.ours[row["id"]] = row
            # The oldest of several counts, but this file's own before any other.
            known.living.setdefault(kind.key(row), row)
        missing = [row for row in wanted if kind.key(row) not in known.living]
        for values in _portions(list(dict.fromkeys(row[kind.column] for row in missing))):
            for row in await self._select(table, table.c[kind.column].in_(values), living):
                known.living.setdefault(kind.key(row), row)
        for ids in _portions([row["id"] for row in missing if kind.key(row) not in known.living]):
            for row in await self._select(table, table.c.id.in_(ids)):
                known.by_id[row["id"]] = row
        return known

    async def _select(self, table: sa.Table, *where: Any) -> list[Row]:
        """Rows oldest first, read in portions: those of a large file would hold up every call."""
        found: list[Row] = []
        query = sa.select(table).where(*where).execution_options(yield_per=AT_ONCE)
        async with self._transaction.connection.stream(query) as result:
            async for some in result.mappings().partitions():
                found += [transform_secrets(table, dict(row), self._vault.open) for row in some]
        found.sort(key=lambda row: row["tm_create"])
        return found

    async def _insert(self, kind: _Kind, rows: Sequence[dict[str, Any]]) -> None:
        now = self._transaction.now
        for some in _portions(rows):
            made = [
                transform_secrets(kind.table, row, self._vault.seal) | {"tm_create": now, "tm_update": now}
                for row in some
            ]
            await self._transaction.execute(sa.insert(kind.table), made)
            self._changed(kind, made)
        if rows:
            self._done.added[kind.kind] += len(rows)

    async def _update(self, kind: _Kind, rows: Sequence[dict[str, Any]]) -> None:
        # Those that come back have more columns than those that are there.
        for columns in dict.fromkeys(tuple(row) for row in rows):
            await self._update_alike(kind, [row for row in rows if tuple(row) == columns])
        if rows:
            self._done.changed[kind.kind] += len(rows)

    async def _update_alike(self, kind: _Kind, rows: Sequence[dict[str, Any]]) -> None:
        names = [name for name in rows[0] if name != "id"]
        values: dict[str, Any] = {name: sa.bindparam(f"new_{name}") for name in names}
        statement = (
            sa.update(kind.table)
            .where(kind.table.c.id == sa.bindparam("old_id"))
            .values(values | {"tm_update": self._transaction.now, "tm_delete": None})
        )
        for some in _portions(rows):
            kept = [transform_secrets(kind.table, row, self._vault.seal) for row in some]
            made = [{f"new_{name}": row[name] for name in names} | {"old_id": row["id"]} for row in kept]
            await self._transaction.execute(statement, made)
            self._changed(kind, some)

    async def _delete(self, kind: _Kind, rows: Sequence[Row]) -> None:
        now, table = self._transaction.now, kind.table
        for some in _portions(rows):
            where = table.c.id.in_([row["id"] for row in some])
            await self._transaction.execute(sa.update(table).where(where).values(tm_update=now, tm_delete=now))
            self._changed(kind, some)
        if rows:
            self._done.removed[kind.kind] += len(rows)

    def _changed(self, kind: _Kind, rows: Iterable[Row]) -> None:
        for row in rows:
            key = row[kind.told][:KEY_LENGTH] if kind.told else ""
            self._transaction.changed(kind.kind, row["id"], key)


class _Known:
    """Rows that the store has: this file's by id, the living ones by key, others by id."""

    def __init__(self) -> None:
        self.ours: dict[UUID, Row] = {}
        self.living: dict[Key, Row] = {}
        self.by_id: dict[UUID, Row] = {}


def _portions(rows: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (rows[start : start + AT_ONCE] for start in range(0, len(rows), AT_ONCE))
