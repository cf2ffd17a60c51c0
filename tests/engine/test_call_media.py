"""A call's sound: play, keys by every way, listening, early media, hold, silence, and that nothing is left of it."""

import asyncio
import gc
import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from engine.call import Call, CallEnded, NotAcceptable
from engine.media.codec.codec import Codec
from engine.media.rtp.packet import RtpPacket
from engine.media.rtp.session import RtpSession
from engine.settings import AgentSettings
from tests.media.fake_plane import Tape, numbers
from tests.simulation.agent import CALLEE, CALLER, ENGINE, LoopNetwork, ThroughCalls, start_agent, to_callee
from tests.simulation.peer import ANSWER, OFFER, Peer, content

EVENTS = 101
INFO = "Content-Type: application/dtmf-relay\r\n"


class Phone:
    """A peer with a real RTP socket beside its simulated signalling."""

    def __init__(self, patch: pytest.MonkeyPatch, settings: AgentSettings | None = None) -> None:
        self.network = LoopNetwork()
        self.work: Any = None
        self.calls: list[Call] = []
        self.results: list[Any] = []
        self.agent = start_agent(self.network, self.came, patch, settings)
        self.peer = Peer(self.network, CALLER, engine=ENGINE)  # type: ignore[arg-type]
        self.rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.rtp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.rtp.bind((CALLER, 0))
        self.sequence = 0

    def offer(self, *lines: str, events: bool = True) -> bytes:
        formats, rtpmap = (f"0 {EVENTS}", f"a=rtpmap:{EVENTS} telephone-event/8000\r\n") if events else ("0", "")
        head = f"v=0\r\no=- 1 {len(lines)} IN IP4 {CALLER}\r\ns=-\r\nc=IN IP4 {CALLER}\r\nt=0 0\r\n"
        media = f"m=audio {self.rtp.getsockname()[1]} RTP/AVP {formats}\r\n{rtpmap}"
        return (head + media + "".join(f"{line}\r\n" for line in lines)).encode()

    async def came(self, call: Call) -> None:
        self.calls.append(call)
        try:
            self.results.append(await self.work(call))
        except BaseException as error:
            self.results.append(error)
            raise

    def call(self, work: Any, body: bytes | None = None, *, ack: bool = True) -> Call:
        self.work = work
        self.peer.invite(body=self.offer() if body is None else body, uri=f"sip:b@{ENGINE}")
        self.network.run(0.02)
        if ack:
            assert self.peer.final("INVITE").status == 200
            self.peer.ack()
            self.network.run(0.01)
            self.peer.forget()
        return self.calls[-1]

    @property
    def port(self) -> int:
        media = self.calls[-1].media_port
        assert media is not None
        return media.port

    def say(self, payload: bytes, payload_type: int = 0, *, timestamp: int | None = None) -> None:
        self.sequence += 1
        stamp = self.sequence * 160 if timestamp is None else timestamp
        packet = RtpPacket(payload_type, self.sequence & 0xFFFF, stamp, 77, payload)
        self.rtp.sendto(bytes(packet), (ENGINE, self.port))

    def press(self, keys: str) -> None:
        for key in keys:
            begun = (self.sequence + 1) * 160
            for duration, end in ((160, 0), (320, 0), (480, 1), (480, 1), (480, 1)):
                event = struct.pack("!BBH", "0123456789*#ABCD".index(key), end << 7 | 10, duration)
                self.say(event, EVENTS, timestamp=begun)
                self.network.run(0.02)

    def heard(self) -> list[RtpPacket]:
        packets = []
        while True:
            try:
                packets.append(RtpPacket.parse(self.rtp.recv(2048)))
            except BlockingIOError:
                return packets

    def over(self) -> bool:
        self.network.run(40)
        agent = self.agent
        assert not agent.calls and not agent.tasks.running
        assert (agent.plane.streams, len(agent.plane.pacer)) == (0, 0)
        return agent.ports.in_use == 0


