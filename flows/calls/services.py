"""What actions may use. The service builds one of these and hands it to every run; nothing in flows is global."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Protocol
from uuid import UUID

import httpx

from engine.log import Log
from engine.transfer_request import TransferRequest
from flows.calls.address import Address
from flows.calls.destinations import Destinations, Reachable
from flows.calls.ports import Charging, Dialler, Router
from flows.calls.record import CallRecord
from flows.calls.recordings import Recordings
from flows.calls.registry import CallLog
from flows.calls.sounds import Sounds
from flows.calls.tasks import OwnedTasks
from flows.language.program import Program
from flows.messages.model import MessageService
from flows.origination.order_limit import OrderLimit
from flows.queues.conferences import Conferences
from flows.queues.model import Lines
from routing.access.admission import Source
from routing.access.phones import PhoneCalls
from routing.directory.directory import Directory
from routing.directory.rows import NumberRow
from routing.settings import RoutingSettings

ExtensionResolver = Callable[[Address, UUID], Reachable | None]
HostResolver = Callable[[str, int], Awaitable[list[str]]]
NumberFetcher = Callable[[str], Awaitable[NumberRow | None]]


class FlowFinder(Protocol):
    """Programs by the id or the name of their flow (`flows.language.library.FlowLibrary`)."""

    def find(self, reference: object, customer_id: UUID | None = None) -> Program | None: ...

    def compile(self, actions: list[Any], medium: Literal["call", "message"], title: str) -> Program: ...


class Referrers(Protocol):
    """Who may transfer (`service.transfer_policy.Referrers`)."""

    def source_of(self, asked: TransferRequest, record: CallRecord) -> Source | None:
        """Who asks, as if it were dialling. None: it may not."""

    def same(self, one: Any, other: Any) -> bool:
        """Whether two calls of the engine's are of one and the same peer."""


class Watch(Protocol):
    """Who is shown each action as it runs (`trunkline flow run`)."""

    def begins(self, run: Any, option: Any) -> None:
        """`run.step` begins, with its variables filled in."""

    def done(self, run: Any, step: Any, result: Any) -> None:
        """It has run, with this result (see `program.Step`). One that fails is logged instead."""

    def told(self, words: str) -> None:
        """What the action does beyond its result, in words."""


def nobody(_address: Address, _customer_id: UUID) -> Reachable | None:
    """No extension or agent is reached."""
    return None


async def _look_up(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=1)  # SOCK_STREAM
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class WebhookLimits:
    """What webhooks may do. `timeout` is seconds for the whole exchange, `body` bytes, each way.

    `allow_private`: whether they may reach loopback, private and link-local addresses, where this host's own services
    live (an author of flows could use us to talk to them).
    """

    timeout: float = 10.0
    body: int = 64 * 1024
    allow_private: bool = False


@dataclass(slots=True)
class FlowEnvironment:
    """Everything that a run reaches outside of itself.

    Attributes:
        agent: Dials (the engine's user agent).
        router: Plans the attempts for a number.
        directory: Our own numbers.
        routing: How dialled digits are read, and the domain of our From.
        flows: Programs by id or name.
        log: A structlog logger; set `debug` where its level is debug.
        calls: Where the records of all calls go to, and where those that run are found.
        orders: How many calls customers may order.
        phones: The calls out that phones have.
        tasks: What outlives its call: calls of our own, webhooks that nobody waits for, flows after a call.
        http: One shared client for webhooks; None: this service sends none.
        exchanges: The requests that `http` has under way; whoever closes it closes them first.
        clock: Monotonic seconds, the engine's clock. `wall`: seconds since 1970.
        utc_now: For conditions on date and time.
        resolve_extension: Where an extension or an agent of this customer is reached, None for nobody.
        destinations: Who looks at `sip:` destinations before they are dialled; None: they are dialled as they stand.
        resolve_host: Addresses of a webhook's host.
        fetch_number: Asks the store for a number in normal form that is not in memory (raises NumberUnavailable); None:
            there is none to ask.
        sounds: Where sounds and speech come from; None: nothing is played.
        watch: Who is shown each action; None: nobody.
        recordings: Where calls are recorded to; None: nothing is.
        queues: Lines in which callers wait for agents; None: there are none.
        conferences: Rooms in which calls hear one another; None: there are none.
        transfers: Who may transfer a call; None: nobody.
        charging: Who takes money for calls; None: nobody does.
        post: Who sends and takes text messages; None: nobody does.
    """

    agent: Dialler
    router: Router
    directory: Directory
    routing: RoutingSettings
    flows: FlowFinder
    log: Log
    debug: bool = False
    calls: CallLog = field(default_factory=CallLog)
    tasks: OwnedTasks = field(default_factory=OwnedTasks)
    orders: OrderLimit = field(default_factory=OrderLimit)
    phones: PhoneCalls = field(default_factory=PhoneCalls)
    http: httpx.AsyncClient | None = None
    exchanges: OwnedTasks = field(default_factory=OwnedTasks)
    webhook: WebhookLimits = field(default_factory=WebhookLimits)
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    utc_now: Callable[[], datetime] = _utc_now
    resolve_extension: ExtensionResolver = nobody
    destinations: Destinations | None = None
    resolve_host: HostResolver = _look_up
    fetch_number: NumberFetcher | None = None
    charging: Charging | None = None
    sounds: Sounds | None = None
    recordings: Recordings | None = None
    conferences: Conferences | None = None
    queues: Lines | None = None
    watch: Watch | None = None
    transfers: Referrers | None = None
    post: MessageService | None = None

    def __post_init__(self) -> None:
        if self.calls.log is None:
            self.calls.log = self.log

    async def close(self) -> None:
        """Ends everything that runs beside the calls."""
        if self.conferences is not None:
            self.conferences.close()
        if self.queues is not None:
            self.queues.close()
        await self.tasks.close()
        if self.post is not None:
            await self.post.close()
