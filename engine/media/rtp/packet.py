"""RTP packets (RFC 3550 §5.1): bytes to values and back, without I/O.

Only what a media port of a signalling engine needs: the fixed header, the list of contributing sources, the header
extension and the padding are taken apart with strict bounds, so that a hostile datagram is refused instead of
read past its end. RTCP is no RTP packet here: its packet types read as payload types 72 to 76 (RFC 5761 §4),
which nobody negotiates.
"""

import struct
from dataclasses import dataclass

VERSION = 2
"""The only version of RTP (RFC 3550 §5.1)."""

HEADER_LENGTH = 12
"""Octets of the fixed header, contributing sources not counted."""

_FIXED = struct.Struct("!BBHII")
_EXTENSION = struct.Struct("!HH")


class RtpError(ValueError):
    """A datagram that is no RTP packet; the text says which bound it broke."""


@dataclass(slots=True)
class RtpPacket:
    """One RTP packet. Numbers are unsigned, as on the wire."""

    payload_type: int
    """0 to 127."""
    sequence: int
    """16 bits, wraps around."""
    timestamp: int
    """32 bits, in units of the payload's clock rate, wraps around."""
    ssrc: int
    """Synchronisation source, 32 bits."""
    payload: bytes
    """What is left without header, extension and padding."""
    marker: bool = False
    """Start of a talkspurt or of an event, by the profile (RFC 3551 §4.1, RFC 4733 §2.5.1.1)."""
    csrcs: tuple[int, ...] = ()
    """Contributing sources, at most 15."""
    extension: tuple[int, bytes] | None = None
    """Header extension (RFC 3550 §5.3.1): the profile's 16 bits, and its data in whole 32-bit words."""

    @classmethod
    def parse(cls, data: bytes) -> "RtpPacket":
        """Takes one datagram apart. Raises RtpError for anything that is not one whole RTP packet."""
        size = len(data)
        if size < HEADER_LENGTH:
            raise RtpError(f"{size} octets are too few for an RTP header")
        first, second, sequence, timestamp, ssrc = _FIXED.unpack_from(data)
        if first >> 6 != VERSION:
            raise RtpError(f"version {first >> 6} is not RTP")
        start, end = HEADER_LENGTH, size
        csrcs: tuple[int, ...] = ()
        extension: tuple[int, bytes] | None = None
        if first & 0x3F:  # none of it in a telephone call's packets
            if count := first & 0x0F:
                start += 4 * count
                if start > end:
                    raise RtpError("contributing sources run past the end")
                csrcs = tuple(int.from_bytes(data[at : at + 4]) for at in range(HEADER_LENGTH, start, 4))
            if first & 0x10:
                if start + 4 > end:
                    raise RtpError("header extension runs past the end")
                profile, words = _EXTENSION.unpack_from(data, start)
                start += 4
                if start + 4 * words > end:
                    raise RtpError("header extension runs past the end")
                extension = (profile, data[start : start + 4 * words])
                start += 4 * words
            if first & 0x20:
                padding = data[-1]  # counts itself, so 0 is impossible
                if not 0 < padding <= end - start:
                    raise RtpError(f"padding of {padding} octets does not fit")
                end -= padding
        return cls(second & 0x7F, sequence, timestamp, ssrc, data[start:end], second > 0x7F, csrcs, extension)

    def __bytes__(self) -> bytes:
        """The packet as it goes out, without padding. Raises RtpError when a field does not fit its bits."""
        if not 0 <= self.payload_type <= 0x7F:
            raise RtpError(f"payload type {self.payload_type} does not fit 7 bits")
        if len(self.csrcs) > 15:
            raise RtpError(f"{len(self.csrcs)} contributing sources do not fit 4 bits")
        first = VERSION << 6 | len(self.csrcs) | (0 if self.extension is None else 0x10)
        try:
            head = _FIXED.pack(
                first, self.payload_type | self.marker << 7, self.sequence, self.timestamp, self.ssrc
            ) + b"".join(csrc.to_bytes(4) for csrc in self.csrcs)
            if self.extension is not None:
                profile, words = self.extension
                if len(words) % 4:
                    raise RtpError("a header extension is made of whole 32-bit words")
                head += _EXTENSION.pack(profile, len(words) // 4) + words
        except (struct.error, OverflowError) as error:
            raise RtpError(f"a field does not fit its bits: {error}") from None
        return head + self.payload


def build(payload_type: int, marker: bool, sequence: int, timestamp: int, ssrc: int, payload: bytes) -> bytes:
    """A plain packet from values that are known to fit: what goes out for every packet of a stream."""
    return _FIXED.pack(0x80, payload_type | marker << 7, sequence, timestamp, ssrc) + payload
