"""The payload formats that our own media speaks: what each is called, its clocks, its coder and its decoder.

A table only: the arithmetic stands beside, in `g711`, `g722` and `opus`, and is imported when a call needs it. Neither
numpy nor PyAV (15 MB and 20 MB of memory) is loaded by a process whose calls keep their media end to end.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from engine.sip import sdp

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


def _pcmu_encoder() -> Encoder:
    from engine.media import g711

    return g711.Encoder(g711.MU_LAW)


def _pcmu_decoder() -> Decoder:
    from engine.media import g711

    return g711.Decoder(g711.MU_LAW)


def _pcma_encoder() -> Encoder:
    from engine.media import g711

    return g711.Encoder(g711.A_LAW)


def _pcma_decoder() -> Decoder:
    from engine.media import g711

    return g711.Decoder(g711.A_LAW)


def _g722_encoder() -> Encoder:
    from engine.media import g722

    return g722.encoder()


def _g722_decoder() -> Decoder:
    from engine.media import g722

    return g722.decoder()


def _opus_encoder() -> Encoder:
    from engine.media import opus

    return opus.encoder()


def _opus_decoder() -> Decoder:
    from engine.media import opus

    return opus.decoder()


PCMU: Final = Codec("PCMU", 8000, 8000, sdp.PCMU, _pcmu_encoder, _pcmu_decoder, 8)
PCMA: Final = Codec("PCMA", 8000, 8000, sdp.PCMA, _pcma_encoder, _pcma_decoder, 8)
G722: Final = Codec("G722", 16000, 8000, sdp.G722, _g722_encoder, _g722_decoder, 8)
OPUS: Codec | None
"""None where PyAV was built without libopus; found out when it is first asked for."""

_OPUS: Final = Codec("opus", 48000, 48000, sdp.OPUS, _opus_encoder, _opus_decoder)
_BY_NAME: Final = {codec.name.lower(): codec for codec in (PCMU, PCMA, G722, _OPUS)}


def by_name(name: str) -> Codec | None:
    """The codec that SDP calls `name`, in any case; None where there is none, or where its library is missing."""
    codec = _BY_NAME.get(name.lower())
    return None if codec is _OPUS and not _has_opus() else codec


def of_format(form: sdp.Codec) -> Codec | None:
    """The codec of a format in a description; None where we have none. Whether its library is there is not asked:
    that was when it was offered or allowed."""
    codec = _BY_NAME.get(form.name.lower())
    return codec if codec is not None and codec.sdp.matches(form) else None


@lru_cache(maxsize=1)
def _has_opus() -> bool:
    # PyAV's wheels bring libopus as a file of its own; seeing it there spares loading all of FFmpeg at the start.
    package = find_spec("av")
    if package is None:
        return False
    for folder in map(Path, package.submodule_search_locations or ()):
        if any((folder.parent / "av.libs").glob("libopus*")) or any((folder / ".dylibs").glob("libopus*")):
            return True
    from engine.media import opus

    return opus.available()


def __getattr__(name: str) -> object:
    """OPUS and Samples, made when first asked for: each loads a library that many processes never need."""
    if name == "OPUS":
        value: object = by_name("opus")
    elif name == "Samples":
        import numpy
        from numpy.typing import NDArray

        value = NDArray[numpy.int16]
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value