@pytest.fixture
def phone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Phone]:
    made = Phone(monkeypatch, AgentSettings(inband_digits="never", silence=False))
    yield made
    made.rtp.close()


# ---- play


def test_play_answers_and_returns_at_the_end(phone: Phone) -> None:
    async def work(call: Call) -> str:
        return await call.play(Tape(50))

    call = phone.call(work)
    assert call.answered
    phone.network.run(1.2)
    assert numbers(phone.heard()) == list(range(1, 51))
    assert phone.results == [""]
    assert phone.over()


def test_play_after_progress_is_early_media(phone: Phone) -> None:
    async def work(call: Call) -> str:
        call.progress()
        await call.play(Tape(10))
        assert not call.answered
        call.answer()
        return await call.play(Tape(5))

    phone.call(work, ack=False)
    phone.network.run(0.3)
    assert phone.peer.statuses("INVITE") == [100, 183, 200]
    phone.peer.ack()
    phone.network.run(0.2)
    heard = phone.heard()
    assert numbers(heard) == [*range(1, 11), *range(1, 6)]
    assert len({packet.ssrc for packet in heard}) == 1
    assert phone.over()


def test_a_key_that_stops_a_play_is_returned_and_stays(phone: Phone) -> None:
    async def work(call: Call) -> list[str]:
        stopped = await call.play(Tape(500), "12")
        await call.sleep(0.5)
        return [stopped, await call.key(0), await call.key(0), await call.key(0)]

    phone.call(work)
    phone.network.run(0.1)
    phone.press("52")
    phone.network.run(0.5)
    assert phone.results == [["2", "5", "2", ""]]
    assert len(phone.heard()) < 30
    assert phone.over()


def test_a_key_pressed_ahead_stops_a_play_before_it_begins(phone: Phone) -> None:
    async def work(call: Call) -> list[str]:
        await call.play(Tape(20))
        return [await call.play(Tape(500), "#"), await call.key(0)]

    phone.call(work)
    phone.press("#")
    phone.network.run(1.0)
    assert phone.results == [["#", "#"]]
    assert len(phone.heard()) == 20
    assert phone.over()


def test_a_cancelled_play_is_silent_at_once(phone: Phone) -> None:
    async def work(call: Call) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await call.play(Tape(500))
        await call.sleep(1.0)

    phone.call(work)
    phone.network.run(0.9)
    assert 8 <= len(phone.heard()) <= 11
    assert phone.over()


def test_what_a_feed_raises_comes_out_of_play_and_the_call_goes_on(phone: Phone) -> None:
    class Broken:
        def next(self, codec: Codec) -> bytes | None:
            raise LookupError("no such sound")

    async def work(call: Call) -> str:
        with pytest.raises(LookupError, match="no such sound"):
            await call.play(Broken())
        return await call.play(Tape(3))

    phone.call(work)
    phone.network.run(0.2)
    assert phone.results == [""]
    assert numbers(phone.heard()) == [1, 2, 3]
    assert phone.over()


def test_a_hangup_ends_a_play_and_tells_others_who_wait(phone: Phone) -> None:
    told: list[BaseException] = []

    async def work(call: Call) -> None:
        async def other() -> None:
            try:
                await call.key()
            except CallEnded as error:
                told.append(error)

        waiting = asyncio.ensure_future(other())
        try:
            await call.play(Tape(5000))
        finally:
            await asyncio.wait((waiting,))

    call = phone.call(work)
    phone.network.run(0.1)
    phone.peer.request("BYE")
    phone.network.run(0.1)
    assert isinstance(phone.results[0], asyncio.CancelledError | CallEnded)
    assert len(told) == 1
    assert call.media is not None and call.media["sent"] >= 4
    assert phone.over()


