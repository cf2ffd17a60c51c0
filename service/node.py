"""One engine with everything on top of it, built from a configuration, and changed by a new one without a lost call."""

import asyncio
import random
import secrets
import socket
import ssl
import time
from collections.abc import Coroutine
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import structlog

from config.faults import ConfigurationError, Fault
from config.loading import Configuration
from engine.call import Call
from engine.media.rtpengine.pool import Rtpengines
from engine.settings import AgentSettings
from engine.sip.core import EndpointLimits, Policy
from engine.sip.transaction.timers import TimerValues
from engine.transport.addresses import ROUTES, WILDCARDS, bracketed, split_host_port
from engine.transport.listeners import ListenError, parse_listen_url
from engine.user_agent import UserAgent
from flows.actions import ACTIONS
from flows.calls.destinations import Destinations
from flows.calls.services import FlowEnvironment, WebhookLimits
from flows.fetching import sound_fetcher
from flows.language.library import FlowLibrary
from flows.language.program import Program
from flows.messages.outbox import Post
from flows.python.flows import FlowModuleError, load_module
from routing.access.peers import KnownPeers
from routing.access.phones import Phone
from routing.directory.directory import Directory
from routing.hunt.health import HealthBoard
from routing.hunt.router import Router
from routing.settings import RoutingSettings
from service.bans import Bans
from service.call_changes import CallChanges
from service.file_modes import loose, of_recordings, tell
from service.intake import Intake
from service.logins import User, Users
from service.management import Management
from service.message_intake import MessageIntake
from service.message_store import RememberedMessages
from service.sounds import recordings, sound_library
from service.storage import Storage
from service.transfer_policy import Referrers
from service.workers.trunk_addresses import TrunkAddresses
from store.store import Change

DRAINED_RETRY_AFTER = 5  # s
# What a reload takes over; whatever else has changed takes a restart.
RELOADED = {"numbering", "webhook", "flows_module"}
RELOADED_SIP = {
    "trusted_networks",
    "proxies",
    "nat",
    "destination_networks",
    "deny_file",
    "allow_guests",
    "realm",
    "users",
    "digest_algorithms",
    "transfers",
}


