"""Anchored calls of a real engine between two phones with a tone each: through the engine, and through rtpengine."""

import asyncio
import socket
import struct
import threading
import time
import wave
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy
import pytest
import structlog

from engine.media.anchor import MediaAddress
from engine.media.rtpengine.pool import Rtpengines
from tests.network import reserved_port
from tests.peers.baresip import write_sine
from tests.peers.engine import Engine, write_config
from tests.peers.office import address, open_office
from tests.peers.rtpengine import Rtpengine
from tests.peers.tone_phone import RATE, Phone, share_at, where

pytestmark = pytest.mark.peer

ENGINE, CALLER, CALLEE, MEDIA, OTHER_MEDIA = "127.0.1.40", "127.0.1.41", "127.0.1.42", "127.0.1.43", "127.0.1.44"
NUMBER = "+821012345678"
LOW, HIGH = 500.0, 1000.0
RTP = (26400, 26499)  # of the engine


class Setting:
    """An engine, with the rtpengines that its anchored calls use, and where its providers are."""

    def __init__(self, directory: Path, kind: str, stack: ExitStack, engines: int = 1) -> None:
        self.kind = kind
        self.rtpengines = [
            stack.enter_context(
                Rtpengine(
                    directory / f"rtpengine{n}", host, (host, reserved_port()), (15000 + 200 * n, 15100 + 200 * n)
                )
            )
            for n, host in enumerate([MEDIA, OTHER_MEDIA][:engines] if kind == "rtpengine" else [])
        ]
        self.media = [one.media for one in self.rtpengines] or [ENGINE]
        self.sip = (ENGINE, reserved_port())
        self.first, self.second = (CALLEE, reserved_port()), (CALLEE, reserved_port())
        config: dict[str, Any] = {
            "sip": {
                "listen": [f"udp://{ENGINE}:{self.sip[1]}"],
                "trusted_networks": [f"{CALLER}/32"],
                "rtp_ports": f"{RTP[0]}-{RTP[1]}",
            },
            "media": {"rtpengines": [f"{one.control[0]}:{one.control[1]}" for one in self.rtpengines]},
            "log": {"level": "info", "format": "json"},
            "providers": [
                {"name": "first", "hostname": f"{CALLEE}:{self.first[1]}", "media": "anchor"},
                {"name": "second", "hostname": f"{CALLEE}:{self.second[1]}", "media": "anchor"},
            ],
            "routes": [
                {"target": "all", "provider": "first", "priority": 1},
                {"target": "all", "provider": "second", "priority": 2},
            ],
        }
        config["sip"]["probe_interval"] = 0
        self.engine = stack.enter_context(Engine.start(write_config(directory, config)))

    def nothing_left(self) -> None:
        """No call in any rtpengine, no RTCP port of the engine's bound (RTP ports are kept for the next call)."""
        for one in self.rtpengines:
            one.wait_calls(0)
        deadline, tick = time.monotonic() + 30, threading.Event()
        while ports := rtcp_ports():
            assert time.monotonic() < deadline, ports
            tick.wait(0.02)
        assert "Traceback" not in self.engine.log


def rtcp_ports() -> list[int]:
    """Odd ports of the engine's range that somebody has."""
    lines = Path("/proc/net/udp").read_text().splitlines()[1:]
    bound = {int(line.split()[1].partition(":")[2], 16) for line in lines}
    return [port for port in bound if RTP[0] <= port <= RTP[1] and port % 2]


@pytest.fixture(params=["embedded", "rtpengine"])
def setting(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Setting]:
    with ExitStack() as stack:
        yield Setting(tmp_path, request.param, stack)


Scenario = Callable[[Phone, Phone, Phone], Awaitable[None]]


def play(setting: Setting, scenario: Scenario) -> None:
    """A caller and the phones of both providers, in one scenario; the engine's log goes with a failure."""

    async def whole() -> None:
        async with (
            Phone(CALLER, reserved_port(), LOW) as caller,
            Phone(*setting.first, HIGH) as callee,
            Phone(*setting.second, HIGH) as spare,
        ):
            await asyncio.wait_for(scenario(caller, callee, spare), 90)

    try:
        asyncio.run(whole())
        setting.nothing_left()
    except BaseException as error:
        error.add_note(f"engine:\n{setting.engine.log}")
        for one in setting.rtpengines:
            error.add_note(f"rtpengine:\n{one.process.log[-4000:]}")
        raise


async def talk(caller: Phone, callee: Phone, media: list[str]) -> None:
    """Each hears the other and nobody else, from the place that it was told of."""
    for phone, pitch in ((caller, HIGH), (callee, LOW)):
        assert await phone.hears(pitch) > 0.95
        assert where(phone.told)[0] in media
        assert where(phone.told) in phone.rtp.sources


