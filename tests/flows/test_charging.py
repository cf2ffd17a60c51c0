"""Calls that cost: what is reserved, when it counts, and that all of it is given back."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from flows.calls.address import Address
from flows.calls.hangup import hangup_by_id
from flows.origination.call import originate
from routing.identifiers import NIL

CUSTOMER = UUID("11111111-1111-4111-8111-111111111111")
OURS = "+15550002222"
ONE = "sip:1+15559990000@192.0.2.1:5060"


def tel(number: str = "+15559990000") -> dict[str, str]:
    return {"type": "tel", "target": number}


def connect(*destinations: Any, **option: Any) -> dict[str, Any]:
    return {"type": "connect", "option": {"destinations": list(destinations or (tel(),)), **option}}


class Reservation:
    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.closed = 0
        self.exhausted: Callable[[], None] | None = None

    def answered(self, exhausted: Callable[[], None]) -> None:
        assert not self.closed and self.exhausted is None
        self.exhausted = exhausted

    def close(self) -> None:
        self.closed += 1


class Charging:
    """Gives what is asked for, unless `answer` says otherwise."""

    def __init__(self) -> None:
        self.asked: list[tuple[UUID, UUID, int]] = []
        self.made: list[Reservation] = []
        self.answer: Any = True
        self.gate: asyncio.Event | None = None

    def rated(self, customer_id: UUID) -> bool:
        return customer_id != NIL

    async def reserve(self, customer_id: UUID, call_id: UUID, rate: int) -> Reservation | None:
        self.asked.append((customer_id, call_id, rate))
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        if not self.answer:
            return None
        self.made.append(Reservation(rate))
        return self.made[-1]

    def settled(self) -> bool:
        return all(reservation.closed == 1 for reservation in self.made)


class Paid:
    """A world in which both routes cost, and a number whose customer pays for them."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.charging = world.services.calls.accounts.charging = Charging()
        world.routes = [route.model_copy(update={"rate": 60 * rate}) for rate, route in enumerate(world.routes, 1)]
        world.number(OURS, customer_id=CUSTOMER)
        self.number = world.directory.number(OURS)
        self.id = uuid4()

    def record(self) -> Any:
        record = self.world.record()
        record.id = str(self.id)
        return record

    async def run(self, actions: Any) -> Any:
        return await self.world.run(actions, number=self.number, record=self.record())

    def go(self, actions: Any) -> Any:
        ran = asyncio.run(self.run(actions))
        self.nothing_left()
        return ran

    def nothing_left(self) -> None:
        assert self.charging.settled()
        assert self.world.channels() == 0
        assert all(leg.ended_at is not None for leg in self.world.agent.legs)


@pytest.fixture
def paid(world: Any) -> Paid:
    return Paid(world)


REPORT = {"type": "reject", "option": {"code": 499, "reason": "${connect.status} ${connect.sip_status}"}}


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_an_attempt_is_paid_for_from_its_answer_to_its_end(paid: Paid, world: Any) -> None:
    paid.go([connect()])
    assert paid.charging.asked == [(CUSTOMER, paid.id, 60)]
    assert paid.charging.made[0].exhausted is not None


def test_a_failed_attempt_gives_its_credit_back_before_the_next_is_paid(paid: Paid, world: Any) -> None:
    world.agent.script["192.0.2.1"] = world.refused(503)
    ran = paid.go([connect()])
    assert [reservation.rate for reservation in paid.charging.made] == [60, 120]
    assert paid.charging.made[0].exhausted is None
    assert [entry.status for entry in ran.record.attempts] == [503, 200]


def test_an_attempt_that_cannot_be_dialled_gives_it_back(paid: Paid, world: Any) -> None:
    world.agent.script["192.0.2"] = ValueError("no such transport")
    paid.go([connect()])
    assert len(paid.charging.made) == 2


@pytest.mark.parametrize("first", [503, 0])
def test_without_credit_the_hunt_is_over_and_the_caller_hears_402(paid: Paid, world: Any, first: int) -> None:
    if first:
        world.agent.script["192.0.2.1"] = world.refused(503)
        # What costs less than the credit is tried, what costs more is not.
        paid.charging.reserve = _only_below(100, paid.charging)  # type: ignore[method-assign]
    else:
        paid.charging.answer = None
    ran = paid.go([connect(relay_reason=True)])
    assert ran.orders == [("reject", 402, "Payment Required")]
    assert ran.record.hangup_reason == "failed"
    skipped = ran.record.attempts[-1]
    assert (skipped.kind, skipped.skipped, skipped.request_uri, skipped.started) == (
        "skipped",
        "insufficient_balance",
        "",
        None,
    )
    assert len(world.agent.legs) == (1 if first else 0)
    assert ran.record.attempts_in_words().endswith("skipped: insufficient_balance")


