"""Media plane: what the media of all calls share, that is clock, pacer, periodic timer and the operator's rules."""

import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol

from engine.media.codec.codec import Codec
from engine.media.pacer import Pacer, Timer
from engine.media.periodic import PeriodicTimer, WaitingLine

KEEPALIVE: Final = 15.0
"""Seconds between two packets to a peer that hears nothing: that keeps a NAT open (RFC 6263 §4), and peers content that
hang up where nothing comes."""

SILENCE_AFTER: Final = 0.2
"""Seconds after its answer in which a call that ends at us is connected, or played something, or put to wait for good,
if it is so at once. Otherwise silence begins: opening a stream costs more than an answer."""

# The octet of 20 ms of silence, for which no encoder is needed. G.722's moves no predictor: zeros encoded anew for each
# stream would be a frame of their own each, and one of these again and again is a hum (ITU-T G.722 §3.5).
_SILENT_OCTETS: Final = {"PCMU": b"\xff", "PCMA": b"\xd5", "G722": b"\xfc"}


class Loop(Protocol):
    """The event loop, as far as media needs it."""

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer: ...
    def add_reader(self, fd: int, callback: Callable[[], None]) -> None: ...
    def remove_reader(self, fd: int) -> bool: ...


class Plane:
    """The media of one engine. Nothing of it runs while no call uses media of ours.

    Attributes:
        fills: Whether an answered call that waits is sent silence.
        unfilled: Answered calls whose silence has not begun yet.
        resting: Calls without an open stream that are sent a packet now and then.
        rtp_timeout: Seconds of silence after which a peer is taken to be gone; 0 waits for ever.
        random: A source that nobody can guess: SSRCs, first sequence numbers and timestamps (RFC 3550 §5.1, §8.1).
        wall: Seconds since 1970, for RTCP's reports.
        fault: Told of an exception that a feed or a tap of somebody's has raised in its turn.
        refused: Datagrams that all calls' media has refused, by why (`engine.media.rtp.counters`), half a second ago.
    """

    __slots__ = (
        "_silences",
        "clock",
        "fault",
        "fills",
        "loop",
        "pacer",
        "periodic",
        "random",
        "refused",
        "resting",
        "rtp_timeout",
        "unfilled",
        "wall",
    )

    def __init__(
        self,
        loop: Loop,
        clock: Callable[[], float],
        rtp_timeout: float = 0.0,
        fault: Callable[[Exception], None] | None = None,
        *,
        fills: bool = True,
        keepalive: float = KEEPALIVE,
    ) -> None:
        """`clock` is the loop's: monotonic seconds; `keepalive` in seconds, 0: none."""
        self.loop = loop
        self.clock = clock
        self.rtp_timeout = rtp_timeout
        self.random = random.SystemRandom()
        self.fault = fault or _raised
        self.pacer = Pacer(clock, loop.call_at, clock())
        self.pacer.fault = self.fault
        self.periodic = PeriodicTimer(clock, loop.call_at)
        self.fills = fills
        self.unfilled = WaitingLine(SILENCE_AFTER, clock, loop.call_at, self.fault)
        self.resting = WaitingLine(keepalive, clock, loop.call_at, self.fault)
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
            payload = self._silences[codec] = _silence(codec)
        return payload

    def close(self) -> None:
        """No turns and no rounds any more."""
        self.pacer.stop()
        self.periodic.stop()
        self.unfilled.stop()
        self.resting.stop()


def _silence(codec: Codec) -> bytes:
    octet = _SILENT_OCTETS.get(codec.name)
    if octet is not None:
        return octet * (codec.octets * 20)
    import numpy  # 15 MB, for those who speak such a codec

    return codec.encoder().encode(numpy.zeros(codec.frame, dtype=numpy.int16))


def _raised(error: Exception) -> None:
    raise error