class Node:
    """The parts of a running engine. `start` opens the store and the listeners; `close` ends everything that `start`
    began.

    Without an API, `store: ":memory:"` means that there is no store: the directory is what the file says. Agents,
    queues and conferences live in a store, for which the memory is enough.

    Attributes:
        storage: The store and its change feed; None without one, and before `start`.
        management: What runs on the store beside the calls, the API among it; None where there is no store.
        draining: Whether no new work is taken any more.
    """

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.log = structlog.get_logger()
        settings = configuration.settings
        self.stored = settings.store != ":memory:" or bool(settings.api.listen) or _declares_rooms(configuration)
        self.storage: Storage | None = None
        self.management: Management | None = None
        self.draining = False
        # Without a store nothing could be asked for the numbers that are not in memory: all of them are.
        self.directory = Directory() if self.stored else Directory(limit=0)
        self.board = HealthBoard(configuration.transports)
        self.library = FlowLibrary(ACTIONS)
        routing = self._routing(configuration)
        self.router = Router(self.directory, self.board, routing, random.Random())
        self.peers = KnownPeers(self.directory, routing, time.monotonic)
        self.agent = UserAgent(self._on_call, agent_settings(configuration), self.log, self.peers)
        self.env = FlowEnvironment(
            agent=self.agent,
            router=self.router,
            directory=self.directory,
            routing=routing,
            flows=self.library,
            log=self.log,
            debug=settings.log.level == "debug",
            webhook=WebhookLimits(allow_private=settings.webhook.allow_private),
        )
        beside = configuration.path.absolute().parent
        self.sounds = sound_library(settings.media, beside, sound_fetcher(self.env, settings.media.largest_sound))
        self.env.sounds = self.sounds
        self.env.destinations = Destinations(self.env, self.agent)
        self.env.recordings = recordings(settings.media, beside, self.env)
        self.intake = Intake(self.directory, routing, self.env, self.log, *_logins(configuration), self.peers)
        self.agent.screen = self.intake.screen
        self.referrers = Referrers(self.intake, settings.sip.transfers)
        self.env.transfers = self.referrers
        self.agent.on_stranger = CallChanges(self.intake)
        self.agent.on_replaces = self.referrers.replaces
        self.intake.log_calls = settings.log.level in ("debug", "info")
        self.env.post = Post(self.env, self.agent.messages.send, RememberedMessages())
        self.agent.messages.on_message = MessageIntake(self.intake, self.env.post)
        self.bans = Bans(self.peers, self.agent, self.log, configuration.deny_file)
        self.rtpengines: Rtpengines | None = None
        self._trunk_addresses: TrunkAddresses | None = None
        self._started_with = settings
        if self.stored:
            self._python = python_flows(configuration)
        else:
            self._fill(configuration)

    def _on_call(self, call: Call) -> Coroutine[Any, Any, Any] | None:
        return self.intake(call)

    async def start(self) -> None:
        """Open the store, then the listeners, then the API. Raises StoreError, ListenError and ApiListenError, each a
        sentence for the user."""
        await self.bans.start()
        if self.stored:
            await self._open_store()
        await self.agent.start(self.configuration.settings.sip.listen)
        await self._start_rtpengines()
        env = self.env
        if env.recordings is not None:
            listed = await asyncio.to_thread(lambda folder: [*loose(of_recordings(folder))], env.recordings.folder)
            tell(listed, self.log)
        env.clock = self.agent.now
        env.http = httpx.AsyncClient(verify=_tls(), follow_redirects=False)
        self._trunk_addresses = TrunkAddresses(self.directory, self.agent.resolver, self.log)
        self._trunk_addresses.start()
        if self.management is not None:
            await self.management.start()

    async def _start_rtpengines(self) -> None:
        addresses = self.configuration.settings.media.rtpengines
        if addresses:
            self.rtpengines = self.agent.anchors = Rtpengines(addresses, self.log)
            try:
                await self.rtpengines.start()
            except OSError as error:
                problem = f"media.rtpengines: no way to {', '.join(addresses)}: {error.strerror or error}"
                raise ListenError(problem) from error

    async def _open_store(self) -> None:
        configuration = self.configuration
        name = configuration.settings.node_name or _node_name(configuration)
        storage = await Storage.open(configuration, name, self.directory, self.library, self.log)
        self.storage = storage
        merged = await storage.start(configuration, self._python)
        self.env.fetch_number = storage.numbers.fetch
        self.intake.current = lambda: storage.feed.healthy
        storage.feed.subscribe("provider", self._provider_changed)
        self.log.info(
            "store",
            at=storage.store.url,
            node=name,
            declared=merged.total,
            numbers=len(self.directory.numbers),
            complete=self.directory.complete,
        )
        self.management = Management(self, storage)
        await self.management.prepare()

    def _provider_changed(self, _change: Change | None) -> None:
        self.board.keep({provider.id.int for provider in self.directory.providers})
        if self._trunk_addresses is not None:
            self._trunk_addresses.look_again()

    async def names_settled(self) -> None:
        """Wait until calls from where the names of new providers lead are those providers'."""
        if self._trunk_addresses is not None:
            await self._trunk_addresses.settled()

    def drain(self) -> None:
        """Take no new work: from here on the API refuses it, and what is up has time to end."""
        self.draining = True

    async def close(self) -> None:
        """Close everything, the store last; calls that are still up are hung up."""
        self.draining = True
        if self.management is not None:
            await self.management.close_api()
        if self._trunk_addresses is not None:
            await self._trunk_addresses.close()
        await self.bans.close()
        await self.env.close()
        await self.sounds.close()
        if self.agent.listeners:
            await self.agent.stop()
        if self.rtpengines is not None:
            self.rtpengines.close()
        if self.management is not None:
            await self.management.close()
        await self.env.exchanges.close()
        if self.env.http is not None:
            await self.env.http.aclose()
        if self.storage is not None:
            await self.storage.close()

    # ---- the configuration

    async def reload(self, configuration: Configuration) -> list[str]:
        """Take over numbers, providers, routes, flows and routing settings for new calls. Calls in progress go on with
        what they began with. Returns sentences about what takes a restart. Raises ConfigurationError and StoreError;
        nothing has changed then."""
        routing = self._routing(configuration)
        if self.storage is None:
            await asyncio.to_thread(self._fill, configuration)
        else:
            await self.storage.reload(configuration, await asyncio.to_thread(python_flows, configuration))
            if self.management is not None:
                await self.management.rooms.directory.settled()
        self.configuration = configuration
        self.router.settings = self.peers.settings = routing
        self.env.routing = routing
        self.intake.routing = routing
        self.intake.logins.set_users(*_logins(configuration))
        self.bans.deny_file = configuration.deny_file
        await self.bans.look()
        self.referrers.policy = configuration.settings.sip.transfers
        self.env.webhook.allow_private = configuration.settings.webhook.allow_private
        self._provider_changed(None)
        return self._differences(configuration)

    def _differences(self, configuration: Configuration) -> list[str]:
        """What runs otherwise than the configuration says."""
        old, new = self._started_with, configuration.settings
        names: list[tuple[str, str, Any, Any]]
        names = [("sip", name, old.sip, new.sip) for name in type(new.sip).model_fields if name not in RELOADED_SIP]
        names += [("", name, old, new) for name in type(new).model_fields if name not in RELOADED | {"sip"}]
        found = [
            f"{f'{section}.' if section else ''}{name} has changed: it takes a restart"
            for section, name, before, after in names
            if getattr(before, name) != getattr(after, name)
        ]
        if self.storage is None and _declares_rooms(configuration):
            found.append("there are agents, queues or conferences now, the first ones: they take a restart")
        return found

    def _fill(self, configuration: Configuration) -> None:
        # What may fail comes first: a broken configuration changes nothing.
        self._python = python_flows(configuration)
        library = FlowLibrary(ACTIONS, configuration.flows, self._python)
        self.directory.replace(configuration.numbers, configuration.providers, configuration.routes)
        self.library.replace(library)

    def _routing(self, configuration: Configuration) -> RoutingSettings:
        routing = configuration.routing_settings()
        sip = configuration.settings.sip
        if sip.advertise:
            routing.from_domain = sip.advertise
        else:
            routing.from_domain = bracketed(_shown_host(parse_listen_url(sip.listen[0]).host))
        return routing