def _only_below(limit: int, charging: Charging) -> Any:
    reserve = charging.reserve

    async def limited(customer_id: UUID, call_id: UUID, rate: int) -> Reservation | None:
        return await reserve(customer_id, call_id, rate) if rate < limit else None

    return limited


def test_the_flow_learns_that_there_was_no_credit(paid: Paid) -> None:
    paid.charging.answer = None
    assert paid.go([connect(), REPORT]).orders[-1] == ("reject", 499, "failed 402")


def test_where_charging_fails_nothing_is_dialled_and_it_is_logged(paid: Paid, world: Any) -> None:
    paid.charging.answer = OSError("the store is gone")
    ran = paid.go([connect(relay_reason=True)])
    assert not world.agent.legs
    assert ran.orders == [("reject", 500, "Server Internal Error")]
    assert world.log.errors() == ["OSError: the store is gone"] * 2
    assert [entry.skipped for entry in ran.record.attempts] == ["charging_failed"] * 2


def test_where_charging_fails_a_free_route_is_used(paid: Paid, world: Any) -> None:
    world.routes[1] = world.routes[1].model_copy(update={"rate": 0})
    world.fill()
    paid.charging.answer = OSError("the store is gone")
    paid.go([connect()])
    assert [leg.spec.request_uri[:6] for leg in world.agent.legs] == ["sip:2+"]


@pytest.mark.parametrize("free", ["rate", "customer", "direct", "nobody charges"])
def test_what_is_not_asked_for_credit(paid: Paid, world: Any, free: str) -> None:
    target = tel()
    if free == "rate":
        world.routes = [route.model_copy(update={"rate": 0}) for route in world.routes]
        world.fill()
    elif free == "customer":
        world.numbers.clear()
        world.number(OURS)
        paid.number = world.directory.number(OURS)
    elif free == "direct":
        target = {"type": "sip", "target": "sip:a@example.com"}
    else:
        world.services.calls.accounts.charging = None
    ran = paid.go([connect(target)])
    assert not paid.charging.asked
    assert ran.record.attempts[0].kind == "answered"


def test_the_wait_for_credit_is_no_delay_of_the_providers(paid: Paid, world: Any) -> None:
    reserve = paid.charging.reserve

    async def slow(*asked: Any) -> Any:
        world.clock.now += 2.0
        return await reserve(*asked)

    paid.charging.reserve = slow  # type: ignore[method-assign]
    assert paid.go([connect()]).record.attempt_reports()[0].start_ms == 2000


# ---- the credit is used up


def test_when_the_credit_is_used_up_both_legs_are_hung_up(paid: Paid, world: Any) -> None:
    world.agent.talk = world.never

    async def scenario() -> Any:
        running = asyncio.ensure_future(paid.run([connect(), {"type": "sleep", "option": {"duration": 1}}]))
        await turns()
        exhausted = paid.charging.made[0].exhausted
        assert exhausted is not None
        exhausted()
        exhausted()
        return await running

    ran = asyncio.run(scenario())
    paid.nothing_left()
    assert ran.orders == ["answer", ("bridge", ONE), ("hangup", 480, "Q.850;cause=102")]
    assert world.agent.legs[0].orders == [("hangup", 480, "Q.850;cause=102")]
    assert (ran.record.hangup_reason, ran.record.hangup_by) == ("timeout", "local")


def test_a_call_of_our_own_is_paid_for_and_ends_with_the_credit(paid: Paid, world: Any) -> None:
    world.flows(wait=[{"type": "block"}])
    program = world.library.find("wait")

    async def scenario() -> Any:
        record, task = originate(
            world.services, Address(type="tel", target="+15559990000"), customer_id=CUSTOMER, flow=program
        )
        await turns()
        assert record.status == "progressing"
        assert paid.charging.asked == [(CUSTOMER, UUID(record.id), 60)]
        exhausted = paid.charging.made[0].exhausted
        assert exhausted is not None
        exhausted()
        await asyncio.wait((task,))
        return record

    record = asyncio.run(scenario())
    paid.nothing_left()
    assert (record.hangup_reason, record.hangup_by) == ("timeout", "local")


