"""Resampling of live sound, 20 ms in and 20 ms out, where one rate is a whole multiple of the other.

`engine.audio.buffer.Resampler` is better and gives its sound in lumps, 60 ms late. People who talk with each other
notice that sooner than they notice a filter of 48 dB, so live sound goes through a short filter of its own.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy

if TYPE_CHECKING:
    from engine.media.codec.codec import Samples

_HALF_LENGTH: Final = 10
"""Zero crossings of the sinc on each side: 48 dB of stop band, and a delay of 10 samples of the lower rate."""

_PASS: Final = 0.92
"""Where the filter's edge lies, as a share of half the lower rate."""


@lru_cache(maxsize=16)
def _filter(ratio: int) -> Any:
    """A windowed sinc at the higher rate with a gain of 1 at 0 Hz."""
    reach = _HALF_LENGTH * ratio
    points = numpy.arange(-reach, reach + 1)
    taps = numpy.sinc(points * _PASS / ratio) * numpy.kaiser(2 * reach + 1, 5.0)
    return (taps / taps.sum()).astype(numpy.float32)


class LiveResampler:
    """From `source` Hz to `target` Hz; one of them has to be a multiple of the other. One for each stream."""

    __slots__ = ("_down", "_history", "_taps", "_up")

    def __init__(self, source: int, target: int) -> None:
        """Raises ValueError for rates that are no multiples of each other."""
        low, high = sorted((source, target))
        if low <= 0 or high % low:
            raise ValueError(f"{source} and {target} Hz are no multiples of each other")
        ratio = high // low
        self._up = ratio if target > source else 1
        self._down = ratio if source > target else 1
        self._taps = _filter(ratio) * self._up
        self._history = numpy.zeros(len(self._taps) - 1, dtype=numpy.float32)

    def feed(self, samples: "Samples") -> "Samples":
        """The same time at the other rate, late by the filter's delay. `samples` has to be whole for the ratio."""
        if self._up == self._down:
            return samples
        wide = numpy.zeros(len(samples) * self._up, dtype=numpy.float32)
        wide[:: self._up] = samples
        whole = numpy.concatenate((self._history, wide))
        self._history = whole[len(wide) :]
        filtered = numpy.convolve(whole, self._taps, "valid")[:: self._down]
        made: Samples = numpy.clip(numpy.rint(filtered), -32768, 32767).astype(numpy.int16)
        return made
