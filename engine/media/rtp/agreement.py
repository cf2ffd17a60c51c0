"""What one exchange of offer and answer agrees on for a stream (RFC 3264): addresses, formats, direction, keys."""

from collections.abc import Mapping
from typing import NamedTuple

from engine.media.codec.codec import Codec
from engine.media.rtp.latch import Address
from engine.media.rtp.srtp import Keys


class Agreed(NamedTuple):
    """What one exchange of offer and answer agreed on."""

    remote: Address
    """Where the peer's description wants media."""
    rtcp: Address
    """Where it wants RTCP: `a=rtcp` (RFC 3605), else the port above, or the same one with `rtcp_mux`."""
    codec: Codec
    """What we send."""
    codec_payload_type: int
    """The peer's number for `codec`."""
    codecs: Mapping[int, Codec]
    """What the peer may send, by its numbers: it may change from packet to packet (RFC 3264 §5.1)."""
    payload_types: Mapping[int, int]
    """The numbers that the peer sends, each with the number that it wants to be sent for the same format."""
    events: int | None
    """The peer's number for RFC 4733 events, on the clock of `codec` where there is such; None where it takes none."""
    event_clock: int
    """The clock of `events` in Hz."""
    event_types: Mapping[int, int]
    """The numbers of the events that the peer may send, each with its clock in Hz."""
    listening: bool
    """Whether the peer wants to be sent anything: false while it holds us (RFC 3264 §8.4)."""
    talking: bool
    """Whether the peer sends anything: false where it is recvonly or inactive, so that its silence is no fault."""
    packet: int
    """Milliseconds of each packet that we send: 20, or 10 or 5 where the peer's `maxptime` is less and a payload of
    `codec` can be divided."""
    rtcp_mux: bool
    """RTP and RTCP share one port (RFC 5761)."""
    crypto: Keys | None
    """The keys of SRTP (RFC 4568); None where media is plain."""
    profile: str
    """Of the peer's `m=` line, which our later offers keep: RTP/SAVP, or RTP/AVP where keys stand beside it, ..."""
