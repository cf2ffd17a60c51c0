"""Whoever follows a leg hears of every status, once; the last one is told by on_end."""

from typing import Any

import pytest

from engine.call import Call, NoPortError
from engine.settings import AgentSettings
from tests.simulation.agent import CALLEE, CALLER, ENGINE, LoopNetwork, ThroughCalls, start_agent
from tests.simulation.peer import ANSWER, OFFER, Peer


class Told:
    """The statuses that a leg tells, with whether it had been answered by then."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, bool]] = []

    def follow(self, call: Call) -> None:
        call.on_status = self.changed
        call.on_end = self.changed

    def changed(self, call: Call) -> None:
        self.heard.append((call.status, call.answered))


class World:
    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.network = LoopNetwork()
        self.flow = ThroughCalls()
        self.caller, self.callee = Told(), Told()
        self.agent = self.flow.agent = start_agent(self.network, self.came, patch, AgentSettings())
        self.a = Peer(self.network, CALLER, engine=ENGINE)  # type: ignore[arg-type]
        self.b = Peer(self.network, CALLEE, engine=ENGINE)  # type: ignore[arg-type]

    def came(self, call: Call) -> Any:
        self.caller.follow(call)
        return self.flow(call)

    def call(self) -> Any:
        self.a.invite("", OFFER, uri=f"sip:b@{ENGINE}")
        self.network.run(0.02)
        self.callee.follow(self.flow.legs[0])
        return self.b.requests("INVITE")[0]

    def reply(self, invite: Any, status: int, body: bytes = b"") -> None:
        self.b.answer(invite, status, "", body, tag="btag")
        self.network.run(0.02)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_both_legs_of_a_call_that_is_answered(world: World) -> None:
    invite = world.call()
    for status in (180, 180, 183):
        world.reply(invite, status)
    world.reply(invite, 200, ANSWER)
    world.a.final("INVITE")
    world.a.ack()
    world.network.run(1)
    expected = [("ringing", False), ("progressing", True)]
    assert (world.caller.heard, world.callee.heard) == (expected, expected)
    leg = world.flow.legs[0]
    leg.hangup()
    expected += [("terminating", True), ("hangup", True)]
    assert world.callee.heard == expected
    assert leg.on_status is None


def test_a_leg_that_is_given_up(world: World) -> None:
    world.reply(world.call(), 180)
    world.flow.legs[0].cancel()
    assert world.callee.heard == [("ringing", False), ("canceling", False), ("hangup", False)]


def test_a_refusal_goes_straight_to_its_end(world: World) -> None:
    world.reply(world.call(), 486)
    assert world.caller.heard == world.callee.heard == [("hangup", False)]


def test_a_183_that_cannot_be_sent_does_not_ring(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(remote: Any) -> Any:
        raise NoPortError("no port is free")

    monkeypatch.setattr(world.agent, "open_media", none_left)
    world.call()
    call = world.flow.calls[0]
    with pytest.raises(NoPortError):
        call.progress()
    assert (call.status, world.caller.heard) == ("dialing", [])
