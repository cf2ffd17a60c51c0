"""The loopback transport: our requests to ourselves, without sockets, for calls between parts of the engine.

Nobody else is on it, so that what comes by it needs no proof of who sent it.
"""

import asyncio
from collections.abc import Callable

from engine.sip.flow import Flow, Transport
from engine.transport.addresses import WILDCARDS

Received = Callable[[bytes, Flow], None]
Sent = Callable[[Flow, bytes], None]


class Loopback:
    """Hands what is sent by it to `sent` at once, and to `received` in the loop's next turn, in order. It cannot lose
    anything.

    `name` stands for the engine in Via and Contact: no host's name, and new at each start. `beside` is a listener,
    whose address media has, too.
    """

    __slots__ = ("_host", "_loop", "_received", "_sent", "domain", "local")

    name, via_name, reliable, internal, connects = "udp", "UDP", True, True, True

    def __init__(
        self, loop: asyncio.AbstractEventLoop, received: Received, sent: Sent, token: str, beside: Transport
    ) -> None:
        self._loop = loop
        self._received = received
        self._sent = sent
        self.domain = f"{token}.invalid"  # RFC 2606 §2: no name server knows it
        self.local = beside.local
        host = beside.local[0]
        self._host = ("::1" if ":" in host else "127.0.0.1") if host in WILDCARDS else host

    @property
    def flow(self) -> Flow:
        """Ourselves, by this way."""
        return Flow(self, self._host, self.local[1])

    def send(self, data: bytes, flow: Flow) -> None:
        """See `Transport`."""
        self._sent(flow, data)
        self._loop.call_soon(self._received, data, self.flow)

    def connected(self, flow: Flow) -> bool:
        """See `Transport`."""
        return True

    def drop(self, flow: Flow) -> None:
        """See `Transport`: there is no connection."""

    def drop_banned(self) -> None:
        """See `Transport`: it has no peers."""

    def made_from(self, host: str, port: int) -> bool:
        """See `Transport`: there is no connection."""
        return False

    def sent_by(self, remote_host: str) -> str:
        """See `Transport`."""
        return f"{self.domain}:5060"

    def close(self) -> None:
        """See `Transport`: there is nothing to close."""

    async def wait_closed(self) -> None:
        """See `Transport`."""
