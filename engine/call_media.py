"""Media orders of a call: play, DTMF, listen, echo. Only a call that does any of these has a `CallMedia`."""

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from engine.dtmf import DtmfBuffer, info_body, info_key
from engine.media.negotiation import NotAcceptable
from engine.media.plane import Plane
from engine.media.port import MediaPort
from engine.media.rtp.session import RtpSession
from engine.media.rtp.telephone_event import PAUSE, check_keys
from engine.settings import AgentSettings
from engine.sip.dialog.session import Session
from engine.sip.dialog.usage import OnFinal
from engine.sip.message.message import Request, Response
from engine.sip.message.status import reason_phrase

if TYPE_CHECKING:  # numpy is for calls that have sound of ours
    from engine.media.audio import AudioSink, AudioSource

NO_MEDIA: Final = "no media"
"""`end_reason` of a call whose peer fell silent."""

NO_MEDIA_REASON: Final = 'Q.850;cause=102;text="no media"'  # recovery on timer expiry


class CallEnded(Exception):
    """An order to a call that is over."""


class MediaAgent(Protocol):
    """What the media orders need of the user agent."""

    loop: asyncio.AbstractEventLoop
    plane: Plane
    settings: AgentSettings

    def now(self) -> float: ...


class MediaOwner(Protocol):
    """The call that the media orders are for (`engine.call.Call`)."""

    resting: bool
    session: Session
    media_port: MediaPort | None
    peer_body: bytes

    @property
    def agent(self) -> MediaAgent: ...
    @property
    def answered(self) -> bool: ...
    @property
    def ended(self) -> bool: ...
    def answer(self) -> None: ...
    def open_media(self) -> MediaPort: ...
    def renegotiate(self, method: str, body: bytes, on_final: OnFinal, *, retry_glare: bool = False) -> None: ...
    async def sleep(self, seconds: float) -> None: ...


