"""Where measured media arrives: one socket for all streams, each packet stamped by the kernel when it came.

How far a packet lies from where the 20 ms of its stream have it is its deviation. The stream's own median is its zero,
since when a stream begins is nobody's fault.
"""

import contextlib
import select
import socket
import struct
import time
from dataclasses import dataclass

import numpy

from benchmarks.proc import udp_drops

_STAMPED = 35  # SO_TIMESTAMPNS, which the socket module does not name
_HEADER = struct.Struct("!BBHII")
_TIMESPEC = struct.Struct("qq")
_BUFFER = 8 << 20
_BATCH = 400
CLOSE = 2000.0  # microseconds from its place within which a packet is on time

Arrivals = dict[int, list[tuple[int, int, int]]]
"""Of every stream (SSRC), each packet's sequence number, timestamp, and moment of arrival (ns)."""


@dataclass(slots=True)
class Timing:
    """How packets of streams arrived. Times in microseconds."""

    streams: int = 0
    packets: int = 0
    lost: int = 0
    """Missing between the first and the last of a stream."""
    drops: int = 0
    """Datagrams that the kernel dropped meanwhile, at any full socket of the machine (UdpRcvbufErrors)."""
    p50: float = 0.0
    p99: float = 0.0
    p999: float = 0.0
    largest: float = 0.0
    within: float = 0.0
    """Share of packets within 2 ms of their place."""


class Sink:
    """A socket that takes the media of all calls, and one for their RTCP that nobody reads."""

    def __init__(self, host: str, port: int = 0) -> None:
        self.rtp = self._socket(host, port)
        self.port: int = self.rtp.getsockname()[1]
        self.sources: set[tuple[str, int]] = set()
        """Whom packets came from in the last `listen`."""
        self._rtcp: socket.socket | None = None
        with contextlib.suppress(OSError):  # without it RTCP is answered by ICMP, which hurts nobody
            self._rtcp = self._socket(host, self.port + 1)

    @staticmethod
    def _socket(host: str, port: int) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for option in (socket.SO_RCVBUF, 33):  # SO_RCVBUFFORCE: more than rmem_max, where we may
            with contextlib.suppress(PermissionError):
                sock.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
        sock.setsockopt(socket.SOL_SOCKET, _STAMPED, 1)
        sock.setblocking(False)
        sock.bind((host, port))
        return sock

    def close(self) -> None:
        """Gives the ports back."""
        self.rtp.close()
        if self._rtcp is not None:
            self._rtcp.close()

    def __enter__(self) -> "Sink":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def listen(self, seconds: float) -> Arrivals:
        """What arrives in that time, from now on."""
        found: Arrivals = {}
        self.sources.clear()
        receive, space, unpack = self.rtp.recvmsg, socket.CMSG_SPACE(16), _HEADER.unpack_from
        begin, over = time.time_ns(), time.monotonic() + seconds
        end = begin + round(seconds * 1e9)
        moment = 0
        # The stamps say what belongs here, not when this process got to read it: at the end all that waits is read.
        while moment <= end:
            left = over - time.monotonic()
            if not select.select([self.rtp], [], [], max(left, 0))[0] and left <= 0:
                break
            with contextlib.suppress(BlockingIOError):
                for _ in range(_BATCH):
                    data, extra, _, source = receive(2048, space)
                    seconds_part, nanoseconds = _TIMESPEC.unpack(extra[0][2])
                    moment = seconds_part * 1_000_000_000 + nanoseconds
                    if begin <= moment <= end:
                        _, _, sequence, timestamp, ssrc = unpack(data)
                        self.sources.add(source)
                        found.setdefault(ssrc, []).append((sequence, timestamp, moment))
        return found

    def timing(self, seconds: float, clock: int) -> Timing:
        """How punctual what arrives in that time is; `clock` of its timestamps in Hz."""
        drops = udp_drops()
        found = self.listen(seconds)
        timing = timed(found, clock)
        timing.drops = udp_drops() - drops
        return timing


def timed(found: Arrivals, clock: int) -> Timing:
    """The figures of what has arrived."""
    timing = Timing(streams=len(found), packets=sum(map(len, found.values())), lost=gaps(found))
    off = deviations(found, clock)
    if len(off):
        cuts = numpy.percentile(off, [50, 99, 99.9, 100])
        timing.p50, timing.p99, timing.p999, timing.largest = (float(cut) for cut in cuts)
        timing.within = float((off <= CLOSE).mean())
    return timing


def gaps(found: Arrivals) -> int:
    """Packets that are missing between the first and the last of a stream."""
    return sum(((each[-1][0] - each[0][0]) & 0xFFFF) + 1 - len(each) for each in found.values())


def deviations(found: Arrivals, clock: int) -> "numpy.typing.NDArray[numpy.float64]":
    """Microseconds that each packet lies from its place, without a sign."""
    parts = []
    for packets in found.values():
        stamps = numpy.unwrap(numpy.array([stamp for _, stamp, _ in packets], dtype=numpy.float64), period=1 << 32)
        times = numpy.array([when - packets[0][2] for _, _, when in packets], dtype=numpy.float64)
        places = times - (stamps - stamps[0]) * (1e9 / clock)
        parts.append(numpy.abs(places - numpy.median(places)) / 1000)
    return numpy.concatenate(parts) if parts else numpy.zeros(0)
