"""The tree of what one call, message or order sets off: its depth, number and breadth (RFC 3261 §16.3, RFC 5393 §3)."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from flows.calls.address import Address
from flows.calls.tree import (
    BURST,
    MOST_AT_ONCE,
    MOST_DEEP,
    MOST_LEGS,
    MOST_RUNS,
    RATE,
    WITHIN,
    Branch,
    OrderLimit,
    Tree,
)
from flows.origination.groupcall import GroupCallRequest, prepare_group_call
from flows.origination.orders import CallOrder, OrderError, prepare_calls
from routing.identifiers import NIL

NUMBER, OTHER = "+15559990000", "+15559990001"
FOREIGN = {"type": "tel", "target": "+15557770000"}


def own(number: str = NUMBER) -> dict[str, str]:
    return {"type": "tel", "target": number}


def connect(*destinations: Any, **option: Any) -> dict[str, Any]:
    return {"type": "connect", "option": {"destinations": list(destinations), **option}}


def loops(world: Any) -> list[str]:
    return [values["call_id"] for _, event, values in world.log.lines if event == "loop of flows ended"]


async def over(world: Any) -> None:
    while running := list(world.services.calls.tasks.running):
        await asyncio.wait(running)


@pytest.fixture
def runs(world: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The depth of each flow run that the tree has let in."""
    found: list[int] = []
    for name in ("grow", "run"):
        method = getattr(Branch, name)

        def told(self: Branch, *asked: Any, method: Any = method) -> Any:
            came = method(self, *asked)
            if came:
                found.append(came.depth if isinstance(came, Branch) else self.depth)
            return came

        monkeypatch.setattr(Branch, name, told)
    return found


def test_a_number_that_connects_to_itself_runs_so_many_times_and_no_more(world: Any, runs: list[int]) -> None:
    world.flows(f=[connect(own())])
    world.number(NUMBER, "f")
    ran = world.go([connect(own(), relay_reason=True)])
    assert runs == list(range(1, MOST_DEEP))
    assert loops(world) == [ran.record.id]


@pytest.mark.parametrize("branches", [2, 3, 20])
def test_a_number_that_rings_itself_several_times_at_once_does_not_double_for_ever(
    world: Any, runs: list[int], branches: int
) -> None:
    world.flows(f=[connect(*[own()] * branches)])
    world.number(NUMBER, "f")
    ran = world.go([connect(own(), relay_reason=True)])
    assert len(runs) == MOST_RUNS - 1
    assert ran.call.end_status >= 400
    assert loops(world) == [ran.record.id]


@pytest.mark.parametrize("pair", [(NUMBER, NUMBER), (NUMBER, OTHER)])
def test_numbers_that_call_one_another_run_so_many_flows_and_no_more(
    world: Any, runs: list[int], pair: tuple[str, str]
) -> None:
    """`call` begins calls of their own; the world's agent answers each, and does not deliver it: what counts is what
    was let in."""
    calls = [{"type": "call", "option": {"destinations": [own(number) for number in pair], "flow_id": "f"}}]
    world.flows(f=calls)
    for number in set(pair):
        world.number(number, "f")

    async def go() -> None:
        await world.run(
            [{"type": "call", "option": {"destinations": [own(number) for number in pair], "flow_id": "f"}}]
        )
        await over(world)

    asyncio.run(go())
    assert len(runs) == MOST_RUNS - 1
    assert max(runs) < MOST_DEEP
    orders = [record for record in world.services.calls.registry.newest(1000) if record.direction == "outgoing"]
    assert len(orders) <= 2 * MOST_RUNS