class CallMedia:
    """The media orders of one call; see `Call`, whose methods these are."""

    __slots__ = ("_acknowledged", "_call", "_closed", "_inband", "_over", "_sends_events", "_stream", "_taps", "digits")

    def __init__(self, call: MediaOwner) -> None:
        self._call = call
        self.digits = DtmfBuffer()
        self._stream: RtpSession | None = None
        self._inband: AudioSink | None = None
        self._taps: list[AudioSink] = []  # they stay while our media is given back, and hear again when it comes home
        self._sends_events = False
        self._over: asyncio.Future[str] | None = None  # what a `play` waits for
        self._closed: asyncio.Future[None] | None = None  # what an `echo` waits for
        self._acknowledged: asyncio.Event | None = None

    # ---- orders

    async def play(self, feed: "AudioSource", until: str) -> str:
        """See `Call.play`."""
        stream = await self._open_for_keys()
        if until and (key := self.digits.first_of(until)):
            return key
        self._end_play()
        over: asyncio.Future[str] = self._call.agent.loop.create_future()
        self._over = over
        if until:
            self.digits.stop_on(until, over)
        played = stream.play(feed)
        played.add_done_callback(lambda done: _pass_on(done, over))
        try:
            return await over
        finally:
            self.digits.cancel_stop(over)
            stream.stop(played)
            if self._over is over:
                self._over = None

    async def key(self, seconds: float | None) -> str:
        """See `Call.key`."""
        await self._open_for_keys()
        try:
            async with asyncio.timeout(seconds):
                return await self.digits.next()
        except TimeoutError:
            return ""

    async def pressed(self, among: str) -> str:
        """See `Call.pressed`."""
        over: asyncio.Future[str] = self._call.agent.loop.create_future()
        self.digits.stop_on(among, over)
        try:
            return await over
        finally:
            self.digits.cancel_stop(over)

    async def listen(self) -> None:
        """See `Call.listen`."""
        await self._open_for_keys()

    async def echo(self, seconds: float | None) -> None:
        """See `Call.echo`."""
        stream = await self._open(early=False)
        self._closed = closed = self._call.agent.loop.create_future()
        stream.echo(True)
        try:
            await asyncio.wait((closed,), timeout=seconds)
        finally:
            stream.echo(False)

    async def send_keys(self, digits: str, duration: float, interval: float, info: bool) -> None:
        """See `Call.send_keys`."""
        check_keys(digits)
        stream = await self._open(early=False)
        if stream.takes_events and not info:
            await stream.press(digits, duration, interval)
            if self._call.ended:
                raise CallEnded("the call is over")
            return
        call = self._call
        for key in digits.upper():
            if key == ",":
                await call.sleep(PAUSE)
                continue
            lines = "Content-Type: application/dtmf-relay\r\n"
            call.session.request("INFO", call.agent.now(), lines, info_body(key, duration))
            await call.sleep(duration + interval)

    def attach(self, tap: "AudioSink") -> None:
        """See `Call.attach`."""
        if self._stream is None:
            raise RuntimeError("the call's media is not open: listen to it first")
        self._taps.append(tap)
        self._stream.attach(tap)

    def detach(self, tap: "AudioSink") -> None:
        """See `Call.detach`."""
        if tap in self._taps:
            self._taps.remove(tap)
        if self._stream is not None:
            self._stream.detach(tap)

    def fill(self) -> bool:
        """Silence goes out from now on where nothing plays; where the call rests, only what `RtpSession.check` says.
        False while no media has been agreed on."""
        port = self._call.media_port
        if port is None or port.agreed is None:
            return False
        self._take(port)
        return True

    # ---- what the peer does

    def take_info(self, request: Request, now: float) -> bool:
        """Whether an INFO was a key for us."""
        if self._stream is None:
            return False
        key = info_key(request.get("Content-Type"), request.body)
        if key:
            self.digits.receive(key, "info", now)
        return key != ""

    def on_acknowledged(self) -> None:
        """The ACK has come, with the answer to our offer in the 200 or without."""
        if self._acknowledged is not None:
            self._acknowledged.set()

    def close(self) -> None:
        """Our media is given back: what plays ends, and where the call is over, those who wait for a key are woken."""
        self._stream = self._inband = None
        self._end_play()
        if self._closed is not None and not self._closed.done():
            self._closed.set_result(None)
        if self._call.ended:
            self._taps.clear()
            self.on_acknowledged()
            self.digits.fail(CallEnded("the call is over"))

    def _end_play(self) -> None:
        over, self._over = self._over, None
        if over is not None and not over.done():
            if self._call.ended:
                over.set_exception(CallEnded("the call is over"))
            else:
                over.set_result("")

    # ---- our media, opened

    async def _open(self, *, early: bool) -> RtpSession:
        """Answers where need be, brings the peer's media to us, and begins to read."""
        call = self._call
        if call.ended:
            raise CallEnded("the call is over")
        port = call.media_port
        if not call.answered and not (early and port is not None and port.agreed is not None):
            call.answer()
        if call.media_port is None or call.media_port.agreed is None:
            await self._bring_home()
        port = call.media_port
        if port is None or call.ended:  # given back, or hung up, while the peer was asked
            raise CallEnded("the call is over")
        return self._take(port)

    def _take(self, port: MediaPort) -> RtpSession:
        call = self._call
        plane = call.agent.plane
        stream = port.open_stream(plane)
        if stream is not self._stream:
            self._stream = stream
            stream.on_key = self._pressed
            stream.on_silence = self._silent
            for tap in self._taps:
                stream.attach(tap)
        stream.fill(call.answered and plane.fills and not call.resting)
        return stream

    async def _open_for_keys(self) -> RtpSession:
        """As `_open`, where keys are to be heard in every way that is wanted."""
        stream = await self._open(early=True)
        wanted = self._call.agent.settings.inband_digits
        tones = wanted == "always" or (wanted == "auto" and not stream.takes_events)
        if tones and self._inband is None and not self._sends_events:
            from engine.audio.dtmf_detector import DtmfDetector  # numpy is for those who listen

            self._inband = DtmfDetector(self._toned)
            stream.attach(self._inband)
        return stream

    async def _bring_home(self) -> None:
        """The peer's media went elsewhere (to another leg): offer our own port, by re-INVITE."""
        call = self._call
        media = call.open_media()
        if call.session.awaits_ack and media.local and media.agreed is None:
            # Our offer went out in the 200: its answer comes in the ACK.
            self._acknowledged = asyncio.Event()
            await self._acknowledged.wait()
            return
        done: asyncio.Future[int] = call.agent.loop.create_future()

        def on_final(status: int, response: Response | None, now: float) -> None:
            if done.done():
                return
            if response is not None and 200 <= status < 300:
                try:
                    media.accept(response.body)
                    call.peer_body = response.body
                except NotAcceptable:
                    status = 488
            done.set_result(status)

        call.renegotiate("INVITE", media.offer(), on_final, retry_glare=True)
        status = await done
        if call.ended:
            raise CallEnded("the call is over")
        if not 200 <= status < 300:
            raise NotAcceptable(f"the peer does not take our media: {status} {reason_phrase(status)}")

    def _pressed(self, key: str) -> None:
        """By RFC 4733. A peer that sends keys so needs no ear for its tones, which may sound as well."""
        self._sends_events = True
        if self._inband is not None and self._stream is not None:
            self._stream.detach(self._inband)
            self._inband = None
        self.digits.receive(key, "rfc4733", self._call.agent.now())

    def _toned(self, key: str) -> None:
        if self._inband is not None:
            self.digits.receive(key, "inband", self._call.agent.now())

    def _silent(self) -> None:
        call = self._call
        if not call.answered:  # early media: how long it rings is limited elsewhere
            if self._stream is not None:
                self._stream.on_silence = self._silent
        elif not call.ended:
            call.session.end_by_us(call.agent.now(), NO_MEDIA_REASON, 408, NO_MEDIA)


def _pass_on(played: "asyncio.Future[None]", over: "asyncio.Future[str]") -> None:
    if over.done() or played.cancelled():
        if not played.cancelled():
            played.exception()  # nobody waits for it any more
        return
    error = played.exception()
    if error is None:
        over.set_result("")
    else:
        over.set_exception(error)
