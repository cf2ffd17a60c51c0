"""What an answered call hears while it waits: silence, or a packet now and then; nothing where it does not listen."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from itertools import pairwise

import pytest

from engine.call import Call
from engine.media.rtp.packet import RtpPacket
from engine.settings import AgentSettings
from tests.engine.test_call_media import Phone
from tests.media.fake_plane import Tape

Work = Callable[[Call], Awaitable[object]]
ZERO = b"\xff" * 160


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Phone]]:
    made: list[Phone] = []

    def phone(**settings: object) -> Phone:
        made.append(Phone(monkeypatch, AgentSettings(inband_digits="never", **settings)))  # type: ignore[arg-type]
        return made[-1]

    yield phone
    for each in made:
        each.rtp.close()


def is_contiguous(packets: list[RtpPacket]) -> bool:
    return all(
        (after.sequence - before.sequence) & 0xFFFF == 1 and (after.timestamp - before.timestamp) & 0xFFFFFFFF == 160
        for before, after in pairwise(packets)
    )


async def sleeps(call: Call) -> None:
    call.answer()
    await call.sleep(5.0)


async def waits_for_a_key(call: Call) -> None:
    await call.key(5.0)


async def listens(call: Call) -> None:
    await call.listen()
    await asyncio.sleep(5.0)


async def waits_for_something_else(call: Call) -> None:
    call.answer()
    await asyncio.sleep(5.0)  # such as an answer from the web


async def plays_now_and_then(call: Call) -> None:
    for _ in range(4):
        await call.play(Tape(5))
        await asyncio.sleep(1.2)


@pytest.mark.parametrize("work", [sleeps, waits_for_a_key, listens, waits_for_something_else, plays_now_and_then])
@pytest.mark.parametrize("late", [False, True])
def test_a_call_that_waits_hears_silence_without_a_gap(make: Callable[..., Phone], work: Work, late: bool) -> None:
    phone = make()
    if late:
        phone.call(work, b"", ack=False)
        phone.peer.final("INVITE")
        phone.network.run(0.5)
        assert not phone.heard()  # nobody has said where to
        phone.peer.ack(phone.offer())
    else:
        phone.call(work)
    phone.network.run(4.0)
    heard = phone.heard()
    assert 3.7 / 0.02 <= len(heard) <= 4.1 / 0.02
    assert is_contiguous(heard)
    assert [packet.marker for packet in heard].count(True) == 1 and heard[0].marker
    sound = [packet for packet in heard if packet.payload != ZERO]
    assert 15 <= len(sound) <= 20 if work is plays_now_and_then else not sound
    phone.peer.request("BYE")
    phone.network.run(0.1)
    phone.heard()
    phone.network.run(5.0)
    assert not phone.heard() and phone.over()


def in_block(call: Call) -> Awaitable[None]:
    call.answer()
    return call.wait_ended()


def test_a_call_that_waits_for_its_end_is_sent_a_packet_every_15_s_and_needs_no_open_media(
    make: Callable[..., Phone],
) -> None:
    phone = make()
    call = phone.call(in_block)
    phone.network.run(14.5)
    assert not phone.heard()
    phone.network.run(1.0)
    assert len(phone.heard()) == 1
    phone.network.run(300.0)
    heard = phone.heard()
    assert len(heard) == 20
    assert {packet.payload for packet in heard} == {ZERO} and not any(packet.marker for packet in heard)
    for before, after in pairwise(heard):
        assert (after.sequence - before.sequence) & 0xFFFF == 1
        assert (after.timestamp - before.timestamp) & 0xFFFFFFFF == pytest.approx(120_000, abs=320)
    assert phone.agent.plane.streams == 0 and call.media is None and not call.ended
    phone.peer.request("BYE")
    phone.network.run(0.1)
    assert not len(phone.agent.plane.resting) and not len(phone.agent.plane.unfilled)
    phone.network.run(60.0)
    assert not phone.heard() and phone.over()


def test_a_call_that_rests_after_sound_is_sent_a_packet_every_15_s(make: Callable[..., Phone]) -> None:
    phone = make()

    async def work(call: Call) -> None:
        await call.play(Tape(5))
        call.rest()
        await call.listen()
        await asyncio.sleep(61.0)
        call.rest(False)
        await asyncio.sleep(5.0)

    phone.call(work)
    phone.network.run(0.3)
    assert len(phone.heard()) in (5, 6)
    phone.network.run(60.5)
    assert 3 <= len(phone.heard()) <= 4
    phone.network.run(3.0)
    heard = phone.heard()
    assert len(heard) >= 100 and is_contiguous(heard)
    phone.peer.request("BYE")
    assert phone.over()


@pytest.mark.parametrize(
    ("settings", "work", "packets"),
    [
        ({"keepalive": 0.0}, in_block, 0),
        ({"keepalive": 2.0}, in_block, 30),
        ({"silence": False}, in_block, 4),
        ({"silence": False}, waits_for_a_key, 0),
        ({"silence": False, "keepalive": 0.0}, sleeps, 0),
    ],
)
def test_what_the_settings_say(
    make: Callable[..., Phone], settings: dict[str, object], work: Work, packets: int
) -> None:
    phone = make(**settings)
    phone.call(work)
    phone.network.run(4.8 if work is not in_block else 60.5)
    assert len(phone.heard()) == pytest.approx(packets, abs=1 if packets else 0)
    phone.peer.request("BYE")
    assert phone.over()


def zeroed(offer: bytes) -> bytes:
    return b"\r\n".join(b"c=IN IP4 0.0.0.0" if line.startswith(b"c=") else line for line in offer.split(b"\r\n"))


HELD: dict[str, Callable[[bytes], bytes]] = {
    "sendonly": lambda offer: offer + b"a=sendonly\r\n",
    "inactive": lambda offer: offer + b"a=inactive\r\n",
    "0.0.0.0": zeroed,
    "port 0": lambda offer: b"\r\n".join(
        b"m=audio 0 " + line.split(b" ", 2)[2] if line.startswith(b"m=audio") else line for line in offer.split(b"\r\n")
    ),
}


@pytest.mark.parametrize("how", HELD)
@pytest.mark.parametrize("work", [sleeps, in_block])
@pytest.mark.parametrize("latched", [False, True])
def test_nothing_goes_to_a_peer_that_does_not_listen_rfc3264_8_4(
    make: Callable[..., Phone], how: str, work: Work, latched: bool
) -> None:
    phone = make(keepalive=1.0)

    async def stays(call: Call) -> None:
        await work(call)
        await call.sleep(100.0)

    phone.call(stays)
    if latched:
        for _ in range(10):
            phone.say(b"x" * 160)
            phone.network.run(0.02)
    phone.network.run(2.0)
    assert phone.heard()
    phone.peer.invite(body=HELD[how](phone.offer("a=x:1")))
    assert phone.peer.final("INVITE").status == 200
    phone.peer.ack()
    phone.network.run(0.02)
    phone.heard()
    phone.network.run(60.0)
    assert not phone.heard()
    phone.peer.forget()
    phone.peer.invite(body=phone.offer("a=x:1", "a=x:2"))
    assert phone.peer.final("INVITE").status == 200
    phone.peer.ack()
    phone.network.run(3.0)
    assert phone.heard()
    phone.peer.request("BYE")
    assert phone.over()


@pytest.mark.parametrize("line", ["a=sendonly", "a=inactive"])
def test_nothing_goes_to_a_peer_that_has_never_listened(make: Callable[..., Phone], line: str) -> None:
    phone = make(keepalive=1.0)
    phone.call(sleeps, phone.offer(line))
    phone.network.run(4.5)
    assert not phone.heard()
    phone.peer.request("BYE")
    assert phone.over()


def test_silence_is_for_answered_calls(make: Callable[..., Phone]) -> None:
    phone = make()

    async def work(call: Call) -> None:
        call.progress()
        await call.play(Tape(5))
        await asyncio.sleep(3.0)
        call.answer()
        await asyncio.sleep(3.0)

    phone.call(work, ack=False)
    phone.network.run(2.9)
    assert len(phone.heard()) == 5
    phone.network.run(0.2)
    phone.peer.final("INVITE")
    phone.peer.ack()
    phone.network.run(2.0)
    assert len(phone.heard()) >= 85
    phone.peer.request("BYE")
    assert phone.over()


def test_a_stranger_without_an_ack_is_sent_none(make: Callable[..., Phone], monkeypatch: pytest.MonkeyPatch) -> None:
    phone = make()
    monkeypatch.setattr(type(phone.agent.peers), "known", lambda self, host: False)
    monkeypatch.setattr(type(phone.agent.peers), "declared", lambda self, host: False)
    phone.call(sleeps, ack=False)
    phone.network.run(4.0)
    assert not phone.heard()
    phone.peer.final("INVITE")
    phone.peer.ack()
    phone.network.run(1.0)
    assert phone.heard()
    phone.peer.request("BYE")
    phone.over()
