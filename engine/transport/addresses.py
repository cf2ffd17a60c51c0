"""Numeric addresses: families, socket addresses, zones, and which of our addresses a peer sees."""

import errno
import ipaddress
import os
import socket
import time
from functools import lru_cache

SockAddr = tuple[str, int] | tuple[str, int, int, int]

WILDCARDS = ("0.0.0.0", "::")
_CACHED_PEERS = 4096
_ROUTE_SECONDS = 30.0

_WORDS = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset by peer",
    errno.EPIPE: "connection closed by peer",
    errno.EHOSTUNREACH: "host unreachable",
    errno.ENETUNREACH: "network unreachable",
    errno.ETIMEDOUT: "connection timed out",
    errno.EMSGSIZE: "message too long",
    errno.EACCES: "not permitted",
    errno.EPERM: "not permitted",
    errno.EADDRNOTAVAIL: "no local address to send from",
    errno.EMFILE: "no file descriptors left",
    errno.ENFILE: "no file descriptors left",
}


def error_words(error: OSError) -> str:
    """The error in the words that the engine shows and logs, without errno and addresses."""
    number = error.errno or 0
    return _WORDS.get(number) or (os.strerror(number).lower() if number else str(error) or type(error).__name__)


@lru_cache(maxsize=_CACHED_PEERS)
def family_of(host: str) -> int:
    """AF_INET or AF_INET6 of a numeric address (a zone is allowed), 0 of anything else."""
    try:
        if ":" in host:
            socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
            return socket.AF_INET6
        socket.inet_pton(socket.AF_INET, host)
    except (OSError, ValueError):
        return 0
    return socket.AF_INET


@lru_cache(maxsize=_CACHED_PEERS)
def is_one_host(host: str) -> bool:
    """Whether a numeric address is that of one host: neither a group's nor none at all, 0.0.0.0 or ::, which the kernel
    takes for this machine."""
    address = ipaddress.ip_address(unmapped(host))
    return not (address.is_multicast or address.is_unspecified)


def canonical(host: str) -> str:
    """The one way of writing a numeric address that the kernel uses too; other text unchanged."""
    family = family_of(host)
    if not family:
        return host
    address, percent, zone = host.partition("%")
    text = socket.inet_ntop(family, socket.inet_pton(family, address))
    return f"{text}%{_zone_index(zone)}" if percent else text


def unmapped(host: str) -> str:
    """As `canonical`, and IPv4 where it is IPv4 in IPv6 clothes (RFC 4291 §2.5.5.2)."""
    text = canonical(host)
    return text.removeprefix("::ffff:") if text.startswith("::ffff:") and "." in text else text


def _zone_index(zone: str) -> int:
    if zone.isascii() and zone.isdigit():
        return min(int(zone[:11]), 0x7FFFFFFF)
    try:
        return socket.if_nametoindex(zone)
    except (OSError, ValueError):
        return 0


def socket_address(host: str, port: int) -> SockAddr | None:
    """What sendto and connect take, or None when `host` is not numeric or the port not from 1 to 65535.

    Names never get through: the socket module would look them up and block.
    """
    family = family_of(host)
    if not family or not 0 < port < 65536:
        return None
    if family == socket.AF_INET:
        return (host, port)
    address, _, zone = host.partition("%")
    return (address, port, 0, _zone_index(zone) if zone else 0)


def peer_host(address: SockAddr) -> str:
    """The host of a socket address as the kernel gave it, with the zone where one is needed to answer."""
    if len(address) == 4 and address[3]:
        return f"{address[0].partition('%')[0]}%{address[3]}"
    return address[0]


def bracketed(host: str) -> str:
    """The host as it is written in SIP: IPv6 in brackets and without the zone, which means nothing to a peer."""
    return f"[{host.partition('%')[0]}]" if ":" in host else host


