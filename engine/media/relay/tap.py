"""Tap of a relay: what its two sides say, as samples, for a recording of both.

It costs a decoder for each side, and exists only while somebody listens. Encrypted sound (SRTP, whose keys are the
sides' own affair) is heard as silence, and so is a codec that is not known here.
"""

from collections.abc import Sequence
from contextlib import suppress

from engine.media.anchor import CALLEE, CALLER
from engine.media.audio import AudioSink
from engine.media.codec.codec import Codec
from engine.media.codec.registry import PCMU, by_name
from engine.media.plane import Plane
from engine.media.relay.port import RelayPort
from engine.media.rtp.packet import RtpError, RtpPacket
from engine.media.rtp.receiver import AudioReceiver
from engine.sip.sdp.description import Media


class RelayTap:
    """Both sides of one stream, 20 ms of each at a time."""

    __slots__ = ("_codecs", "_hearings", "_plane", "_tapped", "_taps")

    def __init__(self, plane: Plane, caller: AudioSink, callee: AudioSink) -> None:
        self._plane = plane
        self._taps = (caller, callee)
        self._tapped: tuple[RelayPort, RelayPort] | None = None
        self._hearings: tuple[AudioReceiver, AudioReceiver] | None = None
        self._codecs: dict[int, Codec] = {}

    def listen(self, caller: RelayPort, callee: RelayPort, described: Sequence[Media]) -> None:
        """Hear what comes in at these two; `described` is the stream as the sides describe it, the answer first."""
        codecs = _codecs_of(described)
        if self._hearings is None:
            first = next(iter(codecs.values()), PCMU)
            self._hearings = (AudioReceiver(first, codecs), AudioReceiver(first, codecs))
            for hearing, tap in zip(self._hearings, self._taps, strict=True):
                hearing.taps = (tap,)
            self._plane.pacer.add(self)
        for hearing in self._hearings:
            hearing.agree(codecs)
        if self._tapped != (caller, callee):
            self._untap()
            self._tapped = (caller, callee)
            caller.tap, callee.tap = self._from_caller, self._from_callee

    def _from_caller(self, data: bytes) -> None:
        self._hear(CALLER, data)

    def _from_callee(self, data: bytes) -> None:
        self._hear(CALLEE, data)

    def _hear(self, side: int, data: bytes) -> None:
        assert self._hearings is not None
        with suppress(RtpError):  # RTCP on the same port (RFC 5761), DTLS
            self._hearings[side].put(RtpPacket.parse(data), self._plane.clock())

    def tick(self, frame: int) -> None:
        """See `Paced`: both in one turn, so that they stay beside each other."""
        assert self._hearings is not None
        now = self._plane.clock()
        for hearing in self._hearings:
            hearing.tick(now)

    def close(self) -> None:
        """Nobody hears anything any more. A second time does nothing."""
        self._untap()
        self._plane.pacer.remove(self)

    def _untap(self) -> None:
        for port in self._tapped or ():
            if port.tap in (self._from_caller, self._from_callee):
                port.tap = None
        self._tapped = None


def _codecs_of(described: Sequence[Media]) -> dict[int, Codec]:
    """What we know of the payload types that the sides use: both name them, mostly alike."""
    found: dict[int, Codec] = {}
    for media in described:
        if "SAVP" in media.protocol.upper():
            continue
        for entry in media.codecs():
            codec = by_name(entry.name)
            if codec is not None and entry.clock_rate == codec.clock:
                found.setdefault(entry.payload_type, codec)
    return found
