"""In-band DTMF detector: keys heard as tones, for callers whose telephones send no telephone-event.

A key is a row's tone with a column's (ITU-T Q.23). Of every 10 ms the last 20 ms are looked at, at the eight
frequencies only. They are a key when nearly all energy is in one row and one column, the two are about as loud (Q.24's
twist), and the phases, which have to turn by the frequency from one look to the next, say that each is within 2.5 % of
what it should be. Voices now and then make two such tones for 20 ms; they do not hold them still for longer.
"""

import cmath
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy

from engine.audio.buffer import rounded

if TYPE_CHECKING:
    from engine.media.codec.codec import Samples

KEYS: Final = ("123A", "456B", "789C", "*0#D")
"""By row and column."""

FREQUENCIES: Final = (697, 770, 852, 941, 1209, 1336, 1477, 1633)
"""Hz: four rows, four columns."""

_RATE: Final = 8000
_WINDOW, _HOP = 160, 80
"""Samples that are looked at, and between two looks: 20 ms and 10 ms."""

_QUIETEST: Final = 10 ** ((-36.0 - 3.14) / 10) * 32124.0**2 / 2
"""Power of the weaker tone, at least: -36 dBm0 (Q.24 annex A has networks that take them down to -29)."""

_SOFTEST: Final = math.floor(math.sqrt(2 * _QUIETEST))
"""Where no sample is higher, the two tones are not there: this is what they have as their mean (RMS) at the least."""

_PURITY: Final = 0.72
"""Of all power, what is in the two tones, at least: noise 4 dB below them."""

_OTHERS: Final = 0.2
"""Power of another row or column beside the strongest, at most: -7 dB, of which a window of 20 ms leaks up to -8."""

_LOUDER_COLUMN, _LOUDER_ROW = 10 ** (9 / 10), 10 ** (7 / 10)
"""Twist, as power: networks lose more of the higher tone, but some lift it (Q.24: 4 to 8 dB and 4 to 10 dB)."""

_TOLERANCE: Final = 0.025
"""Of a frequency. Q.24: up to 1.5 % (1.8 %) has to be taken, from 3.5 % (3 %) on refused."""

_HITS: Final = 2
"""Looks that agree make a key: its tone has lasted 30 ms by then. A tone of 40 ms is never missed."""

_MISSES: Final = 4
"""Looks without it end a key: a pause of 40 ms is one, a packet of 20 ms that is missing is none."""


def _matrix() -> "numpy.typing.NDArray[numpy.float32]":
    places = numpy.arange(_WINDOW)[:, None] * (2 * numpy.pi / _RATE) * numpy.array(FREQUENCIES)
    return numpy.concatenate((numpy.cos(places), -numpy.sin(places)), axis=1).astype(numpy.float32)


_MATRIX = _matrix()
"""A window times this: real parts of the eight frequencies, then imaginary parts."""

_TURN = numpy.exp(-2j * numpy.pi * numpy.array(FREQUENCIES) * _HOP / _RATE)
"""Takes the turn of a tone that is right out of the phase between two looks."""

_ANGLE = _TOLERANCE * numpy.array(FREQUENCIES) * 2 * numpy.pi * _HOP / _RATE
"""Of what is left, how much is allowed, in radians."""


_ZEROS = numpy.zeros(_RATE, numpy.int16)


def _soft(samples: "Samples") -> bool:
    """Whether it is too soft for a key to be in it."""
    return not len(samples) or bool(samples.max() <= _SOFTEST and samples.min() >= -_SOFTEST)


class Decimator:
    """Takes sound down to 8 kHz, late by a millisecond (a good resampler is late by a hundred)."""

    __slots__ = ("_factor", "_filter", "_rest")

    def __init__(self, factor: int) -> None:
        """Of `factor` samples one is left: what is above 4 kHz is taken away before, all but some 40 dB."""
        self._factor = factor
        places = numpy.arange(-8 * factor, 8 * factor + 1)
        taps = numpy.sinc(places * 0.875 / factor) * numpy.hamming(len(places))
        self._filter = (taps / taps.sum()).astype(numpy.float32)
        self._rest = numpy.zeros(len(places) - 1, numpy.float32)

    def skip(self, samples: "Samples") -> int:
        """How many samples `samples` would add. They are kept as what stands before the next, and nothing is made of
        them; at least 20 ms, in whole steps of the factor."""
        self._rest = samples[-len(self._rest) :].astype(numpy.float32)
        return len(samples) // self._factor

    def feed(self, samples: "Samples") -> "Samples":
        """What `samples` add."""
        whole = numpy.concatenate((self._rest, samples.astype(numpy.float32)))
        count = (len(whole) - len(self._filter)) // self._factor + 1
        if count <= 0:
            self._rest = whole
            return samples[:0]
        windows = numpy.lib.stride_tricks.sliding_window_view(whole, len(self._filter))[:: self._factor]
        self._rest = whole[count * self._factor :]
        return rounded(windows @ self._filter)


