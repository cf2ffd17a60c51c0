"""Flows: where a message came from or goes to, under which name and over which connection (RFC 3261 §18, RFC 5626).

The protocol core only names them; sockets are the transports' business.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

_UNUSUAL = re.compile(r"[^a-z0-9.*:_-]")
_LONGEST_IDENTITY, _LONGEST_NAME = 4096, 260


class Connection(Protocol):
    """A stream connection, as a flow holds it."""

    @property
    def usable(self) -> bool:
        """True while messages can be sent over it."""

    @property
    def error(self) -> str:
        """Why it cannot be used any more, in words; "" while it can."""

    def write(self, data: bytes) -> bool:
        """Writes one message; False when the peer takes no more, and then the connection is given up."""

    def alias(self, port: int) -> None:
        """The peer, who has shown a certificate, says that what is sent to this port of its address may come by this
        connection (RFC 5923 §8)."""

    def keep(self, kept: bool = True) -> None:
        """Whether somebody is reached by it: then it is not closed for being quiet, or for its source having many."""


@dataclass(slots=True, frozen=True, kw_only=True)
class TlsTerms:
    """How a peer that we connect to over TLS has to show who it is, and how we do. Files are named by their paths.

    Attributes:
        verify: Its certificate has to be of a CA that we trust, and to have its name (RFC 5922 §7).
        ca: The file of these CAs; "" for the machine's.
        certificate, key: The files of what we show it where it asks (PEM, with the chain); "" for nothing.
        names: What its certificate may have in place of the name that was looked up.
        allow_wildcards: Whether a name in its certificate may begin with `*.`, for one label; RFC 5922 §7.2 has none.
    """

    verify: bool = True
    ca: str = ""
    certificate: str = ""
    key: str = ""
    names: tuple[str, ...] = ()
    allow_wildcards: bool = False


@dataclass(slots=True, frozen=True)
class Flow:
    """One of our listeners and a peer's address. Sending to the flow of a request is symmetric response routing (RFC
    3581 §4): same local address and port, or same connection.

    Two flows between the same addresses over the same transport are equal, whatever else they have.

    Attributes:
        transport: The listener.
        host: Numeric address; IPv6 without brackets, link-local addresses with their zone (``fe80::1%2``).
        port: The peer's port.
        identity: Of a peer with a verified certificate: the names in it, and its address; see `identity_of`. Of a page
            in a browser: that it is one, and its address; see `WEB_PAGE`.
        domain: The name that was looked up to find it, in lower case, against which a certificate is checked (RFC
            5922); "" where none was.
        connection: The connection that a message came by and that the answer goes by as long as it can be used; None
            for whichever there is.
        tls: What is asked of the peer where a connection over TLS has to be made; None for what is asked of anybody.
    """

    transport: "Transport"
    host: str
    port: int
    identity: str = field(default="", compare=False, kw_only=True)
    domain: str = field(default="", compare=False, kw_only=True)
    connection: Connection | None = field(default=None, compare=False, kw_only=True, repr=False)
    tls: TlsTerms | None = field(default=None, compare=False, kw_only=True, repr=False)

    def under(self, terms: TlsTerms | None, domain: str = "") -> "Flow":
        """The same flow for a peer with these terms, unless it has its own. `domain`: its name, where no other was
        looked up."""
        if (terms is None and not domain) or self.tls is not None or not self.secure:
            return self
        return replace(self, tls=terms, domain=self.domain or domain)

    def send(self, data: bytes) -> None:
        """Sends one whole message; see `Transport.send`."""
        self.transport.send(data, self)

    @property
    def connected(self) -> bool:
        """Whether an open connection can be used; always True for UDP."""
        return self.transport.connected(self)

    @property
    def via(self) -> str:
        """What our Via says of a request that goes this way, behind its host: that its answers come back to where it
        came from (RFC 3581), and that requests to us may, where our own certificate is shown (RFC 5923 §8.1)."""
        terms = self.tls
        return ";rport;alias" if terms is not None and terms.certificate and self.secure else ";rport"

    @property
    def party(self) -> str:
        """Who is there, as `engine.sip.peers.Peers` is asked: the address, or who has shown more than that."""
        return self.identity or self.host

    def carries(self, other: "Flow") -> bool:
        """Whether what is sent to `other`, while this flow's connection is up, goes over that one: over TLS a
        connection that was made is for one name (RFC 5922 §7.3)."""
        if self != other:
            return False
        own = other.connection
        if own is not None and (own is self.connection or own.usable):
            return own is self.connection
        return not self.secure or (self.domain == other.domain and self.tls == other.tls)

    @property
    def secure(self) -> bool:
        """Whether requests to SIPS URIs may go this way, and come by it (RFC 5630 §4)."""
        return self.transport.name in SECURE or self.transport.internal

    def sent_by(self, contact_host: str = "") -> str:
        """The ``host:port`` that this peer shall see in our Via. `contact_host`: what it is to be shown in place of our
        address, `host` or `host:port`; without a port it has the listener's."""
        if not contact_host:
            return self.transport.sent_by(self.host)
        return contact_host if ":" in contact_host else f"{contact_host}:{self.transport.local[1]}"

    def own_address(self, contact_host: str = "", *, sips: bool = False) -> str:
        """Where this peer finds us: host, port and transport, as they stand in a URI behind the user; in a SIPS URI the
        scheme says TLS (RFC 5630 §3.1.4)."""
        name = self.transport.name
        return self.sent_by(contact_host) + ("" if sips and name == "tls" else transport_parameter(name))

    def contact(self, contact_host: str = "", *, sips: bool = False) -> str:
        """The Contact line that this peer is to see. `contact_host`: see `sent_by`."""
        return self.contact_as(self.sent_by(contact_host), sips=sips)

    def contact_as(self, sent_by: str, *, sips: bool = False) -> str:
        """The same, where what this peer sees in our Via is known."""
        name = self.transport.name
        if sips:
            return f"Contact: <sips:{sent_by}{'' if name == 'tls' else transport_parameter(name)}>\r\n"
        return f"Contact: <sip:{sent_by}{transport_parameter(name)}>\r\n"


