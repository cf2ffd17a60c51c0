"""RTP sender: one stream of our own (RFC 3550 §5.1), whatever it carries.

Own SSRC, one run of sequence numbers and one time line over everything that is sent in a call: prompts, keys, silence
between them, and what is echoed. The time line follows the pacer's frames, so that a pause in sending is a pause in it.
"""

import struct
from collections.abc import Callable
from typing import Final

from engine.media.codec.codec import Codec
from engine.media.rtp.consent import Consent
from engine.media.rtp.latch import Address
from engine.media.rtp.packet import HEADER_LENGTH, VERSION
from engine.media.rtp.srtp import SrtpError

_PACK: Final = struct.Struct("!BBHII").pack_into
_FIRST: Final = VERSION << 6
MARKER: Final = 0x80
"""Added to a payload type: the first packet after a silence (RFC 3551 §4.1), or of a key."""

_BEHIND: Final = 0x80000000


class Sender:
    """The outgoing half of a stream. Every method is cheap: it is run for every packet.

    Attributes:
        ssrc: Of what we send, 32 bits.
        target: Where it goes for good. None: it is asked each time whether it may go to `wanted`; what may not is not
            sent, and not counted.
        wanted: Where the peer wants it; None while that is not known.
        packets, octets: What went out, and its payload (RFC 3550 §6.4.1).
        unsent: What the kernel would not take. RTP is not repeated.
        protect: Makes SRTP of a packet; None where media is plain.
    """

    __slots__ = (
        "_buffer",
        "_consent",
        "_next",
        "_origin",
        "_sendto",
        "_sequence",
        "_step",
        "octets",
        "packets",
        "protect",
        "ssrc",
        "target",
        "unsent",
        "wanted",
    )

    def __init__(
        self,
        sendto: Callable[[bytes | bytearray, Address], object],
        consent: Consent,
        ssrc: int,
        sequence: int,
        timestamp: int,
    ) -> None:
        """First `sequence` (16 bits) and `timestamp` (32) are random, as `ssrc` is (RFC 3550 §5.1)."""
        self._sendto = sendto
        self._consent = consent
        self.ssrc = ssrc
        self._sequence = sequence
        self._origin = timestamp  # of frame 0
        self._next = timestamp  # the first that no packet has covered
        self._step = 0
        self._buffer = bytearray(HEADER_LENGTH)
        self.target: Address | None = None
        self.wanted: Address | None = None
        self.protect: Callable[[bytes], bytes] | None = None
        self.packets = 0
        self.octets = 0
        self.unsent = 0

    def aim(self, address: Address | None) -> None:
        """Where the peer wants it from now on."""
        self.wanted = address
        self.target = address if address is not None and self._consent.proven(address[0]) else None

    def reach(self) -> Address | None:
        """Where a packet goes now; None: nowhere."""
        if self.target is None:
            self.aim(self.wanted)
        wanted = self.wanted
        if self.target is not None or wanted is None:
            return self.target
        return wanted if self._consent.allows(wanted[0]) else None

    def speak(self, codec: Codec, frame: int) -> None:
        """From `frame` on sound is of `codec`, whose clock may be another: the time line goes on without a jump."""
        if codec.step != self._step:
            begin = self._origin + frame * self._step if self._step else self._next
            self._step = codec.step
            self._origin = begin - frame * codec.step

    def now(self, frame: int) -> int:
        """Where the time line stands in `frame`, for a report (RFC 3550 §6.4.1)."""
        return (self._origin + frame * self._step) & 0xFFFFFFFF

    def timestamp(self, frame: int) -> int:
        """Of the sound of `frame`: never before what has been sent, which an echo may have taken ahead."""
        stamp = self._origin + frame * self._step
        if (stamp - self._next) & 0xFFFFFFFF >= _BEHIND:
            stamp = self._next
            self._origin = stamp - frame * self._step
        return stamp

    def send(self, payload_type: int, timestamp: int, payload: bytes, covers: int = 0) -> None:
        """One packet; `payload_type` with MARKER added where it has one. `covers` are the timestamp units after which
        the time line goes on: 0 for a packet of a key, which has the timestamp of its beginning to the end."""
        target = self.target or self.reach()
        if target is None:
            return
        buffer = self._buffer
        buffer[HEADER_LENGTH:] = payload
        sequence = self._sequence
        _PACK(buffer, 0, _FIRST, payload_type, sequence, timestamp & 0xFFFFFFFF, self.ssrc)
        self._sequence = (sequence + 1) & 0xFFFF
        self._next = timestamp + covers
        try:
            self._sendto(buffer if self.protect is None else self.protect(bytes(buffer)), target)
        except (OSError, SrtpError):  # a full send buffer, no way there; an echo of a packet that came twice
            self.unsent += 1
            return
        self.packets += 1
        self.octets += len(payload)

    # ---- an echo has numbers of its own, which move as the peer's do

    @property
    def sequence(self) -> int:
        """The number that the next packet has."""
        return self._sequence

    def forward(self, payload_type: int, sequence: int, timestamp: int, payload: bytes, covers: int) -> None:
        """One packet with numbers that were made of a peer's; ours go on behind the highest of them."""
        stands, covered = self._sequence, self._next
        late = (sequence - stands) & 0xFFFF >= 0x8000
        self._sequence = sequence & 0xFFFF
        self.send(payload_type, timestamp, payload, covers)
        if late:
            self._sequence, self._next = stands, covered
