"""A media plane whose clock the test moves, and streams on it whose packets go nowhere but into a list."""

import heapq
import itertools
import socket
from collections.abc import Callable, Mapping
from typing import Any

from engine.media.codec.codec import Codec
from engine.media.codec.registry import PCMU
from engine.media.plane import KEEPALIVE, Plane
from engine.media.rtp.agreement import Agreed
from engine.media.rtp.consent import Consent
from engine.media.rtp.packet import RtpPacket
from engine.media.rtp.session import RtpSession
from engine.media.rtp.srtp import Keys
from engine.sip.peers import Everybody

PEER = ("192.0.2.1", 4000)
STRANGER = ("203.0.113.9", 666)
EVENTS = 101


class Alarm:
    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when, self.callback, self.done = when, callback, False

    def cancel(self) -> None:
        self.done = True


class Time:
    """A clock, the timers that wait for it, and readers: what a plane needs of an event loop."""

    def __init__(self) -> None:
        self.now = 100.0
        self.readers: dict[int, Callable[[], None]] = {}
        self._alarms: list[tuple[float, int, Alarm]] = []
        self._order = itertools.count()

    def __call__(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> Alarm:
        alarm = Alarm(when, callback)
        heapq.heappush(self._alarms, (when, next(self._order), alarm))
        return alarm

    def add_reader(self, fd: int, callback: Callable[[], None]) -> None:
        self.readers[fd] = callback

    def remove_reader(self, fd: int) -> bool:
        return self.readers.pop(fd, None) is not None

    @property
    def waiting(self) -> list[Alarm]:
        return [alarm for _, _, alarm in sorted(self._alarms) if not alarm.done]

    def run(self, seconds: float) -> None:
        """Let time pass, and every timer go off at its time."""
        end = self.now + seconds
        while self._alarms and self._alarms[0][0] <= end:
            when, _, alarm = heapq.heappop(self._alarms)
            if not alarm.done:
                self.now = max(self.now, when)
                alarm.done = True
                alarm.callback()
        self.now = end


class Wire:
    """The socket of a stream: what is sent to it is kept, and nothing comes of itself."""

    family = socket.AF_INET

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, tuple[str, int]]] = []
        self.refuses: OSError | None = None

    def sendto(self, data: bytes, target: tuple[str, int]) -> int:
        if self.refuses is not None:
            raise self.refuses
        self.sent.append((bytes(data), target))
        return len(data)

    def recvfrom(self, size: int) -> Any:
        raise BlockingIOError

    def fileno(self) -> int:
        return id(self)


class Port:
    """What `RtpSocket` is to a stream. Nothing can be bound to its address, so that there is no RTCP beside it."""

    host = "192.0.2.99"
    port = 20000

    def __init__(self) -> None:
        self.sock = Wire()

    def widen(self) -> None:
        """There is nothing to drain."""


def agreed(
    codec: Codec = PCMU,
    *,
    remote: tuple[str, int] = PEER,
    listening: bool = True,
    talking: bool = True,
    events: int | None = EVENTS,
    number: int | None = None,
    mux: bool = False,
    packet: int = 20,
    crypto: Keys | None = None,
    more: Mapping[int, Codec] | None = None,
) -> Agreed:
    number = codec.sdp.payload_type if number is None else number
    codecs = {number: codec, **(more or {})}
    types = {each: each for each in codecs} | ({events: events} if events is not None else {})
    return Agreed(
        remote=remote,
        rtcp=remote if mux else (remote[0], remote[1] + 1),
        listening=listening,
        talking=talking,
        payload_types=types,
        events=events,
        codec=codec,
        codec_payload_type=number,
        codecs=codecs,
        event_clock=codec.clock,
        event_types={} if events is None else {events: codec.clock},
        rtcp_mux=mux,
        packet=packet,
        crypto=crypto,
        profile="RTP/AVP" if crypto is None else "RTP/SAVP",
    )


class Dialog(Everybody):
    """What the signalling with a peer shows of it, as the test says; and the engine's `Peers`."""

    def __init__(
        self,
        peer_host: str = PEER[0],
        *,
        receives: bool = False,
        opening: bool = True,
        known: bool = False,
        phone: bool = False,
    ) -> None:
        self.peer_host = self.party = peer_host
        self.receives, self.opening, self.is_known, self.is_phone = receives, opening, known or phone, phone

    def known(self, host: str) -> bool:
        return self.is_known

    def declared(self, host: str) -> bool:
        return self.is_known and not self.is_phone

    def acknowledge(self) -> None:
        """The ACK of the INVITE."""
        self.receives, self.opening = True, False

    def consent(self, clock: Callable[[], float]) -> Consent:
        return Consent(self, self, clock)


class Line:
    """One stream on a plane, with its peer: a known one at `PEER`, unless the test says otherwise."""

    def __init__(
        self,
        what: Agreed | None = None,
        rtp_timeout: float = 0.0,
        dialog: Dialog | None = None,
        *,
        awake: bool = True,
        keepalive: float = KEEPALIVE,
    ) -> None:
        self.time = Time()
        self.faults: list[Exception] = []
        self.plane = Plane(self.time, self.time, rtp_timeout, self.faults.append, keepalive=keepalive)
        self.port = Port()
        self.dialog = dialog or Dialog(receives=True, opening=False, known=True)
        consent = self.dialog.consent(self.time)
        self.stream = RtpSession(self.port, what or agreed(), self.plane, consent)  # type: ignore[arg-type]
        if awake:
            self.stream.wake()

    @property
    def sent(self) -> list[RtpPacket]:
        """The RTP that went out."""
        return [RtpPacket.parse(data) for data, _ in self.port.sock.sent if not 192 <= data[1] < 224]

    def hear(self, packet: RtpPacket | bytes, source: tuple[str, int] = PEER) -> None:
        self.stream.receive(bytes(packet), source, self.time.now)


class Tape:
    """A feed of so many frames, each of which tells its number."""

    def __init__(self, frames: int, size: int = 160) -> None:
        self.frames, self.size, self.at = frames, size, 0
        self.codecs: set[str] = set()

    def next(self, codec: Codec) -> bytes | None:
        self.codecs.add(codec.name)
        if self.at == self.frames:
            return None
        self.at += 1
        return self.at.to_bytes(2) * (self.size // 2)


def numbers(packets: list[RtpPacket]) -> list[int]:
    """Which frames of a tape these are."""
    return [int.from_bytes(packet.payload[:2]) for packet in packets]
