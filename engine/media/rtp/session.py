"""RTP session: the sound of one call, both ways.

A stream exists from when somebody wants the call's media until the call gives it back. Its socket is read all that
time; it has turns at the pacer only while it plays, presses keys, is listened to, or sends silence.

What is sent where nothing plays: silence without a gap to a peer that waits for something (phones, border controllers
and timers latch on to a stream, and hang up without one), a packet now and then to one that waits for nothing, and
nothing at all to one that does not listen. Silence is no sound to a peer which may yet be sent none: it goes where
everything may go, and leaves the beginning of what plays, and the time that a stranger has for it, alone.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from engine.media.audio import AudioSink, AudioSource
from engine.media.plane import Plane
from engine.media.port_pool import RtpSocket
from engine.media.rtp.agreement import Agreed
from engine.media.rtp.consent import Consent
from engine.media.rtp.counters import Counts
from engine.media.rtp.echo import Echo
from engine.media.rtp.latch import PROOF, Address, Latch, usable
from engine.media.rtp.packet import RtpError, RtpPacket
from engine.media.rtp.rtcp_session import RtcpSession
from engine.media.rtp.sender import MARKER, Sender
from engine.media.rtp.srtp import Srtp, SrtpError
from engine.media.rtp.telephone_event import DigitReceiver, DigitSender

if TYPE_CHECKING:
    from engine.media.rtp.receiver import AudioReceiver

BATCH: Final = 16
"""Packets taken in one turn of the loop: a flood to one port must not keep signalling waiting."""

LARGEST: Final = 1500
"""Octets of the largest datagram that is taken for RTP: no telephone codec fills half of an Ethernet frame."""

PATIENCE: Final = 50
"""Frames that what plays waits at most for a peer that may be sent nothing yet, so that it hears the beginning."""

_COMFORT_NOISE: Final = 13
_NOWHERE: Final = ("0.0.0.0", "::")


class RtpSession:
    """One call's media in use. See `MediaPort.stream`.

    Attributes:
        awake: The socket is read. A stream that is not sends a packet now and then, and does nothing else.
        counts: What became of the datagrams that came.
        sender: What goes out.
        control: Its RTCP (RFC 3550 §6).
        on_key: Told of each key that comes by RFC 4733.
        on_silence: Told, once, that nothing has come for `Plane.rtp_timeout` from a peer that should send.
    """

    __slots__ = (
        "_agreed",
        "_alive",
        "_comes",
        "_consent",
        "_digits",
        "_echo",
        "_fed",
        "_feed",
        "_fills",
        "_frame",
        "_hearing",
        "_keys",
        "_keys_begin",
        "_latch",
        "_patience",
        "_plane",
        "_pressed",
        "_quiet",
        "_rtp",
        "_sent",
        "_srtp",
        "awake",
        "control",
        "counts",
        "on_key",
        "on_silence",
        "sender",
    )

    def __init__(self, rtp: RtpSocket, agreed: Agreed, plane: Plane, consent: Consent) -> None:
        """A stream that sleeps; see `wake`."""
        bits = plane.random.getrandbits
        self._rtp = rtp
        self._plane = plane
        self._consent = consent
        self._latch = Latch(consent)
        self._patience: int | None = None  # the frame until which what plays waits for the peer's consent
        self.counts = Counts()
        self.sender = Sender(rtp.sock.sendto, consent, bits(32), bits(16), bits(32))
        self.control = RtcpSession(rtp, plane, self.sender, consent)
        self._digits = DigitReceiver()
        self._hearing: AudioReceiver | None = None
        self._srtp: Srtp | None = None
        self._echo: Echo | None = None
        self._feed: AudioSource | None = None
        self._fills = False  # silence goes out where nothing plays
        self._fed: asyncio.Future[None] | None = None
        self._keys: DigitSender | None = None
        self._keys_begin: int | None = None  # timestamp of the first tick of what is pressed
        self._pressed: asyncio.Future[None] | None = None
        self._frame = -2  # the last in which something was sent
        self.on_key: Callable[[str], None] | None = None
        self.on_silence: Callable[[], None] | None = None
        self._comes = 0  # packets that had come when somebody last looked
        self._alive = self._quiet = plane.clock()
        self._sent = 0
        self.awake = False
        self.agree(agreed)

    def wake(self) -> None:
        """Begins to read the port; what came earlier is thrown away. A second time does nothing."""
        if self.awake:
            return
        plane = self._plane
        self.awake = True
        self._alive = self._quiet = plane.clock()
        self._rtp.widen()
        plane.loop.add_reader(self._rtp.sock.fileno(), self._readable)
        plane.periodic.add(self)
        self.control.open()

    def agree(self, agreed: Agreed) -> None:
        """What offer and answer have agreed on now: hold, resume, another address, other codecs, new keys."""
        self._agreed = agreed
        if agreed.crypto is None:
            self._srtp = None
        elif self._srtp is None:
            self._srtp = Srtp(agreed.crypto)
        elif self._srtp.keys != agreed.crypto:
            self._srtp.rekey(agreed.crypto)
        self.sender.protect = self._srtp.protect if self._srtp is not None else None
        self._latch.proof = PROOF if self._srtp is None else 1  # nobody else has the key
        if agreed.remote[0] not in _NOWHERE:  # a hold of RFC 2543 says nothing of where the peer is
            self._consent.describe((agreed.remote[0], agreed.rtcp[0]))
            self._latch.retarget(usable(agreed.remote, self._rtp.host))
        self.sender.aim(self._latch.source or usable(agreed.remote, self._rtp.host))
        self.sender.speak(agreed.codec, self._plane.pacer.frame)
        if self._hearing is not None:
            self._hearing.agree(agreed.codecs)
        self.control.agree(agreed, self._srtp)
        self._alive = self._plane.clock()  # a peer that comes back from hold is given its time anew
        if self._fills and agreed.listening:
            self._plane.pacer.add(self)

    def close(self) -> None:
        """Reads, sends and waits for nothing any more; the port itself is left to whoever leased it."""
        plane = self._plane
        self._fills = False
        if not self.awake:
            return
        self.awake = False
        plane.periodic.remove(self)
        plane.pacer.remove(self)
        plane.loop.remove_reader(self._rtp.sock.fileno())
        self.control.close()
        self.counts.tell(plane.refused)
        self._echo = None
        self._hearing = None
        self.on_key = self.on_silence = None
        self.stop()
        self._end_keys()

    # ---- orders

    def play(self, feed: AudioSource) -> asyncio.Future[None]:
        """Plays `feed` in place of what plays, which ends. The future is resolved when it is over, or replaced, or the
        stream is closed; what the feed raises is the future's exception."""
        self.stop()
        future = self._fed = asyncio.get_running_loop().create_future()
        self._feed = feed
        self._plane.pacer.add(self)
        return future

    def stop(self, future: "asyncio.Future[None] | None" = None) -> None:
        """Plays no more; only where it is still `future`'s feed, if that is given."""
        if future is None or future is self._fed:
            self._end_feed(None)

    def press(self, digits: str, duration: float, interval: float) -> asyncio.Future[None]:
        """Sends keys (RFC 4733) in the place of sound; the future is resolved when the last is sent. ValueError for
        what is no key; RuntimeError where the peer took no telephone-event."""
        if self._agreed.events is None:
            raise RuntimeError("the peer takes no telephone-event")
        keys = DigitSender(digits, self._agreed.event_clock, duration, interval)
        self._end_keys()
        self._keys, self._keys_begin = keys, None
        future = self._pressed = asyncio.get_running_loop().create_future()
        self._plane.pacer.add(self)
        return future

    def fill(self, on: bool) -> None:
        """From now on silence is sent where nothing plays, or no more."""
        self._fills = on
        if on:
            self._plane.pacer.add(self)

    @property
    def takes_events(self) -> bool:
        """Whether the peer takes keys by RFC 4733."""
        return self._agreed.events is not None

    def echo(self, on: bool) -> None:
        """From now on what arrives goes back to where it comes from, or does no more."""
        self._echo = Echo(self.sender) if on else None

    def attach(self, tap: AudioSink) -> None:
        """From now on `tap` hears the peer."""
        if self._hearing is None:
            from engine.media.rtp.receiver import AudioReceiver  # numpy (15 MB) is for those who listen

            self._hearing = AudioReceiver(self._agreed.codec, self._agreed.codecs)
        if not any(one is tap for one in self._hearing.taps):
            self._hearing.taps += (tap,)
        self._plane.pacer.add(self)

    def detach(self, tap: AudioSink) -> None:
        """No more. Nothing where it did not."""
        hearing = self._hearing
        if hearing is not None:
            hearing.taps = tuple(one for one in hearing.taps if one is not tap)
            if not hearing.taps:
                self._hearing = None

    # ---- what comes

    def _readable(self) -> None:
        receive, now = self._rtp.sock.recvfrom, self._plane.clock()
        for _ in range(BATCH):
            try:
                data, source = receive(LARGEST + 1)
            except OSError:  # nothing left; or an ICMP error, cleared by this read: the next packet wakes us again
                return
            self.receive(data, source[:2], now)

    def receive(self, data: bytes, source: Address, now: float) -> None:
        """One datagram. Only what is RTP of an agreed format, and under its key, can latch a source."""
        counts, agreed = self.counts, self._agreed
        try:
            if agreed.rtcp_mux and len(data) > 1 and 192 <= data[1] < 224:  # RFC 5761 §4
                counts.control += 1
                self.control.receive(data, source, now)
                return
            if len(data) > LARGEST:
                raise RtpError("too long")
            if self._srtp is not None:
                data = self._srtp.unprotect(data)
            packet = RtpPacket.parse(data)
        except SrtpError:
            counts.unverified += 1
            return
        except RtpError:
            counts.garbage += 1
            return
        number = packet.payload_type
        payload_type = agreed.payload_types.get(number)
        if payload_type is None:
            self._count_unknown(number, source)
            return
        sender = self.sender
        if packet.ssrc == sender.ssrc:
            counts.looped += 1
            return
        latch = self._latch
        if (source != latch.source or not latch.settled) and not latch.accepts(source, (packet.ssrc, packet.sequence)):
            counts.strays += 1
            return
        counts.taken += 1
        if source != sender.target:
            self._follow(source)
        if not self.awake:
            return
        event = number in agreed.event_types
        self.control.on_packet(packet, event, now)
        if event:
            self._take_event(packet)
        elif self._hearing is not None:
            self._hearing.put(packet, now)
        if self._echo is not None:
            if not agreed.listening:
                counts.held += 1
                return
            self._echo.take(packet, payload_type, self._plane.pacer.frame)
            counts.returned += 1

    def _take_event(self, packet: RtpPacket) -> None:
        key = self._digits.receive(packet) if self._latch.settled else None
        if key is not None and self.on_key is not None:
            self.on_key(key)

    def _count_unknown(self, payload_type: int, source: Address) -> None:
        if payload_type == _COMFORT_NOISE and source == self._latch.source:
            self.counts.noise += 1
        else:
            self.counts.unknown += 1

    def _follow(self, source: Address) -> None:
        """The peer's media comes from `source`, which so has shown where it is wanted."""
        self._consent.hear(source[0])
        if source != self.sender.wanted:
            self.control.moved()
        self.sender.aim(source)

    # ---- what goes, and who hears (Paced)

    def tick(self, frame: int) -> None:
        """Our turn at the pacer."""
        hearing = self._hearing
        if hearing is not None:
            try:
                hearing.tick(self._plane.clock())
            except Exception as error:  # a tap's: it has been sent away
                self._plane.fault(error)
        agreed, feed, fills = self._agreed, self._feed, self._fills
        if feed is None and self._keys is None:
            if fills and agreed.listening:
                self._send_silence(agreed, frame)
            elif hearing is None:
                self._plane.pacer.remove(self)
            return
        if not agreed.listening or (self.sender.target is None and self._waits(frame)):
            return  # held: what plays waits until the peer listens again
        payload = b""
        if feed is not None:
            try:
                taken = feed.next(agreed.codec)
            except Exception as error:
                self._end_feed(error)
            else:
                if taken is None:
                    self._end_feed(None)
                elif taken:
                    payload = taken
        if self._keys is not None and self._send_key(self._keys, frame):
            return
        if payload:
            self._send_sound(payload, frame)
        elif fills:
            self._send_silence(agreed, frame)

    def _waits(self, frame: int) -> bool:
        """Whether what plays waits for the peer's consent: once, at the beginning."""
        if self._patience is None:
            self._patience = frame + PATIENCE
        return frame < self._patience and self.sender.reach() is None

    def _send_sound(self, payload: bytes, frame: int) -> None:
        sender, agreed = self.sender, self._agreed
        codec, payload_type = agreed.codec, agreed.codec_payload_type
        if frame != self._frame + 1:
            payload_type |= MARKER  # the first after a silence
        self._frame = frame
        timestamp = sender.timestamp(frame)
        if agreed.packet == 20:
            sender.send(payload_type, timestamp, payload, codec.step)
            return
        size, step = codec.octets * agreed.packet, codec.step * agreed.packet // 20
        for at in range(0, len(payload), size):
            sender.send(payload_type, timestamp, payload[at : at + size], step)
            payload_type &= ~MARKER
            timestamp += step

    def _send_silence(self, agreed: Agreed, frame: int) -> None:
        if self._echo is None and self._may_be_sent_silence():
            self._send_sound(self._plane.silence(agreed.codec), frame)

    def _may_be_sent_silence(self) -> bool:
        sender = self.sender
        if sender.target is None:
            sender.aim(sender.wanted)
        return sender.target is not None

    def keep_alive(self) -> None:
        """One packet of silence, where the peer may be sent it. It begins no talkspurt, and so has no marker (RFC 3551
        §4.1). One that sleeps looks first where the peer's own media comes from."""
        agreed = self._agreed
        if not self.awake:
            self._readable()
        if not agreed.listening or self._echo is not None or not self._may_be_sent_silence():
            return
        codec, sender = agreed.codec, self.sender
        payload = self._plane.silence(codec)[: codec.octets * agreed.packet or None]
        timestamp = sender.timestamp(self._plane.pacer.frame)
        sender.send(agreed.codec_payload_type, timestamp, payload, codec.step * agreed.packet // 20)

    def _send_key(self, keys: DigitSender, frame: int) -> bool:
        """Whether this turn is the keys', which have silence between them."""
        events = self._agreed.events
        timestamp = self.sender.timestamp(frame)
        if self._keys_begin is None:
            self._keys_begin = timestamp
        try:
            packet = keys.next() if events is not None else None
        except StopIteration:
            packet = events = None
        if events is None:  # pressed, or no longer taken
            self._end_keys()
            return False
        if packet is not None:
            marker = MARKER if packet.marker else 0
            self.sender.send(events | marker, self._keys_begin + packet.timestamp, packet.payload)
        elif self._fills:
            self._send_silence(self._agreed, frame)
        return True

    def _end_feed(self, error: Exception | None) -> None:
        future, self._fed, self._feed = self._fed, None, None
        _settle(future, error)

    def _end_keys(self) -> None:
        future, self._pressed, self._keys = self._pressed, None, None
        _settle(future, None)

    # ---- what is due now and then (Watched)

    def check(self, now: float) -> None:
        """Reports, silence that is too long, and a sign of life where nothing plays."""
        agreed, counts = self._agreed, self.counts
        self.control.check(now)
        counts.tell(self._plane.refused)
        comes = counts.taken + counts.noise + self.control.received
        if comes != self._comes or not agreed.talking:
            self._comes, self._alive = comes, now
        elif now - self._alive >= self._plane.rtp_timeout > 0:
            told, self.on_silence = self.on_silence, None
            if told is not None:
                told()
                return
        if self.sender.packets != self._sent or not agreed.listening:
            self._sent, self._quiet = self.sender.packets, now
        elif now - self._quiet >= self._plane.resting.delay > 0:
            self._quiet = now
            self.keep_alive()

    def report(self) -> dict[str, Any]:
        """For the record of the call: what was sent and heard so far, and how much was refused where anything was; of
        it `unverified`, which is what a peer with a wrong key sends."""
        counts = self.counts
        refused = {"refused": counts.refused} if counts.refused else {}
        if counts.unverified:
            refused["unverified"] = counts.unverified
        return {"codec": self._agreed.codec.name, "sent": self.sender.packets, **self.control.report(), **refused}


def _settle(future: "asyncio.Future[None] | None", error: Exception | None) -> None:
    if future is not None and not future.done():
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
