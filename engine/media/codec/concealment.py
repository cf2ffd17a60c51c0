"""Packet loss concealment: a lost frame is the last one backwards, fading over three frames, then silence.

Backwards, since the sound then goes on from the very sample that it ended with: no click, and the same pitch.
"""

import numpy

from engine.media.codec.codec import Samples

_FRAMES = 3
"""60 ms is as long as a made-up sound stays unheard (G.711 Appendix I)."""


class Concealment:
    """The memory of one decoder."""

    __slots__ = ("_frame", "_last", "_lost")

    def __init__(self, frame: int) -> None:
        """`frame` is the samples of 20 ms."""
        self._frame = frame
        self._last: Samples | None = None
        self._lost = 0

    def remember(self, samples: Samples) -> None:
        """What was decoded."""
        self._last = samples
        self._lost = 0

    def lost(self) -> Samples:
        """A frame for one that never came."""
        last, frame, at = self._last, self._frame, self._lost
        if last is None or at >= _FRAMES or not len(last):
            return numpy.zeros(frame, numpy.int16)
        self._lost = at + 1
        tail = last[-frame:][::-1]
        if len(tail) < frame:  # a payload of 10 ms: to and fro
            tail = numpy.resize(numpy.concatenate((tail, tail[::-1])), frame)
        # The fade is one line over all lost frames; it is laid over what this frame begins with.
        fade = numpy.linspace(1, (_FRAMES - at - 1) / (_FRAMES - at), frame, dtype=numpy.float32)
        made: Samples = (tail * fade).astype(numpy.int16)
        self._last = made
        return made
