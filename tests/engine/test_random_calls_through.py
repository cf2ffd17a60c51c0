"""Random calls through a B2BUA of real calls, legs and bridges: caller and callee end by the rules, nothing is left."""

import gc
import random
from collections.abc import Callable

import pytest

from engine.media.anchor import Anchors
from engine.settings import AgentSettings
from engine.sip.dialog.invite_client import InviteClient
from engine.sip.dialog.invite_server import InviteServer
from tests.simulation.agent import CALLEE, CALLER, ENGINE, LoopNetwork, ThroughCalls, alive, start_agent
from tests.simulation.network import Node
from tests.sip.test_random_calls import Side, World


class ThreeNodes(World):
    def __init__(
        self,
        seed: int,
        loss: float,
        patch: pytest.MonkeyPatch,
        anchors: Callable[[LoopNetwork], Anchors] | None = None,
    ) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.network = LoopNetwork(seed, loss, duplicates=0.05, jitter=0.1)
        self.network.keep_log = False
        self.flow = ThroughCalls(no_reply_timeout=10.0)
        self.agent = start_agent(
            self.network, self.flow, patch, AgentSettings(), anchors=anchors(self.network) if anchors else None
        )
        self.flow.agent = self.agent
        self.caller, self.callee = Node(self.network, CALLER), Node(self.network, CALLEE)
        self.callee.on_invite = self.called
        self.target = ENGINE
        self.at = self.network.at
        self.callers: list[Side] = []
        self.callees: dict[str, Side] = {}

    def called(self, session: InviteServer) -> None:
        super().called(session)
        number = session.invite.uri_text.partition(":")[2].partition("@")[0]
        assert number not in self.callees, "one call in became two calls out"
        self.callees[number] = self.callees.pop(session.invite.call_id)

    def run(self, calls: int) -> None:
        for number in range(calls):
            self.at(number * 0.05, self.call)
        self.network.run(calls * 0.05 + 200)
        while any(
            e.next_deadline() < float("inf") for e in (n.endpoint for n in (self.caller, self.callee, self.agent))
        ):
            self.network.run(2000)

    def check(self) -> None:
        for endpoint in (self.caller.endpoint, self.callee.endpoint, self.agent.endpoint):
            assert not endpoint.sessions and not endpoint.dialogs and not len(endpoint.deadlines)
            assert not endpoint.transactions.clients and not endpoint.transactions.servers
        assert not self.agent.calls and not self.agent.incoming and not self.agent.tasks.running
        for side in self.callers:
            assert isinstance(side.session, InviteClient)
            callee = self.callees.get(str(side.number))
            story = (side.outcomes, side.ended, callee and (callee.answered, callee.refused, callee.ended))
            assert len(side.outcomes) == 1 and side.pending == 0, story
            kind, _ = side.outcomes[0]
            assert len(side.ended) == (kind == "answered"), story
            if callee is None:
                assert kind != "answered", story
                continue
            assert len(callee.ended) == 1 and callee.pending == 0, story
            if kind == "answered":
                assert callee.answered, story
            if callee.refused:
                assert kind in ("refused", "cancelled"), story


def calls_through(calls: int, seed: int, patch: pytest.MonkeyPatch, loss: float = 0.2) -> ThreeNodes:
    world = ThreeNodes(seed, loss, patch)
    try:
        world.run(calls)
        world.check()
    except BaseException:
        print(f"seed {seed}")
        raise
    return world


def test_random_calls_through_a_b2bua_under_20_percent_loss_leave_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world = calls_through(200, 1, monkeypatch)
    kinds = [side.outcomes[0][0] for side in world.callers]
    assert kinds.count("answered") > 80 and kinds.count("refused") > 20 and kinds.count("cancelled") > 20
    assert world.flow.ended.count("callee") > 20
    assert sum(call.answered and call.ended_by == "remote" for call in world.flow.calls) > 20
    assert sum(side.glare for side in [*world.callers, *world.callees.values()]) > 5
    world.network.until(world.agent.stop())


@pytest.mark.parametrize("seed", range(2, 5))
def test_random_calls_through_a_b2bua_on_other_networks(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    calls_through(60, seed, monkeypatch, loss=(0.0, 0.1, 0.3)[seed - 2])


def test_no_cycle_keeps_a_call_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    gc.collect()
    before = len(alive(gc.get_objects()))
    gc.disable()
    try:
        world = calls_through(60, 9, monkeypatch)
        world.callers.clear()
        world.callees.clear()
        world.flow.calls.clear()
        world.flow.legs.clear()
        assert len(alive(gc.get_objects())) - before == 0
    finally:
        gc.enable()


@pytest.mark.long
@pytest.mark.timeout(600)
def test_two_thousand_random_calls_through_a_b2bua(monkeypatch: pytest.MonkeyPatch) -> None:
    calls_through(2000, 20_261_121, monkeypatch)
