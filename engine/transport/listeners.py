"""Listeners: opened from URLs, and chosen for each destination."""

import asyncio
import errno
import socket
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Protocol, Self

from engine.sip.flow import Flow, Transport
from engine.transport.addresses import (
    LOCAL_ADDRESSES,
    ROUTES,
    WILDCARDS,
    error_words,
    family_of,
    split_host_port,
    unmapped,
)
from engine.transport.certificates import Certificates
from engine.transport.listen_spec import (
    LISTEN_PORTS,
    ListenerLimits,
    ListenSpec,
    NoCertificateError,
    WebSocketOptions,
)
from engine.transport.sink import Sink
from engine.transport.tcp import TcpTransport
from engine.transport.tls import TlsTransport
from engine.transport.udp import UdpTransport
from engine.transport.websocket import WssTransport, WsTransport


class Listener(Transport, Protocol):
    """A transport that can be opened on an address of this machine."""

    @classmethod
    async def open(cls, spec: ListenSpec, sink: Sink) -> Self:
        """Listens on a numeric address. OSError when that does not work."""


TRANSPORTS: dict[str, type[Listener]] = {
    "udp": UdpTransport,
    "tcp": TcpTransport,
    "tls": TlsTransport,
    "ws": WsTransport,
    "wss": WssTransport,
}
"""The transports that can be listened with, by name. A further one enters here."""

SECURE = frozenset({"tls", "wss"})
"""Those with TLS: they show a certificate."""

NO_CERTIFICATE = (
    "there is no certificate to show; write sip.tls.certificates: [{certificate: cert.pem, key: key.pem}], "
    "or remove the listener"
)

SETTING = "under sip.listen"
"""Where listeners are written, in errors about them, unless it was somewhere else."""


class ListenError(Exception):
    """A listener cannot be opened; the text names its URL, what is wrong and what to do about it."""


def parse_listen_url(url: str, where: str = SETTING) -> ListenSpec:
    """A listener URL taken apart: ``udp://192.0.2.1:5060``, ``tcp://[2001:db8::1]:5060``.

    ListenError when it is not such a URL, or of a transport that this version does not have. `where` says in the error
    where the user wrote it.
    """
    transport, separator, rest = url.strip().partition("://")
    transport = transport.lower()
    if not separator:
        raise ListenError(f"{url}: not a listener URL: write it as udp://host:port {where}")
    if transport not in TRANSPORTS:
        *most, last = (f"{name}://" for name in TRANSPORTS)
        known = f"{', '.join(most)} or {last}"
        if transport in LISTEN_PORTS:
            raise ListenError(f"{url}: {transport} is not built into this version: use {known} {where}")
        raise ListenError(f"{url}: {transport!r} is not a transport: use {known} {where}")
    try:
        host, port = split_host_port(rest.rstrip("/"))
    except ValueError as error:
        raise ListenError(f"{url}: {error}: write it as {transport}://host:port {where}") from None
    return ListenSpec(transport, host, LISTEN_PORTS[transport] if port is None else port)


