"""Queues, agents and conferences in memory, as the store has them: read at the start, and again when they change."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar
from uuid import UUID

import sqlalchemy as sa
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from engine.log import Log
from engine.worker import WOKEN, Worker
from flows.calls.address import Address
from flows.queues.conferences import Conference
from flows.queues.model import Agent, Queue
from routing.identifiers import NIL, PLATFORM
from store.database import tables
from store.database.engines import reason
from store.database.errors import StoreError
from store.resources.agents import shown
from store.rows import Row
from store.store import Change, Store

RETRY: Final = 1.0  # s
READ_AT_ONCE: Final = 500

_Owned = TypeVar("_Owned", Queue, Conference, Agent)
_TABLES: Final = {"queue": tables.queues, "agent": tables.agents, "conference": tables.conferences}


class QueueDirectory:
    """A `QueueFinder` and a `ConferenceFinder`."""

    def __init__(self, store: Store, log: Log) -> None:
        self._store = store
        self._log = log
        self._queues: dict[UUID, Queue] = {}
        self._conferences: dict[UUID, Conference] = {}
        self._agents: dict[UUID, Agent] = {}
        self._tagged: dict[UUID, dict[UUID, None]] = {}
        self._changed: dict[str, set[UUID]] = {kind: set() for kind in _TABLES}
        self._all: set[str] = set()
        self._current = asyncio.Event()
        self._current.set()
        self._worker = Worker("queue directory", self._read_news, first=WOKEN, failed=self._failed)
        self._on_agent: list[Callable[[UUID, str], None]] = []
        self._on_read: list[Callable[[], None]] = []

    def subscribe(self, on_agent: Callable[[UUID, str], None], on_read: Callable[[], None]) -> None:
        """Have `on_agent` called with the id and the status of each agent that has changed ("" for one that is gone),
        and `on_read` when everything that had changed is read."""
        self._on_agent.append(on_agent)
        self._on_read.append(on_read)

    # ---- for flows

    def queue(self, reference: str, customer_id: UUID) -> Queue | None:
        """By its id or its name; those of other customers do not exist."""
        return _find(self._queues, reference, customer_id)

    def conference(self, reference: str, customer_id: UUID) -> Conference | None:
        """By its id or its name; those of other customers do not exist."""
        return _find(self._conferences, reference, customer_id)

    def agent_address(self, address: Address, customer_id: UUID) -> tuple[Address, UUID] | None:
        """Where an agent of the customer, named by its id or its name, is called: its first SIP URI or extension, and
        whose agent it is. Whether it is free is for queues to ask; who is called by name is called."""
        agent = _find(self._agents, address.target, customer_id) if address.type == "agent" else None
        if agent is None or (customer_id.int and agent.customer_id != customer_id):
            return None
        first = next((one for one in agent.addresses if one.type in ("sip", "extension")), None)
        return None if first is None else (first, agent.customer_id)

    def agents(self, queue: Queue) -> Sequence[Agent]:
        """Those of the queue that have an address."""
        ids = dict.fromkeys(queue.agent_ids)
        for tag_id in queue.tag_ids:
            ids |= self._tagged.get(tag_id, {})
        found = (self._agents.get(agent_id) for agent_id in ids)
        return [agent for agent in found if agent and agent.addresses and agent.customer_id == queue.customer_id]

    # ---- following the store

    async def start(self) -> None:
        """Read everything, and from then on what changes. Raises StoreError, or SQLAlchemy's errors."""
        for kind in _TABLES:
            await self._read_all(kind)
        self._worker.start()

    async def close(self) -> None:
        """End."""
        await self._worker.close()

    def changed(self, kind: str, change: Change | None) -> None:
        """Something of a kind has changed; None: anything may have."""
        if change is None:
            self._all.add(kind)
        else:
            self._changed[kind].add(change.resource_id)
        self._current.clear()
        self._worker.wake()

    async def settled(self) -> None:
        """Wait until all that it has been told of is read."""
        await self._current.wait()

    def _failed(self, error: Exception) -> float:
        if not isinstance(error, StoreError | SQLAlchemyError | OSError):
            raise error
        self._log.warning("queues not read", error=reason(error))
        return RETRY

    async def _read_news(self) -> None:
        for kind, changed in self._changed.items():
            if kind in self._all:
                await self._read_all(kind)
                self._all.discard(kind)
            while changed:
                ids = [changed.pop() for _ in range(min(len(changed), READ_AT_ONCE))]
                try:
                    await self._read_some(kind, ids)
                except BaseException:
                    changed.update(ids)
                    raise
        if not self._worker.woken:
            self._current.set()
        for told in self._on_read:
            told()

    async def _read_all(self, kind: str) -> None:
        table = _TABLES[kind]
        async with self._store.read() as connection:
            query = sa.select(table).where(table.c.tm_delete.is_(None)).order_by(table.c.tm_create, table.c.id)
            found = [dict(row) for row in (await connection.execute(query)).mappings()]
        there = {row["id"] for row in found}
        self._take(kind, found, [known for known in self._known(kind) if known not in there])

    async def _read_some(self, kind: str, ids: Sequence[UUID]) -> None:
        table = _TABLES[kind]
        async with self._store.read() as connection:
            query = sa.select(table).where(table.c.id.in_(ids), table.c.tm_delete.is_(None))
            found = [dict(row) for row in (await connection.execute(query)).mappings()]
        there = {row["id"] for row in found}
        self._take(kind, found, [asked for asked in ids if asked not in there])

    def _known(self, kind: str) -> dict[UUID, Any]:
        kinds: dict[str, dict[UUID, Any]]
        kinds = {"queue": self._queues, "agent": self._agents, "conference": self._conferences}
        return kinds[kind]

    def _take(self, kind: str, found: Iterable[Row], gone: Iterable[UUID]) -> None:
        known = self._known(kind)
        for identifier in gone:
            self._forget(kind, identifier)
        for row in found:
            try:
                made = _READERS[kind](row)
            except (ValidationError, ValueError, TypeError) as error:  # somebody wrote into the table by hand
                fault = " ".join(str(error).split())[:300]
                self._log.error(
                    f"a {kind} of the store cannot be used: correct or delete it", id=str(row["id"]), fault=fault
                )
                self._forget(kind, row["id"])
                continue
            if kind == "agent":
                self._index(made)
            known[row["id"]] = made
            if kind == "agent":
                self._tell(made.id, made.status)

    def _forget(self, kind: str, identifier: UUID) -> None:
        before = self._known(kind).pop(identifier, None)
        if kind == "agent" and before is not None:
            self._unindex(before)
            self._tell(identifier, "")

    def _tell(self, agent_id: UUID, status: str) -> None:
        for told in self._on_agent:
            told(agent_id, status)

    def _index(self, agent: Agent) -> None:
        before = self._agents.get(agent.id)
        if before is not None:
            if before.tag_ids == agent.tag_ids:
                return
            self._unindex(before)
        for tag_id in agent.tag_ids:
            self._tagged.setdefault(tag_id, {})[agent.id] = None

    def _unindex(self, agent: Agent) -> None:
        for tag_id in agent.tag_ids:
            tagged = self._tagged.get(tag_id)
            if tagged is not None:
                tagged.pop(agent.id, None)
                if not tagged:
                    del self._tagged[tag_id]


