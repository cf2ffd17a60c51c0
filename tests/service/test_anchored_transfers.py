"""Transfers of calls whose media passes the engine: who remains hear each other, and nothing is left."""

import gc
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from engine.sip.flow import Flow
from engine.sip.message.message import Request, Response
from engine.sip.sdp import description as sdp
from tests.engine.anchors import SlowAnchors
from tests.service.test_attended import ROLES, Desk, refuse
from tests.service.test_transfers import AWAY, FOREIGN, Phone, World
from tests.simulation.agent import LoopNetwork


class Speaker(Phone):
    """A phone that hears and speaks, at a real UDP port, and knows where it was told to last."""

    def __init__(self, network: LoopNetwork, host: str, port: int) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((host, 0))
        self.sock.setblocking(False)
        body = (
            f"v=0\r\no=phone 7 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
            f"m=audio {self.sock.getsockname()[1]} RTP/AVP 8\r\n"
        ).encode()
        self.told_of = b""
        super().__init__(network, host, body, port)

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        super().receive(data, flow, now)
        message: Request | Response = self.heard[-1]
        if message.body.startswith(b"v=0"):
            self.told_of = message.body

    def speak(self, number: int) -> None:
        description = sdp.parse(self.told_of)
        where = description.address_of(description.media[0]), description.media[0].port
        self.sock.sendto(b"\x80\x08" + number.to_bytes(2) + bytes(8) + self.tag.encode(), where)

    def hears(self) -> set[str]:
        """Whose voices have come since it was asked last."""
        found = set()
        while True:
            try:
                found.add(self.sock.recv(2048)[12:].decode())
            except BlockingIOError:
                return found


class Sounding(World):
    """Its phones speak; with `slow` the anchors take their time, as those on another machine do."""

    def __init__(self, patch: pytest.MonkeyPatch, *roles: Any, slow: bool, anchored: bool = True, **more: Any) -> None:
        self.speakers: list[Speaker] = []
        self.slow = slow
        super().__init__(patch, *roles, media="anchor" if anchored else "", **more)

    def anchors(self) -> SlowAnchors | None:
        return SlowAnchors(self.network, lambda: self.agent.relays, 0.02) if self.slow else None

    def phone(self, host: str, body: bytes, port: int = 5060) -> Speaker:
        self.speakers.append(Speaker(self.network, host, port))
        return self.speakers[-1]

    def wait(self, seconds: float = 0.05) -> None:
        super().wait(max(seconds, 0.3 if self.slow else 0.05))

    def talk(self, one: Phone, other: Phone) -> bool:
        """The two hear each other, and nobody else hears anything."""
        pair = [one, other]
        assert all(isinstance(phone, Speaker) for phone in pair)
        self.wait(1)
        for speaker in self.speakers:
            speaker.hears()
        for number in range(12):
            for phone in pair:
                phone.speak(number)  # type: ignore[attr-defined]
            self.network.run(0.002)
        self.wait()
        heard = {speaker.tag: speaker.hears() for speaker in self.speakers}
        return heard.pop(one.tag) == {other.tag} and heard.pop(other.tag) == {one.tag} and not any(heard.values())

    def over(self) -> bool:
        return super().over() and not self.agent.relays.relays and not self.agent.ports.in_use

    def closed(self) -> None:
        for speaker in self.speakers:
            speaker.sock.close()
        self.agent.ports.close()


class SoundingDesk(Sounding, Desk):
    """A `Desk` whose phones speak."""


@pytest.fixture(autouse=True)
def _no_circles_of_before() -> None:
    gc.collect()


@pytest.fixture(params=[False, True], ids=["at once", "late"])
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sounding]:
    world = Sounding(monkeypatch, slow=request.param)
    world.talking()
    yield world
    world.closed()


@pytest.mark.parametrize(("who", "stays"), [("a", "b"), ("b", "a")])
@pytest.mark.parametrize(("number", "target"), [(FOREIGN, "c"), (AWAY, "d")])
def test_either_side_transfers_the_other(world: Sounding, who: str, stays: str, number: str, target: str) -> None:
    one, other, new = (getattr(world, name) for name in (who, stays, target))
    assert world.talk(one, other)
    assert world.refer(one, number) == 202
    assert world.talk(one, other)  # until the target answers
    new.reply(200, new.body)
    world.wait(1)
    assert one.told[-1] == "SIP/2.0 200 OK"
    assert world.talk(other, new)
    world.wait(4)
    assert world.talk(other, new)
    new.request("BYE")
    world.wait(1)
    assert other.requests("BYE")
    assert world.over()


def test_a_target_that_does_not_answer_leaves_them_as_they_were(world: Sounding) -> None:
    assert world.refer(world.a) == 202
    world.c.reply(486)
    world.wait(1)
    assert world.talk(world.a, world.b)
    world.a.request("BYE")
    assert world.over()


@pytest.fixture(params=[(roles, slow) for roles in ROLES for slow in (False, True)], ids=str)
def desk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[SoundingDesk]:
    roles, slow = request.param
    desk = SoundingDesk(monkeypatch, roles, slow=slow)
    yield desk
    desk.closed()


def test_the_two_that_a_phone_talks_with_hear_each_other(desk: SoundingDesk) -> None:
    assert desk.talk(desk.t, desk.x) and desk.talk(desk.u, desk.y)
    if desk.roles == ("callee", "callee"):
        # Both anchors were those of the legs to the phone, and would leave with it.
        assert desk.join() == 603
        assert "has to pass this engine" in desk.t.final("REFER").get("Warning")
        assert desk.talk(desk.t, desk.x) and desk.talk(desk.u, desk.y)
        for phone in (desk.x, desk.y):
            phone.request("BYE")
        assert desk.over()
        return
    desk.join()
    desk.wait(1)
    assert desk.t.told[-1] == "SIP/2.0 200 OK"
    assert desk.talk(desk.x, desk.y)
    desk.leave()
    desk.wait(5)
    assert desk.talk(desk.x, desk.y)
    # and may hold each other afterwards
    desk.x.request("INVITE", "", desk.x.body + b"a=sendonly\r\n")
    desk.wait(1)
    assert desk.x.final("INVITE").status == 200
    desk.x.ack()
    desk.wait()
    desk.x.request("INVITE", "", desk.x.body)
    desk.wait(1)
    desk.x.ack()
    assert desk.talk(desk.x, desk.y)
    desk.y.request("BYE")
    desk.wait(1)
    assert desk.x.requests("BYE")
    assert desk.over()


def test_without_media_in_common_they_hear_whom_they_heard(desk: SoundingDesk) -> None:
    before = [(speaker, speaker.told_of) for speaker in desk.speakers if speaker is desk.x]
    refuse(desk.x, 488)
    desk.join()
    desk.wait(1)
    for speaker, told_of in before:
        speaker.told_of = told_of  # it has refused the offer
    assert desk.roles == ("callee", "callee") or desk.t.told[-1] == "SIP/2.0 488 X"
    assert desk.talk(desk.t, desk.x) and desk.talk(desk.u, desk.y)
    for phone in (desk.x, desk.u, desk.t, desk.y):
        phone.request("BYE")
    assert desk.over()
