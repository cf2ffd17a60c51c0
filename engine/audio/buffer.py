"""AudioBuffer: sound in memory, resampled and encoded once for all calls that play it.

Nothing is done ahead. The first call that plays a clip with a codec encodes it as it goes, 20 ms at a time, and leaves
the frames for all others. So neither a long piece nor a costly codec holds up the loop that paces every call, and a
prompt that a caller cuts off is not encoded to its end.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy
import soxr  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from engine.media.codec.codec import Codec, Encoder, Samples

Renderer = Callable[[int, int, int], "Samples"]
"""Makes sound instead of keeping it: (rate in Hz, first sample, the one after the last) to samples."""

_BLOCK = 0.1
"""Seconds that are resampled at a time: a tenth of a millisecond's work."""

_STATELESS = frozenset({"PCMU", "PCMA"})
"""Codecs whose every frame stands for itself. With all others a second round follows on from the end of the first."""

_FRAME_OVERHEAD = 48
"""Octets that Python needs for a payload besides the payload: the object and its place in the list."""


class Resampler:
    """Turns 16-bit sound of one rate into another as it comes. soxr's HQ: flat to 0.91 of the band, 120 dB down."""

    __slots__ = ("_stream",)

    def __init__(self, source: int, target: int) -> None:
        # In floating point: soxr dithers what it makes 16-bit itself, and silence has to stay silence.
        self._stream = soxr.ResampleStream(source, target, 1, dtype="float32", quality="HQ")

    def feed(self, samples: "Samples", last: bool = False) -> "Samples":
        """What `samples` add, late by the filter's delay; with `last` all that is left."""
        return rounded(self._stream.resample_chunk(samples.astype(numpy.float32), last=last))

    @property
    def pending(self) -> int:
        """Samples that it has taken in and not given out yet (counted as it gives them out): up to 0.2 s of them."""
        return round(float(self._stream.delay()))


def rounded(samples: "numpy.typing.NDArray[numpy.floating]") -> "Samples":
    """Floating point of 16-bit scale as 16-bit samples: rounded, and clipped where it does not fit."""
    whole: Samples = numpy.clip(numpy.rint(samples), -32768, 32767).astype(numpy.int16)
    return whole


def resampled(samples: "Samples", source: int, target: int) -> "Samples":
    """All of `samples` at another rate."""
    return samples if source == target else Resampler(source, target).feed(samples, last=True)


class AudioBuffer:
    """A piece of mono sound. Calls share it: its samples cannot be written to."""

    __slots__ = ("_copies", "_render", "_tracks", "grown", "rate", "samples", "size")

    def __init__(self, samples: "Samples", rate: int, render: Renderer | None = None) -> None:
        """`samples` are kept, not copied. `render` makes the same sound at other rates; resampled where None."""
        samples.flags.writeable = False
        self.samples = samples
        self.rate = rate
        """Of `samples`, in Hz."""
        self.size = samples.nbytes
        """Octets that the clip keeps: its samples, copies at other rates, and encoded frames."""
        self.grown: Callable[[int], None] | None = None
        """Told by how many octets `size` has grown since, each time (the cache that holds the clip wants to know)."""
        self._render = render
        self._copies: dict[int, AudioBuffer] = {}
        self._tracks: dict[tuple[str, bool], _Track] = {}

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.samples) / self.rate

    def at(self, rate: int) -> "AudioBuffer":
        """The whole clip at another rate in Hz; made once. Takes a millisecond a second of sound: not for the loop
        where the clip may be long (`feed` and `frames` do without)."""
        if rate == self.rate:
            return self
        copy = self._copies.get(rate)
        if copy is None:
            copy = AudioBuffer(numpy.concatenate([*self._blocks(rate), self.samples[:0]]), rate)
            copy.grown = self._grow
            self._copies[rate] = copy
            self._grow(copy.size)
        return copy

    def frames(self, codec: "Codec") -> Sequence[bytes]:
        """The payloads of all of it, 20 ms each; silence fills the last one. Encoded once.

        Takes as long as encoding takes; `feed` spreads that over the playing.
        """
        return self._track(codec, False).all()

    def feed(self, loop: int = 1) -> "BufferSource":
        """Plays it `loop` times, 0: for ever."""
        return BufferSource(self, loop)

    def _track(self, codec: "Codec", again: bool) -> "_Track":
        """The shared frames for `codec`: of the first round or, `again`, of those after it."""
        again = again and codec.name not in _STATELESS
        key = (codec.name, again)
        track = self._tracks.get(key)
        if track is None:
            first = self._tracks.get((codec.name, False)) if again else None
            encoder = first.encoder if first is not None and first.complete else codec.encoder()
            track = self._tracks[key] = _Track(self._blocks(codec.rate), codec.frame, encoder, self._grow)
        return track

    def _own_track(self, codec: "Codec", index: int) -> "_Track":
        """Frames for `codec` from `index` on, for one feed: encoding all before them would hold up everybody."""
        return _Track(self._blocks(codec.rate, index / 50), codec.frame, codec.encoder(), None)

    def _blocks(self, rate: int, start: float = 0.0) -> Iterator["Samples"]:
        """All of it at `rate` from `start` (s) on, piece by piece."""
        if self._render is not None:
            total, step = round(len(self.samples) * rate / self.rate), int(rate * _BLOCK)
            for first in range(round(start * rate), total, step):
                yield self._render(rate, first, min(first + step, total))
            return
        resampler = Resampler(self.rate, rate) if rate != self.rate else None
        total, step = len(self.samples), int(self.rate * _BLOCK)
        for first in range(round(start * self.rate), total, step):
            piece = self.samples[first : first + step]
            yield resampler.feed(piece, last=first + step >= total) if resampler is not None else piece

    def _grow(self, octets: int) -> None:
        self.size += octets
        if self.grown is not None:
            self.grown(octets)