def test_a_call_of_our_own_without_credit_fails(paid: Paid) -> None:
    paid.charging.answer = None

    async def scenario() -> Any:
        record, task = originate(paid.world.services, Address(type="tel", target="+15559990000"), customer_id=CUSTOMER)
        await asyncio.wait((task,))
        return record

    record = asyncio.run(scenario())
    paid.nothing_left()
    assert (record.hangup_reason, record.hangup_by, record.end_status) == ("failed", "local", 402)


# ---- cancelled at every moment


def test_a_call_that_ends_while_credit_is_reserved_dials_nobody(paid: Paid, world: Any) -> None:
    async def scenario() -> Any:
        paid.charging.gate = asyncio.Event()
        call = world.fake_call(world.clock)
        work = world.run([connect()], call, number=paid.number, record=paid.record())
        running = asyncio.ensure_future(work)
        await turns()
        assert len(paid.charging.asked) == 1
        call.end("remote", 487)
        return await running

    ran = asyncio.run(scenario())
    paid.nothing_left()
    assert not world.agent.legs and not paid.charging.made
    assert ran.record.attempts[0].kind == "cancelled"


def test_a_call_of_our_own_that_is_hung_up_while_credit_is_reserved(paid: Paid, world: Any) -> None:
    async def scenario() -> Any:
        paid.charging.gate = asyncio.Event()
        record, task = originate(world.services, Address(type="tel", target="+15559990000"), customer_id=CUSTOMER)
        await turns()
        assert hangup_by_id(world.services.calls.registry, record.id)
        assert record.status == "canceling"
        await asyncio.wait((task,))
        return record

    record = asyncio.run(scenario())
    paid.nothing_left()
    assert not world.agent.legs
    assert (record.hangup_reason, record.status) == ("cancel", "hangup")


def test_a_call_that_ends_while_it_is_dialled_gives_its_credit_back(paid: Paid, world: Any) -> None:
    world.agent.script["192.0.2"] = world.never

    async def scenario() -> Any:
        call = world.fake_call(world.clock)
        work = world.run([connect()], call, number=paid.number, record=paid.record())
        running = asyncio.ensure_future(work)
        await turns()
        call.end("remote", 487)
        await running

    asyncio.run(scenario())
    paid.nothing_left()
    assert len(paid.charging.made) == 1


def test_of_a_race_only_the_winner_pays(paid: Paid, world: Any) -> None:
    world.agent.script["192.0.2"] = world.never

    async def scenario() -> Any:
        numbers = [tel(f"+1555999000{last}") for last in range(3)]
        running = asyncio.ensure_future(paid.run([connect(*numbers)]))
        await turns()
        legs = list(world.agent.legs)
        # Two answer in the same moment; the third is still being dialled.
        legs[1].settle(world.answered)
        legs[0].settle(world.answered)
        return await running

    ran = asyncio.run(scenario())
    paid.nothing_left()
    assert [made.exhausted is not None for made in paid.charging.made] == [False, True, False]
    assert len([order for order in ran.orders if order[0] == "bridge"]) == 1


def test_a_loser_that_still_reserves_is_not_dialled(paid: Paid, world: Any) -> None:
    async def scenario() -> Any:
        paid.charging.gate = asyncio.Event()
        world.agent.script["alice"] = world.never
        both = [tel(), {"type": "sip", "target": "sip:alice@example.com"}]
        running = asyncio.ensure_future(paid.run([connect(*both)]))
        await turns()
        world.agent.legs[0].settle(world.answered)
        return await running

    asyncio.run(scenario())
    paid.nothing_left()
    assert [leg.spec.request_uri for leg in world.agent.legs] == ["sip:alice@example.com"]


def test_a_caller_who_cannot_be_bridged_gives_the_credit_back(paid: Paid, world: Any) -> None:
    async def scenario() -> Any:
        call = world.fake_call(world.clock)
        call.refuse_bridge = ValueError("no common codec")
        await world.run([connect()], call, number=paid.number, record=paid.record())

    asyncio.run(scenario())
    paid.nothing_left()
    assert paid.charging.made[0].exhausted is None


def test_credit_that_comes_after_the_caller_is_gone_dials_nobody(paid: Paid, world: Any) -> None:
    """The task of a call that is over is cancelled; where something took no notice of that, nothing is dialled."""

    async def scenario() -> Any:
        paid.charging.gate = asyncio.Event()
        call = world.fake_call(world.clock)
        work = world.run([connect()], call, number=paid.number, record=paid.record())
        running = asyncio.ensure_future(work)
        await turns()
        call.task = None
        call.end("remote", 487)
        paid.charging.gate.set()
        await running

    asyncio.run(scenario())
    paid.nothing_left()
    assert len(paid.charging.made) == 1
    assert not world.agent.legs