def test_orders_to_a_call_that_is_over(phone: Phone) -> None:
    async def work(call: Call) -> None:
        call.hangup()

    call = phone.call(work, ack=False)
    phone.network.run(1)
    for order in (call.play(Tape(1)), call.key(), call.listen(), call.send_keys("1"), call.echo()):
        with pytest.raises(CallEnded):
            phone.network.until(order)
    call.forget_keys()
    call.detach(Ear())
    with pytest.raises(RuntimeError, match="not open"):
        call.attach(Ear())


class Ear:
    def __init__(self) -> None:
        self.frames = 0
        self.loudest = 0

    def hear(self, samples: Any, rate: int) -> None:
        self.frames += 1
        self.loudest = max(self.loudest, int(abs(samples.astype("int32")).max()))


def test_a_tap_hears_the_caller_from_when_the_media_is_open(phone: Phone) -> None:
    ear = Ear()

    async def work(call: Call) -> None:
        with pytest.raises(RuntimeError, match="listen"):
            call.attach(ear)
        await call.listen()
        call.attach(ear)
        await call.sleep(1.0)
        call.detach(ear)
        await call.sleep(1.0)

    phone.call(work)
    for _ in range(40):
        phone.say(b"\x00" * 160)  # as loud as PCMU is
        phone.network.run(0.02)
    phone.network.run(1.5)
    assert 48 <= ear.frames <= 51
    assert ear.loudest > 30000
    assert phone.over()


# ---- keys


def test_keys_are_kept_from_when_media_is_open_until_they_are_cleared(phone: Phone) -> None:
    async def work(call: Call) -> list[str]:
        await call.listen()
        await call.sleep(1.0)
        keys = [await call.key(), await call.key(0.5), await call.key(0.5)]
        await call.sleep(1.0)
        call.forget_keys()
        return [*keys, await call.key(0.5)]

    phone.call(work)
    phone.press("1*")
    phone.network.run(2.0)
    phone.press("9")
    phone.network.run(2.0)
    assert phone.results == [["1", "*", "", ""]]
    assert phone.over()


def test_keys_by_info(phone: Phone) -> None:
    async def work(call: Call) -> list[str]:
        return [await call.key(5.0), await call.key(5.0), await call.key(0.5)]

    phone.call(work)
    phone.peer.request("INFO", INFO, b"Signal=7\r\nDuration=160\r\n")
    phone.peer.request("INFO", "Content-Type: application/dtmf\r\n", b"#")
    phone.peer.request("INFO", "Content-Type: text/plain\r\n", b"5")
    phone.peer.request("INFO", INFO, b"Signal=!\r\n")
    phone.network.run(1.0)
    assert phone.peer.statuses("INFO") == [200] * 4
    assert phone.results == [["7", "#", ""]]
    assert phone.over()


def test_a_key_by_info_and_by_rfc4733_is_one(phone: Phone) -> None:
    async def work(call: Call) -> list[str]:
        return [await call.key(5.0), await call.key(5.0), await call.key(2.0)]

    phone.call(work)
    for key in "11":
        phone.press(key)
        phone.peer.request("INFO", INFO, b"Signal=1\r\nDuration=60\r\n")
        phone.network.run(0.2)
    phone.network.run(3.0)
    assert phone.results == [["1", "1", ""]]
    assert phone.over()


def test_keys_as_tones_until_the_first_by_rfc4733(monkeypatch: pytest.MonkeyPatch) -> None:
    """`inband_digits: always`: a peer that sends events and tones is heard once, and decoded no longer."""
    phone = Phone(monkeypatch, AgentSettings(inband_digits="always", silence=False))
    keys: list[str] = []

    async def work(call: Call) -> None:
        while True:
            keys.append(await call.key())

    phone.call(work)
    assert len(phone.agent.plane.pacer) == 1
    for frame in tone(770, 1336):
        phone.say(frame)
        phone.network.run(0.02)
    phone.network.run(0.3)
    assert keys == ["5"]
    phone.network.run(2.0)
    phone.press("8")
    phone.network.run(0.1)
    assert keys == ["5", "8"]
    assert not len(phone.agent.plane.pacer)
    phone.peer.request("BYE")
    assert phone.over()
    phone.rtp.close()


