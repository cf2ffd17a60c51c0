"""Where a message came from or goes to. The protocol core only names it; sockets are the transports' business."""

from collections.abc import Callable
from typing import NamedTuple, Protocol


class Hop(NamedTuple):
    """Where a message came from, or where it goes to: a listener of ours and a peer's address.

    Sending to the hop of a request with ``hop.transport.send(data, hop.host, hop.port)`` is symmetric response routing
    (RFC 3581 §4): same local address and port, or same connection.
    """

    transport: "Transport"
    host: str
    """Numeric address; IPv6 without brackets, link-local addresses with their zone (``fe80::1%2``)."""
    port: int


Allows = Callable[[Hop], bool]
"""Whether a request may go to a hop: asked for each one that its URI leads to, whenever that is looked up."""

NOT_ALLOWED = "destination not allowed"
"""Why a request is not sent whose hops may not have it."""


class Located(Protocol):
    """Takes the hops of a URI, best first."""

    def __call__(self, hops: "list[Hop]", cause: str = ..., /) -> None:
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
    def local(self) -> tuple[str, int]:
        """The bound address and port; IPv6 without brackets."""

    tap: "Callable[[Transport, bytes, str, int], None] | None"
    """Shown each message that `send` is given: the engine's trace."""

    def send(self, data: bytes, host: str, port: int) -> None:
        """Sends one whole message to a numeric address.

        Never blocks, never raises. Trouble is told to `Sink.failed`, always from the event loop and never from within
        this call, so a caller may finish its own bookkeeping after sending.
        """

    def connected(self, host: str, port: int) -> bool:
        """True when an open connection to this peer can be used; always True for UDP."""

    def drop(self, host: str, port: int) -> None:
        """Closes the connection to this peer at once, if there is one; of UDP there is none."""

    def drop_banned(self) -> None:
        """Closes the connections of peers that are banned by now."""

    def sent_by(self, remote_host: str) -> str:
        """The ``host:port`` that this peer shall see in Via and Contact; IPv6 in brackets."""

    def close(self) -> None:
        """Stops listening and closes every connection once what was written to it is out."""

    async def wait_closed(self) -> None:
        """Returns when, after `close`, no socket, task or timer is left; bounded in time."""
