"""Echo: what comes in goes out as it is, under our own sequence numbers.

Sequence numbers and timestamps move as the peer's do, so that loss and reordering on the way in look the same on the
way out; they begin where our stream was. Events (RFC 4733) are packets like all others and come back too. Contributing
sources, extensions and padding are the incoming stream's and are left out.
"""

from typing import Final

from engine.media.rtp.packet import RtpPacket
from engine.media.rtp.sender import MARKER, Sender

_GAP: Final = 160
"""Timestamp units put between two incoming sources that follow each other: one packet of 20 ms at 8 kHz."""


class Echo:
    """One stretch of echo."""

    __slots__ = ("_peer", "_sender", "_sequence", "_timestamp", "returned")

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._peer: int | None = None
        self._sequence = 0  # what is added to the peer's numbers
        self._timestamp = 0
        self.returned = 0
        """Packets that were sent back."""

    def take(self, packet: RtpPacket, payload_type: int, frame: int) -> None:
        """Sends `packet` back as `payload_type`, in `frame` of our time line."""
        sender = self._sender
        if packet.ssrc != self._peer:  # the first, or a new source: its numbers start anywhere, ours go on
            self._peer = packet.ssrc
            self._sequence = sender.sequence - packet.sequence
            self._timestamp = sender.timestamp(frame) - packet.timestamp
        sequence = (packet.sequence + self._sequence) & 0xFFFF
        stamp = (packet.timestamp + self._timestamp) & 0xFFFFFFFF
        before = sender.packets
        sender.forward(payload_type | packet.marker * MARKER, sequence, stamp, packet.payload, _GAP)
        self.returned += sender.packets - before
