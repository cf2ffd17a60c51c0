"""What a listener is opened from: its address, the name that it shows, and what it takes from its peers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network

from engine.transport.certificates import Certificates

DEFAULT_PORTS = {"udp": 5060, "tcp": 5060, "sctp": 5060, "tls": 5061, "ws": 80, "wss": 443}
"""By transport, where a URI has none (RFC 3261 §19.1.2, RFC 7118 §5)."""

LISTEN_PORTS = DEFAULT_PORTS | {"ws": 5080, "wss": 5443}
"""By transport, where a listener has none: 80 and 443 belong to web servers."""


class NoCertificateError(Exception):
    """A listener with TLS has no certificate to show."""


@dataclass(slots=True)
class ListenerLimits:
    """How much one listener takes from its peers before it defends itself. Times in seconds, sizes in bytes."""

    receive_buffer: int = 8 * 1024 * 1024
    """UDP: kernel buffer asked for; the kernel may grant less (`UdpTransport.receive_buffer`)."""
    datagrams_per_turn: int = 512
    """UDP: read in one go before timers and other sockets get their turn: many, so that what is dropped unread does not
    fill the kernel's buffer."""
    turn: float = 0.005
    """UDP: seconds after which they get it all the same."""
    send_queue: int = 4096
    """UDP: datagrams kept while the kernel takes no more."""
    stun_rate: float = 100.0
    """UDP: Binding requests of one source that are answered in a second: a few thousand phones behind one address."""
    stun_burst: int = 200
    """UDP: and how many at once."""
    connect_timeout: float = 4.0
    """TCP: less than a caller waits for the next target (RFC 3263 §4.3)."""
    idle_timeout: float = 600.0
    """TCP: a connection without any traffic is closed."""
    message_timeout: float = 32.0
    """TCP: a message that was begun must be complete, and a new peer must have sent something, by then (64*T1)."""
    handshake_timeout: float = 5.0
    """TLS, WebSocket: a handshake must be done by then."""
    stall_timeout: float = 32.0
    """TCP: a peer that takes nothing of what waits for it is cut off."""
    write_buffer: int = 1024 * 1024
    """TCP: what may wait for one peer."""
    stranger_write_buffer: int = 128 * 1024
    """TCP: the same for a stranger that has connected to us: two of the largest answers."""
    connect_queue: int = 256
    """TCP: messages that wait for one connection to be made."""
    connections: int = 4096
    """TCP: accepted connections per listener; connections made by us are bounded by the same number, of which strangers
    have three quarters."""
    kept_connections: int = 100_000
    """TCP: and beside them so many that somebody is reached by, such as registered phones: none of these is closed to
    make room."""
    connections_per_source: int = 256
    """TCP: accepted connections from one stranger's address (IPv6: /64)."""
    made_per_source: int = 32
    """TCP: connections that we make to one stranger's address, which may name each of its ports."""
    silent_per_source: int = 16
    """TCP: of them, those without a message until now; the oldest makes room for another."""
    quiet_after: float = 5.0
    """TCP: where all places are taken, who has said nothing for so long makes room for a new peer."""
    handshakes: int = 1024
    """TLS: handshakes at once; the oldest one of a stranger makes room for another."""
    handshakes_per_source: int = 32
    """TLS: of one stranger's address, in place of `silent_per_source`."""
    handshakes_turn: float = 0.005
    """TLS: seconds that strangers' handshakes are worked on before timers and other sockets get their turn."""
    header_size: int = 64 * 1024
    body_size: int = 256 * 1024


@dataclass(slots=True, frozen=True, kw_only=True)
class WebSocketOptions:
    """What a WebSocket listener asks of its peers. Times in seconds.

    Attributes:
        path: That of its URL.
        origins: The pages that may connect, such as "https://phone.example.com", in lower case; all where it is empty.
            Peers that are no browsers have none, and may.
        ping: A peer that has sent nothing for so long is pinged; 0: none is.
        pong_timeout: And is gone where it does not answer within this.
        proxies: Web proxies of ours, whose X-Forwarded-For says who their connections are of.
    """

    path: str = "/"
    origins: Sequence[str] = ()
    ping: float = 25.0
    pong_timeout: float = 10.0
    proxies: Sequence[IPv4Network | IPv6Network] = ()


@dataclass(slots=True, frozen=True)
class ListenSpec:
    """One listener.

    Attributes:
        transport: Its name in URLs: "udp", "tcp", ...
        host: Numeric once it is opened; a name of this machine before.
        port: 0 takes a free one.
        advertise: The host, or host:port, that peers are shown; "" for the address itself.
        limits: Its bounds.
        certificates: What it shows its peers; None for a transport without TLS.
        websocket: What it asks of its peers, where it is one of WebSocket.
    """

    transport: str
    host: str
    port: int
    advertise: str = field(default="", kw_only=True)
    limits: ListenerLimits = field(default_factory=ListenerLimits, kw_only=True)
    certificates: Certificates | None = field(default=None, kw_only=True)
    websocket: WebSocketOptions = field(default_factory=WebSocketOptions, kw_only=True)
