"""SIP over WebSocket (RFC 7118): phones in browsers connect to us, and are reached by their connections alone."""

import socket
from ipaddress import ip_address
from typing import Final, Protocol

from engine.sip.flow import Flow, web_page_at
from engine.transport.addresses import family_of, unmapped
from engine.transport.connection import Connection, Framer, Owner
from engine.transport.listen_spec import ListenSpec, WebSocketOptions
from engine.transport.secure_connection import SecureConnection
from engine.transport.sink import Sink
from engine.transport.tcp import TcpTransport
from engine.transport.tls import TlsTransport
from engine.transport.websocket_framing import Asked, HttpRefusal, WebSocketFramer

GONE: Final = "the WebSocket connection is gone, and only its peer can make a new one"

_NAMELESS: Final = HttpRefusal(403, "The proxy has not said whose connection this is (X-Forwarded-For).")
_BANNED: Final = HttpRefusal(403, "This address is banned.")
_FULL: Final = HttpRefusal(503, "There are too many connections.")


class WebSocketOwner(Owner, Protocol):
    """The listener of WebSocket connections."""

    def judge(self, connection: Connection, asked: Asked) -> HttpRefusal | None:
        """Whether a connection may become a WebSocket."""


class WebSocketConnection(Connection):
    """A connection of a browser's."""

    __slots__ = ()

    framer: WebSocketFramer
    _owner: WebSocketOwner

    def take(self, data: bytes) -> None:
        """See `Connection`: first of all it asks for the upgrade."""
        framer = self.framer
        framer.heard_at = self._loop.time()
        framer.pinged_at = None
        super().take(data)
        if framer.asked is not None:
            framer.decide(self._owner.judge(self, framer.asked))
            if not framer.ended:
                super().take(b"")  # the answer; and what came with the request
            elif self.put(framer.replies()):
                self._finish(framer.ended)


class SecureWebSocketConnection(WebSocketConnection, SecureConnection):
    """The same over TLS."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        """asyncio: some encrypted bytes. After our last word nothing is read any more."""
        if not self.framer.ended:
            super().data_received(data)


class WsTransport(TcpTransport):
    """A listener for WebSocket connections. It makes none: what is sent to a flow whose connection is gone fails at
    once.

    Public counters beside those of `TcpTransport`: `upgrades_refused`, `upgrades_slow` (not complete in time).
    """

    name = "ws"
    via_name = "WS"
    connects = False

    def __init__(self, sock: socket.socket, sink: Sink, spec: ListenSpec) -> None:
        super().__init__(sock, sink, spec)
        self.options: WebSocketOptions = spec.websocket
        self.upgrades_refused = self.upgrades_slow = 0

    def _has_room(self, host: str) -> bool:
        # Until a proxy has said whom it connects for, its connections are no stranger's.
        return self._is_proxy(host) or super()._has_room(host)

    def connected(self, flow: Flow) -> bool:
        """True while the flow's own connection is open."""
        return flow.connection is not None and flow.connection.usable

    def send(self, data: bytes, flow: Flow) -> None:
        """Sends one message over the flow's own connection. Never by another one from the same address and port, which
        may be another browser's behind the same NAT."""
        self._on_sent(flow, data)
        connection = flow.connection
        if connection is None or not connection.usable:
            self._failures.add(flow, data, GONE)
        elif not connection.write(data):
            self._failures.add(flow, data, connection.error)

    def _connection(self, flow: Flow | None = None) -> Connection:
        return WebSocketConnection(self, self._framer(), flow)

    def _framer(self) -> Framer:
        return WebSocketFramer(self.options, self._loop.time())

    def _party(self, host: str) -> str:
        return web_page_at(host)

    def _shared(self, connection: Connection) -> bool:
        return False

    def made(self, connection: Connection) -> bool:
        """See `TcpTransport.made`."""
        if not super().made(connection):
            return False
        assert connection.flow is not None
        connection.flow = self._page_at(connection.flow.host, connection)
        return True

    def _page_at(self, host: str, connection: Connection) -> Flow:
        assert connection.flow is not None
        return Flow(self, host, connection.flow.port, identity=web_page_at(host), connection=connection)

    def judge(self, connection: Connection, asked: Asked) -> HttpRefusal | None:
        """Whether a connection may become a WebSocket, by where it comes from."""
        flow = connection.flow
        assert flow is not None
        return self._forwarded(connection, asked.forwarded) if self._is_proxy(flow.host) else None

    def _is_proxy(self, host: str) -> bool:
        if not self.options.proxies:
            return False
        address = ip_address(unmapped(host).partition("%")[0])
        return any(address in network for network in self.options.proxies)

    def _forwarded(self, connection: Connection, forwarded: str) -> HttpRefusal | None:
        """The connection is that of whom a proxy connects for, from now on."""
        named = [address.strip() for address in forwarded.split(",")]
        while len(named) > 1 and family_of(named[-1]) and self._is_proxy(named[-1]):
            named.pop()
        if not family_of(named[-1]):
            return _NAMELESS
        host = unmapped(named[-1])
        if self.sink.banned(self._party(host)):
            return _BANNED
        self.slots.leave(connection)
        if not self._admit(connection, host):
            return _FULL
        known = self.sink.known(host)
        connection.write_buffer = self.limits.write_buffer if known else self.limits.stranger_write_buffer
        connection.flow = self._page_at(host, connection)
        return None

    def lost(self, connection: Connection) -> None:
        """See `TcpTransport.lost`."""
        super().lost(connection)
        framer = connection.framer
        assert isinstance(framer, WebSocketFramer)
        if framer.ended and not framer.upgraded:
            self.upgrades_refused += 1

    def _slow(self, connection: Connection) -> None:
        framer = connection.framer
        assert isinstance(framer, WebSocketFramer)
        if framer.upgraded:
            super()._slow(connection)
        else:
            self.upgrades_slow += 1
            connection.abort("no complete upgrade in time")

    # -- pings (RFC 7118 §6)

    def _shortest(self) -> float:
        options = self.options
        pings = (options.ping, options.pong_timeout) if options.ping else ()
        return min(super()._shortest(), self.limits.handshake_timeout, *pings)

    def _look_after(self, connection: Connection, now: float) -> None:
        super()._look_after(connection, now)
        framer, options = connection.framer, self.options
        if not options.ping or not connection.usable:
            return
        assert isinstance(framer, WebSocketFramer)
        if framer.pinged_at is None:
            if now - framer.heard_at >= options.ping:
                framer.pinged_at = now
                connection.put(framer.ping())
        elif now - framer.pinged_at > options.pong_timeout:
            self.timed_out += 1
            connection.abort("no answer to a ping")


class WssTransport(WsTransport, TlsTransport):
    """A listener for WebSocket connections over TLS. Public counters: see `TlsTransport`."""

    name = "wss"
    via_name = "WSS"

    def _connection(self, flow: Flow | None = None) -> Connection:
        return SecureWebSocketConnection(self, self._framer(), flow)
