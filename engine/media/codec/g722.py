"""G.722 at 64 kbit/s: sound of 16 kHz, one octet for every two samples."""

from typing import Final

from engine.media.codec.codec import LONGEST
from engine.media.codec.pyav import FrameDecoder, FrameEncoder

RATE: Final = 16000
_LARGEST: Final = int(RATE / 2 * LONGEST)


def encoder() -> FrameEncoder:
    """An encoder for one stream: 160 octets for 320 samples."""
    return FrameEncoder("g722", RATE)


def decoder() -> FrameDecoder:
    """A decoder for one stream: two samples for every octet."""
    return FrameDecoder("g722", RATE, _LARGEST)
