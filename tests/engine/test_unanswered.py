"""Calls that nobody answers end: `max_ringing`, Expires (RFC 3261 §13.3.1); an 18x is said each minute (§13.3.1.1)."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from engine.call import Call
from engine.settings import AgentSettings
from engine.sip.core import Policy
from engine.sip.dialog.usage import NOT_ANSWERED
from tests.simulation.agent import CALLEE, CALLER, ENGINE, LoopNetwork, start_agent, to_callee
from tests.simulation.known import Known
from tests.simulation.peer import OFFER, Peer

SDP = OFFER.replace(b"10.0.0.1", CALLER.encode())


class Hall:
    """One agent that does `work` with a call, a caller, and a callee that rings."""

    def __init__(
        self, patch: pytest.MonkeyPatch, work: Callable[[Call], Coroutine[Any, Any, None]], known: bool
    ) -> None:
        self.network = LoopNetwork()
        self.calls: list[Call] = []
        self.work = work
        peers = Known(CALLER, CALLEE) if known else Known(CALLEE)
        settings = AgentSettings(policy=Policy(max_ringing=200.0, trying_after=0.2))
        self.agent = start_agent(self.network, self.came, patch, settings, peers=peers)
        self.caller = Peer(self.network, CALLER, engine=ENGINE)  # type: ignore[arg-type]

    def came(self, call: Call) -> Coroutine[Any, Any, None]:
        self.calls.append(call)
        return self.work(call)

    def invite(self, headers: str = "") -> Call:
        self.caller.invite(headers, SDP, uri=f"sip:b@{ENGINE}")
        self.network.run(0.3)
        return self.calls[-1]

    @property
    def heard(self) -> list[int]:
        return [response.status for response in self.caller.responses("INVITE")]


@pytest.fixture(params=[True, False], ids=["known", "stranger"])
def hall(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Hall]:
    return lambda work: Hall(monkeypatch, work, request.param)


async def rings(call: Call) -> None:
    call.ringing()
    await call.sleep(1e6)


async def says_nothing(call: Call) -> None:
    await call.sleep(1e6)


async def early_media(call: Call) -> None:
    call.progress(SDP)
    await call.sleep(1e6)


@pytest.mark.parametrize("work", [rings, says_nothing, early_media])
def test_an_unanswered_call_ends_by_480(hall: Callable[..., Hall], work: Any) -> None:
    world = hall(work)
    call = world.invite()
    world.network.run(199)
    assert not call.ended
    world.network.run(1)
    assert (call.ended_by, call.end_status, call.end_reason) == ("local", 480, NOT_ANSWERED)
    assert world.caller.final("INVITE").get("Reason") == 'Q.850;cause=19;text="No answer from user"'
    assert call.task is None or call.task.done()


def test_one_that_is_answered_late_goes_on(hall: Callable[..., Hall]) -> None:
    async def late(call: Call) -> None:
        call.ringing()
        await call.sleep(199.5)
        call.answer(SDP)
        await call.sleep(1e6)

    world = hall(late)
    call = world.invite("Expires: 250\r\n")
    world.network.run(199.5)
    assert world.caller.final("INVITE").status == 200
    world.caller.ack()
    world.network.run(300)
    assert not call.ended
    assert world.heard.count(180) == 4  # and none after the answer


def test_what_it_dials_is_cancelled(hall: Callable[..., Hall]) -> None:
    world: Hall

    async def connect(call: Call) -> None:
        leg = world.agent.dial(to_callee(), call)
        try:
            await leg.outcome()
        finally:
            leg.cancel()

    world = hall(connect)
    callee = Peer(world.network, CALLEE, engine=ENGINE)  # type: ignore[arg-type]
    call = world.invite()
    callee.answer(callee.requests("INVITE")[-1], 180)
    world.network.run(179)
    callee.answer(callee.requests("INVITE")[-1], 180)
    assert callee.requests("CANCEL") == []
    world.network.run(30)
    assert call.ended
    assert len(callee.requests("CANCEL")) >= 1
    assert callee.requests("CANCEL")[0].get("Reason") == ""


@pytest.mark.parametrize(("ring_timeout", "ends"), [(200.0, 200), (400.0, 401), (600.0, 601)])
def test_inside_a_longer_connect_it_rings_on(hall: Callable[..., Hall], ring_timeout: float, ends: float) -> None:
    """And what comes after that connect has its moment to answer."""
    world: Hall

    async def connect(call: Call) -> None:
        leg = world.agent.dial(to_callee(ring_timeout=ring_timeout, no_progress_timeout=1e4), call)
        await leg.outcome()
        await call.sleep(0.7)
        if not call.ended:
            call.reject(404)

    world = hall(connect)
    callee = Peer(world.network, CALLEE, engine=ENGINE)  # type: ignore[arg-type]
    call = world.invite()
    callee.answer(callee.requests("INVITE")[-1], 180)
    world.network.run(ends + 10)
    assert call.ended_at is not None
    assert abs(call.ended_at - ends) < 1.5
    assert call.end_status == (480 if ends == 200 else 404)


def test_after_the_longer_connect_it_ends(hall: Callable[..., Hall]) -> None:
    world: Hall

    async def connect(call: Call) -> None:
        await world.agent.dial(to_callee(ring_timeout=300.0, no_progress_timeout=1e4), call).outcome()
        await call.sleep(1e6)

    world = hall(connect)
    callee = Peer(world.network, CALLEE, engine=ENGINE)  # type: ignore[arg-type]
    call = world.invite()
    callee.answer(callee.requests("INVITE")[-1], 180)
    world.network.run(299)
    assert not call.ended
    world.network.run(10)
    assert (call.end_status, call.end_reason) == (480, NOT_ANSWERED)


def test_0_is_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    network = LoopNetwork()
    calls: list[Call] = []

    def came(call: Call) -> Coroutine[Any, Any, None]:
        calls.append(call)
        return rings(call)

    start_agent(network, came, monkeypatch, AgentSettings(policy=Policy(max_ringing=0.0)))
    Peer(network, CALLER, engine=ENGINE).invite(body=SDP, uri=f"sip:b@{ENGINE}")  # type: ignore[arg-type]
    network.run(86_400)
    assert not calls[0].ended


# ---- the caller's own time


@pytest.mark.parametrize(("expires", "ends", "status"), [(0, 0, 487), (30, 30, 487), (199, 199, 487), (3600, 200, 480)])
def test_expires_ends_it_by_487(hall: Callable[..., Hall], expires: int, ends: int, status: int) -> None:
    world = hall(rings)
    call = world.invite(f"Expires: {expires}\r\n")
    world.network.run(max(ends - 1.3, 0))
    assert call.ended == (expires == 0)
    world.network.run(2)
    assert (call.ended_by, call.end_status, call.end_reason) == ("local", status, NOT_ANSWERED)


def test_expires_is_not_asked_about_an_answered_call(hall: Callable[..., Hall]) -> None:
    async def answers(call: Call) -> None:
        call.answer(SDP)
        await call.sleep(1e6)

    world = hall(answers)
    call = world.invite("Expires: 5\r\n")
    world.caller.final("INVITE")
    world.caller.ack()
    world.network.run(300)
    assert not call.ended


# ---- 18x, once a minute


@pytest.mark.parametrize(("work", "status"), [(rings, 180), (early_media, 183)])
def test_ringing_is_said_once_a_minute(hall: Callable[..., Hall], work: Any, status: int) -> None:
    world = hall(work)
    world.invite()
    assert world.heard == [status]
    for minute in (1, 2, 3):
        world.network.run(60)
        assert world.heard == [status] * (minute + 1)
    world.network.run(600)
    assert world.heard.count(status) == 4
    bodies = [response.body for response in world.caller.responses("INVITE") if response.status == status]
    assert len(set(bodies)) == 1


@pytest.mark.parametrize(("work", "status"), [(rings, 180), (early_media, 183)])
def test_a_reliable_18x_is_followed_by_another(hall: Callable[..., Hall], work: Any, status: int) -> None:
    """Its caller has acknowledged it (RFC 3262 §3); a proxy on the way would give up all the same (§16.6 item 11)."""
    world = hall(work)
    world.invite("Require: 100rel\r\n")
    for minute in range(4):
        assert world.heard == [status] * (minute + 1)
        acknowledge(world)
        world.network.run(60 if minute else 59.8)  # until a moment after the full minute
    rung = [response for response in world.caller.responses("INVITE") if response.status == status]
    numbers = [int(response.get("RSeq")) for response in rung]
    assert numbers == [numbers[0] + place for place in range(4)]
    assert not any(response.body for response in rung[1:])
    assert set(world.heard[4:]) == {480}


def test_a_reliable_18x_is_not_followed_before_its_prack(hall: Callable[..., Hall]) -> None:
    world = hall(rings)
    world.invite("Require: 100rel\r\n")
    world.network.run(61)
    assert world.heard[-1] == 504
    assert len({response.get("RSeq") for response in world.caller.responses("INVITE")} - {""}) == 1


def test_a_caller_that_is_gone_is_found_out_by_the_next_reliable_18x(hall: Callable[..., Hall]) -> None:
    world = hall(rings)
    world.invite("Require: 100rel\r\n")
    acknowledge(world)
    world.network.run(60 + 33)
    assert world.heard[-1] == 504


def acknowledge(world: Hall) -> None:
    """PRACK for the last reliable response."""
    last = world.caller.responses("INVITE")[-1]
    rack = f"RAck: {last.get('RSeq')} 1 INVITE\r\n"
    world.caller.request("PRACK", rack, to_tag=last.to_tag, uri=f"sip:b@{ENGINE}")


def test_nothing_is_said_again_after_a_cancel(hall: Callable[..., Hall]) -> None:
    world = hall(rings)
    world.caller.invite("", SDP, uri=f"sip:b@{ENGINE}")
    world.network.run(1)
    branch = world.caller.responses("INVITE")[-1].branch
    world.caller.cancel(branch)
    world.network.run(0.1)
    world.caller.request("ACK", branch=branch, cseq=1)
    world.network.run(300)
    assert world.heard.count(180) == 1
    assert world.heard[-1] == 487
