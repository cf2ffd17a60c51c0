"""Settings of the parts of a node, made of its configuration."""

import secrets
import socket
from typing import Any

from config.loading import Configuration
from config.settings import Settings, WebSocketSettings
from engine.settings import AgentSettings
from engine.sip.auth.digest import ha1_of_each
from engine.sip.core import EndpointLimits, Policy
from engine.sip.registrar import RegistrarPolicy
from engine.sip.transaction.timers import TimerValues
from engine.transport.addresses import ROUTES, WILDCARDS, bracketed, split_host_port
from engine.transport.listen_spec import WebSocketOptions
from engine.transport.listeners import parse_listen_url
from routing.addresses import parse_network
from routing.directory.extensions import ExtensionRow, write_ha1
from routing.directory.row_factory import EXTENSION_COLUMNS, RowFactory
from routing.settings import RoutingSettings

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
    "tls",
    "register",
    "nat_ping",
}


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
        silence=media.silence,
        keepalive=media.keepalive,
        inband_digits=media.inband_digits,
        codecs=tuple(media.codecs),
        websocket=websocket_options(sip.websocket),
        nameservers=tuple((host, port or 53) for host, port in map(split_host_port, sip.nameservers)),
    )


def websocket_options(settings: WebSocketSettings) -> WebSocketOptions:
    """What WebSocket listeners ask of browsers."""
    return WebSocketOptions(
        path=settings.path,
        origins=tuple(settings.origins),
        ping=settings.ping,
        pong_timeout=settings.pong_timeout,
        proxies=tuple(parse_network(network) for network in settings.proxies),
    )


def extension_rows(configuration: Configuration) -> list[dict[str, Any]]:
    """The extensions of the file as rows of a store, what stands for their passwords among it."""
    rows = []
    for extension in configuration.extensions:
        realm, password = extension.realm or configuration.settings.sip.realm, extension.password
        values = ha1_of_each(extension.name, realm, password) if password else {}
        row = extension.model_dump(exclude={"password", "call_flow", "tm_create", "tm_update", "tm_delete"})
        rows.append(row | {"realm": realm, "ha1": write_ha1(values)})
    return rows


def extensions_of(configuration: Configuration) -> list[ExtensionRow]:
    """The extensions of the file, for an engine without a store."""
    make = RowFactory().extension_from
    return [make([row[name] for name in EXTENSION_COLUMNS]) for row in extension_rows(configuration)]


def registrar_policy(configuration: Configuration) -> RegistrarPolicy:
    """How long the registrations of phones live."""
    register = configuration.settings.sip.register
    return RegistrarPolicy(
        default_expires=round(register.default_expires),
        min_expires=round(register.min_expires),
        max_expires=round(register.max_expires),
    )


def routing_settings(configuration: Configuration) -> RoutingSettings:
    """How routing reads and shows numbers, with the domain of our From."""
    routing = configuration.routing_settings()
    sip = configuration.settings.sip
    if sip.advertise:
        routing.from_domain = sip.advertise
    else:
        routing.from_domain = bracketed(_shown_host(parse_listen_url(sip.listen[0]).host))
    return routing


def node_name(configuration: Configuration) -> str:
    """The same at every start, another one for each node: the host, and the address where several run on it.

    Where the system chooses the port, no address is this node's alone, and none the same at the next start: such a
    node has a new name every time.
    """
    listeners = [parse_listen_url(url) for url in configuration.settings.sip.listen]
    named = next((listener for listener in listeners if listener.port), None)
    own = f":{named.port}" if named else f"/{secrets.token_hex(4)}"
    return f"{socket.gethostname()}/{bracketed((named or listeners[0]).host)}{own}"


def declares_queues(configuration: Configuration) -> bool:
    """Whether the file has agents, queues or conferences, which live in a store."""
    return bool(configuration.agents or configuration.queues or configuration.conferences)


def needs_store(configuration: Configuration) -> bool:
    """Whether there is anything for a store to do."""
    settings = configuration.settings
    return settings.store != ":memory:" or bool(settings.api.listen) or declares_queues(configuration)


def takes_restart(old: Settings, new: Settings) -> list[str]:
    """Sentences about what differs, and a reload does not take over."""
    names: list[tuple[str, str, Any, Any]]
    names = [("sip", name, old.sip, new.sip) for name in type(new.sip).model_fields if name not in RELOADED_SIP]
    names += [("", name, old, new) for name in type(new).model_fields if name not in RELOADED | {"sip"}]
    return [
        f"{f'{section}.' if section else ''}{name} has changed: it takes a restart"
        for section, name, before, after in names
        if getattr(before, name) != getattr(after, name)
    ]


def _shown_host(host: str) -> str:
    """The host that peers may be shown for a listener: of a wildcard, the address that leads out of this machine."""
    if host not in WILDCARDS:
        return host
    # Addresses for documentation (RFC 5737, RFC 3849): the kernel is asked for its way to them, nothing is sent.
    towards, otherwise = ("2001:db8::1", "::1") if ":" in host else ("192.0.2.1", "127.0.0.1")
    return ROUTES.source(towards) or otherwise
