"""What the media of all calls share: the clock, the pacer, the upkeep, and the rules that an operator has set."""

import random
from collections.abc import Callable
from typing import Protocol

from engine.media.pacer import Pacer, Timer
from engine.media.upkeep import Upkeep


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
        streams: Streams that are open.
        fault: Told of an exception that a feed or a tap of somebody's has raised in its turn.
    """

    __slots__ = ("clock", "fault", "loop", "pacer", "random", "rtp_timeout", "upkeep")

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
        self.upkeep = Upkeep(clock, loop.call_at)

    @property
    def streams(self) -> int:
        return len(self.upkeep)

    def close(self) -> None:
        """No turns and no rounds any more."""
        self.pacer.stop()
        self.upkeep.stop()


def _raised(error: Exception) -> None:
    raise error
