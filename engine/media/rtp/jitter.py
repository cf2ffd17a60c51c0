"""The jitter buffer of one stream, without I/O: packets in as they come, out in order and on time.

What comes out follows the sender's timestamps, moved by a `lag` that is kept as long as it serves. Network time is
measured as (arrival - timestamp): the smallest of the last seconds is what the way takes at least, and how far the
largest lies above it is the jitter; the smallest moves along when the two clocks drift apart. A packet that comes too
late to be played on time pushes the lag up; a lag that has been longer than needed for a while is shortened by leaving
one packet out.
"""

from bisect import insort
from typing import Final

from engine.media.rtp.packet import RtpPacket
from engine.media.rtp.reception import MAX_DROPOUT, MAX_MISORDER

SHALLOW, DEEP = 0.02, 0.2
"""Seconds that packets are held at least and at most."""

CAPACITY: Final = 64
"""Packets held at most: a second and a quarter of 20 ms each, more than `DEEP` of the smallest."""

_FIRST_DEPTH: Final = 0.04
"""Seconds before anything is known of a stream's jitter."""

_TICK: Final = 0.02
_SLACK: Final = 0.019
"""Seconds that a packet is due before the tick that plays it: a tick that comes early finds it all the same."""

_WINDOW: Final = 2.0
"""Seconds in one of the two windows that network time is measured over."""

_PATIENCE: Final = 2.0
"""Seconds of too long a lag before a packet is left out."""

_SURPLUS: Final = 0.03
"""Seconds of lag more than needed that count as too long: a packet, and room lest it be needed at once again."""

_JUMP: Final = 1.0
"""Seconds that a packet's network time differs by from all others when its source has begun a new time line."""

_DETOUR: Final = 10
"""Packets in a row that are later than `DEEP`, after which it is the way that has become longer."""

_SILENCE: Final = 0.3
"""Seconds without a packet after which the lag is chosen anew with the next: nobody hears it change."""


