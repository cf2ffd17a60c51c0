"""SIP over UDP (RFC 3261 §18): one bound socket, read without a task or a protocol object in between."""

import asyncio
import errno
import socket
import struct
from collections import deque
from contextlib import suppress
from time import monotonic
from typing import Self

from engine.rate_limit import RateLimit
from engine.sip.flow import Flow
from engine.sip.peers import counted_source
from engine.transport import stun
from engine.transport.addresses import SentBy, SockAddr, error_words, family_of, peer_host, socket_address
from engine.transport.listen_spec import ListenSpec
from engine.transport.sink import Failures, Sink

# linux/in.h, linux/in6.h, asm-generic/socket.h, linux/errqueue.h; the socket module does not name these.
_IP_RECVERR = 11
_IPV6_RECVERR = 25
_SO_RCVBUFFORCE = 33
_SO_MEMINFO = 55
_MEMINFO = struct.Struct("=9I")
_MSG_ERRQUEUE = 0x2000
_ICMP, _ICMP6, _LOCAL = 2, 3, 1
_EXTENDED_ERROR = struct.Struct("=IBBBxII")

# ICMP types that RFC 3261 §18.4 wants reported: unreachable and parameter problem. Time exceeded, source quench,
# "fragmentation needed" and "packet too big" are not the peer's word on the request: retransmission deals with them.
_REPORTED = {_ICMP: (3, 12), _ICMP6: (1, 4)}
_FRAGMENTATION_NEEDED = (_ICMP, 3, 4)

_LARGEST = 65535
_CACHED_PEERS = 4096
_UNUSUAL = frozenset((*range(33), ord("j")))  # how messages do not begin
_SEND_TRIES = 4


