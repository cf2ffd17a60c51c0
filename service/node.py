"""One engine with everything on top of it: built from a configuration, started, reloaded and closed."""

import asyncio
import os
import random
import ssl
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import httpx
import structlog

from config.loading import Configuration
from engine.call import Call
from engine.media.rtpengine.pool import Rtpengines
from engine.messages import IncomingMessage
from engine.sip.dialog.replaces import Replaces
from engine.sip.flow import Flow
from engine.sip.message.message import Request
from engine.sip.method_handlers import Answer
from engine.sip.transaction.server import ServerTransaction
from engine.transport.certificates import CertificateError, Certificates
from engine.transport.listeners import ListenError
from engine.user_agent import AgentHooks, UserAgent
from flows.actions import ACTIONS
from flows.calls.destinations import Destinations
from flows.calls.phone_dialogs import PhoneDialogs
from flows.calls.ports import FlowProgram
from flows.calls.registry import CallRegistry
from flows.calls.services import AccountServices, CallServices, MediaServices
from flows.calls.tasks import OwnedTasks
from flows.language.interpreter import Interpreter
from flows.language.library import FlowLibrary
from flows.language.message_run import run_message
from flows.messages.model import MessageNotKept, TextMessage
from flows.messages.outbox import MessageQueue
from flows.route_lookup import RouteLookups
from flows.web import WebhookLimits, WebServices
from routing.access.peers import KnownPeers
from routing.directory.directory import Directory
from routing.directory.rows import NumberRow
from routing.hunt.health import HealthBoard
from routing.hunt.router import Router
from routing.location import Location, LocationChange
from routing.mailboxes import Mailboxes
from service.bans import Bans
from service.call_changes import CallChanges
from service.certificates import CertificateReader
from service.file_modes import loose, of_recordings, tell
from service.intake import Intake
from service.logins import NonceSource
from service.messages.intake import MessageIntake
from service.messages.memory import MessagesInMemory
from service.node_settings import (
    agent_settings,
    declares_queues,
    extensions_of,
    needs_store,
    node_name,
    registrar_policy,
    routing_settings,
    takes_restart,
)
from service.phones.contacts import ExtensionContacts
from service.phones.events.events import PhoneEvents
from service.phones.events.policy import PhonePolicy
from service.phones.keep_alive import KeepAlive
from service.phones.moved_calls import MovedCalls
from service.phones.pickup import PickupIntake
from service.phones.registrar import Registrar
from service.phones.returning import ReturningPhones
from service.phones.revocation import Revocation
from service.python_flows import python_flows
from service.sounds import recordings, sound_fetcher, sound_library
from service.transfer_policy import ReplacesIntake, TransferPolicy
from service.workers.trunk_addresses import TrunkAddresses

# What needs SQLAlchemy or FastAPI is imported where it is built: an engine without a store or an API loads neither.
if TYPE_CHECKING:
    from service.phones.binding_store import BindingStore
    from service.rest.api import RestApi
    from service.rest.server import ApiServer
    from service.storage import Storage
    from service.store_parts import StoreParts, StoreWorkers
    from store.store import Change

SETTLED_WITHIN: Final = 1.0
"""Seconds that a request of the API waits for queues and names to be taken over."""


