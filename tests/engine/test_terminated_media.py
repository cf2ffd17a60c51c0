"""A caller whose media ends at us while the callee is offered something else, as for WebRTC: one agrees on SRTP with
our end, the other on plain RTP with another, and a re-INVITE of either is one of both."""

from collections.abc import Coroutine
from typing import Any

import pytest

from engine.call import Call
from engine.media.path import Terminated
from engine.media.port import MediaPort
from engine.settings import AgentSettings
from engine.sip.message.message import Request, Response
from engine.sip.sdp import description as sdp
from tests.simulation.agent import CALLEE, CALLER, ENGINE, LoopNetwork, start_agent, to_callee
from tests.simulation.peer import Peer

KEY = "1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"


def secure(direction: str = "sendrecv", version: int = 1) -> bytes:
    return (
        f"v=0\r\no=- 7 {version} IN IP4 {CALLER}\r\ns=-\r\nc=IN IP4 {CALLER}\r\nt=0 0\r\n"
        f"m=audio 4000 RTP/SAVP 8\r\na=crypto:{KEY}\r\na={direction}\r\n"
    ).encode()


def plain(direction: str = "sendrecv", version: int = 1, codecs: str = "0") -> bytes:
    return (
        f"v=0\r\no=- 8 {version} IN IP4 {CALLEE}\r\ns=-\r\nc=IN IP4 {CALLEE}\r\nt=0 0\r\n"
        f"m=audio 5000 RTP/AVP {codecs}\r\na={direction}\r\n"
    ).encode()


class World:
    def __init__(self, patch: pytest.MonkeyPatch, *, answers_first: bool = False) -> None:
        self.network = LoopNetwork()
        self.answers_first = answers_first
        self.outcomes: list[tuple[str, int]] = []
        self.ended: list[str] = []
        self.agent = start_agent(self.network, self.flow, patch, AgentSettings(rtp_first=35_000, rtp_last=35_999))
        self.a = Peer(self.network, CALLER, engine=ENGINE)
        self.b = Peer(self.network, CALLEE, engine=ENGINE)
        self.a.tag, self.b.tag = "atag", "btag"

    def flow(self, call: Call) -> Coroutine[Any, Any, None]:
        return self.through(call)

    async def through(self, call: Call) -> None:
        if self.answers_first:
            call.answer()
        path = Terminated(call.open_media(), MediaPort.open(self.agent.ports, ENGINE))
        leg = self.agent.dial(to_callee(), call, path=path)
        try:
            outcome = await leg.outcome()
            self.outcomes.append((outcome.kind, outcome.status))
            if outcome.kind == "answered":
                self.ended.append(await call.bridge(leg).ended())
                await call.wait_ended()
            else:
                call.reject(outcome.status)
        finally:
            leg.cancel()

    def wait(self, seconds: float = 0.02) -> None:
        self.network.run(seconds)

    def call(self, body: bytes) -> Request:
        self.a.invite(body=body, uri=f"sip:b@{ENGINE}")
        self.wait()
        invite = self.b.requests("INVITE")[0]
        self.b.call_id, self.b.remote_tag, self.b.cseq = invite.call_id, invite.from_tag, 500
        return invite

    def reply(self, request: Request, status: int, headers: str = "", body: bytes = b"") -> None:
        self.b.answer(request, status, headers, body, tag="btag")
        self.wait()

    def answered(self) -> "World":
        self.reply(self.call(secure()), 200, body=plain())
        self.a.final("INVITE")
        self.a.ack()
        self.wait()
        self.a.forget()
        self.b.forget()
        return self

    def reinvited(self, one: Peer, other: Peer, body: bytes, status: int, answer: bytes) -> tuple[Request, Response]:
        """What the other side is asked, and what becomes of it on this one."""
        one.forget()
        other.forget()
        one.request("INVITE", body=body)
        self.wait()
        asked = other.requests("INVITE")[-1]
        other.answer(asked, status, "", answer)
        self.wait()
        return asked, one.final("INVITE")

    def over(self) -> bool:
        self.network.run(40)
        agent = self.agent
        left = [agent.calls, agent.incoming, agent.endpoint.sessions, agent.endpoint.dialogs, agent.ports.in_use]
        return not any(left)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def is_secure(body: bytes, direction: str = "sendrecv") -> bool:
    description = sdp.parse(body)
    media = description.media[0]
    ours = description.address_of(media) == ENGINE and media.protocol == "RTP/SAVP" and b"a=crypto:" in body
    return ours and description.direction_of(media) == direction and KEY.encode() not in body


def is_plain(body: bytes, direction: str = "sendrecv") -> bool:
    description = sdp.parse(body)
    media = description.media[0]
    ours = description.address_of(media) == ENGINE and media.protocol == "RTP/AVP" and b"crypto" not in body
    return ours and description.direction_of(media) == direction


def port(body: bytes) -> int:
    return sdp.parse(body).media[0].port


