"""Media plane: what the media of all calls share, that is clock, pacer, periodic timer and the operator's rules."""

import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from engine.media.codec.codec import Codec
from engine.media.pacer import Pacer, Timer
from engine.media.periodic import PeriodicTimer


class Loop(Protocol):
    """The event loop, as far as media needs it."""

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer: ...
    def add_reader(self, fd: int, callback: Callable[[], None]) -> None: ...
    def remove_reader(self, fd: int) -> bool: ...


class Plane:
    """The media of one engine. Nothing of it runs while no call uses media of ours.

    Attributes:
        rtp_timeout: Seconds of silence after which a peer is taken to be gone; 0 waits for ever.
        random: A source that nobody can guess: SSRCs, first sequence numbers and timestamps (RFC 3550 §5.1, §8.1).
        wall: Seconds since 1970, for RTCP's reports.
        fault: Told of an exception that a feed or a tap of somebody's has raised in its turn.
        refused: Datagrams that all calls' media has refused, by why (`engine.media.rtp.counters`), half a second ago.
    """

    __slots__ = ("_silences", "clock", "fault", "loop", "pacer", "periodic", "random", "refused", "rtp_timeout", "wall")

    def __init__(
        self,
        loop: Loop,
        clock: Callable[[], float],
        rtp_timeout: float = 0.0,
        fault: Callable[[Exception], None] | None = None,
    ) -> None:
        """`clock` is the loop's: monotonic seconds."""
        self.loop = loop
        self.clock = clock
        self.rtp_timeout = rtp_timeout
        self.random = random.SystemRandom()
        self.fault = fault or _raised
        self.pacer = Pacer(clock, loop.call_at, clock())
        self.pacer.fault = self.fault
        self.periodic = PeriodicTimer(clock, loop.call_at)
        self.wall = time.time
        self.refused: Counter[str] = Counter()
        self._silences: dict[Codec, bytes] = {}

    @property
    def streams(self) -> int:
        """Streams that are open."""
        return len(self.periodic)

    def silence(self, codec: Codec) -> bytes:
        """The payload of 20 ms of silence."""
        payload = self._silences.get(codec)
        if payload is None:
            import numpy  # 15 MB, for those who send any

            silent = numpy.zeros(codec.frame, dtype=numpy.int16)
            payload = self._silences[codec] = codec.encoder().encode(silent)
        return payload

    def close(self) -> None:
        """No turns and no rounds any more."""
        self.pacer.stop()
        self.periodic.stop()


def _raised(error: Exception) -> None:
    raise error