class Listeners:
    """The transports of one engine, in the order of their URLs."""

    def __init__(self, transports: Sequence[Transport], advertise: str = "") -> None:
        self._transports = tuple(transports)
        self._advertised = _advertised(advertise)
        self._by_family: dict[tuple[str, int], tuple[Transport, ...]] = {}
        for transport in transports:
            if transport.connects:
                key = (transport.name, family_of(transport.local[0]))
                self._by_family[key] = (*self._by_family.get(key, ()), transport)
        self._ports = {transport.local[1] for transport in self._transports}
        # Where requests to ourselves can go at all: most peers are at other ports, and need no closer look.
        self._own_ports = self._ports if self._advertised is None else self._ports | {self._advertised[1]}

    @classmethod
    async def open(
        cls,
        urls: Sequence[str],
        sink: Sink,
        advertise: str = "",
        limits: ListenerLimits | None = None,
        where: str = SETTING,
        certificates: Certificates | None = None,
        websocket: WebSocketOptions | None = None,
    ) -> "Listeners":
        """Opens every listener or none. ListenError, with what to do, when one of them cannot be opened; `where` says
        in it where the user wrote the URLs. `certificates`: what those with TLS show."""
        if advertise:
            try:
                split_host_port(advertise)
            except ValueError as error:
                raise ListenError(f"sip.advertise: {advertise}: {error}: write it as host or host:port") from None
        base = ListenSpec(
            "",
            "",
            0,
            advertise=advertise,
            limits=limits or ListenerLimits(),
            certificates=certificates,
            websocket=websocket or WebSocketOptions(),
        )
        opened = cls(())
        try:
            for url in urls:
                opened = cls((*opened, await _open(url, sink, base, where)), advertise)
        except BaseException:
            await opened.close()
            raise
        return opened

    def __iter__(self) -> Iterator[Transport]:
        return iter(self._transports)

    def __len__(self) -> int:
        return len(self._transports)

    def select(self, transport: str, host: str) -> Transport | None:
        """The listener from which a numeric address is reached over a transport; None when there is none, as of
        WebSocket, whose peers are reached by their own connections alone.

        Of several the one on the address that the kernel would send from, else one on a wildcard, else the first.
        """
        candidates = self._by_family.get((transport, family_of(host)))
        if candidates is None:
            return None
        if len(candidates) == 1:
            return candidates[0]
        source = ROUTES.source(host)
        wildcard: Transport | None = None
        for candidate in candidates:
            bound = candidate.local[0]
            if bound == source:
                return candidate
            if wildcard is None and bound in WILDCARDS:
                wildcard = candidate
        return wildcard or candidates[0]

    def is_ours(self, host: str) -> bool:
        """Whether we listen at this host on some port, or say that we do."""
        return any(self.listens_at(host, port) for port in self._own_ports)

    def listens_at(self, host: str, port: int) -> bool:
        """Whether this is where we listen ourselves, or say that we do (`advertise`): a numeric address, or a name as
        it stands in a URI. Another port on this machine is another program's."""
        if port not in self._own_ports:
            return False
        plain = _plain(host)
        if self._advertised is not None:
            shown, shown_port = self._advertised
            if plain == shown and (port == shown_port or (not shown_port and port in self._ports)):
                return True
        if port not in self._ports:
            return False
        for transport in self._transports:
            bound, bound_port = transport.local
            if bound_port == port and (bound == plain or (bound in WILDCARDS and plain in LOCAL_ADDRESSES)):
                return True
        return False

    def sent_from(self, source: Flow) -> bool:
        """Whether what came from there was sent by ourselves: from a listener, or over a connection that we made."""
        if source.transport.reliable:
            return any(transport.made_from(source.host, source.port) for transport in self._transports)
        return source.port in self._ports and self.listens_at(source.host, source.port)

    async def close(self) -> None:
        """Closes all listeners and returns when no socket, task or timer is left."""
        for transport in self._transports:
            transport.close()
        for transport in self._transports:
            await transport.wait_closed()


@lru_cache(maxsize=4096)
def _plain(host: str) -> str:
    """A host as it is compared: without brackets, zone and final dot, in lower case, an address in one form."""
    return unmapped(host.strip("[]").partition("%")[0].lower().rstrip("."))


def _advertised(advertise: str) -> tuple[str, int] | None:
    """Host and port, 0 where the listeners' ports are meant; None where nothing is advertised."""
    if not advertise:
        return None
    host, port = split_host_port(advertise)
    return unmapped(host.lower().rstrip(".")), port or 0


async def _open(url: str, sink: Sink, base: ListenSpec, where: str) -> Transport:
    parsed = parse_listen_url(url, where)
    host = await _numeric(url, parsed.host, where)
    spec = replace(base, transport=parsed.transport, host=host, port=parsed.port)
    try:
        return await TRANSPORTS[spec.transport].open(spec, sink)
    except NoCertificateError:
        raise ListenError(f"{url}: {NO_CERTIFICATE}") from None
    except OSError as error:
        raise ListenError(f"{url}: {advice(error)} {where}") from None


async def _numeric(url: str, host: str, where: str) -> str:
    if family_of(host):
        return host
    # Once, at start, before there are calls; the loop does it in a thread.
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ListenError(f"{url}: {host} does not resolve: write an address of this machine {where}") from None
    return str(found[0][4][0])


def advice(error: OSError) -> str:
    """Why a listener cannot be opened, and what to do. Where it is written is to follow: "under sip.listen"."""
    match error.errno:
        case errno.EADDRINUSE:
            return "address already in use: stop the other program or choose another port"
        case errno.EADDRNOTAVAIL:
            return "not an address of this machine: choose one that `ip address` shows, or a wildcard,"
        case errno.EACCES | errno.EPERM:
            return "not permitted: choose a port above 1023 or grant CAP_NET_BIND_SERVICE, and check the port"
        case errno.EAFNOSUPPORT:
            return "this machine does not speak that address family: remove the listener"
        case _:
            return f"{error_words(error)}: correct the listener"