def test_both_sides_hear_each_other(setting: Setting) -> None:
    async def scenario(caller: Phone, callee: Phone, spare: Phone) -> None:
        assert await caller.call(setting.sip, NUMBER, "c1") == 200
        await talk(caller, callee, setting.media)
        for one in setting.rtpengines:
            assert one.calls() == 1
        assert CALLER.encode() not in callee.told_all[0] and CALLEE.encode() not in caller.told_all[0]
        assert await caller.bye() == 200
        await callee.hung_up()

    play(setting, scenario)


def test_hold_and_resume_by_both_sides(setting: Setting) -> None:
    async def scenario(caller: Phone, callee: Phone, spare: Phone) -> None:
        assert await caller.call(setting.sip, NUMBER, "c1") == 200
        await talk(caller, callee, setting.media)
        for holder, held, pitch in ((caller, callee, LOW), (callee, caller, HIGH)):
            assert await holder.negotiate("sendonly") == 200
            assert b"a=sendonly" in held.told and b"a=recvonly" in holder.told
            assert await holder.silent()
            assert await held.hears(pitch) > 0.95  # music on hold
            assert await holder.negotiate("sendrecv") == 200
            await talk(caller, callee, setting.media)
        await callee.bye()
        await caller.hung_up()

    play(setting, scenario)


def test_early_media_then_the_answer(setting: Setting) -> None:
    async def scenario(caller: Phone, callee: Phone, spare: Phone) -> None:
        callee.answers = [(183, True)]
        caller.invite(setting.sip, NUMBER, "c1")
        assert await asyncio.wait_for(caller.provisional.get(), 30) == 183
        await talk(caller, callee, setting.media)
        callee.answer()
        assert await caller.final() == 200
        await talk(caller, callee, setting.media)
        assert caller.told_all[0] == caller.told_all[-1]
        await caller.bye()
        await callee.hung_up()

    play(setting, scenario)


def test_the_second_provider_answers_after_early_media_and_a_503_of_the_first(setting: Setting) -> None:
    async def scenario(caller: Phone, callee: Phone, spare: Phone) -> None:
        callee.answers = [(183, True), (503, False)]
        assert await caller.call(setting.sip, NUMBER, "c1") == 200
        await talk(caller, spare, setting.media)
        if setting.kind == "embedded":  # the caller's side of the anchor outlives the leg
            assert len({where(body) for body in caller.told_all}) == 1
        callee.rtp.payloads.clear()
        assert await callee.silent()
        for one in setting.rtpengines:
            one.wait_calls(1)
        await caller.bye()
        await spare.hung_up()

    play(setting, scenario)


def test_a_cancelled_call_leaves_nothing(setting: Setting) -> None:
    async def scenario(caller: Phone, callee: Phone, spare: Phone) -> None:
        callee.answers = [(183, True)]
        caller.invite(setting.sip, NUMBER, "c1")
        assert await asyncio.wait_for(caller.provisional.get(), 30) == 183
        await talk(caller, callee, setting.media)
        caller.cancel()
        assert await caller.final() == 487

    play(setting, scenario)


# ---- rtpengines that go and come


def test_one_rtpengine_of_two_is_killed_during_calls(tmp_path: Path) -> None:
    """The signalling of its calls goes on, new calls use the other, and when it is back it gets calls again."""
    with ExitStack() as stack:
        setting = Setting(tmp_path, "rtpengine", stack, engines=2)
        dead, alive = setting.rtpengines

        async def scenario(caller: Phone, callee: Phone, spare: Phone) -> None:
            for phone in (caller, callee):
                assert phone.told == b""
            assert await caller.call(setting.sip, NUMBER, "c1") == 200
            if where(caller.told)[0] != dead.media:
                # The first of two equals may be either: a second call takes the other.
                async with Phone(CALLER, reserved_port(), LOW) as another:
                    assert await another.call(setting.sip, NUMBER, "c2") == 200
                    await killed(another, caller, callee)
                    return
            await killed(caller, None, callee)

        async def killed(struck: Phone, other: Phone | None, callee: Phone) -> None:
            assert where(struck.told)[0] == dead.media
            dead.kill()
            async with Phone(CALLER, reserved_port(), LOW) as late:
                began = time.monotonic()
                assert await late.call(setting.sip, NUMBER, "c3") == 200
                assert time.monotonic() - began < 5
                assert where(late.told)[0] == alive.media
                assert await late.hears(HIGH) > 0.95
                began = time.monotonic()
                assert await struck.bye() == 200  # what its media did is gone; its signalling is not
                assert time.monotonic() - began < 5
                dead.start()
                await asyncio.to_thread(setting.engine.process.wait_line, "rtpengine answers again", 30)
                assert await struck.call(setting.sip, NUMBER, "c4") == 200  # the one with fewer calls has it
                assert where(struck.told)[0] == dead.media
                assert await struck.hears(HIGH) > 0.95
                await struck.bye()
                await late.bye()
            if other is not None:
                await other.bye()

        play(setting, scenario)