def tone(row: int, column: int) -> list[bytes]:
    """120 ms of two frequencies, as PCMU, and 100 ms of silence."""
    import numpy

    from engine.media.codec.registry import PCMU

    at = numpy.arange(960) / 8000
    sound = 8000 * (numpy.sin(2 * numpy.pi * row * at) + numpy.sin(2 * numpy.pi * column * at))
    samples = numpy.concatenate((sound.astype(numpy.int16), numpy.zeros(800, dtype=numpy.int16)))
    encoder = PCMU.encoder()
    return [encoder.encode(samples[begin : begin + 160]) for begin in range(0, len(samples), 160)]


@pytest.mark.parametrize(("setting", "events", "listens"), [("auto", True, 0), ("auto", False, 1), ("never", False, 0)])
def test_who_is_listened_to_for_tones(
    monkeypatch: pytest.MonkeyPatch, setting: str, events: bool, listens: int
) -> None:
    phone = Phone(monkeypatch, AgentSettings(inband_digits=setting, silence=False))

    async def work(call: Call) -> None:
        await call.key()

    phone.call(work, phone.offer(events=events))
    assert len(phone.agent.plane.pacer) == listens
    phone.peer.request("BYE")
    assert phone.over()
    phone.rtp.close()


def test_we_press_keys_by_rfc4733(phone: Phone) -> None:
    async def work(call: Call) -> None:
        await call.send_keys("1,#", 0.1, 0.1)

    phone.call(work)
    phone.network.run(3.0)
    heard = [packet for packet in phone.heard() if packet.payload_type == EVENTS]
    assert [packet.payload[0] for packet in heard if packet.marker] == [1, 11]
    assert not phone.peer.requests("INFO")
    assert phone.over()


def test_we_press_keys_by_info_where_the_peer_takes_no_events(phone: Phone) -> None:
    async def work(call: Call) -> None:
        await call.send_keys("1,d", 0.12, 0.1)
        with pytest.raises(ValueError, match="'x' is no key"):
            await call.send_keys("1x", 0.1, 0.1)

    phone.call(work, phone.offer(events=False))
    phone.network.run(3.0)
    infos = list({info.cseq: info for info in phone.peer.requests("INFO")}.values())
    assert [info.body for info in infos] == [b"Signal=1\r\nDuration=120\r\n", b"Signal=D\r\nDuration=120\r\n"]
    assert {info.get("Content-Type") for info in infos} == {"application/dtmf-relay"}


# ---- hold, silence, statistics


def test_a_held_prompt_waits_for_the_resume(phone: Phone) -> None:
    async def work(call: Call) -> str:
        return await call.play(Tape(40))

    phone.call(work)
    phone.network.run(0.2)
    phone.peer.invite(body=phone.offer("a=sendonly"))
    assert phone.peer.final("INVITE").status == 200
    phone.peer.ack()
    before = len(phone.heard())
    phone.network.run(60.0)
    assert not phone.heard() and not phone.results
    phone.peer.forget()
    phone.peer.invite(body=phone.offer())
    assert phone.peer.final("INVITE").status == 200
    phone.peer.ack()
    phone.network.run(1.0)
    assert numbers(phone.heard()) == list(range(before + 1, 41))
    assert phone.results == [""]
    assert phone.over()


