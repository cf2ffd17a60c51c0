"""Opus (RFC 6716, RFC 7587) by libopus: mono, packets of 20 ms, with in-band redundancy for lost ones.

The redundancy that we send is for peers. What they send is not read: that takes a call of libopus' decoder with
`decode_fec`, which FFmpeg's wrapper does not offer (its decoder has no such option), and so neither does PyAV. What is
lost is made up as for every other codec (`engine.media.codec.concealment`), and `useinbandfec=1` (RFC 7587 §6.1: a
decoder that can make use of it) is not what we say.
"""

from typing import Final

from engine.media.codec import pyav
from engine.media.codec.pyav import FrameDecoder, FrameEncoder

RATE: Final = 48000
_LARGEST: Final = 1275 * 6
"""RFC 6716 §3.2.5: six frames of 20 ms, of 1275 octets each, are the largest packet that there can be."""

_BIT_RATE: Final = 32_000
"""Full-band speech (RFC 7587 §3.1.1)."""

_OPTIONS: Final = {
    "application": "voip",
    "frame_duration": "20",
    "fec": "1",
    "packet_loss": "5",  # percent that the redundancy is made for
    "compression_level": "5",  # a sixth less time than the default of 10; 0 would halve it
}


def available() -> bool:
    """Whether this machine's FFmpeg has libopus."""
    return pyav.has("libopus")


def encoder() -> FrameEncoder:
    """An encoder for one stream: one packet for 960 samples."""
    return FrameEncoder("libopus", RATE, _BIT_RATE, _OPTIONS)


def decoder() -> FrameDecoder:
    """A decoder for one stream; what is stereo comes out as one channel."""
    return FrameDecoder("libopus", RATE, _LARGEST)