def test_a_groupcall_is_the_root_of_its_calls_which_are_no_runs_too_many(world: Any, runs: list[int]) -> None:
    world.flows(f=[{"type": "call", "option": {"destinations": [own(), own()], "flow_id": "f"}}])
    world.number(NUMBER, "f")

    async def group() -> Any:
        destinations = [Address(type="tel", target=NUMBER)] * 5
        made = prepare_group_call(world.services, GroupCallRequest(destinations=destinations, flow_id="f"))
        made.start()
        records = await made.wait()
        await over(world)
        return records

    records = asyncio.run(group())
    assert len(records) == 5
    assert sum(depth > 0 for depth in runs) == MOST_RUNS - 1
    roots = {id(leg.spec.origin.branch.tree) for leg in world.agent.legs if leg.spec.origin is not None}
    assert len(roots) == 1


def test_runs_count_for_ten_minutes(world: Any) -> None:
    branch = Branch(Tree())
    for _ in range(MOST_RUNS - 1):
        assert branch.grow(world.log, world.clock(), "x") == Branch(branch.tree, 1)
    assert branch.grow(world.log, world.clock(), "x") is None
    world.clock.now += WITHIN - 0.1
    assert branch.grow(world.log, world.clock(), "x") is None
    world.clock.now += 0.1
    assert branch.grow(world.log, world.clock(), "x") is not None
    assert branch.tree.full(world.clock.now) == ""


def test_what_an_order_itself_is_for_is_no_run_beyond_it(world: Any) -> None:
    root = Branch(Tree())
    assert all(root.run(world.log, world.clock(), "x") for _ in range(10 * MOST_RUNS))
    deeper = root.grow(world.log, world.clock(), "x")
    assert deeper is not None
    assert sum(deeper.run(world.log, world.clock(), "x") for _ in range(10 * MOST_RUNS)) == MOST_RUNS - 2


def test_legs_at_once_are_bounded_and_counted_off_when_they_end(world: Any) -> None:
    tree = Tree()
    for outcome in (world.answered, world.refused(486), world.refused(503), RuntimeError("broken")):
        world.agent.script["192.0.2"] = outcome
        world.go([connect(FOREIGN)], branch=Branch(tree))
        assert tree.legs == 0, outcome
    world.agent.script.clear()
    tree.legs = MOST_LEGS
    ran = world.go([connect(FOREIGN, relay_reason=True)], branch=Branch(tree))
    assert (ran.call.end_status, tree.legs) == (482, MOST_LEGS)
    assert [record.skipped for record in ran.record.attempts] == ["too_many_legs"]
    assert world.channels() == 0


def test_orders_are_roots_and_limited_for_each_customer(world: Any) -> None:
    """A webhook whose server orders calls for each webhook would never end otherwise."""
    ann, bob = UUID(int=5), UUID(int=6)
    world.agent.script["192.0.2"] = world.never

    def order(customer: UUID, count: int) -> Any:
        return CallOrder(destinations=[Address(**FOREIGN)] * count, customer_id=customer)

    async def go() -> None:
        made = [prepare_calls(world.services, order(ann, 100)) for _ in range(MOST_AT_ONCE // 100)]
        for calls in made:
            calls.start()
        with pytest.raises(OrderError, match="200 calls of this customer are up or dialled, of 200") as e:
            prepare_calls(world.services, order(ann, 1))
        assert e.value.reason == "RATE_LIMIT_EXCEEDED"
        prepare_calls(world.services, order(bob, 100)).hang_up()
        prepare_calls(world.services, order(NIL, 100)).hang_up()
        for calls in made:
            calls.hang_up()
            await calls.wait()
        await over(world)
        prepare_calls(world.services, order(ann, 100)).hang_up()

    asyncio.run(go())


def test_orders_of_a_customer_have_a_rate(world: Any) -> None:
    limit, ann, bob = OrderLimit(), UUID(int=5), UUID(int=6)
    for _ in range(BURST // 100):
        assert limit.refuses(ann, 100, 0.0) == ""
    assert "a second" in limit.refuses(ann, 1, 0.0)
    assert limit.refuses(bob, 100, 0.0) == ""
    assert limit.refuses(NIL, 100_000, 0.0) == ""
    later = 20 / RATE
    assert "a second" in limit.refuses(ann, 21, later)
    assert limit.refuses(ann, 20, later) == ""
