"""The echo of an RTP stream, without I/O: a packet in, the packet to send back out.

What goes out is one clean stream of its own (RFC 3550 §5.1, §8.1): own SSRC, own starting sequence number and
timestamp, both of which then move as the peer's do, so that loss and reordering on the way in look the same on the way
out. Events (RFC 4733) are packets like all others and come back too. Contributing sources, extensions and
padding are the incoming stream's and are left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from engine.media.latch import Address, Latch
from engine.media.rtp import RtpError, RtpPacket, build

_GAP = 160
"""Timestamp units put between two incoming sources that follow each other: one packet of 20 ms at 8 kHz."""


@dataclass(slots=True)
class EchoCounts:
    """What became of a stream's datagrams. Every one that arrived is in `returned` or in one of those below it."""

    returned: int = 0
    """Sent back."""
    garbage: int = 0
    """No RTP, or longer than any RTP packet of ours."""
    strays: int = 0
    """From somebody who is not the peer."""
    unknown: int = 0
    """A payload type that was not negotiated (RTCP and STUN included where they look like RTP)."""
    held: int = 0
    """Not sent back since the peer wants to hear nothing (RFC 3264 §8.4)."""
    looped: int = 0
    """Our own packets come back (RFC 3550 §8.2): echoed again they would go round for ever."""
    unsent: int = 0
    """The kernel would not take it."""


class EchoStream:
    """One call's echo: what its peer sends, and where from, decides what goes back."""

    __slots__ = (
        "_next_sequence",
        "_next_timestamp",
        "_peer",
        "_sequence",
        "_timestamp",
        "counts",
        "latch",
        "listening",
        "payload_types",
        "ssrc",
    )

    def __init__(
        self, ssrc: int, sequence: int, timestamp: int, payload_types: Mapping[int, int], latch: Latch
    ) -> None:
        """`ssrc` (32 bits), first `sequence` (16) and `timestamp` (32) are random by RFC 3550 §5.1. `payload_types`
        maps the numbers that the peer sends to those that it wants; they differ only where an answer renumbered."""
        self.ssrc = ssrc
        self.payload_types = payload_types
        self.latch = latch
        """Where the peer is; a packet goes back to `latch.source`."""
        self.listening = True
        """Whether the peer wants to hear anything (RFC 3264 §8.4)."""
        self.counts = EchoCounts()
        self._peer: int | None = None
        self._next_sequence = sequence
        self._next_timestamp = timestamp
        self._sequence = 0
        self._timestamp = 0

    def receive(self, data: bytes, source: Address) -> bytes | None:
        """The packet to send to `latch.source` for a datagram that came from `source`; None, and why is counted,
        where there is none. Only what is RTP of a negotiated type can latch a source."""
        counts = self.counts
        try:
            packet = RtpPacket.parse(data)
        except RtpError:
            counts.garbage += 1
            return None
        payload_type = self.payload_types.get(packet.payload_type)
        if payload_type is None:
            counts.unknown += 1
            return None
        if packet.ssrc == self.ssrc:
            counts.looped += 1
            return None
        if not self.latch.accepts(source):
            counts.strays += 1
            return None
        if not self.listening:
            counts.held += 1
            return None
        if packet.ssrc != self._peer:  # the first, or a new source: its numbers start anywhere, ours go on
            self._peer = packet.ssrc
            self._sequence = self._next_sequence - packet.sequence
            self._timestamp = self._next_timestamp - packet.timestamp
        sequence = (packet.sequence + self._sequence) & 0xFFFF
        timestamp = (packet.timestamp + self._timestamp) & 0xFFFFFFFF
        self._next_sequence = sequence + 1
        self._next_timestamp = timestamp + _GAP
        return build(payload_type, packet.marker, sequence, timestamp, self.ssrc, packet.payload)
