"""conference_join: who is in a room with whom, for how long, and what is left when they have gone."""

import asyncio
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from flows.queues.conferences import JOINED, LEFT, Conference, Conferences, _tone
from routing.identifiers import NIL, named_id

END = ("hangup", 480, "Q.850;cause=16")
ROOM = named_id("conference", "room")


class FakeMixer:
    def __init__(self) -> None:
        self.members: list[Any] = []
        self.played: list[Any] = []
        self.closed = False

    def join(self) -> Any:
        member = SimpleNamespace(name=f"member {len(self.members) + 1}", seconds=0.0, over=asyncio.Event())
        self.members.append(member)
        return member

    def leave(self, member: Any) -> None:
        if member in self.members:
            self.members.remove(member)
            member.over.set()

    def play(self, clip: Any) -> None:
        self.played.append("joined" if clip is _tone(JOINED) else "left" if clip is _tone(LEFT) else clip)

    def close(self) -> None:
        self.closed = True
        for member in list(self.members):
            self.leave(member)


class House:
    """The world with conferences; calls in it talk until their feed is over."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.mixers: list[FakeMixer] = []
        self.described: dict[str, Conference] = {}
        world.services.conferences = self.conferences = Conferences(self, self.mixer, world.services.calls.wall)
        self.describe()

    async def mixer(self) -> FakeMixer:
        await asyncio.sleep(0)
        self.mixers.append(FakeMixer())
        return self.mixers[-1]

    def describe(self, **more: Any) -> None:
        self.described["room"] = Conference(ROOM, NIL, "room", **more)

    def conference(self, reference: str, customer_id: UUID) -> Conference | None:
        self.asked = customer_id
        return self.described.get(reference)

    def call(self, name: str) -> Any:
        call = self.world.fake_call(self.world.clock, name)

        async def talk(feed: Any) -> None:
            if hasattr(feed, "over"):
                await feed.over.wait()

        call.on_play = talk
        return call

    def join(self, call: Any, *more: Any) -> "asyncio.Task[Any]":
        record = self.world.record()
        record.id = call.id
        actions = [{"type": "conference_join", "option": {"conference_id": "room"}}, *more]
        return asyncio.create_task(self.world.run(actions, call, record=record))

    async def settle(self) -> None:
        for _ in range(30):
            await asyncio.sleep(0)


@pytest.fixture
def house(world: Any) -> House:
    return House(world)


def go(work: Any) -> Any:
    return asyncio.run(work)


def test_members_are_answered_heard_and_announced_and_the_last_one_takes_the_room_along(house: House) -> None:
    async def scene() -> None:
        ann, bob = house.call("ann"), house.call("bob")
        first, second = house.join(ann), house.join(bob)
        await house.settle()
        assert ann.answered and bob.answered
        assert [seat.call_id for seat in house.conferences.members(ROOM)] == ["ann", "bob"]
        (mixer,) = [one for one in house.mixers if one.members]  # both asked for one, and one is used
        assert ann.taps == [mixer.members[0]] and bob.taps == [mixer.members[1]]
        assert mixer.played == ["joined", "joined"]
        ann.end("remote", 200)
        await first
        assert ann.taps == [] and len(mixer.members) == 1 and mixer.played[-1] == "left"
        bob.end("remote", 200)
        await second
        assert mixer.closed and not mixer.members and len(house.conferences) == 0
        assert house.conferences.members(ROOM) == ()

    go(scene())


def test_a_room_that_does_not_announce_plays_no_tones(house: House) -> None:
    async def scene() -> None:
        house.describe(announce=False)
        ann, bob = house.call("ann"), house.call("bob")
        tasks = house.join(ann), house.join(bob)
        await house.settle()
        ann.end("remote", 200)
        await house.settle()
        assert all(not mixer.played for mixer in house.mixers)
        bob.end("remote", 200)
        await asyncio.gather(*tasks)

    go(scene())


def test_who_comes_to_a_full_room_is_not_answered_and_its_flow_goes_on(house: House) -> None:
    async def scene() -> None:
        house.describe(max_members=1)
        ann, bob = house.call("ann"), house.call("bob")
        first = house.join(ann)
        await house.settle()
        branch = {"type": "branch", "option": {"variable": "conference.status", "target_ids": {"full": "f"}}}
        full = {"id": "f", "type": "reject", "option": {"code": 486}}
        ran = await house.join(bob, branch, full)
        assert ran.orders == [("reject", 486, "")]
        assert house.world.log.errors() == ["the conference is full: 1 of 1 are in it"]
        assert len(house.conferences.members(ROOM)) == 1
        ann.end("remote", 200)
        await first

    go(scene())


def test_the_conferences_time_ends_it_for_all_and_their_flows_go_on(house: House) -> None:
    async def scene() -> None:
        house.describe(timeout=0.01)
        ann, bob = house.call("ann"), house.call("bob")
        checks = {
            "type": "branch",
            "option": {"variable": "conference.status", "target_ids": {"timeout": "t"}},
        }
        hang, beep = {"type": "hangup", "option": {"reason": "busy"}}, {"id": "t", "type": "beep"}
        tasks = house.join(ann, checks, hang, beep), house.join(bob, checks, hang, beep)
        for ran in await asyncio.gather(*tasks):
            assert ran.orders[-2:] == [("play", "tone:1000/250"), END]
        assert len(house.conferences) == 0

    go(scene())


def test_a_room_that_is_over_is_not_joined_and_another_begins(house: House) -> None:
    async def scene() -> None:
        ann = house.call("ann")
        first = house.join(ann)
        await house.settle()
        house.conferences.close()
        bob = house.call("bob")
        second = house.join(bob)
        await house.settle()
        assert (await first).orders[-1] == END
        assert [seat.call_id for seat in house.conferences.members(ROOM)] == ["bob"]
        bob.end("remote", 200)
        await second
        assert len(house.conferences) == 0

    go(scene())


def test_media_that_cannot_be_had_leaves_no_room(house: House) -> None:
    async def scene() -> None:
        ann = house.call("ann")
        ann.refuse_answer = RuntimeError("no media")
        await house.join(ann)
        assert len(house.conferences) == 0 and house.conferences.members(ROOM) == ()

    go(scene())


@pytest.mark.parametrize("there", [True, False])
def test_a_conference_that_is_not_there_fails_and_the_flow_goes_on(house: House, there: bool) -> None:
    house.described.clear()
    if not there:
        house.world.services.conferences = None
    ran = house.world.go(
        [{"type": "conference_join", "option": {"conference_id": "room"}}, {"type": "reject", "option": {}}]
    )
    assert ran.orders == [("reject", 603, "")]
    expected = "there is no conference 'room'" if there else "this service holds no conferences"
    assert house.world.log.errors() == [expected]


def test_many_calls_come_and_go_and_nothing_is_left(house: House) -> None:
    import random

    dice = random.Random(4)

    async def scene() -> None:
        house.describe(max_members=5)
        running: list[tuple[Any, Any]] = []
        for number in range(200):
            if running and dice.random() < 0.45:
                call, _ = dice.choice(running)
                call.end("remote", 200)
            else:
                call = house.call(f"call {number}")
                running.append((call, house.join(call)))
            for _ in range(dice.randrange(4)):
                await asyncio.sleep(0)
            assert len(house.conferences.members(ROOM)) <= 5
        for call, task in running:
            call.end("remote", 200)
            await task
        assert len(house.conferences) == 0
        assert all(not mixer.members for mixer in house.mixers)
        assert all(not call.taps for call, _ in running)

    go(scene())
