"""Sound files: found below one folder and nowhere else, and decoded from WAV, MP3, OGG or FLAC. For a thread.

The format is told from the first octets and handed to FFmpeg by name. Left to guess, FFmpeg would also take playlists,
which make it open other files and addresses.
"""

import io
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import av
import numpy
from av.audio.frame import AudioFrame
from av.error import FFmpegError

from engine.audio.buffer import AudioBuffer, Resampler, rounded
from engine.audio.errors import SoundError, shown

if TYPE_CHECKING:
    from engine.media.codec.codec import Samples

HIGHEST: Final = 48_000
"""Hz at which a sound is kept at most: no codec of ours has more."""

LONG: Final = 60.0
LONG_RATE: Final = 16_000
"""A sound longer than so many seconds is kept at so many Hz: G.722's, the same as a hundred prompts' worth of memory
less. Music on hold sounds no better in a telephone above that."""

DECODING: Final = 20.0
"""Seconds that one sound may take to decode."""

_LOWEST: Final = 1_000
_FASTEST: Final = 768_000
_CODECS: Final = ("pcm_", "adpcm_", "mp3", "vorbis", "opus", "flac", "speex", "gsm")
"""Names (FFmpeg's) of what the four kinds of files hold. Decoders of games' sound and the like are left alone."""

_FORMATS: Final = ((b"RIFF", "wav"), (b"RF64", "wav"), (b"OggS", "ogg"), (b"fLaC", "flac"), (b"ID3", "mp3"))


@dataclass(frozen=True, slots=True)
class SoundFile:
    """A file that may be read. As a key: another modification time or size is another sound."""

    path: Path
    modified: int
    """Nanoseconds since 1970."""
    size: int


def find(folder: Path, name: str, largest: int) -> SoundFile:
    """The file `name` in `folder` or below it. Raises SoundError when there is none that may be played."""
    quoted = repr(shown(name))
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts:
        raise SoundError(f"{quoted} leads out of the sounds folder; name the file by its path below that folder")
    try:
        root = folder.resolve()
        path = (root / pure).resolve(strict=True)
        if not path.is_relative_to(root):
            raise SoundError(f"{quoted} is a link out of the sounds folder; put the file itself there")
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        place = shown(str(folder.absolute()), 200)
        raise SoundError(f"there is no file {quoted} in the sounds folder, {place}") from None
    except (OSError, ValueError, RuntimeError) as error:
        raise SoundError(f"{quoted} cannot be read: {_reason(error)}") from None
    if stat.S_ISDIR(status.st_mode):
        raise SoundError(f"{quoted} is a folder; name a file in it")
    if not stat.S_ISREG(status.st_mode):
        raise SoundError(f"{quoted} is no plain file")
    if status.st_size > largest:
        raise SoundError(f"{quoted} has {status.st_size} bytes; media.largest_sound allows {largest}")
    return SoundFile(path, status.st_mtime_ns, status.st_size)