def _find(known: Mapping[UUID, _Owned], reference: str, customer_id: UUID) -> _Owned | None:
    """The one with this id, else the oldest with this name: of the customer, else of the platform.

    The numbers of a file are nobody's (the nil customer), what a super admin makes through the API is of the platform's
    own customer: a flow of the one finds the queues of the other by their names.
    """
    owners = (customer_id, NIL) if customer_id.int else (NIL, PLATFORM)
    try:
        found = known.get(UUID(reference))
    except ValueError:
        found = None
    if found is not None:
        return found if not customer_id.int or found.customer_id in owners else None
    named = [row for row in known.values() if row.name == reference and row.customer_id in owners]
    return min(named, key=lambda row: owners.index(row.customer_id), default=None)


def _ids(values: Iterable[Any]) -> list[UUID]:
    return [value if isinstance(value, UUID) else UUID(value) for value in values]


def queue_of(row: Row) -> Queue:
    """A row of `tables.queues` as flows have it."""
    return Queue(
        row["id"],
        row["customer_id"],
        row["name"],
        row["routing_method"],
        tuple(_ids(row["agent_ids"])),
        frozenset(_ids(row["tag_ids"])),
        row["wait_timeout"] / 1000,
        row["service_timeout"] / 1000,
        row["ring_timeout"] / 1000,
        row["wrap_up_timeout"] / 1000,
        row["max_waiting"],
        row["music"],
        row["overflow_flow_id"],
        row["announce_every"] / 1000,
        row["announce_language"],
        row["announce_text"],
    )


def _agent(row: Row) -> Agent:
    return Agent(
        row["id"],
        row["customer_id"],
        row["name"] or row["username"],
        tuple(Address.model_validate(address) for address in row["addresses"]),
        row["ring_method"],
        frozenset(_ids(row["tag_ids"])),
        shown(row["status"]),
    )


def _conference(row: Row) -> Conference:
    return Conference(
        row["id"], row["customer_id"], row["name"], row["timeout"] / 1000, row["max_members"], row["announce"]
    )


_READERS: Final[Mapping[str, Callable[[Row], Any]]] = {"queue": queue_of, "agent": _agent, "conference": _conference}