class JitterBuffer:
    """Orders and times the packets of one peer.

    Attributes:
        late: Packets that came when their turn was over.
        duplicates: Packets that had come before.
        skipped: Packets left out, to catch up with a faster clock or because there were too many.
        resyncs: New sources and new time lines.
    """

    __slots__ = (
        "_base",
        "_behind",
        "_clock",
        "_held",
        "_highest",
        "_lag",
        "_last_arrival",
        "_least",
        "_most",
        "_newest",
        "_patience",
        "_played",
        "_ssrc",
        "_stray",
        "_window_end",
        "duplicates",
        "late",
        "resyncs",
        "skipped",
    )

    def __init__(self, clock: int) -> None:
        """`clock` is that of the packets' timestamps, in Hz."""
        self._clock = clock
        self.late = 0
        self.duplicates = 0
        self.skipped = 0
        self.resyncs = 0
        self._ssrc = -1
        # Sequence number with cycles, time in the sender's clock in seconds, packet; in order of the first.
        self._held: list[tuple[int, float, RtpPacket]] = []
        self._begin(None)

    def _begin(self, packet: RtpPacket | None) -> None:
        """Forgets one source, and begins with `packet` of the next."""
        self._held.clear()
        self._highest = packet.sequence + 0x10000 if packet is not None else 0
        self._base = self._newest = packet.timestamp if packet is not None else 0
        self._played = -1
        self._stray = -1
        self._lag: float | None = None
        self._last_arrival = 0.0
        self._least: list[float] = []  # of this window and the one before
        self._most: list[float] = []
        self._window_end = 0.0
        self._patience = 0.0
        self._behind = 0

    def retime(self, clock: int) -> None:
        """The peer has changed to a codec of another clock (Hz): what is held goes, and the time line begins anew."""
        if clock != self._clock:
            self._clock = clock
            self._ssrc = -1

    @property
    def depth(self) -> float:
        """Seconds that packets have to be held, by the jitter of the last seconds."""
        if not self._least:
            return _FIRST_DEPTH
        measured = max(self._most) - min(self._least) + 0.005
        if len(self._least) == 1:  # the first window
            measured = max(measured, _FIRST_DEPTH)
        return min(max(measured, SHALLOW), DEEP)

    def __len__(self) -> int:
        return len(self._held)

    def put(self, packet: RtpPacket, now: float) -> None:
        """A packet that came at `now` (seconds of a steady clock)."""
        if packet.ssrc != self._ssrc:
            if self._ssrc != -1:
                self.resyncs += 1
            self._ssrc = packet.ssrc
            self._begin(packet)
        number = self._numbered(packet)
        if number is None:
            return
        if number <= self._played or any(held[0] == number for held in self._held):
            self._count_repeated(number)
            return
        if now - self._last_arrival > 2 * _WINDOW:  # what was measured so long ago says nothing of the way now
            self._least, self._most = [], []
        # The timestamp with its cycles, near the newest one.
        ahead = (packet.timestamp - self._newest + 0x80000000 & 0xFFFFFFFF) - 0x80000000
        stamp = self._newest + ahead
        time = (stamp - self._base) / self._clock
        transit = now - time
        if self._least and not -_JUMP < transit - min(self._least) < _JUMP:
            self.resyncs += 1
            self._begin(packet)
            number, stamp, time, transit = self._highest, packet.timestamp, 0.0, now
        self._newest = max(self._newest, stamp)
        self._highest = max(self._highest, number)
        self._measure(transit, now)
        self._last_arrival = now
        insort(self._held, (number, time, packet), key=_number)
        if len(self._held) > CAPACITY:
            self._played = self._held.pop(0)[0]
            self.skipped += 1
            self._lag = None  # far too much is held: the rest is timed anew

    def _numbered(self, packet: RtpPacket) -> int | None:
        """The sequence number with its cycles; None for one far from all others, until a second follows on it."""
        ahead = (packet.sequence - self._highest + 0x8000 & 0xFFFF) - 0x8000
        if -MAX_MISORDER <= ahead < MAX_DROPOUT:
            self._stray = -1
            return self._highest + ahead
        if packet.sequence != self._stray:
            self._stray = (packet.sequence + 1) & 0xFFFF
            return None
        self.resyncs += 1
        self._begin(packet)
        return self._highest

    def _count_repeated(self, number: int) -> None:
        if number <= self._played:
            self.late += 1
        else:
            self.duplicates += 1

    def _measure(self, transit: float, now: float) -> None:
        if self._least and transit - min(self._least) > DEEP:
            self._behind += 1
            if self._behind < _DETOUR:
                return  # nothing is held so long: it is lost, whatever it says
            self._least, self._most, self._lag = [], [], None
        self._behind = 0
        least, most = self._least, self._most
        if now >= self._window_end or not least:
            self._window_end = now + _WINDOW
            self._least, self._most = [*least[-1:], transit], [*most[-1:], transit]
            return
        least[-1] = min(least[-1], transit)
        most[-1] = max(most[-1], transit)

    def take(self, now: float) -> RtpPacket | None:
        """The packet whose turn has come at `now`; None where it is lost, or none is due. To be asked once in 20 ms,
        and again while the packets taken hold less than 20 ms of sound."""
        while self._held:
            number, time, packet = self._held[0]
            if self._lag is None and not self._start(time, now):
                return None
            assert self._lag is not None
            late = now - (time + self._lag)
            if late < 0:
                return None
            if late > _TICK / 2 + _SLACK and not self._make_room(late):
                self._played = number
                self._held.pop(0)
                self.late += 1
                continue
            self._played = number
            self._held.pop(0)
            if self._too_long(now) and self._held:
                self._lag -= _TICK
                self.skipped += 1
                continue
            return packet
        if self._lag is not None and now - self._last_arrival > _SILENCE:
            self._lag = None
        return None

    def _start(self, time: float, now: float) -> bool:
        """Chooses the lag, so that the oldest packet is due now, when it has been held for long enough."""
        reach = now - time - min(self._least)
        if reach + _SLACK < self.depth and len(self._held) < CAPACITY:
            return False
        self._lag = now - time - _SLACK
        self._patience = now
        return True

    def _make_room(self, late: float) -> bool:
        """Plays a late packet now and all that follow later, where that does not hold them for too long."""
        assert self._lag is not None
        lag = self._lag + late - _SLACK
        if lag + _SLACK - min(self._least) > DEEP + _TICK:
            return False
        self._lag = lag
        return True

    def _too_long(self, now: float) -> bool:
        """Whether the lag has been longer than needed for a while."""
        assert self._lag is not None
        held = self._lag + _SLACK - min(self._least)
        if held > DEEP + 2 * _TICK and self._held:
            return True
        if held - self.depth < _SURPLUS:
            self._patience = now
            return False
        if now - self._patience < _PATIENCE:
            return False
        self._patience = now
        return True


def _number(held: tuple[int, float, RtpPacket]) -> int:
    return held[0]