class _Track:
    """Frames for one codec, as far as they have been asked for."""

    __slots__ = ("_blocks", "_frame", "_frames", "_grow", "_rest", "complete", "encoder")

    def __init__(
        self, blocks: Iterator["Samples"], frame: int, encoder: "Encoder", grow: Callable[[int], None] | None
    ) -> None:
        self.encoder = encoder
        self.complete = False
        """Whether all is encoded; `encoder` is where the end has left it."""
        self._blocks = blocks
        self._frame = frame
        self._frames: list[bytes] = []
        self._rest = numpy.zeros(0, numpy.int16)
        self._grow = grow

    def frame(self, index: int) -> bytes | None:
        """Frame `index`; None after the end."""
        frames = self._frames
        while index >= len(frames):
            if self.complete or not self._encode():
                return None
        return frames[index]

    def all(self) -> Sequence[bytes]:
        """All frames."""
        while not self.complete:
            self._encode()
        return self._frames

    def _encode(self) -> bool:
        """Encodes one more frame; False when there is none."""
        rest, frame = self._rest, self._frame
        while len(rest) < frame:
            block = next(self._blocks, None)
            if block is None:
                break
            rest = numpy.concatenate((rest, block))
        if not len(rest):
            self.complete = True
            self._rest = rest
            return False
        self._rest = rest[frame:]
        if len(rest) < frame:
            rest = numpy.concatenate((rest, numpy.zeros(frame - len(rest), numpy.int16)))
        payload = self.encoder.encode(rest[:frame])
        self._frames.append(payload)
        if self._grow is not None:
            self._grow(len(payload) + _FRAME_OVERHEAD)
        return True


class BufferSource:
    """A clip as it is played to one call (engine.media.audio.AudioSource)."""

    __slots__ = ("_again", "_clip", "_codec", "_index", "_left", "_offset", "_track")

    def __init__(self, clip: AudioBuffer, loop: int) -> None:
        self._clip = clip
        self._left: float = loop if loop > 0 else math.inf
        """Rounds that have not ended."""
        self._again = False
        self._codec: Codec | None = None
        self._track: _Track | None = None
        self._index = 0
        """Of the next frame in this round; `_offset` is that of the track's first one."""
        self._offset = 0

    def next(self, codec: "Codec") -> bytes | None:
        """The payload of the next 20 ms. Another codec than before (a re-INVITE) goes on at the same place."""
        while self._left > 0:
            track = self._track
            if track is None or codec is not self._codec:
                self._codec = codec
                self._offset = self._index
                shared = self._index == 0
                track = self._clip._track(codec, self._again) if shared else self._clip._own_track(codec, self._index)
                self._track = track
            frame = track.frame(self._index - self._offset)
            if frame is not None:
                self._index += 1
                return frame
            self._left = self._left - 1 if self._index else 0  # an empty clip would go round for ever
            self._index = 0
            self._track = None
            self._again = True
        return None
