"""A caller that was answered by us before a leg was dialled for it: its media moves to the far end, and back."""

import asyncio

import pytest

from engine.call import Call, NotAcceptable
from tests.simulation.agent import CALLEE, CALLER, ENGINE, LoopNetwork, start_agent, to_callee
from tests.simulation.peer import ANSWER, OFFER, Peer, content

THEIRS = OFFER.replace(b"10.0.0.1", CALLER.encode())
FAR = ANSWER.replace(b"10.0.0.2", CALLEE.encode())
ELSEWHERE = THEIRS.replace(b"4000", b"4004")


class World:
    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.network = LoopNetwork()
        self.echo = False
        self.refused = ""
        self.agent = start_agent(self.network, self.flow, patch)
        self.a = Peer(self.network, CALLER, engine=ENGINE)  # type: ignore[arg-type]
        self.b = Peer(self.network, CALLEE, engine=ENGINE)  # type: ignore[arg-type]
        self.b.tag = "btag"
        self.a.invite(body=THEIRS)
        assert self.a.final("INVITE").status == 200
        self.a.ack()
        self.network.run(0.1)
        self.a.forget()
        invite = self.b.requests("INVITE")[0]
        assert invite.body == THEIRS  # what the caller offered is offered on
        self.b.call_id, self.b.remote_tag, self.b.cseq = invite.call_id, invite.from_tag, 500
        self.b.answer(invite, 200, "Allow: INVITE, UPDATE\r\n", FAR, tag="btag")
        self.network.run(0.1)

    async def flow(self, call: Call) -> None:
        call.answer()
        leg = self.agent.dial(to_callee(), call)
        try:
            if (await leg.outcome()).kind == "answered":
                await call.bridge(leg).ended()
                if self.echo:
                    await call.echo(5.0)
        except NotAcceptable as error:
            self.refused = str(error)
        finally:
            leg.cancel()

    def over(self) -> bool:
        self.network.run(40)
        assert not self.agent.endpoint.sessions and not len(self.agent.endpoint.transactions)
        return not self.agent.calls and not self.agent.tasks.running and self.agent.ports.in_use == 0


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_the_callers_media_is_sent_to_the_far_end(world: World) -> None:
    assert len(world.b.requests("ACK")) == 1
    invite = world.a.requests("INVITE")[0]
    assert content(invite.body) == content(FAR)
    world.a.answer(invite, 200, body=THEIRS)
    world.network.run(0.1)
    assert len(world.a.requests("ACK")) == 1
    assert len(world.b.requests("INVITE")) == 1  # nothing new to tell it
    assert world.agent.ports.in_use == 0
    world.a.request("BYE")
    world.network.run(0.1)
    world.b.answer(world.b.requests("BYE")[0], 200)
    assert world.over()


def test_the_far_end_learns_of_a_caller_that_answers_from_elsewhere(world: World) -> None:
    world.a.answer(world.a.requests("INVITE")[0], 200, body=ELSEWHERE)
    world.network.run(0.1)
    again = world.b.requests("INVITE")[-1]
    assert content(again.body) == content(ELSEWHERE)
    world.b.answer(again, 200, body=FAR)
    assert len(world.b.requests("ACK")) == 2
    world.b.request("BYE")
    world.network.run(0.1)
    world.a.answer(world.a.requests("BYE")[0], 200)
    assert world.over()


def test_glare_while_the_media_moves_is_retried(world: World) -> None:
    world.a.answer(world.a.requests("INVITE")[0], 491)
    world.network.run(2.1)
    again = world.a.requests("INVITE")[-1]
    assert again.cseq == world.a.requests("INVITE")[0].cseq + 1 and content(again.body) == content(FAR)


def test_after_the_far_end_has_left_our_own_media_comes_back_by_reinvite(world: World) -> None:
    world.echo = True
    world.a.answer(world.a.requests("INVITE")[0], 200, body=THEIRS)
    world.network.run(0.1)
    world.b.request("BYE")
    world.network.run(0.1)
    home = world.a.requests("INVITE")[-1]
    assert ENGINE.encode() in home.body and home.body != FAR
    world.a.answer(home, 200, body=THEIRS)
    world.network.run(1)
    assert world.a.requests("BYE") == []
    world.network.run(6)
    assert len(world.a.requests("BYE")) >= 1
    assert world.over()


def test_a_caller_that_refuses_our_media_hears_nothing_more(world: World) -> None:
    world.echo = True
    world.a.answer(world.a.requests("INVITE")[0], 200, body=THEIRS)
    world.network.run(0.1)
    world.b.request("BYE")
    world.network.run(0.1)
    world.a.answer(world.a.requests("INVITE")[-1], 488)
    world.network.run(0.1)
    assert "488" in world.refused
    assert len(world.a.requests("BYE")) == 1
    assert world.over()


def test_a_caller_that_hangs_up_while_its_media_moves_leaves_nothing(world: World) -> None:
    world.a.request("BYE")
    world.network.run(0.1)
    assert len(world.b.requests("BYE")) == 1
    assert world.over()
    assert not [task for task in asyncio.all_tasks(world.network.loop) if not task.done()]
