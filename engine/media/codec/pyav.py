"""A coder and a decoder of PyAV (FFmpeg's libraries) for one stream: frames of 20 ms, one context each, no resampling.

Imported by the codecs that need it only: it costs 20 MB of memory and some 50 ms.
"""

from collections.abc import Mapping
from typing import Any, Final

import av
import numpy
from av.audio.codeccontext import AudioCodecContext
from av.error import FFmpegError

from engine.media.codec.codec import CodecError, Samples
from engine.media.codec.concealment import Concealment

_NO_OPTIONS: Final[Mapping[str, str]] = {}


def has(name: str) -> bool:
    """Whether FFmpeg was built with the codec `name`."""
    return name in av.codec.codecs_available


def _context(name: str, mode: Any, rate: int) -> AudioCodecContext:
    context = av.CodecContext.create(name, mode)
    assert isinstance(context, AudioCodecContext)
    context.sample_rate = rate
    context.layout = "mono"
    context.format = "s16"
    context.thread_count = 1  # a thread for each stream would cost more than it could do
    return context


class FrameEncoder:
    """Frames of 20 ms to one payload each."""

    __slots__ = ("_context", "_frame", "_plane", "_pts", "_samples")

    def __init__(self, name: str, rate: int, bit_rate: int = 0, options: Mapping[str, str] = _NO_OPTIONS) -> None:
        context = _context(name, "w", rate)
        if bit_rate:
            context.bit_rate = bit_rate
        context.options = dict(options)
        context.open()
        self._context = context
        self._samples = rate // 50
        self._frame = av.AudioFrame("s16", "mono", self._samples)
        self._frame.sample_rate = rate
        self._plane = self._frame.planes[0]
        self._pts = 0

    def encode(self, samples: Samples) -> bytes:
        """The payload of one frame; ValueError for a wrong number of samples."""
        if len(samples) != self._samples:
            raise ValueError(f"a frame has {self._samples} samples, not {len(samples)}")
        self._plane.update(samples.tobytes())
        self._frame.pts = self._pts
        self._pts += self._samples
        return b"".join(map(bytes, self._context.encode(self._frame)))


class FrameDecoder:
    """Payloads of any length up to `largest` octets to samples."""

    __slots__ = ("_concealment", "_context", "_largest", "_name")

    def __init__(self, name: str, rate: int, largest: int) -> None:
        self._context = _context(name, "r", rate)
        self._context.open()
        self._name = name
        self._largest = largest
        self._concealment = Concealment(rate // 50)

    def decode(self, payload: bytes) -> Samples:
        """The sound of one payload. Raises CodecError for one that is empty, too long, or that FFmpeg refuses."""
        if not 0 < len(payload) <= self._largest:
            raise CodecError(f"{len(payload)} octets are no payload of {self._name}")
        try:
            frames = self._context.decode(av.Packet(payload))
        except (FFmpegError, ValueError) as error:
            raise CodecError(f"not {self._name}: {error}") from None
        if not frames:
            raise CodecError(f"{len(payload)} octets of {self._name} hold no sound")
        parts = [numpy.frombuffer(memoryview(frame.planes[0]), numpy.int16, frame.samples) for frame in frames]
        samples = parts[0].copy() if len(parts) == 1 else numpy.concatenate(parts)
        self._concealment.remember(samples)
        return samples

    def lost(self) -> Samples:
        """A frame for one that never came."""
        return self._concealment.lost()