def test_a_re_invite_moves_a_call_to_an_rtpengine_that_is_left(tmp_path: Path) -> None:
    with ExitStack() as stack:
        setting = Setting(tmp_path, "rtpengine", stack, engines=2)

        async def scenario(caller: Phone, callee: Phone, spare: Phone) -> None:
            assert await caller.call(setting.sip, NUMBER, "c1") == 200
            await talk(caller, callee, setting.media)
            dead = next(one for one in setting.rtpengines if one.media == where(caller.told)[0])
            alive = next(one for one in setting.rtpengines if one is not dead)
            dead.kill()
            assert await caller.negotiate("sendrecv") == 200
            await talk(caller, callee, [alive.media])
            await caller.bye()
            await callee.hung_up()
            dead.start()

        play(setting, scenario)


def test_without_any_rtpengine_anchored_calls_get_503(tmp_path: Path) -> None:
    with ExitStack() as stack:
        setting = Setting(tmp_path, "rtpengine", stack)

        async def scenario(caller: Phone, callee: Phone, spare: Phone) -> None:
            setting.rtpengines[0].kill()
            for call_id in ("c1", "c2"):
                began = time.monotonic()
                assert await caller.call(setting.sip, NUMBER, call_id) == 503
                assert time.monotonic() - began < 5
            assert callee.invites.empty() and spare.invites.empty()
            setting.rtpengines[0].start()

        play(setting, scenario)
        assert "no rtpengine answers" in setting.engine.log


# ---- what is told of a call


def test_an_rtpengine_tells_at_the_end_what_each_side_sent(tmp_path: Path) -> None:
    """Asked by the anchor itself, with a socket for each side; each packet is waited for at the other one."""

    def packet(number: int) -> bytes:
        return struct.pack("!BBHII", 0x80, 0, number, 160 * number, 7) + b"\xff" * 160

    async def scenario(one: Rtpengine, caller: socket.socket, callee: socket.socket) -> None:
        pool = Rtpengines([f"{one.control[0]}:{one.control[1]}"], structlog.get_logger())
        await pool.start()
        try:
            anchor = pool.open(MediaAddress(CALLER), MediaAddress(CALLEE), None)
            to_callee = await rewritten(anchor.offer, 0, described(*caller.getsockname()))
            to_caller = await rewritten(anchor.answer, 1, described(*callee.getsockname()))
            for sender, told, receiver, count in ((caller, to_caller, callee, 9), (callee, to_callee, caller, 4)):
                for number in range(count):
                    sender.sendto(packet(number), where(told))
                    assert await asyncio.to_thread(receiver.recv, 2048) == packet(number)
            anchor.close()
            async with asyncio.timeout(30):
                while "packets" not in anchor.report():  # noqa: ASYNC110 - nobody tells of it
                    await asyncio.sleep(0.01)
            assert anchor.report() == {
                "anchor": "rtpengine",
                "rtpengine": f"{one.control[0]}:{one.control[1]}",
                "packets": 13,
                "octets": 13 * 172,
                "errors": 0,
                "caller": {"packets": 9, "octets": 9 * 172, "errors": 0},
                "callee": {"packets": 4, "octets": 4 * 172, "errors": 0},
            }
        finally:
            pool.close()

    with (
        Rtpengine(tmp_path, MEDIA, (MEDIA, reserved_port()), (15000, 15100)) as one,
        udp_socket(CALLER) as caller,
        udp_socket(CALLEE) as callee,
    ):
        asyncio.run(asyncio.wait_for(scenario(one, caller, callee), 90))


