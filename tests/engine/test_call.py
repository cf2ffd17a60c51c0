"""An incoming call with media of ours: orders, waiting, and the end; and what a user agent does about calls."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

import pytest

from engine.call import Call, CallEnded, NotAcceptable
from engine.settings import AgentSettings
from engine.sip.core import EndpointLimits, Policy
from engine.sip.peers import EVERYBODY, Peers
from tests.simulation.agent import CALLEE, CALLER, ENGINE, LoopNetwork, start_agent, to_callee
from tests.simulation.known import Known
from tests.simulation.peer import OFFER, Peer

SDP = OFFER.replace(b"10.0.0.1", CALLER.encode())
VIDEO = b"v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\ns=-\r\nc=IN IP4 1.2.3.4\r\nt=0 0\r\nm=video 4000 RTP/AVP 99\r\n"


class World:
    """One agent; what happens to a call is `work`, set by the test."""

    def __init__(
        self, patch: pytest.MonkeyPatch, settings: AgentSettings | None = None, peers: Peers = EVERYBODY
    ) -> None:
        self.network = LoopNetwork()
        self.work: Any = None
        self.calls: list[Call] = []
        self.errors: list[BaseException] = []
        self.agent = start_agent(self.network, self.came, patch, settings, peers=peers)
        self.peer = Peer(self.network, CALLER, engine=ENGINE)  # type: ignore[arg-type]

    def came(self, call: Call) -> Coroutine[Any, Any, None] | None:
        self.calls.append(call)
        return self.run(call) if self.work is not None else None

    async def run(self, call: Call) -> None:
        try:
            await self.work(call)
        except BaseException as error:
            self.errors.append(error)
            raise

    def call(self, work: Any, headers: str = "", body: bytes = SDP) -> Call:
        self.work = work
        self.peer.invite(headers, body, uri=f"sip:b@{ENGINE}")
        self.network.run(0.02)
        return self.calls[-1]

    def over(self) -> bool:
        self.network.run(40)
        agent = self.agent
        endpoint = agent.endpoint
        assert not agent.calls and not agent.tasks.running and not agent.incoming
        assert not endpoint.sessions and not endpoint.dialogs and not len(endpoint.transactions)
        return agent.ports.in_use == 0


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_ring_progress_answer_hang_up(world: World) -> None:
    async def work(call: Call) -> None:
        assert call.status == "dialing" and not call.answered
        call.ringing()
        call.ringing()
        call.progress()
        await call.sleep(1)
        call.answer()
        call.answer()
        assert call.answered and call.status == "progressing"
        await call.sleep(60)
        call.hangup(cause="Q.850;cause=16")
        assert call.status == "terminating" or call.ended

    call = world.call(work)
    world.network.run(1.1)
    assert world.peer.statuses("INVITE") == [100, 180, 183, 200]
    early, final = world.peer.responses("INVITE")[2:]
    assert early.body and early.body == final.body and ENGINE.encode() in final.body
    world.peer.final("INVITE")
    world.peer.ack()
    world.network.run(60)
    bye = world.peer.requests("BYE")[0]
    assert bye.get("Reason") == "Q.850;cause=16"
    world.peer.answer(bye, 200)
    assert (call.status, call.ended_by, call.end_status) == ("hangup", "local", 200)
    assert call.ended_at is not None and call.answered_at is not None and call.ended_at - call.answered_at > 59
    assert world.over()


def test_redirect(world: World) -> None:
    async def work(call: Call) -> None:
        call.redirect(["sip:one@x", "sip:two@x"])

    world.call(work)
    assert world.peer.final("INVITE").status == 302
    assert world.peer.final("INVITE").values("Contact") == ["<sip:one@x>", "<sip:two@x>"]
    assert world.over()


def test_reject_with_headers_and_reason(world: World) -> None:
    async def work(call: Call) -> None:
        call.reject(486, "Gone Fishing", [("Retry-After", "60")])
        assert call.ended
        with pytest.raises(CallEnded):
            call.answer()
        with pytest.raises(CallEnded):
            call.ringing()
        with pytest.raises(CallEnded):
            await call.sleep(1)
        call.hangup()

    world.call(work)
    final = world.peer.final("INVITE")
    assert (final.status, final.reason, final.get("Retry-After")) == (486, "Gone Fishing", "60")
    assert world.errors == [] or all(isinstance(error, asyncio.CancelledError) for error in world.errors)
    assert world.over()


def test_an_answered_call_cannot_be_rejected(world: World) -> None:
    async def work(call: Call) -> None:
        call.answer()
        with pytest.raises(CallEnded):
            call.reject(486)

    world.call(work)
    world.peer.final("INVITE")
    world.peer.ack()
    assert len(world.peer.requests("BYE")) == 1
    assert world.over()


def test_a_hangup_of_the_caller_cancels_what_runs(world: World) -> None:
    cleaned: list[str] = []

    async def work(call: Call) -> None:
        call.answer()
        try:
            await call.sleep(1000)
        finally:
            cleaned.append(call.status)

    call = world.call(work)
    world.peer.final("INVITE")
    world.peer.ack()
    world.peer.request("BYE", "Reason: Q.850;cause=16\r\n")
    world.network.run(0.1)
    assert cleaned == ["hangup"]
    assert (call.ended_by, call.end_reason) == ("remote", "Q.850;cause=16")
    assert world.over()


def test_a_cancel_of_the_caller_cancels_what_runs(world: World) -> None:
    async def work(call: Call) -> None:
        call.ringing()
        await call.sleep(1000)

    call = world.call(work)
    world.peer.cancel("z9hG4bK127.0.0.1x1", to_tag="")
    world.network.run(0.1)
    assert isinstance(world.errors[0], asyncio.CancelledError)
    assert (call.ended_by, call.end_status) == ("remote", 487)
    assert world.over()


def test_a_task_that_ends_without_a_word_ends_the_call(world: World) -> None:
    async def work(call: Call) -> None:
        await asyncio.sleep(0)

    world.call(work)
    assert world.peer.final("INVITE").status == 480
    assert world.over()


def test_a_task_that_fails_ends_the_call_with_500(world: World) -> None:
    async def work(call: Call) -> None:
        raise ZeroDivisionError

    world.call(work)
    assert world.peer.final("INVITE").status == 500
    assert "cause=41" in world.peer.final("INVITE").get("Reason")
    assert world.over()


def test_a_handler_that_says_nothing_refuses_the_call(world: World) -> None:
    world.call(None)
    assert world.peer.final("INVITE").status == 480
    assert world.over()


def test_an_offer_that_cannot_be_answered_is_not_acceptable(world: World) -> None:
    async def work(call: Call) -> None:
        with pytest.raises(NotAcceptable) as caught:
            call.answer()
        call.reject(caught.value.status)

    world.call(work, body=VIDEO)
    assert world.peer.final("INVITE").status == 488
    assert world.over()


def test_late_offer_of_our_own_media_and_its_answer_in_the_ack(world: World) -> None:
    async def work(call: Call) -> None:
        call.answer()
        await call.sleep(100)

    call = world.call(work, body=b"")
    assert b"m=audio" in world.peer.final("INVITE").body
    world.peer.ack(SDP)
    assert call.peer_body == SDP
    world.peer.request("BYE")
    assert world.over()


def test_late_offer_whose_answer_does_not_fit_ends_the_call(world: World) -> None:
    async def work(call: Call) -> None:
        call.answer()
        await call.sleep(100)

    call = world.call(work, body=b"")
    world.peer.final("INVITE")
    world.peer.ack(VIDEO)
    assert len(world.peer.requests("BYE")) == 1
    assert call.end_status == 488
    assert world.over()


def test_hold_of_our_own_media_and_a_refused_change_14_2(world: World) -> None:
    async def work(call: Call) -> None:
        call.answer()
        await call.sleep(100)

    call = world.call(work)
    world.peer.final("INVITE")
    world.peer.ack()
    world.peer.forget()
    world.peer.invite(body=SDP + b"a=sendonly\r\n")
    assert b"a=recvonly" in world.peer.final("INVITE").body
    world.peer.ack()
    world.peer.invite(body=VIDEO)
    assert world.peer.final("INVITE").status == 488
    assert not call.ended


def test_wait_ended(world: World) -> None:
    async def work(call: Call) -> None:
        call.answer()
        await call.wait_ended()

    call = world.call(work)
    world.peer.final("INVITE")
    world.peer.ack()
    waiter = world.network.loop.create_task(call.wait_ended())
    world.peer.request("BYE")
    world.network.until(waiter)
    world.network.until(call.wait_ended())
    assert world.over()


def test_a_wait_that_was_given_up_spoils_no_later_one(world: World) -> None:
    seen = []

    async def work(call: Call) -> None:
        call.answer()
        try:
            async with asyncio.timeout(1):
                await call.wait_ended()
        except TimeoutError:
            seen.append("still up")
        await call.wait_ended()
        seen.append("over")

    call = world.call(work)
    world.peer.final("INVITE")
    world.peer.ack()
    world.network.run(2)
    assert seen == ["still up"] and not call.ended
    world.peer.request("BYE")
    assert world.over()
    assert seen == ["still up", "over"]


def test_a_hangup_cancels_a_flow_that_waits_for_something_else_after_a_bounded_wait(world: World) -> None:
    async def work(call: Call) -> None:
        call.answer()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await call.wait_ended()
        await asyncio.sleep(1000)

    call = world.call(work)
    world.peer.final("INVITE")
    world.peer.ack()
    world.network.run(2)
    world.peer.request("BYE")
    world.network.run(0.1)
    assert call.ended and isinstance(world.errors[0], asyncio.CancelledError)
    assert world.over()


def test_the_longest_call_time(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, AgentSettings(max_call_duration=60.0))

    async def work(call: Call) -> None:
        call.answer()
        await call.sleep(1000)

    call = world.call(work)
    world.peer.final("INVITE")
    world.peer.ack()
    world.network.run(59)
    assert not call.ended
    world.network.run(2)
    assert call.ended and call.end_reason == "longest call time reached"
    assert world.over()


@pytest.mark.parametrize(
    "settings", [AgentSettings(max_calls=1), AgentSettings(policy=Policy(limits=EndpointLimits(sessions=1)))]
)
def test_calls_beyond_the_bound_are_503_with_retry_after(
    monkeypatch: pytest.MonkeyPatch, settings: AgentSettings
) -> None:
    world = World(monkeypatch, settings)

    async def work(call: Call) -> None:
        await call.sleep(1000)

    world.call(work)
    other = Peer(world.network, CALLEE, engine=ENGINE)  # type: ignore[arg-type]
    other.invite(body=SDP)
    assert other.final("INVITE").status == 503 and other.final("INVITE").get("Retry-After") == "5"
    assert len(world.calls) == 1


def test_too_many_calls_of_one_source_are_503_and_others_still_come_in(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, AgentSettings(invite_rate=1.0, invite_burst=1), Known())
    other = Peer(world.network, CALLEE, engine=ENGINE)  # type: ignore[arg-type]
    for number in range(4):
        world.peer.call_id = f"c{number}"
        world.peer.invite(body=SDP, to_tag="")
    other.invite(body=SDP)
    assert [r.status for r in world.peer.responses("INVITE") if r.status > 100].count(
        503
    ) == 1  # a second, the other one none
    assert len(world.calls) == 3


def test_draining_refuses_new_calls_and_hangs_up_the_rest(world: World) -> None:
    async def work(call: Call) -> None:
        call.answer()
        await call.sleep(1000)

    world.call(work)
    world.peer.final("INVITE")
    world.peer.ack()
    drained = world.network.loop.create_task(world.agent.drain(10.0))
    world.network.run(1)
    other = Peer(world.network, CALLEE, engine=ENGINE)  # type: ignore[arg-type]
    other.invite(body=SDP)
    assert other.final("INVITE").status == 503
    assert world.peer.requests("BYE") == []
    assert world.network.until(drained) == 1
    world.network.run(0.02)
    assert "shutting down" in world.peer.requests("BYE")[0].get("Reason")


# ---- calls of our own


class Dialled(World):
    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        super().__init__(patch)
        self.far = Peer(self.network, CALLEE, engine=ENGINE)  # type: ignore[arg-type]


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> Dialled:
    return Dialled(monkeypatch)


def test_dial_with_media_of_our_own(dialled: Dialled) -> None:
    leg = dialled.agent.dial(to_callee(headers=[("P-Asserted-Identity", "<sip:+1@x>"), ("X-A", "1")]))
    dialled.network.run(0.02)
    invite = dialled.far.requests("INVITE")[0]
    assert b"m=audio" in invite.body and invite.get("P-Asserted-Identity") == "<sip:+1@x>"
    assert invite.get("Max-Forwards") == "70"
    assert leg.direction == "outgoing" and leg.status == "dialing"
    dialled.far.answer(invite, 180)
    assert leg.status == "ringing"
    dialled.far.answer(invite, 200, body=SDP)
    outcome = dialled.network.until(leg.outcome())
    assert (outcome.kind, outcome.status) == ("answered", 200) and outcome.first_reply is not None
    assert leg.remote.host == CALLEE
    assert len(dialled.far.requests("ACK")) == 1
    leg.hangup(cause="Q.850;cause=16")
    dialled.network.run(0.02)
    dialled.far.answer(dialled.far.requests("BYE")[0], 200)
    assert dialled.over()


def test_a_far_end_without_common_media_is_hung_up(dialled: Dialled) -> None:
    leg = dialled.agent.dial(to_callee())
    dialled.network.run(0.02)
    dialled.far.answer(dialled.far.requests("INVITE")[0], 200, body=VIDEO)
    assert dialled.network.until(leg.outcome())[:2] == ("refused", 488)
    assert dialled.far.kinds() == ["INVITE", "ACK", "BYE"]
    assert dialled.over()


@pytest.mark.parametrize(
    ("status", "headers", "retry_after"),
    [(486, "", 0), (503, "Retry-After: 120 (later);duration=5\r\n", 120), (500, "Retry-After: soon\r\n", 0)],
)
def test_a_refused_call(dialled: Dialled, status: int, headers: str, retry_after: int) -> None:
    leg = dialled.agent.dial(to_callee())
    dialled.network.run(0.02)
    dialled.far.answer(dialled.far.requests("INVITE")[0], status, headers)
    outcome = dialled.network.until(leg.outcome())
    assert (outcome.kind, outcome.status, outcome.retry_after) == ("refused", status, retry_after)
    assert leg.ended and leg.end_status == status
    assert dialled.over()


def test_a_call_that_nobody_hears(dialled: Dialled) -> None:
    leg = dialled.agent.dial(to_callee(no_reply_timeout=3.0))
    outcome = dialled.network.until(leg.outcome())
    assert (outcome.kind, outcome.status, outcome.first_reply) == ("no_reply", 0, None)
    assert dialled.over()


def test_a_cancelled_call(dialled: Dialled) -> None:
    leg = dialled.agent.dial(to_callee())
    dialled.network.run(0.02)
    dialled.far.answer(dialled.far.requests("INVITE")[0], 180)
    leg.cancel("SIP;cause=200")
    leg.cancel()
    assert dialled.network.until(leg.outcome()).kind == "cancelled"
    dialled.network.run(0.02)
    assert dialled.far.requests("CANCEL")[0].get("Reason") == "SIP;cause=200"
    dialled.far.answer(dialled.far.requests("CANCEL")[0], 200)
    dialled.far.answer(dialled.far.requests("INVITE")[0], 487)
    assert dialled.over()


def test_an_outgoing_call_takes_no_orders_of_an_incoming_one(dialled: Dialled) -> None:
    leg = dialled.agent.dial(to_callee())
    for order in (leg.ringing, leg.answer, lambda: leg.reject(486)):
        with pytest.raises(CallEnded):
            order()
    leg.cancel()
    assert dialled.over()


def test_stopping_hangs_up_and_leaves_no_task(dialled: Dialled) -> None:
    leg = dialled.agent.dial(to_callee())
    dialled.network.run(0.02)
    dialled.far.answer(dialled.far.requests("INVITE")[0], 200, body=SDP)
    dialled.network.until(dialled.agent.stop())
    assert leg.ended and len(dialled.far.requests("BYE")) >= 1
    assert not asyncio.all_tasks(dialled.network.loop)
