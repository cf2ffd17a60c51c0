"""One UDP socket of a relay: what one side sends there leaves by the socket that it is coupled with.

Packets pass as they came (SRTP, DTLS, any codec), and go back to where the side's own packets come from (RFC 4961).
A packet of a telephone call costs one wake-up of the loop, one read and one write. Whether more than one waits (video,
a loop that is held up) is tried now and then, and a batch is taken then, which is bounded: floods have their turns.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Final

from engine.media.rtp.consent import Consent
from engine.media.rtp.latch import Address, Latch, Mark

LARGEST: Final = 2048
"""Octets of the largest datagram that passes: no media fills more than an Ethernet frame."""

_BATCH: Final = 16
"""Datagrams taken in one turn of the loop at most."""

_PROBE: Final = 16
"""Wake-ups from one look for more to the next: looking in vain costs a fifth of a packet."""

# First octets by RFC 7983: RTP and RTCP, and DTLS, which brings the keys of some SRTP. STUN would ask for an answer.
_MEDIA: Final = bytes(1 if 128 <= first < 192 or 20 <= first < 64 else 0 for first in range(256))
_ANYTHING: Final = bytes([1]) * 256

AudioSink = Callable[[bytes], None]


class RelayPort:
    """One socket, and the side that uses it.

    Attributes:
        peer: The port of the other side, where what comes in here goes out; None: nowhere.
        target: Where packets for the side are sent for good; None while it has not shown that it wants them there.
        packets, octets: Of the side, that went on to the other.
        strays: Datagrams of somebody who is not the side.
        garbage: Datagrams of the side that no media looks like.
        unsent: Datagrams that the kernel would not take, or whose receiver is not known.
        tap: Gets every packet that has gone on.
    """

    __slots__ = (
        "_backlog",
        "_consent",
        "_latch",
        "_loop",
        "_passes",
        "_receive",
        "_send",
        "_source",
        "_wakes",
        "_wanted",
        "garbage",
        "octets",
        "packets",
        "peer",
        "sock",
        "strays",
        "tap",
        "target",
        "unsent",
    )

    def __init__(self, sock: socket.socket, consent: Consent, *, media: bool = True) -> None:
        """`consent` is the side's. `media`: only what looks like RTP, RTCP or DTLS passes; T.38 over UDPTL does not."""
        self.sock = sock
        self.peer: RelayPort | None = None
        self.target: Any = None
        self.tap: AudioSink | None = None
        self.packets = self.octets = self.strays = self.garbage = self.unsent = 0
        self._consent = consent
        self._latch = Latch(consent)
        self._wanted: Address | None = None  # where the side's description wants media
        self._source: Any = None  # the latched source as the kernel writes it, once there is no more doubt of it
        self._passes = _MEDIA if media else _ANYTHING
        self._receive = sock.recvfrom
        self._send = sock.sendto
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wakes = 0
        self._backlog = False  # more than one was there the last time that was looked

    def aim(self, address: Address | None) -> None:
        """Where the side's description wants media. The same as before keeps the source that is known by now."""
        self._latch.retarget(address)
        if self._latch.source is None:
            self._source = None
            self._wanted = address
            self.target = address if address is not None and self._consent.proven(address[0]) else None

    def reach(self) -> Any:
        """Where a packet for a side goes now that has not shown where it wants them; None: nowhere."""
        wanted = self._wanted
        if wanted is None:
            return None
        if self._consent.proven(wanted[0]):
            self.target = wanted
        return wanted if self._consent.allows(wanted[0]) else None

    def couple(self, other: "RelayPort") -> None:
        """From now on, these two. Whoever was coupled with one of them is left alone."""
        for port, now in ((self, other), (other, self)):
            if port.peer is not None and port.peer is not now:
                port.peer.peer = None
            port.peer = now

    def read(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let packets pass. A second time does nothing."""
        if self._loop is None:
            self._loop = loop
            loop.add_reader(self.sock.fileno(), self._readable)

    def stop(self) -> None:
        """Nothing passes any more, in neither direction."""
        if self._loop is not None:
            self._loop.remove_reader(self.sock.fileno())
            self._loop = None
        if self.peer is not None and self.peer.peer is self:
            self.peer.peer = None
        self.peer = self.tap = None

    def _readable(self) -> None:
        # One function, for it runs a hundred times a second and call: calls of methods would be a fifth of its time.
        self._wakes += 1
        left = _BATCH if self._backlog or self._wakes % _PROBE == 0 else 1
        taken = 0
        while taken < left:
            try:
                data, source = self._receive(LARGEST + 1)
            except OSError:  # nothing left; or an ICMP error, which this read has cleared
                break
            taken += 1
            if not data or len(data) > LARGEST or not self._passes[data[0]]:
                self.garbage += 1
                continue
            if source != self._source:
                latch = self._latch
                if not latch.accepts(source[:2], _mark(data)):
                    self.strays += 1
                    continue
                self.target = source
                self._consent.hear(source[0])
                self._source = source if latch.settled else None
            peer = self.peer
            target = None if peer is None else peer.target or peer.reach()
            if peer is None or target is None:
                self.unsent += 1
                continue
            try:
                peer._send(data, target)
            except OSError:  # a full send buffer or no way there: media is not repeated
                self.unsent += 1
                continue
            self.packets += 1
            self.octets += len(data)
            if self.tap is not None:
                self.tap(data)
        if left > 1:
            self._backlog = taken > 1


def _mark(data: bytes) -> Mark | None:
    """The stream and the number of a packet of RTP, DTLS (RFC 6347 §4.1) or UDPTL (T.38), by its first octets."""
    first, size = data[0], len(data)
    if 128 <= first < 192:
        if size < 12 or 192 <= data[1] < 224:  # RTCP has no number (RFC 5761 §4)
            return None
        return int.from_bytes(data[8:12]), int.from_bytes(data[2:4])
    if 20 <= first < 64:
        return (0, int.from_bytes(data[9:11])) if size >= 13 else None
    return 0, int.from_bytes(data[:2])