class UdpTransport:
    """One UDP listener.

    Public counters: `received`, `sent`, `send_dropped` (queue full or the device out of buffers), `keepalives`
    (datagrams that hold no message: they are ignored, or STUN). `receive_buffer` is the size in bytes that the kernel
    granted.
    """

    name = "udp"
    via_name = "UDP"
    internal = False
    reliable = False
    connects = True

    __slots__ = (
        "_addresses",
        "_closed",
        "_failures",
        "_family",
        "_fd",
        "_flows",
        "_loop",
        "_on_sent",
        "_queue",
        "_queue_size",
        "_recvfrom",
        "_rest",
        "_sendto",
        "_sent_by",
        "_sink",
        "_socket",
        "_stun",
        "_turn",
        "_turn_time",
        "keepalives",
        "local",
        "receive_buffer",
        "received",
        "send_dropped",
        "sent",
    )

    def __init__(self, sock: socket.socket, sink: Sink, spec: ListenSpec) -> None:
        self._on_sent = sink.sent
        self._loop = asyncio.get_running_loop()
        self._socket = sock
        self._fd = sock.fileno()
        self._family = int(sock.family)
        self._recvfrom = sock.recvfrom
        self._sendto = sock.sendto
        self._sink = sink
        self._failures = Failures(self._loop, sink)
        self._turn = range(spec.limits.datagrams_per_turn)
        self._turn_time = spec.limits.turn
        self._queue: deque[tuple[bytes, SockAddr]] = deque()
        self._queue_size = spec.limits.send_queue
        self._stun = RateLimit(spec.limits.stun_rate, spec.limits.stun_burst)
        self._flows: dict[SockAddr, Flow] = {}
        self._addresses: dict[tuple[str, int], SockAddr] = {}
        self._rest: asyncio.Handle | None = None
        self._closed = False
        bound = sock.getsockname()
        self.local: tuple[str, int] = (peer_host(bound), bound[1])
        self._sent_by = SentBy(self.local, spec.advertise)
        self.receive_buffer = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        self.received = self.sent = self.send_dropped = self.keepalives = 0
        self._loop.add_reader(self._fd, self._readable)

    @classmethod
    async def open(cls, spec: ListenSpec, sink: Sink) -> Self:
        """Binds a numeric address and starts to read. OSError when that does not work; port 0 takes a free one."""
        host, port = spec.host, spec.port
        family = family_of(host)
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            if family == socket.AF_INET6:
                # One family per listener: else an IPv4 peer would show up as ::ffff:192.0.2.1.
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
            else:
                sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
            _ask_receive_buffer(sock, spec.limits.receive_buffer)
            address = socket_address(host, port or 1)
            assert address is not None, host
            sock.bind((address[0], port, *address[2:]))
            return cls(sock, sink, spec)
        except BaseException:
            sock.close()
            raise

    @property
    def receive_dropped(self) -> int:
        """Datagrams that came and found the receive buffer full, since the listener was opened."""
        if self._closed:
            return 0
        info = self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
        return int(_MEMINFO.unpack(info)[-1])

    def connected(self, flow: Flow) -> bool:
        """True: a datagram needs no connection."""
        return True

    def drop(self, flow: Flow) -> None:
        """See `Transport.drop`."""

    def drop_banned(self) -> None:
        """See `Transport.drop_banned`."""

    def made_from(self, host: str, port: int) -> bool:
        """See `Transport.made_from`."""
        return False

    def sent_by(self, remote_host: str) -> str:
        """The ``host:port`` for Via and Contact towards this peer."""
        return self._sent_by(remote_host)

    def send(self, data: bytes, flow: Flow) -> None:
        """Sends one datagram to a numeric address; see `Transport.send`."""
        self._on_sent(flow, data)
        address = self._addresses.get((flow.host, flow.port)) or self._address(data, flow)
        if address is None:
            return
        if self._queue:  # what waits goes first, so that a peer sees our order
            self._enqueue(data, address)
            return
        try:
            self._sendto(data, address)
        except (BlockingIOError, InterruptedError):
            self._enqueue(data, address)
        except OSError as error:
            self._send_again(data, address, error)
        else:
            self.sent += 1

    def close(self) -> None:
        """Stops reading and closes the socket. What still waits in the send queue is dropped."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._fd)
        if self._queue:
            self._loop.remove_writer(self._fd)
            self._queue.clear()
        if self._rest is not None:
            self._rest.cancel()
        self._failures.close()
        self._socket.close()

    async def wait_closed(self) -> None:
        """Returns at once: `close` leaves nothing to wait for."""

    # -- receiving

    def _readable(self) -> None:
        recvfrom = self._recvfrom
        flows = self._flows
        received = self._sink.received
        until = monotonic() + self._turn_time
        for turn in self._turn:
            if not turn & 15 and turn and monotonic() > until:
                return
            try:
                data, address = recvfrom(_LARGEST)
            except (BlockingIOError, InterruptedError):
                if turn == 0:  # woken for an error that a send has met, and read, before us
                    self._read_errors()
                return
            except OSError:
                if self._closed:
                    return
                self._read_errors()
                continue
            self.received += 1
            if not data or data[0] in _UNUSUAL:
                message = _message_in(data)
                if not message:
                    self.keepalives += 1
                    if data[:1] == b"\0":
                        self._answer_stun(data, address)
                    continue
                data = message
            received(data, flows.get(address) or self._flow(address))

    def _answer_stun(self, data: bytes, address: SockAddr) -> None:
        """STUN keeps a NAT open, and tells a phone when that has given it another port (RFC 5626 §3.5.2)."""
        host = peer_host(address)
        if self._sink.banned(host) or not self._stun.allows(counted_source(host), self._loop.time()):
            return
        answer = stun.answer(data, host, address[1])
        if answer:
            with suppress(OSError):  # it is asked again
                self._sendto(answer, address)

    def _flow(self, address: SockAddr) -> Flow:
        if len(self._flows) >= _CACHED_PEERS:
            self._flows.clear()  # spoofed sources must not grow it; rebuilding costs a microsecond per peer
        flow = self._flows[address] = Flow(self, peer_host(address), address[1])
        return flow

    # -- sending

    def _address(self, data: bytes, flow: Flow) -> SockAddr | None:
        address = socket_address(flow.host, flow.port)
        if address is None or family_of(flow.host) != self._family:
            self._failures.add(flow, data, "not an address that this listener can send to")
            return None
        if len(self._addresses) >= _CACHED_PEERS:
            self._addresses.clear()
        self._addresses[flow.host, flow.port] = address
        return address

    def _send_again(self, data: bytes, address: SockAddr, error: OSError) -> None:
        # The kernel reports a pending ICMP error on whatever call comes next, and that datagram is then not sent
        # although nothing is wrong with it: read the error, then try again. On the loopback a new one can come up
        # between two tries.
        if self._closed:
            return
        for _ in range(_SEND_TRIES):
            was_pending = self._read_errors()
            try:
                self._sendto(data, address)
            except (BlockingIOError, InterruptedError):
                self._enqueue(data, address)
                return
            except OSError as again:
                lasting = again.errno == error.errno and not was_pending and again.errno != errno.ECONNREFUSED
                error = again
                if lasting:
                    break
            else:
                self.sent += 1
                return
        if error.errno == errno.ENOBUFS:
            self.send_dropped += 1  # the device's queue is full; retransmission is the cure (RFC 3261 §17.1.1.2)
            return
        self._failures.add(self._flows.get(address) or self._flow(address), data, error_words(error))

    def _enqueue(self, data: bytes, address: SockAddr) -> None:
        if len(self._queue) >= self._queue_size:
            self.send_dropped += 1
            return
        if not self._queue:
            self._loop.add_writer(self._fd, self._writable)
        self._queue.append((data, address))

    def _writable(self) -> None:
        queue = self._queue
        while queue:
            data, address = queue[0]
            try:
                self._sendto(data, address)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                queue.popleft()
                if self._closed:
                    return
                waiting = len(queue)
                self._send_again(data, address, error)
                if len(queue) > waiting:  # it was put back at the end: it belongs to the front
                    queue.rotate(1)
                    return
            else:
                self.sent += 1
                queue.popleft()
        self._loop.remove_writer(self._fd)

    # -- errors that ICMP brought back

    def _read_errors(self) -> bool:
        """Empties the socket's error queue; True when there was anything in it."""
        found = False
        for _ in self._turn:
            try:
                data, control, _, address = self._socket.recvmsg(_LARGEST, 512, _MSG_ERRQUEUE)
            except OSError:
                break
            found = True
            for level, kind, value in control:
                if (level, kind) in ((socket.IPPROTO_IP, _IP_RECVERR), (socket.IPPROTO_IPV6, _IPV6_RECVERR)):
                    self._icmp_error(data, address, value)
        if self._rest is None and not self._closed:
            self._rest = self._loop.call_soon(self._watch_again)
        return found

    def _icmp_error(self, data: bytes, address: SockAddr, value: bytes) -> None:
        if len(value) < _EXTENDED_ERROR.size or not address:
            return
        number, origin, kind, code, _, _ = _EXTENDED_ERROR.unpack_from(value)
        if origin == _LOCAL or kind not in _REPORTED.get(origin, ()) or (origin, kind, code) == _FRAGMENTATION_NEEDED:
            return
        flow = self._flows.get(address) or self._flow(address)
        self._failures.add(flow, data or None, error_words(OSError(number, "")))

    def _watch_again(self) -> None:
        # libuv stops polling a descriptor once it showed an error condition, so under uvloop the socket would stay
        # deaf after the first ICMP message. With asyncio's own loop this changes nothing.
        self._rest = None
        self._loop.remove_reader(self._fd)
        self._loop.add_reader(self._fd, self._readable)
        if self._queue:
            self._loop.remove_writer(self._fd)
            self._loop.add_writer(self._fd, self._writable)


def _message_in(data: bytes) -> bytes:
    """The message in a datagram that begins with a control character or a space; b"" for keep-alives.

    Those are CRLF (RFC 5626 §3.5.1), zeros, STUN, whose first octet is 0 or 1 (RFC 8489 §5), and `jaK`, which phones of
    CounterPath send.
    """
    if data[:1] < b"\4" and data[4:8] == stun.COOKIE:
        return b""
    data = data.lstrip(b"\r\n\0")
    return b"" if not data or data[0] < 4 or data.rstrip(b"\r\n\0") == b"jaK" else data


def _ask_receive_buffer(sock: socket.socket, size: int) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, size)  # above net.core.rmem_max, needs CAP_NET_ADMIN
    except OSError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
