"""What requests work with. The service builds one of these; nothing in api is global."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Request

from api.http.clients import Clients
from api.http.limits import RequestLimits
from api.http.passwords import FairQueue
from api.http.refusals import Refusals
from api.http.tokens import Tokens
from engine.capture.trace import Trace
from flows.language.interpreter import Interpreter
from flows.origination.groupcall import GroupCall
from routing.access.bans import BanTable
from routing.identifiers import NIL
from routing.location import Location
from routing.settings import RoutingSettings
from store.resources.events import EventSignal
from store.store import Store

STREAM_READS = 2
"""Event streams that read from the store at once; SQLite has four connections to read on."""


def _since_1970(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _never_looked(_provider_id: UUID) -> tuple[str, datetime | None]:
    return "unknown", None


async def _at_once() -> None:
    """Nothing is between the store and the calls."""


async def _nothing_to_check() -> Mapping[str, str]:
    """No part says anything of itself."""
    return {}


async def _nothing_counted() -> bytes:
    """Nobody counts."""
    return b""


async def _written(_record: Any) -> None:
    """Records are not kept in the background."""


@dataclass(slots=True)
class Services:
    """Everything that a request may reach.

    Attributes:
        store: Where resources are kept.
        flows: The running engine: what flows and their calls use.
        tokens: Signs and reads the tokens of logins.
        clock: Monotonic seconds, for rate limits.
        moment: When it was that `clock` said so much.
        bans: Whom the engine does not listen to.
        limits: How often customers, and addresses without good credentials, may ask.
        clients: Whose address a request counts for.
        refusals: The log's lines of refused requests.
        password_queue: Passwords are checked and hashed in turns.
        stored: Waits until the record of a call is committed.
        node_id: This process, as the store knows it.
        trace: The last SIP messages; None where nobody keeps them.
        location: Where the phones of extensions are registered at this node.
        node_name: What this node is called.
        groupcalls: Those that run here.
        health: What the prober last found of a provider, and when: ("unknown", None) where it never looked.
        draining: Whether the engine is stopping.
        new_events: Set when there are new events.
        settled: Waits until what this process has committed counts for calls.
        checks: What each part of the engine says of itself: "ok", or what is wrong.
        metrics: The text that Prometheus reads.
        watchers: Hashes of the keys that were last good for metrics, and when: they are good while the store is away.
        streams: Event streams that are open, by customer.
        stream_reads: What those that read on wait for, so that hundreds of them leave the store to the others.
    """

    store: Store
    flows: Interpreter
    tokens: Tokens
    clock: Callable[[], float]
    limits: RequestLimits
    new_events: EventSignal
    refusals: Refusals
    clients: Clients = field(default_factory=Clients)
    password_queue: FairQueue = field(default_factory=FairQueue)
    moment: Callable[[float], datetime] = _since_1970
    bans: BanTable = field(default_factory=lambda: BanTable(time.monotonic))
    stored: Callable[[Any], Awaitable[None]] = _written
    node_id: UUID = NIL
    trace: Trace | None = None
    location: Location = field(default_factory=Location)
    node_name: str = ""
    groupcalls: dict[UUID, GroupCall] = field(default_factory=dict)
    health: Callable[[UUID], tuple[str, datetime | None]] = _never_looked
    draining: Callable[[], bool] = lambda: False
    settled: Callable[[], Awaitable[None]] = _at_once
    checks: Callable[[], Awaitable[Mapping[str, str]]] = _nothing_to_check
    metrics: Callable[[], Awaitable[bytes]] = _nothing_counted
    watchers: dict[str, float] = field(default_factory=dict)
    streams: Counter[UUID] = field(default_factory=Counter)
    stream_reads: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(STREAM_READS))

    @property
    def routing(self) -> RoutingSettings:
        """How numbers are read; changes when the configuration is reloaded."""
        return self.flows.calls.routing


def _services(request: Request) -> Services:
    found: Services = request.app.state.services
    return found


Use = Annotated[Services, Depends(_services)]
"""`services: Use` as a parameter of an operation."""
