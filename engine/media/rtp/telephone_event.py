"""DTMF in RTP (RFC 4733): the receiver that reports each key once, and the sender that presses keys.

One press is many packets: all carry the timestamp of its beginning and the duration so far, the last one is sent three
times. Any one of them tells of the whole press, so that losing the others loses nothing.
"""

import struct
from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

from engine.media.rtp.packet import RtpPacket

KEYS: Final = "0123456789*#ABCD"
"""The events 0 to 15 (RFC 4733 §3.2), each at its number. Others, a flash among them, are no keys."""

PAUSE: Final = 1.0
"""Seconds that a "," among the keys stands for."""

SHORTEST: Final = 0.04
"""Seconds that a press and the silence after it have at least: what ITU-T Q.24 wants a receiver to tell apart."""

_LONGEST: Final = 0xFFFF
"""The longest duration that fits; a press that lasts longer goes on in another segment (RFC 4733 §2.5.1.3)."""

_NEARLY: Final = 0xF000
"""A duration that may have come to `_LONGEST` in packets that were lost: 200 to 500 ms before."""

_ENDS: Final = 3
"""The last packet of a press is sent so many times (RFC 4733 §2.5.1.4)."""

_MISORDERED: Final = 100
"""A packet so far behind the newest is a late one; further behind, the source has begun anew (RFC 3550 A.1)."""

_REMEMBERED: Final = 4
"""Presses whose stray packets are still known."""

_EVENT: Final = struct.Struct("!BBH")
_END: Final = 0x80
_VOLUME: Final = 10
"""Of what we send, in -dBm0 (RFC 4733 §2.3.4): the level that telephones send tones at."""


class DigitReceiver:
    """The keys that one peer presses."""

    __slots__ = ("_begun", "_duration", "_ended", "_event", "_sequence", "_ssrc", "_timestamp")

    def __init__(self) -> None:
        self._ssrc = -1
        self._sequence = 0
        self._event = -1
        self._timestamp = 0
        self._duration = 0
        self._ended = False
        self._begun: deque[int] = deque(maxlen=_REMEMBERED)

    def receive(self, packet: RtpPacket) -> str | None:
        """The key whose press `packet` is the first to tell of; None for all others of that press, for late packets
        of earlier presses, for events that are no keys, and for what is no event at all. Packets may come as they
        arrive; it is a newer sequence number that makes an order."""
        if len(packet.payload) < _EVENT.size:
            return None
        event, flags, duration = _EVENT.unpack_from(packet.payload)
        if packet.ssrc != self._ssrc:
            self._ssrc = packet.ssrc
            self._event = -1
            self._begun.clear()
        elif self._event >= 0 and 0 < (self._sequence - packet.sequence) & 0xFFFF <= _MISORDERED:
            # Late. Its press is known; or it was lost but for this packet, and would now be out of order.
            return None
        self._sequence = packet.sequence
        ended = flags & _END != 0
        if packet.timestamp in self._begun:
            if packet.timestamp == self._timestamp:
                self._duration = max(self._duration, duration)
                self._ended = self._ended or ended
            return None
        goes_on = self._goes_on(packet, event, duration, ended)
        self._begun.append(packet.timestamp)
        self._event, self._timestamp, self._duration, self._ended = event, packet.timestamp, duration, ended
        return KEYS[event] if event < len(KEYS) and not goes_on else None

    def _goes_on(self, packet: RtpPacket, event: int, duration: int, ended: bool) -> bool:
        """Whether a packet with a new timestamp belongs to the press before: it is a later segment of it
        (RFC 4733 §2.5.1.3), or its sender moves the timestamp along within a press."""
        if event != self._event or packet.marker:
            return False
        since = (packet.timestamp - self._timestamp) & 0xFFFFFFFF
        if since < self._duration:
            # No key is pressed anew while it is down. It was up where it had ended or its duration begins again: there
            # are senders whose timestamps have another clock than their durations.
            return duration >= self._duration and (ended or not self._ended)
        if self._ended:
            return False
        return since == self._duration or (self._duration >= _NEARLY and since <= _LONGEST)


def check_keys(digits: str) -> None:
    """Refuses what cannot be pressed: what is neither one of `KEYS` (a to d as well) nor a ",". Raises ValueError."""
    wrong = next((key for key in digits.upper() if key not in KEYS and key != ","), "")
    if wrong:
        raise ValueError(f"{wrong!r} is no key; keys are {KEYS}, and a comma is a pause")


class EventPacket(NamedTuple):
    """What goes out in one tick of a press."""

    payload: bytes
    marker: bool
    """Set on the first packet of a press alone (RFC 4733 §2.5.1.1)."""
    timestamp: int
    """Of the press' beginning, in units of the clock counted from the sender's first tick."""


class DigitSender:
    """Presses keys, a packet at every tick of 20 ms."""

    __slots__ = ("_clock", "_packets")

    def __init__(self, digits: str, clock: int, duration: float = 0.1, interval: float = 0.1) -> None:
        """`digits` of `KEYS` (a to d as well) and "," for a pause; `clock` is that of the format in Hz; `duration` of a
        press and `interval` of silence after it in seconds, both at least `SHORTEST`. ValueError for another key."""
        check_keys(digits)
        self._clock = clock
        self._packets = self._all(digits.upper(), _ticks(max(duration, SHORTEST)), _ticks(max(interval, SHORTEST)))

    def next(self) -> EventPacket | None:
        """What to send in this tick in the place of sound; None where nothing is to be sent, between two presses.
        Raises StopIteration when all keys are pressed."""
        return next(self._packets)

    def _all(self, digits: str, duration: int, interval: int) -> Iterator[EventPacket | None]:
        step = self._clock // 50
        now = 0
        for place, key in enumerate(digits):
            if key == ",":
                ticks = _ticks(PAUSE)
                for _ in range(ticks):
                    yield None
                now += ticks * step
                continue
            yield from self._press(KEYS.index(key), now, duration * step, step)
            # The repeats of the last packet are sent in the silence that follows.
            rest = max(interval - (_ENDS - 1), 0) if place + 1 < len(digits) else 0
            for _ in range(rest):
                yield None
            now += (duration + _ENDS - 1 + rest) * step

    def _press(self, event: int, start: int, length: int, step: int) -> Iterator[EventPacket]:
        begun, marker = start, True
        for end in range(start + step, start + length, step):
            yield EventPacket(_EVENT.pack(event, _VOLUME, min(end - begun, _LONGEST)), marker, begun)
            marker = False
            if end - begun >= _LONGEST:
                begun += _LONGEST
        while start + length - begun > _LONGEST:
            begun += _LONGEST
        last = EventPacket(_EVENT.pack(event, _END | _VOLUME, start + length - begun), marker, begun)
        for _ in range(_ENDS):
            yield last


def _ticks(seconds: float) -> int:
    return max(round(seconds * 50), 1)