def key(body: bytes) -> bytes:
    return next(line for line in body.split(b"\r\n") if line.startswith(b"a=crypto:"))


def test_each_side_agrees_with_the_engine_itself(world: World) -> None:
    invite = world.call(secure())
    assert is_plain(invite.body)
    world.reply(invite, 183, body=plain())
    early = world.a.responses("INVITE")[-1]
    assert early.status == 183 and is_secure(early.body)
    world.reply(invite, 200, body=plain())
    final = world.a.final("INVITE")
    assert final.status == 200 and final.body == early.body
    assert port(final.body) != port(invite.body)
    world.a.ack()
    world.wait()
    assert [ack.body for ack in world.b.requests("ACK")] == [b""]
    assert world.agent.ports.in_use == 2
    world.a.request("BYE")
    world.wait()
    assert world.b.kinds()[-1] == "BYE" and world.over()


def test_a_reinvite_of_the_caller_is_one_of_both(world: World) -> None:
    asked, final = world.answered().reinvited(world.a, world.b, secure("sendonly", 2), 200, plain(version=2))
    assert is_plain(asked.body)
    assert final.status == 200 and is_secure(final.body, "recvonly")
    world.a.ack()
    asked, again = world.reinvited(world.a, world.b, secure("sendrecv", 3), 200, plain(version=3))
    assert is_plain(asked.body) and is_secure(again.body)
    assert key(again.body) == key(final.body) and port(again.body) == port(final.body)


def test_a_reinvite_of_the_callee_is_one_of_both(world: World) -> None:
    asked, final = world.answered().reinvited(world.b, world.a, plain("sendonly", 2), 200, secure(version=2))
    assert is_secure(asked.body)
    assert final.status == 200 and is_plain(final.body, "recvonly")
    world.b.ack()
    world.wait()
    assert len(world.a.requests("ACK")) == 1


def test_a_refused_reinvite_changes_nothing_on_either_side(world: World) -> None:
    world.answered()
    _, final = world.reinvited(world.a, world.b, secure("inactive", 2), 488, b"")
    assert final.status == 488
    _, final = world.reinvited(world.b, world.a, plain("inactive", 2), 488, b"")
    assert final.status == 488
    world.b.ack()
    asked, final = world.reinvited(world.a, world.b, secure("sendrecv", 3), 200, plain(version=3))
    assert is_plain(asked.body) and is_secure(final.body)


@pytest.mark.parametrize("by", ["caller", "callee"])
def test_a_reinvite_without_an_offer_brings_one_of_our_end(world: World, by: str) -> None:
    world.answered()
    one, other = (world.a, world.b) if by == "caller" else (world.b, world.a)
    offer, answer = (plain, secure) if by == "caller" else (secure, plain)
    expected = is_secure if by == "caller" else is_plain
    asked, final = world.reinvited(one, other, b"", 200, offer(version=2))
    assert asked.body == b"" and expected(final.body)
    one.ack(answer(version=2))
    world.wait()
    acknowledged = other.requests("ACK")[-1].body
    assert (is_plain if by == "caller" else is_secure)(acknowledged)


def test_a_caller_that_makes_no_offer_gets_ours(world: World) -> None:
    invite = world.call(b"")
    assert invite.body == b""
    world.reply(invite, 200, body=plain())
    final = world.a.final("INVITE")
    assert is_plain(final.body)  # of our end, which offers what it speaks
    world.a.ack(plain().replace(CALLEE.encode(), CALLER.encode()))
    world.wait()
    assert is_plain(world.b.requests("ACK")[-1].body)


def test_a_caller_that_was_answered_before_keeps_its_media_with_us(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, answers_first=True)
    invite = world.call(secure())
    first = world.a.final("INVITE")
    world.a.ack()
    world.reply(invite, 200, body=plain())
    assert world.a.requests("INVITE") == [] and len(world.b.requests("ACK")) == 1
    asked, _ = world.reinvited(world.b, world.a, plain("sendonly", 2), 200, secure(version=2))
    assert is_secure(asked.body) and key(asked.body) == key(first.body)


def test_a_caller_that_the_callee_has_left_still_talks_with_our_end(world: World) -> None:
    world.answered()
    world.b.request("BYE")
    world.wait()
    assert world.ended == ["callee"] and world.agent.ports.in_use == 1
    world.a.request("INVITE", body=secure("sendonly", 2))
    world.wait()
    assert is_secure(world.a.final("INVITE").body, "recvonly")


def test_an_answer_that_our_end_cannot_use_ends_the_leg(world: World) -> None:
    invite = world.call(secure())
    world.reply(invite, 200, body=plain(codecs="99"))
    world.wait()
    assert world.outcomes == [("refused", 488)]
    assert [kind for kind in world.b.kinds() if kind in ("ACK", "BYE")] == ["ACK", "BYE"]
    assert world.a.final("INVITE").status == 488
    assert world.over()