def identity_of(names: Iterable[str], host: str) -> str:
    """What a verified certificate says of who is at `host`: its names in lower case, with bars between them, and the
    address. A SIP domain (RFC 5922 §7.1) is there as `sip:example.com` and as `example.com`; of a server that we have
    connected to the name that it was verified for is all, as `server:example.com`."""
    shown = ""
    for name in names:
        if name and len(name) <= _LONGEST_NAME and not _UNUSUAL.search(name):
            if len(shown) > _LONGEST_IDENTITY:
                break  # a name that was cut would be another's
            shown += f"|{name}"
    return f"{shown[1:]}@{host}" if shown else ""


WEB_PAGE: Final = "<page>"
"""In the place of names in a `Flow.identity`: of a WebSocket connection, whose other end is whatever page a browser has
open. No certificate has this name."""


_OF_A_PAGE: Final = f"{WEB_PAGE}@"


def web_page_at(host: str) -> str:
    """The `Flow.identity` of a page in a browser at this address."""
    return _OF_A_PAGE + host


def is_web_page(party: str) -> bool:
    """Whether a `Flow.party` is a page in a browser. Its address is that of who looks at the page, and gives no rights:
    any page on the Web may connect to what that browser reaches (RFC 6455 §10.2)."""
    return party.startswith(_OF_A_PAGE)


def address_of(party: str) -> str:
    """The numeric address of a `Flow.party`."""
    return party.rpartition("@")[2] if "@" in party else party


SECURE = ("tls", "wss")
"""Transports that SIPS URIs may be used over."""

NOT_SECURE = "a SIPS URI is reached over TLS alone"
"""Why a request is not sent that would have had to go in the clear."""


def is_sips(uri: str) -> bool:
    """Whether this is a SIPS URI."""
    return uri[:5].lower() == "sips:"


Allows = Callable[[Flow], bool]
"""Whether a request may go to a flow: asked for each one that its URI leads to, whenever that is looked up."""

NOT_ALLOWED = "destination not allowed"
"""Why a request is not sent whose flows may not have it."""


def transport_parameter(name: str) -> str:
    """What a URI says of its transport (RFC 3261 §19.1.1): ``;transport=tcp``, and nothing of UDP, which is the
    default. Of WebSocket it knows `ws`, with TLS too (RFC 7118 §5.2.2)."""
    return "" if name == "udp" else ";transport=ws" if name == "wss" else f";transport={name}"


class Located(Protocol):
    """Takes the flows of a URI, best first."""

    def __call__(self, flows: list[Flow], cause: str = ..., /) -> None:
        """`cause` says in words why there are none."""


class Transport(Protocol):
    """One listener: a bound socket and, where the transport has connections, all that belong to it."""

    @property
    def name(self) -> str:
        """Name in listener URLs and in a URI's transport parameter: "udp", "tcp", "tls", "ws", "wss"."""

    @property
    def via_name(self) -> str:
        """Name in Via: "UDP", "TCP", ..."""

    @property
    def reliable(self) -> bool:
        """True when nothing needs to be retransmitted (RFC 3261 §17.1.1.2)."""

    @property
    def connects(self) -> bool:
        """True when it reaches peers that have no connection to us; False of WebSocket, whose servers make none (RFC
        7118 §5): there a peer is its connection, and what it writes of itself in Via, Contact and Route says nothing.
        """

    @property
    def internal(self) -> bool:
        """True when only our own requests come by it (`engine.transport.loopback`)."""

    @property
    def local(self) -> tuple[str, int]:
        """The bound address and port; IPv6 without brackets."""

    def send(self, data: bytes, flow: Flow) -> None:
        """Sends one whole message to a numeric address: over the flow's connection, else over any to that address.

        Never blocks, never raises. Failures are reported to `Sink.failed`, always from the event loop and never from
        within this call, so a caller may finish its own bookkeeping after sending.
        """

    def connected(self, flow: Flow) -> bool:
        """True when an open connection to this peer can be used; always True for UDP."""

    def drop(self, flow: Flow) -> None:
        """Closes the connection to this peer at once, if there is one; of UDP there is none."""

    def drop_banned(self) -> None:
        """Closes the connections of peers that are banned by now."""

    def made_from(self, host: str, port: int) -> bool:
        """Whether this is our own end of a connection that we made: who is connected to from there is ourselves."""

    def sent_by(self, remote_host: str) -> str:
        """The ``host:port`` that this peer shall see in Via and Contact; IPv6 in brackets."""

    def close(self) -> None:
        """Stops listening and closes every connection once what was written to it is out."""

    async def wait_closed(self) -> None:
        """Returns when, after `close`, no socket, task or timer is left; bounded in time."""
