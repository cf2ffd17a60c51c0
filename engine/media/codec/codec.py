"""Codec: a payload format with its clocks, its encoder and its decoder."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from engine.sip.sdp import description as sdp

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Samples = NDArray[numpy.int16]
    """Mono sound: 16-bit samples at the rate of the codec."""

FRAME: Final = 0.02
"""Seconds of sound that are encoded at a time, and that a lost packet stands for."""

LONGEST: Final = 0.12
"""Seconds of sound that one payload may hold: Opus' longest packet (RFC 7587 §4.2), and twice what telephones send."""


class CodecError(ValueError):
    """A payload that its decoder cannot take; the text says why."""


class Encoder(Protocol):
    """Sound to payloads, for one stream: it may remember what it encoded before."""

    def encode(self, samples: "Samples") -> bytes:
        """The payload of one frame: exactly `rate // 50` samples. ValueError for any other number of them."""


class Decoder(Protocol):
    """Payloads to sound, for one stream."""

    def decode(self, payload: bytes) -> "Samples":
        """The sound of one whole payload, of as many milliseconds as the peer put in it. Raises CodecError."""

    def lost(self) -> "Samples":
        """One frame in the place of one that never came: what was heard last, fading, then silence."""


@dataclass(frozen=True, slots=True, eq=False)
class Codec:
    """One payload format. There is one object for each, so that they compare and hash by identity."""

    name: str
    """As in SDP: PCMU, PCMA, G722, opus."""
    rate: int
    """Of its sound, in Hz."""
    clock: int
    """Of its RTP timestamps, in Hz: G.722's is 8000 though its sound has 16 kHz (RFC 3551 §4.5.2)."""
    sdp: sdp.Codec
    """As our offers write it."""
    encoder: Callable[[], Encoder]
    """Makes an encoder for one stream."""
    decoder: Callable[[], Decoder]
    """Makes a decoder for one stream."""
    octets: int = 0
    """Of payload for one millisecond, where every millisecond has as many; 0 where a payload cannot be divided."""

    @property
    def frame(self) -> int:
        """Samples of 20 ms."""
        return self.rate // 50

    @property
    def step(self) -> int:
        """RTP timestamp units of 20 ms."""
        return self.clock // 50


def __getattr__(name: str) -> object:
    """Samples, made when first asked for: numpy is a library that many processes never need."""
    if name != "Samples":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import numpy
    from numpy.typing import NDArray

    value: object = NDArray[numpy.int16]
    globals()[name] = value
    return value
