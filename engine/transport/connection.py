"""Stream connections: messages in, messages out, and what shows that a peer is gone.

What lies between the socket and SIP is put together from two parts: a framer cuts messages out of the bytes and makes
bytes of messages, and a subclass may encrypt what goes between `take`, `put` and the socket.
"""

import asyncio
from dataclasses import replace
from typing import Protocol, cast

from engine.sip.flow import Flow
from engine.sip.message.framing import NotSip, Unframed
from engine.sip.message.grammar import ParseError
from engine.transport.addresses import error_words
from engine.transport.listen_spec import ListenerLimits
from engine.transport.sink import Sink


class Framer(Protocol):
    """Cuts messages out of a stream. `StreamFramer` for SIP over TCP and TLS; WebSocket frames bring another one."""

    @property
    def partial(self) -> bool:
        """True while the beginning of a message waits for its end."""

    @property
    def broken(self) -> ParseError | None:
        """Why nothing more can be cut out of this stream."""

    @property
    def ready(self) -> bool:
        """True while messages can be sent: between the handshakes of a framing that has them."""

    @property
    def ended(self) -> str:
        """Why its last word is among `replies`, so that the connection is to be closed; "" while it goes on."""

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are complete with `data`; ParseError when there can be no more."""

    def replies(self) -> bytes:
        """What the framing itself has to write back."""

    def encode(self, message: bytes) -> bytes:
        """One message as it goes over the stream, while `ready`."""

    def farewell(self) -> bytes:
        """What is said before we close; nothing can be sent after it."""


class Owner(Protocol):
    """The listener that a connection belongs to."""

    sink: Sink
    limits: ListenerLimits

    def made(self, connection: "Connection") -> bool:
        """The socket is connected; False when it is one too many."""

    def ready(self, connection: "Connection") -> None:
        """Messages can be sent over it."""

    def keep(self, connection: "Connection", kept: bool) -> None:
        """Whether it counts against the limits of its source."""

    def heard(self, connection: "Connection") -> None:
        """A whole message has come over it."""

    def unusable(self, connection: "Connection") -> None:
        """Nothing more can be sent over it."""

    def lost(self, connection: "Connection") -> None:
        """Its socket is closed."""


class Connection(asyncio.Protocol):
    """A connection that was accepted or made by us. Times are those of the event loop."""

    __slots__ = (
        "_loop",
        "_owner",
        "_received",
        "_transport",
        "attempt",
        "error",
        "flow",
        "framer",
        "kept",
        "last_traffic",
        "misframed",
        "outgoing",
        "owed_since",
        "own_end",
        "requested",
        "stalled_since",
        "write_buffer",
    )

    def __init__(self, owner: Owner, framer: Framer, attempt: Flow | None = None) -> None:
        """`attempt` says where a connection that we make goes; an accepted one learns it from the socket."""
        self._owner = owner
        self.framer = framer
        self._loop = asyncio.get_running_loop()
        self._received = owner.sink.received
        self.write_buffer = owner.limits.write_buffer
        self._transport: asyncio.Transport | None = None
        self.attempt = attempt
        self.flow = None if attempt is None else replace(attempt, connection=self)
        """The peer, by this connection; None until it is known, and when the connection is over."""
        self.outgoing = attempt is not None
        self.own_end: tuple[str, int] | None = None  # of a connection that we made, once it is up
        self.error = ""
        self.kept = False
        """Somebody is reached by it: see `keep`."""
        self.misframed = False
        self.requested = False
        """A request was sent over it, whose transaction has to hear when it is gone."""
        self.last_traffic = self._loop.time()
        self.owed_since: float | None = None if self.outgoing else self.last_traffic
        """Since when the peer owes us a message, or the rest of one."""
        self.stalled_since: float | None = None
        """Since when the peer takes nothing of what we write."""

    @property
    def usable(self) -> bool:
        """True while messages can be sent over it."""
        return self._transport is not None and self.framer.ready and not self._transport.is_closing()

    @property
    def patience(self) -> float:
        """Seconds for which a peer may owe us a message, or the rest of one."""
        limits = self._owner.limits
        return limits.message_timeout if self.framer.ready else limits.handshake_timeout

    @property
    def transport(self) -> asyncio.Transport | None:
        """asyncio's side of the connection; None before it is made."""
        return self._transport

    def write(self, data: bytes) -> bool:
        """Writes one message; False when too much is waiting already, and then the connection is given up."""
        if not self.framer.ready:
            self.error = self.error or "connection closed"
            return False
        if not self.put(self.framer.encode(data)):
            return False
        self.requested = self.requested or not data.startswith(b"SIP/2.0 ")
        return True

    def put(self, data: bytes) -> bool:
        """Writes bytes as the framer has made them; False as of `write`."""
        transport = self._transport
        assert transport is not None
        waiting = transport.get_write_buffer_size()
        if waiting and waiting + len(data) > self.write_buffer:
            self.abort("the peer takes no more data")
            return False
        self._send(data)
        self.last_traffic = self._loop.time()
        return True

    def _send(self, data: bytes) -> None:
        """Hands bytes of ours to the socket."""
        assert self._transport is not None
        self._transport.write(data)

    def alias(self, port: int) -> None:
        """See `engine.sip.flow.Connection.alias`: of connections whose peer has shown nothing it changes nothing."""

    def keep(self, kept: bool = True) -> None:
        """Somebody is reached by this connection from now on, such as a phone that has registered over it.

        It does not count against `connections_per_source` any more, so that all phones behind one address (RFC 6598)
        find room; no stranger's connection takes its place, and it may be quiet for longer than `idle_timeout`: a peer
        that is gone is found by probes. `False`: nobody is reached by it any more. What is lost is lost: nothing needs
        to be taken back when the connection ends (`Sink.closed`).
        """
        if self.kept != kept and self.flow is not None:
            self.kept = kept
            self._owner.keep(self, kept)

    def close(self) -> None:
        """Closes when all that was written is out. Not reported to the sink, for it is deliberate."""
        if self.usable:
            farewell = self.framer.farewell()
            if farewell:
                self.put(farewell)
        self._owner.unusable(self)
        if self._transport is not None:
            if not self._transport.is_closing():
                self._close_notify()
            self._transport.close()

    def abort(self, error: str = "") -> None:
        """Closes at once. With an `error` the sink hears of it."""
        self.error = self.error or error
        self._owner.unusable(self)
        if self._transport is not None:
            self._transport.abort()

    # -- called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection is up."""
        self._transport = cast(asyncio.Transport, transport)
        if self._owner.made(self):
            self._connected()
        else:
            self._transport.abort()

    def _connected(self) -> None:
        """The socket is connected: messages can go, or first what has to come before them."""
        self._owner.ready(self)

    def data_received(self, data: bytes) -> None:
        """asyncio: some bytes."""
        self.take(data)

    def take(self, data: bytes) -> None:
        """Some bytes of the peer's, as they are for the framer."""
        framer = self.framer
        transport = self._transport
        flow = self.flow
        assert transport is not None and flow is not None
        if framer.ended or self.misframed:
            return
        try:
            messages = framer.feed(data)
        except ParseError as error:
            self._misframed(error)
            return
        self.last_traffic = now = self._loop.time()
        if not framer.partial:
            self.owed_since = None
        elif messages or self.owed_since is None:
            self.owed_since = now
        reply = framer.replies()
        if reply and not self.put(reply):
            return
        if messages:
            self._owner.heard(self)
        for message in messages:
            if transport.is_closing():  # by the sink, at one of the messages before
                return
            self._received(message, flow)
        if framer.broken is not None:
            self._misframed(framer.broken)
        elif framer.ended:
            self._finish(framer.ended)

    def _misframed(self, error: ParseError) -> None:
        # There is no telling where the next message begins.
        self.misframed = True
        if isinstance(error, NotSip) and self.flow is not None:
            self._owner.sink.not_sip(self.flow, str(error))
        if isinstance(error, Unframed) and self.flow is not None:
            self._owner.sink.unframed(self.flow, error.head, str(error))
            self._finish(f"framing error: {error}")
        elif self.framer.ended:
            self._finish(f"framing error: {error}")
        else:
            self.abort(f"framing error: {error}")

    def _finish(self, error: str) -> None:
        """Our last word is said. The peer has a while to read it and to close: closed by us at once, with bytes of its
        that are unread, the connection would be reset, and the word lost (RFC 9293 §3.10.7.4)."""
        transport = self._transport
        assert transport is not None
        self.error = self.error or error
        self._owner.unusable(self)
        self.owed_since = self._loop.time()
        self._close_notify()
        if transport.can_write_eof():
            transport.write_eof()
        else:
            transport.close()

    def _close_notify(self) -> None:
        """Says that nothing follows, where the transport has a word for it (RFC 8446 §6.1)."""

    def eof_received(self) -> bool:
        """asyncio: the peer closed its side; so do we when all is written.

        A half-closed connection cannot be told from a closed one, and would keep its descriptor until it idles out.
        """
        self.error = self.error or "connection closed by peer"
        self._owner.unusable(self)
        return False

    def pause_writing(self) -> None:
        """asyncio: the peer does not keep up."""
        self.stalled_since = self._loop.time()

    def resume_writing(self) -> None:
        """asyncio: the peer has caught up."""
        self.stalled_since = None

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the socket is closed."""
        if isinstance(exc, OSError):
            self.error = self.error or error_words(exc)
        self._owner.unusable(self)
        self._owner.lost(self)
        self.attempt = self.flow = None  # which holds this connection: no circle for the garbage collector