def test_a_silent_peer_is_hung_up_with_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    phone = Phone(monkeypatch, AgentSettings(rtp_timeout=10.0))

    async def work(call: Call) -> None:
        await call.play(Tape(100_000))

    call = phone.call(work)
    for _ in range(20):
        phone.say(b"x" * 160)
        phone.network.run(0.5)
    assert not call.ended
    phone.network.run(11.0)
    bye = phone.peer.requests("BYE")[0]
    assert bye.get("Reason") == 'Q.850;cause=102;text="no media"'
    phone.peer.answer(bye, 200)
    assert (call.ended_by, call.end_reason) == ("local", "no media")
    assert phone.over()
    phone.rtp.close()


def test_a_held_call_may_be_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    phone = Phone(monkeypatch, AgentSettings(rtp_timeout=10.0))

    async def work(call: Call) -> None:
        await call.listen()
        await call.wait_ended()

    call = phone.call(work)
    phone.peer.invite(body=phone.offer("a=inactive"))
    assert phone.peer.final("INVITE").status == 200
    phone.peer.ack()
    phone.network.run(60.0)
    assert not call.ended
    phone.peer.request("BYE")
    assert phone.over()
    phone.rtp.close()


def test_what_went_through_is_known_during_the_call_and_after_it(phone: Phone) -> None:
    async def work(call: Call) -> None:
        await call.play(Tape(10))
        await call.sleep(100.0)

    call = phone.call(work)
    for at in range(20):
        if at != 7:
            phone.say(b"x" * 160)
        else:
            phone.sequence += 1
        phone.network.run(0.02)
    assert call.media is not None
    assert (call.media["codec"], call.media["sent"], call.media["received"], call.media["lost"]) == ("PCMU", 10, 19, 1)
    phone.peer.request("BYE")
    phone.network.run(0.1)
    assert (call.media["sent"], call.media["received"], call.media["lost"]) == (10, 19, 1)
    assert phone.over()


def test_a_call_that_is_only_answered_reads_nothing_and_reports_nothing(phone: Phone) -> None:
    async def work(call: Call) -> None:
        call.answer()
        await call.sleep(100.0)

    call = phone.call(work)
    phone.say(b"x" * 160)
    phone.network.run(1.0)
    assert call._orders is None and phone.agent.plane.streams == 0
    assert call.media is None
    phone.peer.request("BYE")
    assert phone.over()


def test_the_media_of_a_late_offer_is_opened_when_the_ack_has_brought_the_answer(phone: Phone) -> None:
    async def work(call: Call) -> str:
        return await call.play(Tape(5))

    phone.call(work, b"", ack=False)
    assert phone.peer.final("INVITE").status == 200
    phone.peer.ack(phone.offer())
    phone.network.run(0.3)
    assert numbers(phone.heard()) == [1, 2, 3, 4, 5]
    assert phone.over()


def test_media_that_cannot_be_had(phone: Phone) -> None:
    async def work(call: Call) -> None:
        with pytest.raises(NotAcceptable):
            await call.play(Tape(5))
        call.reject(488)

    phone.call(work, phone.offer().replace(b"RTP/AVP 0 101", b"RTP/AVP 18"), ack=False)
    assert phone.peer.final("INVITE").status == 488
    assert phone.over()


# ---- with another leg


def test_a_bridged_call_costs_no_media(monkeypatch: pytest.MonkeyPatch) -> None:
    network, flow = LoopNetwork(), ThroughCalls()
    flow.agent = agent = start_agent(network, flow, monkeypatch)
    a, b = Peer(network, CALLER, engine=ENGINE), Peer(network, CALLEE, engine=ENGINE)  # type: ignore[arg-type]
    acquired: list[str] = []
    acquire = agent.ports.acquire
    monkeypatch.setattr(type(agent.ports), "acquire", lambda self, host: acquired.append(host) or acquire(host))
    a.invite(uri=f"sip:b@{ENGINE}")
    network.run(0.02)
    b.answer(b.requests("INVITE")[0], 200, body=ANSWER)
    network.run(0.1)
    assert a.final("INVITE").status == 200
    a.ack()
    network.run(10.0)
    assert len(agent.calls) == 2
    assert (agent.ports.in_use, agent.ports.idle, agent.plane.streams, acquired) == (0, 0, 0, [])
    assert all(call.media_port is None and call._orders is None for call in agent.calls)
    a.request("BYE")
    network.run(40.0)


