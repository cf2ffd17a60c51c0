"""Tones: those that a flow writes, and those that telephone exchanges make.

    tone:425/1000,0/4000        425 Hz for 1000 ms, 4000 ms of silence: once
    tone:350+440                two frequencies at a time, for ever
    tone:480+620/500,0/500*3    all of it three times; `*` alone: for ever
    tone:busy   tone:busy/de    a national tone, for ever; `tone:busy/de*3` ends

Segments are separated by commas. A frequency is a whole number of Hz, 0 is silence, one without milliseconds has no
end and so stands alone. The names are those of `engine.audio.national_tones.NAMES`.
"""

import math
import re
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Final

import numpy

from engine.audio.buffer import AudioBuffer
from engine.audio.errors import SoundError, shown
from engine.audio.national_tones import NAMES, TONES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.media.codec.codec import Samples

    Floats = NDArray[numpy.float64]

PREFIX: Final = "tone:"

LEVEL: Final = -13.0
"""dBm0 of a tone, of all its frequencies together. ITU-T E.180 asks for -10 dBm0, 5 dB more or less; the quieter
half is kinder to the ear."""

LONGEST: Final = 120
"""Seconds of a tone that ends, all rounds together."""

_RATE: Final = 8000
_LOW, _HIGH = 20, 3800
_SHORTEST: Final = 10
_MOST_SEGMENTS, _MOST_FREQUENCIES = 64, 4
_RAMP: Final = 0.005
"""Seconds that a tone takes to come and to go: a raised cosine, so that there is no click."""

_FULL_SCALE: Final = 3.14
"""dBm0 of the loudest sine that mu-law can say (G.711 table 2a); it is 32124 high on a scale of 16 bits."""

_PEAK: Final = 32124.0