def udp_socket(host: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    sock.settimeout(5)
    return sock


def described(host: str, port: int) -> bytes:
    return f"v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n".encode()


async def rewritten(ask: Callable[..., None], side: int, body: bytes) -> bytes:
    done: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    ask(side, body, lambda text, error: done.set_exception(error) if error is not None else done.set_result(text))
    return await asyncio.wait_for(done, 30)


# ---- address families


@pytest.mark.parametrize("from_v6", [False, True])
def test_ipv4_and_ipv6_talk_through_the_engine(tmp_path: Path, from_v6: bool) -> None:
    caller_host, callee_host = ("::1", CALLEE) if from_v6 else (CALLER, "::1")
    near, far = ("::1", ENGINE) if from_v6 else (ENGINE, "::1")
    sip, sip6 = reserved_port(), reserved_port()
    callee_port = reserved_port()
    shown = f"[{callee_host}]" if ":" in callee_host else callee_host
    config: dict[str, Any] = {
        "sip": {
            "listen": [f"udp://{ENGINE}:{sip}", f"udp://[::1]:{sip6}"],
            "trusted_networks": [f"{CALLER}/32", "::1/128"],
            "rtp_ports": f"{RTP[0]}-{RTP[1]}",
            "probe_interval": 0,
        },
        "providers": [{"name": "first", "hostname": f"{shown}:{callee_port}", "media": "anchor"}],
        "routes": [{"target": "all", "provider": "first"}],
    }

    async def scenario() -> None:
        async with (
            Phone(caller_host, reserved_port(), LOW) as caller,
            Phone(callee_host, callee_port, HIGH) as callee,
        ):
            assert await caller.call((near, sip6 if from_v6 else sip), NUMBER, "c1") == 200
            assert where(caller.told)[0] == near and where(callee.told)[0] == far
            assert await caller.hears(HIGH) > 0.95
            assert await callee.hears(LOW) > 0.95
            await caller.bye()
            await callee.hung_up()

    with Engine.start(write_config(tmp_path, config)) as engine:
        try:
            asyncio.run(asyncio.wait_for(scenario(), 90))
        except BaseException as error:
            error.add_note(engine.log)
            raise


# ---- recording


def test_a_recorded_call_has_both_sides_in_its_file_each_in_its_channel(tmp_path: Path) -> None:
    """The recording begins before the caller is connected, and forces the call through the engine."""
    sip, callee_port = reserved_port(), reserved_port()
    destination = {"type": "sip", "target": f"sip:desk@{CALLEE}:{callee_port}"}
    config: dict[str, Any] = {
        "sip": {"listen": [f"udp://{ENGINE}:{sip}"], "rtp_ports": f"{RTP[0]}-{RTP[1]}"},
        "media": {"recordings": str(tmp_path / "recordings")},
        "flows": [
            {
                "name": "recorded",
                "actions": [
                    {"type": "recording_start"},
                    {"type": "connect", "option": {"destinations": [destination]}},
                    {"type": "recording_stop"},
                ],
            }
        ],
        "numbers": [{"number": "+899100000009", "call_flow": "recorded"}],
    }

    async def scenario() -> None:
        async with (
            Phone(CALLER, reserved_port(), LOW) as caller,
            Phone(CALLEE, callee_port, HIGH) as callee,
        ):
            assert await caller.call((ENGINE, sip), "+899100000009", "c1") == 200
            await asyncio.wait_for(callee.invites.get(), 30)
            moved = await asyncio.wait_for(caller.invites.get(), 30)  # from the engine's own media to the anchor
            assert where(moved)[0] == ENGINE
            assert await caller.hears(HIGH, 60) > 0.95
            assert await callee.hears(LOW) > 0.95
            await callee.bye()
            await caller.hung_up()

    with Engine.start(write_config(tmp_path, config)) as engine:
        try:
            asyncio.run(asyncio.wait_for(scenario(), 90))
            (file,) = (tmp_path / "recordings").rglob("*.wav")
            with wave.open(str(file)) as opened:
                assert (opened.getnchannels(), opened.getframerate(), opened.getsampwidth()) == (2, 8000, 2)
                sound = numpy.frombuffer(opened.readframes(opened.getnframes()), "<i2").reshape(-1, 2)
            assert "Traceback" not in engine.log
        except BaseException as error:
            error.add_note(engine.log)
            raise
    assert len(sound) > RATE
    talk = sound[-RATE * 8 // 10 : -RATE * 2 // 10]  # near the end, both talk
    for channel, pitch in ((0, LOW), (1, HIGH)):
        assert share_at(talk[:, channel], pitch) > 0.9


def test_the_sound_between_two_registered_phones_passes_the_engine(tmp_path: Path) -> None:
    """`media.phones: anchor`, with a baresip and a linphone."""
    calls = {"media": {"phones": "anchor"}}
    write_sine(tmp_path / "words.wav", 700, 30.0)
    with (
        open_office(tmp_path / "office", {"ann": {}, "lin": {}}, {}, **calls) as office,
        office.baresip(tmp_path / "ann", "ann", "127.0.2.21", pitch=440) as ann,
        office.linphone(tmp_path / "lin", "lin", "127.0.2.22") as lin,
    ):
        ann.wait_registered()
        lin.wait_registered()
        ann.dial(address("lin"))
        lin.process.wait_line(r"Receiving new incoming call from .*sip:ann@", 30)
        lin.tell("answer", r"Media streams established with")
        ann.wait_event("CALL_ESTABLISHED")
        lin.play(tmp_path / "words.wav")
        ann.wait_heard(700, 0.5)
        ann.hangup()
        lin.wait_heard(440, 0.3)
        deadline, tick = time.monotonic() + 30, threading.Event()
        while not (call := office.api("GET", "/v1.0/calls", status=200)["result"][0])["tm_hangup"]:
            assert time.monotonic() < deadline, call
            tick.wait(0.1)
        assert call["media"]["anchored"]["anchor"] == "embedded", call
