"""SIP over TCP (RFC 3261 §18): a listening socket, and connections that are used both ways by either side."""

import asyncio
import socket
from collections import Counter
from collections.abc import Hashable
from contextlib import suppress
from typing import Self

from engine.sip.flow import Flow
from engine.sip.message.framing import StreamFramer
from engine.sip.peers import counted_source
from engine.transport.addresses import (
    WILDCARDS,
    SentBy,
    canonical,
    error_words,
    family_of,
    peer_host,
    socket_address,
)
from engine.transport.connection import Connection, Framer
from engine.transport.connection_slots import ConnectionSlots
from engine.transport.listen_spec import ListenSpec
from engine.transport.sink import Failures, Sink

_BACKLOG = 1024
_CLOSE_GRACE = 1.0
_CACHED_PEERS = 4096

# RFC 1122 §4.2.3.6 probes on a quiet connection, so that a peer that vanished without a word (half-open) is noticed.
_PROBE_AFTER, _PROBE_EVERY, _PROBES = 60, 15, 4


class TcpTransport:
    """One TCP listener with its connections, accepted and made.

    A connection is found by its remote address and port, so a response goes back over the connection of its request,
    and requests reuse what is open. TLS is this class with connections that encrypt, and with a `_key` that tells
    domains apart (RFC 5922 §7.3); WebSocket has another `_framer`.

    `connections` are those that are open, `connecting` the attempts to connect. `slots` counts what peers opened;
    `made_by_us` and `making` what we open, by counted source and by flow. Public counters: `refused` (connections over
    a limit), `displaced` (that made room for others), `framing_errors`, `timed_out` (idle, slow or stalled).
    """

    name = "tcp"
    via_name = "TCP"
    internal = False
    reliable = True
    connects = True

    def __init__(self, sock: socket.socket, sink: Sink, spec: ListenSpec) -> None:
        self._on_sent = sink.sent
        self._loop = asyncio.get_running_loop()
        self._socket = sock
        self._family = int(sock.family)
        self.sink = sink
        self.limits = spec.limits
        self._failures = Failures(self._loop, sink)
        self._server: asyncio.Server | None = None
        self._usable: dict[Hashable, Connection] = {}
        self.connections: set[Connection] = set()
        self._own_ends: dict[tuple[str, int], int] = {}  # of connections that we made, and how many have that one
        self.made_by_us: Counter[str] = Counter()  # connections that we made, or are making, by counted source
        self.making: set[int] = set()  # of the latter, the ids of their flows
        self.slots: ConnectionSlots[Connection] = ConnectionSlots(spec.limits, self._has_room)
        self._waiting: dict[Hashable, list[bytes]] = {}
        self.connecting: set[asyncio.Task[None]] = set()
        self._keys: dict[tuple[str, int], tuple[str, int]] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False
        self._emptied: asyncio.Future[None] | None = None
        bound = sock.getsockname()
        self.local: tuple[str, int] = (peer_host(bound), bound[1])
        self._sent_by = SentBy(self.local, spec.advertise)
        self.refused = self.displaced = self.framing_errors = self.timed_out = 0

    @classmethod
    async def open(cls, spec: ListenSpec, sink: Sink) -> Self:
        """Listens on a numeric address. OSError when that does not work; port 0 takes a free one."""
        host, port = spec.host, spec.port
        family = family_of(host)
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            # A restart must not wait for connections of the last run to leave TIME_WAIT.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            _detect_dead_peer(sock, spec.limits.stall_timeout)  # accepted sockets inherit it
            address = socket_address(host, port or 1)
            assert address is not None, host
            sock.bind((address[0], port, *address[2:]))
            sock.listen(_BACKLOG)
            transport = cls(sock, sink, spec)
            transport._server = await transport._accept(sock)
        except BaseException:
            sock.close()
            raise
        return transport

    def connected(self, flow: Flow) -> bool:
        """True when an open connection to this peer can be used."""
        connection = flow.connection
        if connection is None or not connection.usable:
            connection = self._found(self._key(flow), flow)
        return connection is not None and connection.usable

    def drop(self, flow: Flow) -> None:
        """See `Transport.drop`."""
        connection = flow.connection
        if not isinstance(connection, Connection) or not connection.usable:
            connection = self._usable.get(self._key(flow))
        if connection is not None:
            connection.abort("dropped")

    def drop_banned(self) -> None:
        """See `Transport.drop_banned`."""
        for connection in list(self.connections):
            if connection.flow is not None and self.sink.banned(connection.flow.party):
                connection.abort("banned")

    def made_from(self, host: str, port: int) -> bool:
        """Whether this is our own end of a connection that we made: who is connected to from there is ourselves."""
        return (host, port) in self._own_ends

    def sent_by(self, remote_host: str) -> str:
        """The ``host:port`` for Via and Contact towards this peer."""
        return self._sent_by(remote_host)

    def send(self, data: bytes, flow: Flow) -> None:
        """Sends one message over the connection to a numeric address, or over a new one; see `Transport.send`."""
        self._on_sent(flow, data)
        connection = flow.connection
        if connection is None or not connection.usable:
            key = self._key(flow)
            connection = self._found(key, flow)
            if connection is None or not connection.usable:
                self._send_over_new(data, key, flow)
                return
        if not connection.write(data):
            self._failures.add(flow, data, connection.error)

    def close(self) -> None:
        """Stops listening; connections are closed once what was written is out, attempts to connect given up."""
        if self._closed:
            return
        self._closed = True
        if self._server is not None:
            self._server.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        for task in self.connecting:
            task.cancel()
        for connection in list(self.connections):
            connection.close()
        self._waiting.clear()
        self._failures.close()

    async def wait_closed(self) -> None:
        """Returns when no socket, task or timer is left; peers that take nothing are cut off after a second."""
        if self.connecting:
            await asyncio.wait(self.connecting)
        if self.connections:
            await self._wait_empty()
        for connection in list(self.connections):
            connection.abort()
        if self.connections:
            await self._wait_empty()
        if self._server is not None:
            await self._server.wait_closed()

    async def _wait_empty(self) -> None:
        self._emptied = self._loop.create_future()
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_GRACE):
                await self._emptied

    # -- what TLS and WebSocket do differently

    async def _accept(self, sock: socket.socket) -> asyncio.Server:
        return await self._loop.create_server(self._connection, sock=sock, backlog=_BACKLOG)

    async def _establish(self, flow: Flow, own: tuple[str, int] | None) -> None:
        # The loop makes the socket, from numeric addresses and so without a look-up. A socket made here would be left
        # open by uvloop 0.23 when the peer resets the connection before `create_connection` has returned.
        await self._loop.create_connection(lambda: self._connection(flow), flow.host, flow.port, local_addr=own)

    def _connection(self, flow: Flow | None = None) -> Connection:
        return Connection(self, self._framer(), flow)

    def _framer(self) -> Framer:
        """What cuts messages out of a connection's bytes."""
        return StreamFramer(self.limits.header_size, self.limits.body_size)

    def _has_room(self, host: str) -> bool:
        """Whether there is room for this address before strangers'."""
        return self.sink.known(host)

    def _party(self, host: str) -> str:
        """Who connects from an address; see `Flow.party`."""
        return host

    def _shared(self, connection: Connection) -> bool:
        """Whether a connection is used for whatever goes to its peer's address, not only by flows that have it."""
        return True

    # -- connections that we make

    def _found(self, key: Hashable, flow: Flow) -> Connection | None:
        """The connection that is there for a flow without one of its own."""
        return self._usable.get(key)

    def _key(self, flow: Flow) -> Hashable:
        """What a connection for this flow is found by."""
        written = (flow.host, flow.port)
        key = self._keys.get(written)
        if key is None:
            if len(self._keys) >= _CACHED_PEERS:
                self._keys.clear()
            key = self._keys[written] = (canonical(flow.host), flow.port)
        return key

    def _send_over_new(self, data: bytes, key: Hashable, flow: Flow) -> None:
        waiting = self._waiting.get(key)
        if self._closed:
            return
        if waiting is None:
            attempt = Flow(self, canonical(flow.host), flow.port, domain=flow.domain, tls=flow.tls)
            if not self._may_make(attempt.host):
                self._failures.add(flow, data, "too many connections")
                return
            waiting = self._waiting[key] = []
            self.made_by_us[counted_source(attempt.host)] += 1
            name = f"{self.name} connection to {attempt.host} {attempt.port}"
            task = self._loop.create_task(self._connect(key, attempt), name=name)
            self.connecting.add(task)
            task.add_done_callback(self.connecting.discard)
        if len(waiting) >= self.limits.connect_queue:
            self._failures.add(flow, data, "too many messages wait for the connection")
            return
        waiting.append(data)

    def _may_make(self, host: str) -> bool:
        """Whether one more connection is made. Strangers say where to, and could keep all of them open."""
        most, now = self.limits.connections, len(self.connecting) + len(self.connections) - len(self.slots)
        if self.sink.known(host):
            return now < most
        return now < most - most // 4 and self.made_by_us[counted_source(host)] < self.limits.made_per_source

    def _unmade(self, host: str) -> None:
        """A connection that we made is gone, or was not established."""
        source = counted_source(host)
        self.made_by_us[source] -= 1
        if not self.made_by_us[source]:
            del self.made_by_us[source]

    async def _connect(self, key: Hashable, flow: Flow) -> None:
        self.making.add(id(flow))
        error = "connection closed by peer"
        try:
            if socket_address(flow.host, flow.port) is None or family_of(flow.host) != self._family:
                error = "not an address that this listener can connect to"
            else:
                async with asyncio.timeout(self.limits.connect_timeout):
                    await self._establish(flow, None if self.local[0] in WILDCARDS else (self.local[0], 0))
        except TimeoutError:
            error = "connection timed out"
        except OSError as failure:
            error = error_words(failure)
        finally:
            if id(flow) in self.making:
                self.making.discard(id(flow))
                self._unmade(flow.host)
        # `made` took the messages when the connection came up; what is still here was not sent.
        for data in self._waiting.pop(key, ()):
            self._failures.add(flow, data, error)

    # -- connections that are up

    def made(self, connection: Connection) -> bool:
        """A socket is connected, accepted or made by us; False when it has to go."""
        transport = connection.transport
        assert transport is not None
        if connection.flow is None:
            peer = transport.get_extra_info("peername")
            if self._closed or not peer or not self._admit(connection, peer_host(peer)):
                return False
            connection.flow = Flow(self, peer_host(peer), peer[1], connection=connection)
            if not self.sink.known(connection.flow.host):
                connection.write_buffer = self.limits.stranger_write_buffer
        elif self._closed:
            return False
        else:
            self.making.discard(id(connection.attempt))
            with suppress(OSError):  # it may be gone again already; connection_lost follows
                _detect_dead_peer(transport.get_extra_info("socket"), self.limits.stall_timeout)
            own = transport.get_extra_info("sockname")
            if own:
                connection.own_end = (peer_host(own), own[1])
                self._own_ends[connection.own_end] = self._own_ends.get(connection.own_end, 0) + 1
        self.connections.add(connection)
        if self._sweeper is None:
            self._sweep_later()
        return True

    def ready(self, connection: Connection) -> None:
        """Messages can be sent over a connection: those that wait for it go."""
        assert connection.flow is not None
        if not self._shared(connection):
            return
        key = self._key(connection.flow)
        self._usable[key] = connection
        for data in self._waiting.pop(key, ()):
            if not connection.usable or not connection.write(data):
                self._failures.add(connection.flow, data, connection.error or "connection closed by peer")

    def _admit(self, connection: Connection, host: str) -> bool:
        if self.sink.banned(self._party(host)):
            return False
        admitted, leaves = self.slots.enter(connection, host, self._loop.time())
        if leaves is not None:
            self.displaced += 1
            leaves.abort("closed to make room")
        self.refused += not admitted
        return admitted

    def keep(self, connection: Connection, kept: bool) -> None:
        """See `Connection.keep`."""
        self.slots.keep(connection, kept, self._loop.time())

    def heard(self, connection: Connection) -> None:
        """A whole message has come over a connection."""
        self.slots.spoke(connection, self._loop.time())

    def unusable(self, connection: Connection) -> None:
        """Nothing more can be sent over this connection: the next message makes a new one."""
        key = None if connection.flow is None else self._key(connection.flow)
        if self._usable.get(key) is connection:
            del self._usable[key]

    def lost(self, connection: Connection) -> None:
        """A connection's socket is closed."""
        if connection not in self.connections:
            return
        self.connections.discard(connection)
        flow = connection.flow
        assert flow is not None
        if connection.own_end is not None:
            self._own_ends[connection.own_end] -= 1
            if not self._own_ends[connection.own_end]:
                del self._own_ends[connection.own_end]
        if connection.outgoing:
            self._unmade(flow.host)
        self.slots.leave(connection)
        if connection.misframed:
            self.framing_errors += 1
        if self._emptied is not None and not self.connections and not self._emptied.done():
            self._emptied.set_result(None)
        if self._closed:
            return
        self.sink.closed(flow, connection.error)
        if connection.error and connection.requested:
            self.sink.failed(flow, None, connection.error)

    # -- one timer for all connections

    def _sweep_later(self) -> None:
        self._sweeper = self._loop.call_later(self._shortest() / 8, self._sweep)

    def _shortest(self) -> float:
        """The shortest time after which a connection is to be looked after."""
        return min(self.limits.message_timeout, self.limits.stall_timeout, self.limits.idle_timeout)

    def _sweep(self) -> None:
        self._sweeper = None
        now = self._loop.time()
        for connection in list(self.connections):
            self._look_after(connection, now)
        if self.connections:
            self._sweep_later()

    def _look_after(self, connection: Connection, now: float) -> None:
        owed, stalled, limits = connection.owed_since, connection.stalled_since, self.limits
        if owed is not None and now - owed > connection.patience:
            self._slow(connection)
        elif stalled is not None and now - stalled > limits.stall_timeout:
            self.timed_out += 1
            connection.abort("the peer takes no more data")
        elif not connection.kept and now - connection.last_traffic > limits.idle_timeout:
            self.timed_out += 1
            connection.close()

    def _slow(self, connection: Connection) -> None:
        """It owes the rest of a message for too long."""
        self.timed_out += 1
        connection.abort("no complete message in time")


def _detect_dead_peer(sock: socket.socket, stall_timeout: float) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _PROBE_AFTER)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_EVERY)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)
    # Unacknowledged data ends the connection after this, instead of after 15 minutes of retransmission.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(stall_timeout * 1000))
