"""Groupcalls: who is called when, who has the call, and how it ends."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from flows.calls.hangup import hangup_by_id
from flows.origination.groupcall import GroupCall, place_group_call, prepare_group_call, read_group_request
from flows.origination.orders import OrderError

NAMES = ("alice", "bob", "carol")


async def turns() -> None:
    for _ in range(12):
        await asyncio.sleep(0)


def request(method: str = "ring_all", **more: Any) -> Any:
    destinations = [{"type": "sip", "target": f"sip:{name}@example.com"} for name in NAMES]
    actions = [{"type": "block"}]
    return read_group_request({"destinations": destinations, "ring_method": method, "actions": actions, **more})


class Group:
    """A groupcall to three phones that all ring, and what it told."""

    def __init__(self, world: Any, method: str, **more: Any) -> None:
        self.world = world
        world.agent.script["example.com"] = world.never  # for those that a test has not decided about
        self.told: list[tuple[str, str]] = []
        self.made: GroupCall = prepare_group_call(world.services, request(method, **more), metadata={"a": 1})
        self.made.on_change = lambda made: self.told.append((made.status, made.answer_call_id))
        self.records = self.made.records

    def leg(self, name: str) -> Any:
        (found,) = [leg for leg in self.world.agent.legs if name in leg.spec.request_uri]
        return found

    @property
    def dialled(self) -> list[str]:
        return [leg.spec.request_uri[4:].partition("@")[0] for leg in self.world.agent.legs]

    @property
    def reasons(self) -> list[str]:
        return [record.hangup_reason for record in self.records]

    async def over(self) -> None:
        await self.made.wait()
        await turns()
        assert not len(self.world.services.calls.tasks)
        assert self.made.status == "hangup"
        assert all(record.status == "hangup" for record in self.records)
        assert not self.world.services.calls.registry.running_records()
        assert all(leg.ended_at is not None for leg in self.world.agent.legs)


def test_all_ring_and_the_first_that_answers_has_the_call(world: Any) -> None:
    async def scenario() -> Group:
        group = Group(world, "ring_all")
        await turns()
        assert not world.agent.legs
        group.made.start()
        group.made.start()
        await turns()
        assert group.dialled == list(NAMES)
        assert group.told == []
        group.leg("bob").settle(world.answered)
        await turns()
        bob = group.made.call_ids[1]
        assert (group.made.status, group.made.answer_call_id) == ("progressing", bob)
        assert [group.leg(name).cancelled for name in NAMES] == [1, 0, 1]
        assert [record.status for record in group.records] == ["hangup", "progressing", "hangup"]
        group.leg("bob").end("remote", 200)
        await group.over()
        assert group.told == [("progressing", bob), ("hangup", bob)]
        return group

    group = asyncio.run(scenario())
    assert group.reasons == ["cancel", "normal", "cancel"]
    assert [record.groupcall_id for record in group.records] == [str(group.made.id)] * 3
    assert group.records[0].metadata == {"a": 1}
    assert group.made.flow_id.int and group.records[1].call_flow_id == group.made.flow_id


def test_two_answers_in_one_moment_make_one_call(world: Any) -> None:
    async def scenario() -> Group:
        group = Group(world, "ring_all")
        group.made.start()
        await turns()
        group.leg("carol").settle(world.answered)
        group.leg("alice").settle(world.answered)
        await turns()
        assert group.made.answer_call_id == group.made.call_ids[2]
        assert group.leg("alice").ended_by == "local"
        assert group.leg("carol").ended_at is None
        group.leg("carol").end("remote", 200)
        await group.over()
        return group

    group = asyncio.run(scenario())
    assert group.told[0][0] == "progressing" and len(group.told) == 2


def test_linear_calls_one_after_another_until_one_answers(world: Any) -> None:
    world.agent.script = {"alice": world.refused(486)}

    async def scenario() -> Group:
        group = Group(world, "linear")
        group.made.start()
        await turns()
        assert group.dialled == ["alice", "bob"]
        assert len(group.made.call_ids) == 3
        group.leg("bob").settle(world.answered)
        await turns()
        assert group.made.status == "progressing"
        assert group.records[2].notes == ["another destination answered before it was dialled"]
        group.leg("bob").end("remote", 200)
        await group.over()
        return group

    group = asyncio.run(scenario())
    assert group.dialled == ["alice", "bob"]
    assert group.reasons == ["busy", "normal", "cancel"]
    assert all(world.services.calls.registry.get(call_id) is not None for call_id in group.made.call_ids)


@pytest.mark.parametrize("method", ["ring_all", "linear"])
def test_nobody_answers(world: Any, method: str) -> None:
    world.agent.script = {"alice": world.refused(486), "bob": world.refused(404), "carol": world.refused(480)}

    async def scenario() -> Group:
        group = Group(world, method)
        group.made.start()
        await group.over()
        return group

    group = asyncio.run(scenario())
    assert group.dialled == list(NAMES)
    assert group.reasons == ["busy", "failed", "noanswer"]
    assert group.told == [("hangup", "")]


@pytest.mark.parametrize("method", ["ring_all", "linear"])
@pytest.mark.parametrize("moment", ["prepared", "ringing", "answered"])
def test_a_groupcall_is_hung_up(world: Any, method: str, moment: str) -> None:
    async def scenario() -> Group:
        group = Group(world, method)
        if moment != "prepared":
            group.made.start()
            await turns()
        if moment == "answered":
            group.leg("alice").settle(world.answered)
            await turns()
        group.made.hang_up()
        group.made.hang_up()
        group.made.start()
        await group.over()
        return group

    group = asyncio.run(scenario())
    assert len(group.dialled) == {"prepared": 0, "ringing": 3 if method == "ring_all" else 1}.get(
        moment, 3 if method == "ring_all" else 1
    )
    assert group.reasons == ["normal" if moment == "answered" else "cancel", "cancel", "cancel"]
    assert [status for status, _ in group.told] == (["progressing"] if moment == "answered" else []) + ["hangup"]


def test_an_answer_in_the_moment_of_the_hangup_has_nothing(world: Any) -> None:
    async def scenario() -> Group:
        group = Group(world, "ring_all")
        group.made.start()
        await turns()
        group.leg("alice").settle(world.answered)
        group.made.hang_up()
        await group.over()
        return group

    group = asyncio.run(scenario())
    assert (group.made.answer_call_id, group.told) == ("", [("hangup", "")])


def test_one_of_its_calls_is_hung_up_and_the_next_is_called(world: Any) -> None:
    async def scenario() -> None:
        group = Group(world, "linear")
        group.made.start()
        await turns()
        assert hangup_by_id(world.services.calls.registry, group.made.call_ids[0])
        await turns()
        assert group.dialled == ["alice", "bob"]
        group.made.hang_up()
        await group.over()

    asyncio.run(scenario())


@pytest.mark.parametrize("method", ["ring_all", "linear"])
@pytest.mark.parametrize("started", [False, True])
def test_the_end_of_the_service_ends_it(world: Any, method: str, started: bool) -> None:
    async def scenario() -> None:
        group = Group(world, method)
        group.made.start()
        if started:
            await turns()
        await world.services.close()
        await group.over()
        assert set(group.reasons) == {"cancel"}

    asyncio.run(scenario())


@pytest.mark.parametrize("method", ["ring_all", "linear"])
@pytest.mark.parametrize("limit", [0, 2])
def test_where_too_much_runs_already_the_records_say_so(world: Any, method: str, limit: int) -> None:
    async def scenario() -> Group:
        group = Group(world, method)
        world.services.calls.tasks.limit = limit
        group.made.start()
        if method == "linear" and limit:
            await turns()
            group.made.hang_up()
        await group.over()
        return group

    group = asyncio.run(scenario())
    assert group.told == [("hangup", "")]
    if limit == 0:
        assert not group.dialled


def test_too_many_destinations_at_once_are_refused(world: Any) -> None:
    world.services.calls.tasks.limit = 2
    with pytest.raises(OrderError, match="a groupcall was not started") as error:
        place_group_call(world.services, request())
    assert error.value.reason == "RATE_LIMIT_EXCEEDED"


def test_a_callback_that_fails_does_no_harm(world: Any) -> None:
    def broken(made: GroupCall) -> None:
        raise ValueError("no")

    async def scenario() -> None:
        group = Group(world, "ring_all")
        group.made.on_change = broken
        group.made.start()
        await turns()
        group.made.hang_up()
        await group.over()

    asyncio.run(scenario())
    assert world.log.errors() == ["ValueError: no"]


def test_a_request_says_what_is_wrong_with_it() -> None:
    with pytest.raises(OrderError) as error:
        request("round_robin", colour="red", provider_id=str(UUID(int=1)))
    lines = str(error.value).splitlines()
    assert lines[0] == "ring_method: must be one of 'ring_all' or 'linear', and is 'round_robin'; choose one"
    assert "colour: is not known to a groupcall" in lines[1]
    assert len(lines) == 3