def read(file: SoundFile, largest: int) -> bytes:
    """What is in the file. Raises SoundError."""
    quoted = repr(shown(file.path.name))
    try:
        # It may have become something else since it was found: no waiting for a FIFO's writer, no following of a link.
        descriptor = os.open(file.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as opened:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise SoundError(f"{quoted} is no plain file")
            content = opened.read(largest + 1)
    except OSError as error:
        raise SoundError(f"{quoted} cannot be read: {_reason(error)}") from None
    if len(content) > largest:
        raise SoundError(f"{quoted} has more than {largest} bytes, which is what media.largest_sound allows")
    return content


def decode(content: bytes, name: str, longest: float, now: Callable[[], float] = time.monotonic) -> AudioBuffer:
    """The sound in `content`, all channels mixed to one. `name` is for errors; `longest` is in seconds.

    Raises SoundError: no such sound, broken, too long, or takes too long.
    """
    quoted = repr(shown(name))
    kind = _format(content)
    if kind is None:
        raise SoundError(f"{quoted} is no WAV, MP3, OGG or FLAC")
    collected, deadline = _Collector(longest), now() + DECODING
    try:
        with av.open(io.BytesIO(content), "r", format=kind, metadata_errors="ignore") as container:
            if not container.streams.audio:
                raise SoundError(f"there is no sound in {quoted}")
            stream = container.streams.audio[0]
            if getattr(stream, "codec_context", None) is None:  # FFmpeg has no decoder (its types do not say so)
                raise SoundError(f"{quoted} is coded in a way that is not known; convert it to 16-bit PCM")
            coding = stream.codec_context.name
            if not coding.startswith(_CODECS):
                raise SoundError(f"{quoted} is coded as {coding}, which is not played; convert it to 16-bit PCM")
            stream.codec_context.thread_count = 1
            good = bad = 0
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except FFmpegError:
                    # Tags between frames, a first frame that wants one before it: players skip what they cannot take.
                    bad += 1
                    if bad > 20 + good // 10:
                        raise
                    continue
                good += len(frames)
                for frame in frames:
                    if not collected.add(frame):
                        raise SoundError(f"{quoted} is longer than {longest:g} s")
                if now() > deadline:
                    raise SoundError(f"{quoted} was not decoded within {DECODING:g} s")
    except (FFmpegError, ValueError, OSError, EOFError, IndexError) as error:
        raise SoundError(f"{quoted} is broken: {_reason(error)}") from None
    clip = collected.clip()
    if not len(clip.samples):
        raise SoundError(f"there is no sound in {quoted}")
    return clip


def _format(content: bytes) -> str | None:
    """FFmpeg's name of the format that `content` begins as, None for none of those that are played."""
    for magic, kind in _FORMATS:
        if content.startswith(magic):
            return kind
    # An MPEG audio frame: eleven bits set, a layer and a bit rate that exist (ISO 11172-3 §2.4.1.3).
    if len(content) < 4 or content[0] != 0xFF or content[1] & 0xE0 != 0xE0:
        return None
    return "mp3" if content[1] & 6 and content[2] >> 4 < 15 else None


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__)[:200]


class _Collector:
    """Gathers decoded frames into one clip, at one rate, however the file changes on the way."""

    __slots__ = ("_blocks", "_longest", "_rate", "_resamplers", "_seconds", "_source")

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._seconds = 0.0
        self._source = 0
        self._rate = 0
        self._resamplers: list[Resampler] = []
        """What a block goes through, one after another."""
        self._blocks: list[Samples] = []

    def add(self, frame: AudioFrame) -> bool:
        """Takes one frame. False when all are longer than allowed."""
        rate = frame.sample_rate
        if not _LOWEST <= rate <= _FASTEST:
            raise ValueError(f"a rate of {rate} Hz")
        self._seconds += frame.samples / rate
        if self._seconds > self._longest:
            return False
        if rate != self._source:
            self._flush()
            self._source = rate
            self._rate = self._rate or min(rate, HIGHEST)
            self._resamplers = [Resampler(rate, self._rate)] if rate != self._rate else []
        self._take(_mono(frame), self._resamplers)
        if self._seconds > LONG and self._rate > LONG_RATE:
            self._shrink()
        return True

    def clip(self) -> AudioBuffer:
        """All that was taken."""
        self._flush()
        return AudioBuffer(numpy.concatenate([*self._blocks, numpy.zeros(0, numpy.int16)]), self._rate or HIGHEST)

    def _shrink(self) -> None:
        """Goes on at LONG_RATE; what there is so far is brought to it."""
        last = Resampler(self._rate, LONG_RATE)
        kept, self._blocks = self._blocks, []
        for block in kept:
            self._take(block, [last])
        self._resamplers.append(last)
        self._rate = LONG_RATE

    def _take(self, samples: "Samples", through: list[Resampler]) -> None:
        for resampler in through:
            samples = resampler.feed(samples)
        self._blocks.append(samples)

    def _flush(self) -> None:
        while self._resamplers:
            rest = self._resamplers.pop(0).feed(numpy.zeros(0, numpy.int16), last=True)
            self._take(rest, self._resamplers)


def _mono(frame: AudioFrame) -> "Samples":
    """One channel of 16 bits: the mean of all. (FFmpeg's own downmix would weigh them by where speakers stand.)"""
    values: Any = frame.to_ndarray()
    channels = frame.layout.nb_channels
    if not frame.format.is_planar:
        values = values.reshape(-1, channels).T
    if values.dtype == numpy.int16 and channels == 1:
        return numpy.ascontiguousarray(values[0])
    if values.dtype == numpy.uint8:
        return rounded((values.mean(axis=0) - 128.0) * 256.0)
    if values.dtype.kind == "f":
        return rounded(numpy.nan_to_num(values.mean(axis=0) * 32768.0))
    return rounded(values.mean(axis=0) * (-32768.0 / numpy.iinfo(values.dtype).min))
