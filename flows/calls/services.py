"""Services of call control. The node builds one `CallServices` and hands it on; nothing in flows is global."""

import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol
from uuid import UUID

from engine.log import Log
from engine.sip.message.uri import Uri
from engine.transfer_request import TransferRequest
from flows.calls.destinations import ContactResolver, Destinations, NoContacts, Way
from flows.calls.phone_dialogs import PhoneDialogs
from flows.calls.ports import Charging, Dialler, FlowProgram, Lookups, ProviderHunt, Router, Sounds
from flows.calls.record import CallRecord
from flows.calls.recordings import Recordings
from flows.calls.registry import CallRegistry
from flows.calls.tasks import OwnedTasks
from flows.calls.tree import OrderLimit
from routing.access.admission import Source
from routing.access.destinations import NamedBy
from routing.access.phones import PhoneCalls
from routing.directory.directory import Directory
from routing.directory.rows import NumberRow
from routing.hunt.hunt import Hunt
from routing.mailboxes import MailboxKey, MessageCount
from routing.numbers.normalise import numbers_to_look_up
from routing.settings import RoutingSettings

NumberFetcher = Callable[[str], Awaitable[NumberRow | None]]


class FlowFinder(Protocol):
    """Flows by their id or name (`flows.language.library.FlowLibrary`)."""

    def find(self, reference: object, customer_id: UUID | None = None) -> FlowProgram | None:
        """The flow, None where there is none. With `customer_id` other customers' flows do not exist."""

    def compile(self, actions: list[Any], medium: Literal["call", "message"], title: str) -> FlowProgram:
        """A flow of actions that are not kept. Raises FlowError, which calls them `title`."""


class MailboxNotKept(Exception):
    """The count of a mailbox could not be kept; says why."""


class MailboxWriter(Protocol):
    """Who keeps how many messages wait in mailboxes."""

    async def write(self, key: MailboxKey, count: MessageCount) -> None:
        """What is in a mailbox now; its phones are told. Raises MailboxNotKept."""


class TransferPolicy(Protocol):
    """Who may transfer (`service.transfer_policy.TransferPolicy`)."""

    def source_of(self, request: TransferRequest, record: CallRecord) -> Source | None:
        """Who asks, as if it were dialling. None: it may not."""

    def same_peer(self, one: Any, other: Any) -> bool:
        """Whether two calls of the engine's are of one and the same peer."""


@dataclass(slots=True, kw_only=True)
class AccountServices:
    """What customers and their phones may spend, and have at once.

    Attributes:
        charging: Takes money for calls; None: nobody does.
        phones: The calls out that phones have.
        orders: The calls that customers have ordered.
    """

    charging: Charging | None = None
    phones: PhoneCalls = field(default_factory=PhoneCalls)
    orders: OrderLimit = field(default_factory=OrderLimit)


@dataclass(slots=True, kw_only=True)
class MediaServices:
    """What is played to calls, and where they are recorded.

    Attributes:
        sounds: Sounds and speech; None: nothing is played.
        recordings: None: nothing is recorded.
        phones: "anchor" where the media of calls to registered phones passes us.
    """

    sounds: Sounds | None = None
    recordings: Recordings | None = None
    phones: Literal["", "anchor"] = ""


@dataclass(slots=True, kw_only=True)
class CallServices:
    """Everything that call control reaches outside of a call.

    Attributes:
        dialler: Makes calls (the engine's user agent).
        router: Plans the attempts for a number.
        directory: Our own numbers, the providers and the routes.
        routing: How dialled digits are read, and the domain of our From.
        library: Flows by their id or name.
        log: A structlog logger.
        registry: The records of all calls, and those that run.
        tasks: What outlives its call: calls of our own, webhooks that nobody waits for, flows after a call.
        accounts: What customers and phones may spend, and have at once.
        media: What is played and recorded.
        clock: Monotonic seconds, the engine's clock.
        wall: Seconds since 1970.
        contacts: Where extensions and agents are reached.
        destinations: Looks at `sip:` destinations before they are dialled; None: they are dialled as they stand.
        fetch_number: Asks the store for a number in normal form that is not in memory (raises NumberUnavailable); None:
            there is no store to ask.
        transfers: Who may transfer a call; None: nobody.
        phone_dialogs: The calls of extensions, for those who watch them.
        lookups: Asks elsewhere for the attempts of a call; None: nobody does, and the routes say.
        mailboxes: Keeps how many messages wait for extensions; None: nobody does.
    """

    dialler: Dialler
    router: Router
    directory: Directory
    routing: RoutingSettings
    library: FlowFinder
    log: Log
    registry: CallRegistry
    tasks: OwnedTasks = field(default_factory=OwnedTasks)
    accounts: AccountServices = field(default_factory=AccountServices)
    media: MediaServices = field(default_factory=MediaServices)
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    contacts: ContactResolver = field(default_factory=NoContacts)
    destinations: Destinations | None = None
    fetch_number: NumberFetcher | None = None
    transfers: TransferPolicy | None = None
    phone_dialogs: PhoneDialogs = field(default_factory=PhoneDialogs)
    lookups: Lookups | None = None
    mailboxes: MailboxWriter | None = None

    async def way_to(self, uri: str, named: NamedBy) -> Way:
        """What a `sip:` URI leads to, where there is somebody to ask: a simulation dials everything as it stands."""
        return Way(uri) if self.destinations is None else await self.destinations.way(uri, named)

    async def look_up(
        self, hunt: ProviderHunt, customer_id: UUID, call_id: str, note: Callable[[str], None] | None = None
    ) -> None:
        """Before the first attempt: has a hunt go where its route's look-up says. `note` is told what came of it."""
        if self.lookups is None or not isinstance(hunt, Hunt) or hunt.lookup is None:
            return
        said = await self.lookups.ask(hunt, customer_id, call_id)
        if note is not None:
            note(said)

    # Routing looks at what is in memory and never waits. Where that is not all there is, whoever decides about a call
    # makes sure first that each number in question is there, or does not exist.

    def missing_numbers(self, uri: Uri | str, country: str = "") -> list[str]:
        """The numbers that reading `uri` depends on and that memory does not tell of; [] nearly always. `country`:
        whose national numbers it is read by; "": the default's."""
        directory = self.directory
        if directory.complete or self.fetch_number is None:
            return []
        return [
            e164 for e164 in numbers_to_look_up(uri, self.routing.in_country(country)) if directory.number(e164) is None
        ]

    async def fetch_numbers(self, numbers: Iterable[str]) -> None:
        """Asks the store for each. Raises routing's NumberUnavailable when it cannot tell now."""
        for e164 in numbers:
            if self.fetch_number is not None:
                await self.fetch_number(e164)
