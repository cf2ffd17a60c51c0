"""Registry of codecs: the payload formats that our own media speaks.

A table only: the arithmetic stands beside, in `g711`, `g722` and `opus`, and is imported when a call needs it. Neither
numpy nor PyAV (15 MB and 20 MB of memory) is loaded by a process whose calls keep their media end to end.
"""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from engine.media.codec.codec import Codec, Decoder, Encoder
from engine.sip.sdp import description


def _pcmu_encoder() -> Encoder:
    from engine.media.codec import g711

    return g711.Encoder(g711.MU_LAW)


def _pcmu_decoder() -> Decoder:
    from engine.media.codec import g711

    return g711.Decoder(g711.MU_LAW)


def _pcma_encoder() -> Encoder:
    from engine.media.codec import g711

    return g711.Encoder(g711.A_LAW)


def _pcma_decoder() -> Decoder:
    from engine.media.codec import g711

    return g711.Decoder(g711.A_LAW)


def _g722_encoder() -> Encoder:
    from engine.media.codec import g722

    return g722.encoder()


def _g722_decoder() -> Decoder:
    from engine.media.codec import g722

    return g722.decoder()


def _opus_encoder() -> Encoder:
    from engine.media.codec import opus

    return opus.encoder()


def _opus_decoder() -> Decoder:
    from engine.media.codec import opus

    return opus.decoder()


PCMU: Final = Codec("PCMU", 8000, 8000, description.PCMU, _pcmu_encoder, _pcmu_decoder, 8)
PCMA: Final = Codec("PCMA", 8000, 8000, description.PCMA, _pcma_encoder, _pcma_decoder, 8)
G722: Final = Codec("G722", 16000, 8000, description.G722, _g722_encoder, _g722_decoder, 8)
OPUS: Codec | None
"""None where PyAV was built without libopus; found out when it is first asked for."""

_OPUS: Final = Codec("opus", 48000, 48000, description.OPUS, _opus_encoder, _opus_decoder)
_BY_NAME: Final = {codec.name.lower(): codec for codec in (PCMU, PCMA, G722, _OPUS)}


def by_name(name: str) -> Codec | None:
    """The codec that SDP calls `name`, in any case; None where there is none, or where its library is missing."""
    codec = _BY_NAME.get(name.lower())
    return None if codec is _OPUS and not _has_opus() else codec


def of_format(form: description.Codec) -> Codec | None:
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
    from engine.media.codec import opus

    return opus.available()


def __getattr__(name: str) -> object:
    """OPUS, found when first asked for: that loads a library that many processes never need."""
    if name != "OPUS":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = by_name("opus")
    globals()[name] = value
    return value