class DtmfDetector:
    """Tells the keys in what a peer sends (engine.media.audio.AudioSink): each once, when it has been held for 30 to 40
    ms."""

    __slots__ = (
        "_before",
        "_candidate",
        "_decimator",
        "_hits",
        "_key",
        "_misses",
        "_on_digit",
        "_rate",
        "_rest",
        "_soft",
    )

    def __init__(self, on_digit: Callable[[str], None]) -> None:
        self._on_digit = on_digit
        self._rate = 0
        self._decimator: Decimator | None = None
        self._rest = numpy.zeros(0, numpy.int16)
        self._before: numpy.typing.NDArray[numpy.complex64] | None = None
        """The eight at the look before."""
        self._candidate = ""
        self._hits = 0
        self._key = ""
        """The key that is held, and has been told."""
        self._misses = 0
        self._soft = False
        """What came last was too soft for a key."""

    def hear(self, samples: "Samples", rate: int) -> None:
        """Any number of samples at `rate` Hz, a multiple of 8000, in order."""
        if rate != self._rate:
            self._rate = rate
            self._decimator = Decimator(rate // _RATE) if rate != _RATE else None
        before, self._soft = self._soft, _soft(samples)
        if self._decimator is not None:
            # Of what is soft behind what was soft nothing is made: the filter costs more than all that follows.
            whole = rate <= 50 * len(samples) <= 50 * rate and not len(samples) % (rate // _RATE)
            if before and self._soft and whole and not self._key:
                samples = _ZEROS[: self._decimator.skip(samples)]
            else:
                samples = self._decimator.feed(samples)
        rest = numpy.concatenate((self._rest, samples)) if len(self._rest) else samples
        start = 0
        if not self._key and self._soft and ((before and len(samples) >= _WINDOW) or _soft(rest)):  # as most do mostly
            self._before = None
            self._hits = 0
            start = max(0, len(rest) - _WINDOW + _HOP) // _HOP * _HOP
        while start + _WINDOW <= len(rest):
            self._take(self._look(rest[start : start + _WINDOW]))
            start += _HOP
        self._rest = rest[start:].copy()

    def _look(self, window: "Samples") -> str:
        """The key in one window, "" for none."""
        values = window.astype(numpy.float32)
        total = float(values @ values) / _WINDOW
        if total < 2 * _QUIETEST:
            self._before = None
            return ""
        parts = values @ _MATRIX
        spectrum = parts[:8] + 1j * parts[8:]
        before, self._before = self._before, spectrum
        powers = (parts[:8] ** 2 + parts[8:] ** 2) * (2 / _WINDOW**2)
        row = int(powers[:4].argmax())
        column = 4 + int(powers[4:].argmax())
        if (
            before is None
            or (powers[:4] > powers[row] * _OTHERS).sum() > 1
            or (powers[4:] > powers[column] * _OTHERS).sum() > 1
        ):
            return ""
        heard = []
        for tone in (row, column):
            angle = cmath.phase(complex(spectrum[tone] * before[tone].conjugate() * _TURN[tone]))
            if abs(angle) > _ANGLE[tone]:
                return ""
            # A window of 20 ms has less of a tone the further that is off; the phase has just said how far it is.
            off = angle * _WINDOW / (2 * _HOP)
            heard.append(float(powers[tone]) * ((off / math.sin(off)) ** 2 if off else 1.0))
        low, high = heard
        fits = (
            min(low, high) > _QUIETEST
            and low + high > _PURITY * total
            and high < low * _LOUDER_COLUMN
            and low < high * _LOUDER_ROW
        )
        return KEYS[row][column - 4] if fits else ""

    def _take(self, key: str) -> None:
        """Counts looks."""
        if key and key == self._key:
            self._misses = 0
            return
        self._hits = self._hits + 1 if key and key == self._candidate else int(bool(key))
        self._candidate = key
        if self._key:
            self._misses += 1
            if self._misses >= _MISSES:
                self._key = ""
        if self._hits >= _HITS:
            self._key = key
            self._misses = 0
            self._hits = 0
            self._on_digit(key)
