"""Pool of RTP ports: bound UDP sockets on even ports, recycled from call to call.

Making, binding and closing a socket costs more than all the rest of an answer, so that a socket which a call gives
back is kept bound and handed to a later call. The odd port above stays free for RTCP (RFC 3550 §11).

A held call whose media nobody reads must not fill kernel memory with its peer's RTP: a port is handed out with the
smallest receive buffer there is, and `widen` gives it a useful one when somebody begins to read.
"""

import errno
import socket
from collections import deque
from collections.abc import Iterable

LOW, HIGH = 16384, 32766
"""The default range: below Linux' ephemeral ports (32768 on), so that nobody's client socket is in the way."""

MAX_IDLE = 512
"""Idle sockets kept for each host. The longest idle goes out first: late packets of its last call have run dry."""

NARROW, WIDE = 2048, 32768
"""Receive buffers in octets as asked for; Linux doubles them (socket(7)), and raises the small one to its minimum."""

_TRIES = 64
"""Ports tried for one call while other programs hold them."""

_STEP = 37
"""How far on the next is looked for where one is held. Another engine with this range keeps its idle sockets in one
row (MAX_IDLE of them): trying the neighbours would walk along it until the tries are used up."""

_STALE = 64
"""Datagrams thrown away at most when a socket is drained: more than the narrow buffer holds."""


class NoPortError(Exception):
    """No port can be had: all are in use, held by other programs, or the process is out of descriptors."""

    status = 503
    """The response that a call deserves which cannot get one."""


class RtpSocket:
    """One bound UDP socket on an even port, leased to one call at a time."""

    __slots__ = ("_leased", "_pool", "_wide", "host", "port", "sock")

    def __init__(self, sock: socket.socket, host: str, port: int, pool: "_Host") -> None:
        self.sock = sock
        self.host = host
        """The address it is bound to: numeric, IPv6 without brackets."""
        self.port = port
        self._pool = pool
        self._leased = True
        self._wide = False

    def widen(self) -> None:
        """Gives the socket a receive buffer that lasts between two turns of a busy loop, and drops what is stale."""
        self.drain()
        if not self._wide:
            self._wide = True
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WIDE)

    def drain(self) -> None:
        """Throws away what has arrived for whoever had the port before."""
        receive = self.sock.recv
        try:
            for _ in range(_STALE):
                receive(1)
        except BlockingIOError:
            pass
        except OSError:
            pass  # a queued ICMP error: reading has cleared it

    def release(self) -> None:
        """Gives the port back; nobody may be reading from it any more. A second time does nothing."""
        if not self._leased:
            return
        self._leased = False
        if self._wide:
            self._wide = False
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NARROW)
        self._pool.take_back(self)


class _Host:
    """The ports of one local address."""

    __slots__ = ("_family", "_free", "_host", "_max_idle", "closed", "idle", "in_use")

    def __init__(self, host: str, ports: Iterable[int], max_idle: int) -> None:
        self._host = host
        self._family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._free = deque(ports)
        self._max_idle = max_idle
        self.idle: deque[RtpSocket] = deque()
        self.in_use = 0
        self.closed = False

    def acquire(self) -> RtpSocket:
        if self.idle:
            port = self.idle.popleft()
            port._leased = True  # what is stale is thrown away when somebody begins to read
        else:
            port = self._bind()
        self.in_use += 1
        return port

    def take_back(self, port: RtpSocket) -> None:
        self.in_use -= 1
        if len(self.idle) < self._max_idle and not self.closed:
            self.idle.append(port)
        else:
            self._free.append(port.port)
            port.sock.close()

    def close(self) -> None:
        self.closed = True
        while self.idle:
            port = self.idle.popleft()
            self._free.append(port.port)
            port.sock.close()

    def _bind(self) -> RtpSocket:
        free = self._free
        for _ in range(min(_TRIES, len(free))):
            number = free.popleft()
            try:
                sock = self._open(number)
            except OSError as error:
                free.append(number)  # tried again when all others have had their turn
                if error.errno in (errno.EADDRINUSE, errno.EACCES):
                    if len(free) > _TRIES:  # where all are tried in any case, no step may pass one over
                        free.rotate(-_STEP)
                    continue
                raise NoPortError(f"no RTP socket on {self._host}: {error.strerror}") from error
            return RtpSocket(sock, self._host, number, self)
        if free:
            raise NoPortError(f"no RTP port on {self._host}: other programs hold the {_TRIES} that were tried")
        raise NoPortError(f"no RTP port on {self._host}: all {self.in_use} are in use; widen the range")

    def _open(self, number: int) -> socket.socket:
        sock = socket.socket(self._family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            if self._family == socket.AF_INET6:
                # 0.0.0.0 and :: are two hosts of a pool: neither may take the other's ports.
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NARROW)
            sock.bind((self._host, number))
        except BaseException:
            sock.close()
            raise
        return sock


class PortPool:
    """The RTP ports of the engine: `low` to `high` on every one of `hosts` (numeric addresses, IPv6 unbracketed)."""

    __slots__ = ("_hosts",)

    def __init__(
        self, hosts: Iterable[str], low: int = LOW, high: int = HIGH, *, max_idle: int = MAX_IDLE, first: int = 0
    ) -> None:
        """Opens nothing yet. `first` is the place of the first pair that is handed out, counted round the range: two
        engines with one range that begin at random places do not walk into each other's ports. Raises ValueError for
        a range that holds no even port with a free one above it."""
        low += low % 2
        if not 0 < low < high <= 65535:
            raise ValueError(f"RTP ports {low}-{high}: give a range with an even port and the odd one above it")
        ports = range(low, high, 2)
        first %= len(ports)
        self._hosts = {host: _Host(host, (*ports[first:], *ports[:first]), max_idle) for host in hosts}

    def acquire(self, host: str) -> RtpSocket:
        """A bound, empty, non-blocking socket on `host`, or on the wildcard address of its family where the pool has
        no such host. Raises NoPortError; ValueError for a host that the pool does not serve."""
        mine = self._hosts.get(host)
        if mine is None:
            mine = self._hosts.get("::" if ":" in host else "0.0.0.0")
            if mine is None:
                raise ValueError(f"no RTP ports on {host}: the pool serves {', '.join(self._hosts)}")
        return mine.acquire()

    @property
    def in_use(self) -> int:
        """Ports leased to calls."""
        return sum(host.in_use for host in self._hosts.values())

    @property
    def idle(self) -> int:
        """Bound sockets that wait for the next call."""
        return sum(len(host.idle) for host in self._hosts.values())

    def close(self) -> None:
        """Closes what is idle; a port that is still leased is closed when it comes back."""
        for host in self._hosts.values():
            host.close()