class Node:
    """The parts of a running engine. `start` builds them, opens the store and the listeners; `close` ends everything
    that `start` began, also where it has failed.

    Without an API, `store: ":memory:"` means that there is no store: the directory is what the file says. Agents,
    queues and conferences live in a store, for which the memory is enough.

    Attributes:
        configuration: What the engine runs by, replaced by `reload`.
        log: A structlog logger.
        draining: Whether no new work is taken any more.
        storage, parts, workers: The store, and what lives on it; None without one.
        server: The API's listener; None where it is switched off.
        made_up_key: The access key of a first start, to be shown once; "" at every other.

    From `start` on:

    Attributes:
        directory: Numbers, providers and routes in memory.
        board: The health of providers, and their channels.
        peers: Who is known, and who is banned.
        location: Where the phones of extensions are registered.
        contacts: Where extensions and agents are called.
        mailboxes: How many messages wait for extensions.
        bans: What follows from a ban; reads the file of denied addresses.
        certificates: What listeners with TLS show; None without any.
        agent: SIP on the network.
        intake: Takes calls in.
        registrar: Answers REGISTERs.
        phone_events: What phones have subscribed to and published.
        library: The flows of the configuration and of the store.
        messages: Sends texts, and keeps those that wait for a phone.
        flows: Runs the flows of calls and messages; `flows.calls` is what call control works with.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        clock: Callable[[], float] = time.monotonic,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """`clock` and `random_bytes`: see `UserAgent`."""
        self.configuration = configuration
        self.log = structlog.get_logger()
        self.draining = False
        self.storage: Storage | None = None
        self.parts: StoreParts | None = None
        self.workers: StoreWorkers | None = None
        self.server: ApiServer | None = None
        self.made_up_key = ""
        self._clock = clock
        self._random_bytes = random_bytes
        self._trunk_addresses: TrunkAddresses | None = None
        self._binding_store: BindingStore | None = None
        self._started_with = configuration.settings
        self._closing = AsyncExitStack()

    # ---- start

    async def start(self) -> None:
        """Open the store, then the listeners, then the API. Raises ConfigurationError, StoreError and ListenError, each
        a sentence for the user."""
        self.board = HealthBoard(self.configuration.transports)
        stored = needs_store(self.configuration)
        # Without a store nothing could be asked for the numbers that are not in memory: all of them are.
        self.directory = Directory() if stored else Directory(limit=0)
        self.library = FlowLibrary(ACTIONS)
        if stored:
            self.storage = await self._open_store()
        else:
            self._fill(self.configuration)
        self._build(await self._nonces())
        if self._binding_store is not None:
            await self._binding_store.load()
        await self.bans.look()
        api = await self._prepare()
        await self._listen()
        if self.workers is not None:
            await self.workers.start()
        if api is not None:
            self.server = await api.start()

    async def _open_store(self) -> "Storage":
        from service.storage import Storage

        configuration = self.configuration
        python, name = python_flows(configuration), configuration.settings.node_name or node_name(configuration)
        storage = await Storage.open(configuration, name, self.directory, self.library, self.log)
        self._closing.push_async_callback(storage.close)
        merged = await storage.start(configuration, python)
        self.log.info(
            "store",
            at=storage.store.url,
            node=name,
            declared=merged.total,
            numbers=len(self.directory.numbers),
            complete=self.directory.complete,
        )
        return storage

    async def _nonces(self) -> NonceSource:
        """What challenges are made with: from a secret that all nodes share, by the time of day."""
        if self.storage is None:
            return NonceSource.random()
        from sqlalchemy.exc import SQLAlchemyError

        from service.bootstrap import nonce_secret

        try:
            return NonceSource(await nonce_secret(self.storage.store), time.time() - self._clock())
        except SQLAlchemyError as error:
            raise self.storage.unusable(error) from error

    def _build(self, nonces: NonceSource) -> None:
        """All that calls pass, bottom to top."""
        configuration, log, closing = self.configuration, self.log, self._closing
        settings = configuration.settings
        tls = configuration.sip_tls
        try:
            self.certificates = Certificates(tls) if tls else None
        except CertificateError as error:
            raise ListenError(f"sip.tls.certificates: {error}") from None
        self._certificate_reader = (
            CertificateReader(self.certificates, "sip.tls.certificates", log) if self.certificates else None
        )
        beside = configuration.path.absolute().parent
        routing = routing_settings(configuration)
        self._router = Router(self.directory, self.board, routing, random.Random())
        self.peers = KnownPeers(self.directory, routing, self._clock)
        self.location = Location()
        self.mailboxes = Mailboxes()
        dialogs = PhoneDialogs()
        rtpengines = settings.media.rtpengines
        self._rtpengines = Rtpengines(rtpengines, log) if rtpengines else None
        self.agent = UserAgent(
            self._on_call,
            agent_settings(configuration),
            log,
            self.peers,
            hooks=AgentHooks(
                on_message=self._on_message,
                on_replaces=self._on_replaces,
                on_pickup=self._on_pickup,
                on_stranger=self._on_stranger,
                screen=self._screen,
                urgent=self._is_urgent,
                carries=self._carries_body,
                on_register=self._on_register,
                methods={"SUBSCRIBE": self._on_subscribe, "PUBLISH": self._on_publish},
            ),
            anchors=self._rtpengines,
            certificates=self.certificates,
            clock=self._clock,
            random_bytes=self._random_bytes,
        )
        self.bans = Bans(self.peers, self.agent, log, configuration.deny_file)
        http, exchanges, tasks, calls = _http_client(), OwnedTasks(), OwnedTasks(), CallRegistry(log=log)
        closing.push_async_callback(http.aclose)
        closing.push_async_callback(exchanges.close)
        if self.storage is not None:
            from service.store_parts import StoreParts

            self.parts = StoreParts(
                self.storage,
                closing,
                calls=calls,
                mailboxes=self.mailboxes,
                pacer=lambda: self.agent.plane.pacer,
                log=log,
            )
        parts = self.parts
        limits = WebhookLimits(allow_private=settings.webhook.allow_private)
        web = WebServices(http=http, exchanges=exchanges, limits=limits)
        self._sounds = sound_library(settings.media, beside, sound_fetcher(web, settings.media.largest_sound))
        self._destinations = Destinations(self.directory, routing, self.agent)
        self._moved_calls = MovedCalls(self.agent)
        self._returning = ReturningPhones(self.location, self._clock)
        self.contacts = ExtensionContacts(
            self.directory,
            self.location,
            self._clock,
            parts.contact_center.directory if parts else None,
            self._moved_calls,
            of_many=lambda party: self.peers.kind(party) in ("provider", "proxy"),
            returning=self._returning,
        )
        self._transfer_policy = TransferPolicy(self.directory, routing, calls, settings.sip.transfers, self.contacts)
        services = CallServices(
            dialler=self.agent,
            router=self._router,
            directory=self.directory,
            routing=routing,
            library=self.library,
            log=log,
            registry=calls,
            tasks=tasks,
            accounts=AccountServices(charging=parts.charging if parts else None),
            media=MediaServices(
                sounds=self._sounds,
                recordings=recordings(settings.media, beside, tasks, log, parts.recordings if parts else None),
                phones="anchor" if settings.media.phones == "anchor" else "",
            ),
            contacts=self.contacts,
            destinations=self._destinations,
            fetch_number=parts.storage.numbers.fetch if parts else None,
            transfers=self._transfer_policy,
            lookups=RouteLookups(web, self._router, self._clock, log),
            phone_dialogs=dialogs,
            mailboxes=parts.mailboxes if parts else self.mailboxes,
        )
        self.messages = messages = MessageQueue(
            services,
            self.agent.messages.send,
            parts.messages if parts else MessagesInMemory(),
            run_flow=self._run_message,
        )
        self.location.observers.append(self._registered)
        self.flows = Interpreter(
            calls=services,
            library=self.library,
            web=web,
            messages=messages,
            queues=parts.contact_center.queues if parts else None,
            conferences=parts.contact_center.conferences if parts else None,
            debug=settings.log.level == "debug",
        )
        self.intake = Intake(
            self.directory,
            routing,
            self.flows,
            log,
            configuration.settings.sip.digest_algorithms,
            self.peers,
            phones=self.contacts,
            log_calls=settings.log.level in ("debug", "info"),
            current=lambda: parts is None or parts.storage.feed.healthy,
            nonces=nonces,
        )
        self.phone_events = PhoneEvents(
            lambda: self.agent.endpoint,
            PhonePolicy(self.directory, self.intake.logins, self.intake.trusted_phone),
            directory=self.directory,
            location=self.location,
            dialogs=dialogs,
            mailboxes=self.mailboxes,
        )
        self._call_changes = CallChanges(self.intake)
        self._message_intake = MessageIntake(self.intake, messages)
        self._replaces_intake = ReplacesIntake(self.intake, self._transfer_policy)
        self._pickup_intake = PickupIntake(self.intake, dialogs)

        self._revocation = Revocation(self.directory, self.location)
        self.registrar = Registrar(
            self.location,
            self.directory,
            self.intake.logins,
            self.peers,
            log,
            registrar_policy(configuration),
            listens_at=self.agent.is_ours,
            clock=self._clock,
            log_phones=settings.log.level in ("debug", "info"),
            after=self._after_write if self.storage and not self.storage.store.engines.in_memory else None,
        )
        self._keep_alive = KeepAlive(
            self.location,
            lambda: self.agent.endpoint,
            lambda: self.flows.calls.routing.from_domain,
            self._registers,
            log,
            interval=settings.sip.nat_ping,
            clock=self._clock,
        )
        if self.storage is not None:
            from service.phones.binding_store import BindingStore

            self._binding_store = BindingStore(
                self.storage.store,
                self.storage.life.name,
                self.location,
                self.directory,
                self.peers,
                log,
                self._clock,
                self._returning,
            )
            closing.push_async_callback(self._binding_store.close)
            self.storage.feed.subscribe("extension", self._extension_changed)

    # Two pairs of parts need each other: the user agent tells the intakes of what comes, and their flows dial and send
    # by it; the queue of messages runs flows, which send messages. The lower of the two is given one of these, which
    # find the upper one when there is something to tell.

    def _on_call(self, call: Call) -> Coroutine[Any, Any, Any] | None:
        return self.intake(call)

    def _on_message(self, message: IncomingMessage) -> Coroutine[Any, Any, None]:
        return self._message_intake(message)

    def _on_replaces(self, call: Call, replaced: Call) -> Coroutine[Any, Any, Any] | None:
        return self._replaces_intake(call, replaced)

    def _on_pickup(self, call: Call, replaces: Replaces) -> Coroutine[Any, Any, Any] | None:
        return self._pickup_intake(call, replaces)

    def _on_stranger(self, call: Call, request: Request) -> tuple[int, str, bool]:
        return self._call_changes(call, request)

    def _on_register(self, request: Request, source: Flow, now: float) -> Answer:
        return self.registrar(request, source, now)

    def _after_write(self, say: Callable[[float], None]) -> None:
        assert self._binding_store is not None
        self._binding_store.after(say)

    def _registers(self, name: str) -> bool:
        """Whether an extension may be registered."""
        extension = self.directory.extension(name)
        return extension is not None and extension.active

    def _extension_changed(self, change: "Change | None") -> None:
        self._keep_alive.sweep()
        if change is not None and change.key:
            self.phone_events.extension_changed(change.key, change.resource_id)
        else:
            self.phone_events.extensions_changed()

    def _connection_lost(self, flow: Flow, _error: str, _now: float) -> None:
        if flow.connection is not None:
            self.location.connection_lost(flow.connection)

    def _registered(self, change: LocationChange) -> None:
        """A phone is there, as far as texts for it wait."""
        if change.event in ("registered", "refreshed"):
            self.messages.kept.registered(change.name)

    def _on_subscribe(self, transaction: ServerTransaction, request: Request, source: Flow, now: float) -> None:
        self.phone_events.subscribe(transaction, request, source, now)

    def _on_publish(self, transaction: ServerTransaction, request: Request, source: Flow, now: float) -> None:
        self.phone_events.publish(transaction, request, source, now)

    def _is_urgent(self, request: Request, source: Flow) -> bool:
        return self.intake.calls_for_help(request, self.peers.kind(source.party))

    def _carries_body(self, content_type: str, source: Flow) -> bool:
        return self.peers.known(source.party) and self.directory.passes_body(content_type)

    def _screen(self, request: Request, source: Flow, fetched: bool) -> object:
        return self.intake.screen(request, source, fetched)

    async def _run_message(self, flow: FlowProgram, message: TextMessage, number: NumberRow) -> None:
        await run_message(self.flows, flow, message, number)

    async def _prepare(self) -> "RestApi | None":
        """Be ready to take calls down, and to count them."""
        if self.parts is None:
            return None
        from service.store_parts import StoreWorkers

        settings = self.configuration.settings
        self.workers = StoreWorkers(
            self.parts,
            self._closing,
            agent=self.agent,
            board=self.board,
            flows=self.flows,
            kept=self.messages.kept,
            settings=settings,
            engine_state=self._engine_state,
        )
        self.parts.storage.feed.subscribe("provider", self._provider_changed)
        self.parts.storage.feed.subscribe("extension", self._revocation.extension_changed)
        self.parts.storage.feed.subscribe("contact", self._revocation.contact_ended)
        self.made_up_key = await self.workers.prepare()
        try:
            await self.messages.kept.start()
        except MessageNotKept as error:
            from store.database.errors import StoreError

            raise StoreError(str(error)) from error
        self.parts.start()
        if not settings.api.listen:
            return None
        from service.rest.api import RestApi

        tls = self.configuration.api_tls
        try:
            shown = Certificates(tls) if tls is not None else None
        except CertificateError as error:
            raise ListenError(f"api.tls: {error}") from None
        return RestApi(
            settings.api,
            self._closing,
            parts=self.parts,
            workers=self.workers,
            agent=self.agent,
            flows=self.flows,
            board=self.board,
            bans=self.peers.bans,
            location=self.location,
            registrar=self.registrar,
            rtpengines=self._rtpengines,
            subscriptions=self.phone_events.counts,
            draining=lambda: self.draining,
            settled=self._settled,
            sip_certificates=self.certificates,
            certificates=None if shown is None else CertificateReader(shown, "api.tls", self.log),
        )

    async def _listen(self) -> None:
        """Open the way for calls."""
        closing, recorded = self._closing, self.flows.calls.media.recordings
        if self._rtpengines is not None:
            closing.callback(self._rtpengines.close)
        closing.push_async_callback(self._stop_agent)
        closing.callback(self._moved_calls.close)
        closing.push_async_callback(self._sounds.close)
        closing.push_async_callback(self.flows.close)
        closing.push_async_callback(self.bans.close)
        await self.agent.start(self.configuration.settings.sip.listen)
        self.agent.endpoint.watch_connections(self._connection_lost)
        closing.push_async_callback(self._keep_alive.close)
        if self._binding_store is not None:
            restored = self._binding_store.restore(self.agent.listeners)
            if restored:
                self.log.info("registrations restored", contacts=restored)
            self._binding_store.start()
        self._keep_alive.start()
        await self._start_rtpengines()
        self.bans.start()
        if self._certificate_reader is not None:
            closing.push_async_callback(self._certificate_reader.close)
            self._certificate_reader.start()
            keys = [pair.key for pair in self._certificate_reader.settings.certificates]
            tell(await asyncio.to_thread(lambda: [*loose(keys, group=False)]), self.log)
        if recorded is not None:
            tell(await asyncio.to_thread(lambda: [*loose(of_recordings(recorded.folder))]), self.log)
        self._trunk_addresses = TrunkAddresses(self.directory, self.agent.resolver, self.log)
        closing.push_async_callback(self._trunk_addresses.close)
        self._trunk_addresses.start()

    async def _stop_agent(self) -> None:
        if self.agent.listeners:
            self.phone_events.end()
            await self.agent.stop()

    async def _start_rtpengines(self) -> None:
        if self._rtpengines is not None:
            try:
                await self._rtpengines.start()
            except OSError as error:
                addresses = ", ".join(self.configuration.settings.media.rtpengines)
                problem = f"media.rtpengines: no way to {addresses}: {error.strerror or error}"
                raise ListenError(problem) from error

    # ---- for the API

    def _engine_state(self) -> str:
        return "stopping" if self.draining else "ok" if self.agent.listeners else "not listening"

    async def _settled(self) -> None:
        if self.parts is None:
            return
        await self.parts.storage.feed.settled()
        # The store may go away between a commit and the look at it, and nobody may answer for a name.
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLED_WITHIN):
                await self.parts.contact_center.directory.settled()
                await self.names_settled()

    async def names_settled(self) -> None:
        """Wait until calls from where the names of new providers lead are those providers'."""
        if self._trunk_addresses is not None:
            await self._trunk_addresses.settled()

    # ---- the end

    def drain(self) -> None:
        """Take no new work: from here on the API refuses it, and what is up has time to end."""
        self.draining = True

    async def close(self) -> None:
        """Close everything, the store last; calls that are still up are hung up."""
        self.draining = True
        if self.storage is not None:
            self.storage.new_events.notify()  # streams see that the engine is stopping
        await self._closing.aclose()

    # ---- the configuration

    async def reload(self, configuration: Configuration) -> list[str]:
        """Take over numbers, providers, routes, flows and routing settings for new calls. Calls in progress go on with
        what they began with. Returns sentences about what takes a restart. Raises ConfigurationError and StoreError;
        nothing has changed then."""
        routing = routing_settings(configuration)
        if self.storage is None:
            await asyncio.to_thread(self._fill, configuration)
            self._revocation.look()
        else:
            await self.storage.reload(configuration, await asyncio.to_thread(python_flows, configuration))
            if self.parts is not None:
                await self.parts.contact_center.directory.settled()
        self.configuration = configuration
        self._router.settings = self.peers.settings = self._destinations.routing = routing
        self.flows.calls.routing = self.intake.routing = self._transfer_policy.routing = routing
        self.intake.logins.set_algorithms(configuration.settings.sip.digest_algorithms)
        self.registrar.policy = registrar_policy(configuration)
        self._keep_alive.interval = configuration.settings.sip.nat_ping
        self._keep_alive.sweep()
        self.phone_events.extensions_changed()
        self.bans.deny_file = configuration.deny_file
        await self.bans.look()
        self._transfer_policy.rule = configuration.settings.sip.transfers
        self.flows.web.limits.allow_private = configuration.settings.webhook.allow_private
        self._provider_changed(None)
        if self.server is not None:
            await self.server.look()
        found = takes_restart(self._started_with, configuration.settings)
        tls = configuration.sip_tls
        if tls is not None and self._certificate_reader is not None:
            self._certificate_reader.settings = tls
            await self._certificate_reader.look()
        elif tls is not None:
            found.append("sip.tls has certificates now, the first ones: they take a restart")
        if self.storage is None and declares_queues(configuration):
            found.append("there are agents, queues or conferences now, the first ones: they take a restart")
        return found

    def _provider_changed(self, _change: "Change | None") -> None:
        self.board.keep({provider.id.int for provider in self.directory.providers})
        if self._trunk_addresses is not None:
            self._trunk_addresses.look_again()

    def _fill(self, configuration: Configuration) -> None:
        # What may fail comes first: a broken configuration changes nothing.
        library = FlowLibrary(ACTIONS, configuration.flows, python_flows(configuration))
        self.directory.replace(
            configuration.numbers,
            configuration.providers,
            configuration.routes,
            extensions=extensions_of(configuration),
        )
        self.library.replace(library)


def _http_client() -> httpx.AsyncClient:
    """The client of webhooks."""
    return httpx.AsyncClient(verify=_tls(), follow_redirects=False)


@cache
def _tls() -> ssl.SSLContext:
    """What webhooks trust. Reading the certificates takes 60 ms: once for the process."""
    return httpx.create_ssl_context()
