"""G.711: mu-law and A-law as two tables each, made from the formulae of ITU-T G.711 when first used.

An octet is a sign, a segment of three bits and a step of four within it; every segment is twice as steep as the one
below. Encoding looks 16 bits up in a table of 64 KiB, which is one numpy call for a frame.
"""

from dataclasses import dataclass
from typing import Final

import numpy
from numpy.typing import NDArray

from engine.media.codec.codec import LONGEST, CodecError, Samples
from engine.media.codec.concealment import Concealment

RATE: Final = 8000
_FRAME: Final = RATE // 50
_LARGEST: Final = int(RATE * LONGEST)


@dataclass(frozen=True, slots=True)
class Law:
    """One of the two laws."""

    expand: Samples
    """The sample of each of the 256 octets."""
    compress: NDArray[numpy.uint8]
    """The octet of each sample; the index is the sample's 16 bits read as an unsigned number."""


def _expanded(octets: NDArray[numpy.int32], mask: int, *, mu: bool) -> NDArray[numpy.int32]:
    bits = octets ^ mask
    segment, step = bits >> 4 & 7, bits & 15
    if mu:  # G.711 table 2: (2 * step + 33) << segment, less the bias of 33, on a scale of 14 bits
        size = (((2 * step + 33) << segment) - 33) << 2
        negative = bits & 0x80 != 0
    else:  # G.711 table 1: the lowest two segments have the same steps, on a scale of 13 bits
        size = numpy.where(segment == 0, 2 * step + 1, (2 * step + 33) << numpy.maximum(segment - 1, 0)) << 3
        negative = bits & 0x80 == 0
    return numpy.where(negative, -size, size)


def _law(mask: int, *, mu: bool) -> Law:
    octets = numpy.arange(256, dtype=numpy.int32)
    values = _expanded(octets, mask, mu=mu)
    # Every sample gets the octet whose value is nearest, on its own side of zero: the decision values of G.711 lie in
    # the middle between two values.
    samples = numpy.arange(-32768, 32768, dtype=numpy.int32)
    order = numpy.argsort(values, kind="stable")
    ordered = values[order]
    middle = (ordered[1:] + ordered[:-1]) / 2
    nearest = order[numpy.searchsorted(middle, samples, side="right")]
    if mu:
        nearest[samples == 0] = 0xFF  # two octets stand for zero; silence is the positive one
    compress = numpy.empty(65536, numpy.uint8)
    compress[samples & 0xFFFF] = nearest
    return Law(values.astype(numpy.int16), compress)


MU_LAW: Final = _law(0xFF, mu=True)
A_LAW: Final = _law(0x55, mu=False)


class Encoder:
    """Samples to octets, by one law."""

    __slots__ = ("_compress",)

    def __init__(self, law: Law) -> None:
        self._compress = law.compress

    def encode(self, samples: Samples) -> bytes:
        """160 octets for 160 samples; ValueError for any other number."""
        if len(samples) != _FRAME:
            raise ValueError(f"a frame has {_FRAME} samples, not {len(samples)}")
        return self._compress[samples.view(numpy.uint16)].tobytes()


class Decoder:
    """Octets to samples, by one law."""

    __slots__ = ("_concealment", "_expand")

    def __init__(self, law: Law) -> None:
        self._expand = law.expand
        self._concealment = Concealment(_FRAME)

    def decode(self, payload: bytes) -> Samples:
        """A sample for every octet. Raises CodecError for none, and for more than any telephone puts in a packet."""
        if not 0 < len(payload) <= _LARGEST:
            raise CodecError(f"{len(payload)} octets are no payload of G.711")
        samples = self._expand[numpy.frombuffer(payload, numpy.uint8)]
        self._concealment.remember(samples)
        return samples

    def lost(self) -> Samples:
        """160 samples for a frame that never came."""
        return self._concealment.lost()