def split_host_port(text: str) -> tuple[str, int | None]:
    """``host``, ``host:port``, ``[v6]``, ``[v6]:port`` or a bare IPv6 address; ValueError with the reason otherwise."""
    if family_of(text) == socket.AF_INET6:
        return text, None
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        if not closed:
            raise ValueError("']' is missing after the IPv6 address")
        if family_of(host) != socket.AF_INET6:
            raise ValueError(f"{host!r} is not an IPv6 address")
        if rest and not rest.startswith(":"):
            raise ValueError(f"{rest!r} is not a port")
        port_text = rest[1:] if rest else None
    else:
        host, colon, after = text.partition(":")
        port_text = after if colon else None
        if ":" in after:
            raise ValueError("an IPv6 address is written in brackets, as in [::1]:5060")
    if not host:
        raise ValueError("the host is missing")
    if port_text is None:
        return host, None
    if not (port_text.isascii() and port_text.isdigit() and int(port_text[:6]) < 65536):
        raise ValueError(f"{port_text!r} is not a port from 0 to 65535")
    return host, int(port_text)


class Routes:
    """Asks the kernel which of this machine's addresses it would send from, and remembers that for a short while."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, float]] = {}

    @property
    def remembered(self) -> int:
        """How many peers are remembered."""
        return len(self._known)

    def source(self, remote_host: str) -> str:
        """Our address towards a numeric peer; "" when there is no route or the host is not numeric."""
        now = time.monotonic()
        known = self._known.get(remote_host)
        if known is not None and known[1] > now:
            return known[0]
        if len(self._known) >= _CACHED_PEERS:
            self._known.clear()
        source = _probe(remote_host)
        self._known[remote_host] = (source, now + _ROUTE_SECONDS)
        return source


def _probe(remote_host: str) -> str:
    # Connecting a UDP socket makes the kernel choose route and source address without sending anything.
    address = socket_address(remote_host, 5060)
    if address is None:
        return ""
    try:
        with socket.socket(family_of(remote_host), socket.SOCK_DGRAM) as probe:
            probe.connect(address)
            return peer_host(probe.getsockname())
    except OSError:
        return ""


ROUTES = Routes()
"""Shared by all listeners: routes are the machine's, not a listener's."""


class LocalAddresses:
    """Which addresses are this machine's, as the kernel says, remembered for a short while."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[str, tuple[bool, float]] = {}

    def __contains__(self, host: str) -> bool:
        """False for what is no numeric address, too."""
        now = time.monotonic()
        known = self._known.get(host)
        if known is not None and known[1] > now:
            return known[0]
        if len(self._known) >= _CACHED_PEERS:
            self._known.clear()
        found = _can_bind(host)
        self._known[host] = (found, now + _ROUTE_SECONDS)
        return found


def _can_bind(host: str) -> bool:
    address = socket_address(host, 1)
    if address is None:
        return False
    try:
        with socket.socket(family_of(host), socket.SOCK_DGRAM) as probe:
            probe.bind((address[0], 0, *address[2:]))
    except OSError:
        return False
    return True


LOCAL_ADDRESSES = LocalAddresses()
"""Shared by all listeners, as `ROUTES` is."""


class SentBy:
    """What a listener calls itself towards each peer (RFC 3261 §18.1.1).

    `advertise` (host or host:port) wins unless it is an address of the other family, which no peer of this listener
    could reach. A listener on one address says that address; one on a wildcard asks the kernel for each peer.
    """

    __slots__ = ("_fixed", "_port", "_unrouted")

    def __init__(self, local: tuple[str, int], advertise: str = "") -> None:
        host, port = local
        self._port = port
        self._unrouted = "127.0.0.1" if family_of(host) == socket.AF_INET else "::1"
        self._fixed = "" if host in WILDCARDS else f"{bracketed(host)}:{port}"
        if advertise:
            shown, shown_port = split_host_port(advertise)
            if family_of(shown) in (0, family_of(host)):
                self._fixed = f"{bracketed(shown)}:{port if shown_port is None else shown_port}"

    def __call__(self, remote_host: str) -> str:
        return self._fixed or f"{bracketed(ROUTES.source(remote_host) or self._unrouted)}:{self._port}"