_SEGMENT = re.compile(r"(\d{1,5}(?:\+\d{1,5})*)(?:/(\d{1,6}))?", re.ASCII)
_COUNT = re.compile(r"(.*?)(?:\*(\d{0,4}))?", re.ASCII | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a tone: these frequencies (Hz, none for silence) for so many ms; 0 ms for one without end."""

    frequencies: tuple[int, ...]
    milliseconds: int


def parse(source: str, national: str = "us") -> tuple[AudioBuffer, int]:
    """The sound of a tone, and how often it is to be played: once with all its rounds, or 0, for ever.

    `national` is the country whose tones are meant where the source names none. Raises SoundError.
    """
    segments, endless = read(source, national)
    return clip(segments, endless), 0 if endless else 1


def read(source: str, national: str = "us") -> tuple[list[Segment], bool]:
    """The segments of a tone that ends, all rounds; or those of one round, and True. Raises SoundError."""
    written = source.removeprefix(PREFIX).strip()
    match = _COUNT.fullmatch(written)
    assert match is not None
    cadence, count = match[1].strip(), match[2]
    if count and not int(count):
        raise SoundError(f"{shown(source)!r} is to sound 0 times; leave the number away for a tone without end")
    name, _, country = cadence.partition("/")
    endless = count == ""
    if name and not name[0].isdigit():
        cadence = _national(name.strip().lower(), (country.strip() or national).lower())
        endless = endless or count is None
    segments = _segments(cadence, source)
    if not segments[-1].milliseconds:
        if count:
            raise SoundError(f"{shown(source)!r}: a tone without end cannot be repeated; give it milliseconds")
        endless = True
    rounds = 1 if endless else int(count or "1")
    if sum(segment.milliseconds for segment in segments) * rounds > LONGEST * 1000:
        raise SoundError(f"{shown(source)!r} lasts longer than {LONGEST} s; have it played in a loop")
    return segments * rounds, endless


def clip(segments: list[Segment], endless: bool) -> AudioBuffer:
    """The sound of what was read. Takes some milliseconds where it is long: for a thread."""
    period = sum(segment.milliseconds for segment in segments)
    if not endless:
        segments = _joined(segments)
    elif len(segments) == 1:
        # Seconds are whole periods of whole numbers of Hz: it goes on without a seam. Ten, as G.722 remembers what it
        # said before, and at the seam that is not quite the same.
        segments = [Segment(segments[0].frequencies, 10_000)]
    elif period < 6000:
        # A frame is 20 ms at every codec, and the last one is filled up: a cadence that is no whole number of them
        # would get longer by that with each round (which only the short ones show).
        segments = segments * (20 // math.gcd(period, 20))
    cadence = Cadence(segments, seamless=endless and len(segments) == 1)
    return AudioBuffer(cadence.render(_RATE, 0, round(cadence.seconds * _RATE)), _RATE, cadence.render)


def _national(name: str, country: str) -> str:
    if name not in NAMES:
        raise SoundError(
            f"there is no tone {shown(name)!r}; there are {', '.join(NAMES)}, and cadences as 425/1000,0/4000"
        )
    tones = TONES.get(country)
    if tones is None:
        raise SoundError(f"there are no tones of {shown(country)!r}; there are those of {', '.join(sorted(TONES))}")
    return tones[NAMES.index(name)]


def _segments(cadence: str, source: str) -> list[Segment]:
    quoted = repr(shown(source))
    parts = cadence.split(",")
    if len(parts) > _MOST_SEGMENTS:
        raise SoundError(f"{quoted} has more than {_MOST_SEGMENTS} segments")
    segments = []
    for part in parts:
        match = _SEGMENT.fullmatch(part.strip())
        if match is None:
            raise SoundError(f"{quoted}: {shown(part)!r} is no segment; write Hz/ms, such as 425/1000 or 350+440/500")
        frequencies = tuple(int(each) for each in match[1].split("+"))
        if frequencies == (0,):
            frequencies = ()
        if len(frequencies) > _MOST_FREQUENCIES:
            raise SoundError(f"{quoted} sounds more than {_MOST_FREQUENCIES} frequencies at a time")
        for frequency in frequencies:
            if not _LOW <= frequency <= _HIGH:
                raise SoundError(f"{quoted}: {frequency} Hz cannot be heard on a telephone; take {_LOW} to {_HIGH}")
        if match[2] is not None and not _SHORTEST <= int(match[2]) <= LONGEST * 1000:
            raise SoundError(f"{quoted}: a segment lasts {_SHORTEST} to {LONGEST * 1000} ms, not {match[2]}")
        if match[2] is None and len(parts) > 1:
            raise SoundError(f"{quoted}: {shown(part)!r} has no end, and so it has to stand alone")
        segments.append(Segment(frequencies, int(match[2] or 0)))
    return segments


def _joined(segments: list[Segment]) -> list[Segment]:
    """Neighbours that sound the same as one, so that nothing is heard between them."""
    joined: list[Segment] = []
    for segment in segments:
        if joined and joined[-1].frequencies == segment.frequencies:
            segment = Segment(segment.frequencies, joined.pop().milliseconds + segment.milliseconds)
        joined.append(segment)
    return joined


class Cadence:
    """Segments as sound, at any rate and from any place on: nothing is kept but the segments."""

    __slots__ = ("_ends", "_seamless", "_segments")

    def __init__(self, segments: list[Segment], seamless: bool = False) -> None:
        """`seamless`: one segment, whose end leads to its beginning, without the ramps that all others have."""
        self._segments = segments
        self._ends = list(accumulate(segment.milliseconds for segment in segments))
        self._seamless = seamless

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self._ends[-1] / 1000

    def render(self, rate: int, start: int, stop: int) -> "Samples":
        """Samples `start` to `stop` at `rate` (engine.sound.clip.Renderer)."""
        sound = numpy.zeros(max(stop - start, 0))
        place = bisect_right(self._ends, start * 1000 // rate)
        for segment, end in zip(self._segments[place:], self._ends[place:], strict=True):
            if (end - segment.milliseconds) * rate >= stop * 1000:
                break
            first, last = round((end - segment.milliseconds) * rate / 1000), round(end * rate / 1000)
            low, high = max(first, start), min(last, stop)
            if low < high and segment.frequencies:
                sound[low - start : high - start] = self._sound(segment, rate, low - first, high - first, last - first)
        return numpy.rint(sound).astype(numpy.int16)

    def _sound(self, segment: Segment, rate: int, low: int, high: int, length: int) -> "Floats":
        """Samples `low` to `high` of a segment of `length` samples."""
        places = numpy.arange(low, high)
        share = LEVEL - _FULL_SCALE - 10 * math.log10(len(segment.frequencies))
        sound: Floats = numpy.zeros(high - low)
        for frequency in segment.frequencies:
            # Whole periods are taken off first: the place in a period stays exact however long the tone is.
            sound += numpy.sin(places * frequency % rate * (2 * math.pi / rate))
        sound *= _PEAK * 10 ** (share / 20)
        if not self._seamless:
            ramp = min(_RAMP * rate, length / 2)
            nearest = numpy.minimum(places + 0.5, length - places - 0.5)
            sound *= 0.5 - 0.5 * numpy.cos(math.pi * numpy.minimum(nearest / ramp, 1.0))
        return sound