def test_what_plays_ends_when_the_caller_is_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Music for somebody who waits, in a task of its own, is no error when the waiting is over."""
    phone = Phone(monkeypatch, AgentSettings(inband_digits="never", silence=False))
    played: list[str] = []

    async def work(call: Call) -> str:
        async def music() -> None:
            played.append(await call.play(Tape(100_000)))

        playing = asyncio.ensure_future(music())
        await call.sleep(0.2)
        leg = phone.agent.dial(to_callee(), call)
        await leg.outcome()
        ended = await call.bridge(leg).ended()
        await playing
        await call.play(Tape(5))  # the far end has left: the caller's media comes home
        return ended

    b = Peer(phone.network, CALLEE, engine=ENGINE)  # type: ignore[arg-type]
    b.tag = "btag"
    call = phone.call(work)
    phone.network.run(0.3)
    invite = b.requests("INVITE")[0]
    b.call_id, b.remote_tag, b.cseq = invite.call_id, invite.from_tag, 500
    far = ANSWER.replace(b"10.0.0.2", CALLEE.encode())
    b.answer(invite, 200, "Allow: INVITE, UPDATE\r\n", far, tag="btag")
    phone.network.run(0.1)
    moved = phone.peer.requests("INVITE")[-1]
    assert content(moved.body) == content(far)
    phone.peer.answer(moved, 200, body=phone.offer())
    phone.network.run(0.1)
    assert played == [""] and call.media_port is None and phone.agent.plane.streams == 0
    sent = call.media
    assert sent is not None and sent["sent"] >= 10
    b.request("BYE")
    phone.network.run(0.1)
    phone.heard()
    home = phone.peer.requests("INVITE")[-1]
    assert ENGINE.encode() in home.body
    phone.peer.answer(home, 200, body=phone.offer())
    phone.network.run(0.3)
    assert numbers(phone.heard()) == [1, 2, 3, 4, 5]
    assert phone.results == ["callee"]
    assert call.media is not None and call.media["sent"] == sent["sent"] + 5
    assert phone.over()
    phone.rtp.close()


@pytest.mark.long
def test_nothing_is_left_after_a_thousand_calls_with_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    network, calls = LoopNetwork(), []

    async def work(call: Call) -> None:
        calls.append(call.id)
        await call.listen()
        call.attach(Ear())
        await call.play(Tape(2), "1")

    agent = start_agent(network, work, monkeypatch, AgentSettings(inband_digits="never"))
    network.keep_log = False
    peers = [Peer(network, f"127.0.3.{place}", engine=ENGINE) for place in range(1, 51)]  # type: ignore[arg-type]
    for turn in range(20):
        for place, peer in enumerate(peers):
            peer.call_id, peer.remote_tag = f"call-{turn}-{place}", ""
            peer.forget()
            peer.invite(body=OFFER.replace(b"10.0.0.1", CALLER.encode()), uri=f"sip:b@{ENGINE}")
        network.run(0.03)
        for peer in peers:
            peer.final("INVITE")  # whose tag the ACK has
            peer.ack()
        network.run(0.15)
        for peer in peers:
            for bye in peer.requests("BYE"):
                peer.answer(bye, 200)
        network.run(0.05)
    network.run(40.0)
    assert len(set(calls)) == 1000
    assert not agent.calls and not agent.tasks.running
    assert (agent.plane.streams, len(agent.plane.pacer), agent.ports.in_use) == (0, 0, 0)
    assert len(network.loop._selector.get_map()) == 1  # type: ignore[attr-defined]  # the loop's own
    gc.collect()
    assert not [thing for thing in gc.get_objects() if isinstance(thing, RtpSession)]