def _declares_rooms(configuration: Configuration) -> bool:
    return bool(configuration.agents or configuration.queues or configuration.conferences)


def _node_name(configuration: Configuration) -> str:
    """The same at every start, another one for each node: the host, and the address where several run on it.

    Where the system chooses the port, no address is this node's alone, and none the same at the next start: such a
    node has a new name every time.
    """
    listeners = [parse_listen_url(url) for url in configuration.settings.sip.listen]
    named = next((listener for listener in listeners if listener.port), None)
    own = f":{named.port}" if named else f"/{secrets.token_hex(4)}"
    return f"{socket.gethostname()}/{bracketed((named or listeners[0]).host)}{own}"


@cache
def _tls() -> ssl.SSLContext:
    """What webhooks trust. Reading the certificates takes 60 ms: once for the process."""
    return httpx.create_ssl_context()


def python_flows(configuration: Configuration) -> dict[str, Program]:
    """The flows of the configured Python module. Raises ConfigurationError when it can be loaded no more."""
    module = configuration.settings.flows_module
    if not module:
        return {}
    try:
        return _load_module(module, configuration.path.parent)
    except FlowModuleError as error:
        raise ConfigurationError([Fault(str(configuration.path), ("flows_module",), str(error))]) from None


def python_flow_names(module: str, beside: Path) -> list[str]:
    """For `config.loading.load`: which flows a Python module registers. Raises ValueError with a sentence."""
    try:
        return list(_load_module(module, beside))
    except FlowModuleError as error:
        raise ValueError(str(error)) from None


def _load_module(module: str, beside: Path) -> dict[str, Program]:
    try:
        return load_module(module, beside)
    except SystemExit as error:  # a script that ends itself must not end the engine that reads it
        problem = f"{module}: ends the program ({error!r}) when it is imported; put a guard around that"
        raise FlowModuleError(problem) from None


def agent_settings(configuration: Configuration) -> AgentSettings:
    """What the engine is told."""
    sip, media = configuration.settings.sip, configuration.settings.media
    policy = Policy(
        user_agent=sip.user_agent,
        session_expires=round(sip.session_expires),
        min_se=round(sip.min_se),
        max_ringing=sip.max_ringing,
        trying_after=0.2,
        timers=TimerValues(t1=sip.t1, t2=sip.t2, d=64 * sip.t1),
        limits=EndpointLimits(sessions=4 * sip.max_calls, retry_after=DRAINED_RETRY_AFTER),
    )
    return AgentSettings(
        policy=policy,
        advertise=sip.advertise,
        max_calls=sip.max_calls,
        stranger_calls=sip.stranger_calls,
        max_call_duration=sip.max_call_duration,
        invite_rate=sip.invite_rate.rate,
        invite_burst=sip.invite_rate.burst,
        rtp_first=sip.rtp_ports.first,
        rtp_last=sip.rtp_ports.last,
        rtp_timeout=media.rtp_timeout,
        inband_digits=media.inband_digits,
        codecs=tuple(media.codecs),
        nameservers=tuple((host, port or 53) for host, port in map(split_host_port, sip.nameservers)),
    )


def _logins(configuration: Configuration) -> tuple[Users, list[str]]:
    sip = configuration.settings.sip
    users = {
        (user.realm, user.username): User(
            user.password,
            Phone(
                name=user.username,
                realm=user.realm,
                caller_id=user.caller_id,
                caller_ids=frozenset(user.caller_ids),
                customer_id=user.customer_id,
                max_calls=user.max_calls,
            ),
        )
        for user in sip.users
    }
    return users, list(sip.digest_algorithms)


def _shown_host(host: str) -> str:
    """The host that peers may be shown for a listener: of a wildcard, the address that leads out of this machine."""
    if host not in WILDCARDS:
        return host
    # Addresses for documentation (RFC 5737, RFC 3849): the kernel is asked for its way to them, nothing is sent.
    towards, otherwise = ("2001:db8::1", "::1") if ":" in host else ("192.0.2.1", "127.0.0.1")
    return ROUTES.source(towards) or otherwise
