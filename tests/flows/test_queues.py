"""queue_join in simulated time: who is rung for whom, in which order, and what every end leaves behind."""

import asyncio
import random
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from engine.media.port_pool import NoPortError
from flows.calls.address import Address
from flows.calls.ports import SoundError
from flows.python.flows import compile_python
from flows.queues.agents import REST
from flows.queues.model import Agent, Queue
from flows.queues.music import MUSIC
from flows.queues.service import Queues
from flows.queues.states import AGENT, CALLER
from routing.identifiers import NIL, named_id
from tests.simulation.agent import SimulatedLoop

NEVER = "never"
TAG = named_id("tag", "sales")


def agent_id(name: str) -> UUID:
    return named_id("agent", name)


class Board:
    """The rows, and what changes them."""

    def __init__(self) -> None:
        self.agents: dict[UUID, Agent] = {}
        self.queue = Queue(named_id("queue", "desk"), NIL, "desk")
        self.others: dict[str, Queue] = {}
        self.queues: Any = None
        self.refuse: set[str] = set()
        self.history: list[tuple[str, str]] = []
        self.rung = 0

    def hire(self, *names: str, status: str = "available", tags: tuple[UUID, ...] = (), **more: Any) -> None:
        for name in names:
            addresses = more.get("addresses") or (Address(type="sip", target=f"sip:{name}@desk"),)
            identifier = agent_id(name)
            values = more | {"addresses": tuple(addresses)}
            self.agents[identifier] = Agent(identifier, NIL, name, tag_ids=frozenset(tags), status=status, **values)
            if not tags:
                self.queue = replace(self.queue, agent_ids=(*self.queue.agent_ids, identifier))

    def set(self, identifier: UUID, status: str) -> None:
        agent = self.agents[identifier]
        self.agents[identifier] = replace(agent, status=status)
        self.history.append((agent.name, status))
        asyncio.get_running_loop().call_soon(self._tell, identifier, status)

    def _tell(self, identifier: UUID, status: str) -> None:
        self.queues.agent_changed(identifier, status)
        self.queues.dispatch()

    def says(self, name: str, status: str) -> None:
        self.set(agent_id(name), status)

    def status(self, name: str) -> str:
        return self.agents[agent_id(name)].status

    # ---- QueueFinder

    def find(self, reference: str) -> Queue | None:
        known = {"desk": self.queue, str(self.queue.id): self.queue} | self.others
        return known.get(reference)

    # ---- AgentBoard

    async def claim(self, identifier: UUID) -> bool:
        await asyncio.sleep(0.001)
        agent = self.agents[identifier]
        if agent.status != "available" or agent.name in self.refuse:
            return False
        self.set(identifier, "ringing")
        return True

    def talks(self, identifier: UUID) -> None:
        self._turn(identifier, ("ringing",), "busy")

    def hold(self, identifier: UUID) -> None:
        self._turn(identifier, ("available",), "busy")

    def release(self, identifier: UUID) -> None:
        self._turn(identifier, ("ringing", "busy"), "available")

    def _turn(self, identifier: UUID, before: tuple[str, ...], after: str) -> None:
        if self.agents[identifier].status in before:
            self.set(identifier, after)


class Finder:
    def __init__(self, board: Board) -> None:
        self.board = board

    def queue(self, reference: str, customer_id: UUID) -> Queue | None:
        return self.board.find(reference)

    def agents(self, queue: Queue) -> list[Agent]:
        board = self.board
        tagged = [one for one in board.agents.values() if one.tag_ids & queue.tag_ids]
        return [board.agents[one] for one in queue.agent_ids if one in board.agents] + tagged


class Hall:
    """The world with one queue; `time` passes only by waiting."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.board = Board()
        self.queues = self.board.queues = Queues(Finder(self.board), self.board, random.Random(3))
        world.services.queues = self.queues
        world.agent.talk = world.never
        self.tasks: list[asyncio.Task[Any]] = []

    def describe(self, **more: Any) -> None:
        self.board.queue = replace(self.board.queue, **more)

    def call(self, name: str = "caller", queue: str = "desk", program: Any = None) -> Any:
        """A call whose flow joins the queue, and then dials what it has seen of it; or runs `program`."""
        call = self.world.fake_call(self.world.clock, name)

        async def music(feed: Any) -> None:
            call.playing = feed.name
            try:
                if feed.name.endswith("x0"):
                    await asyncio.Event().wait()
            finally:
                call.playing = ""

        call.playing = ""
        call.on_play = music
        record = self.world.record()
        record.id = name
        call.record = record
        call.variables = {}
        call.flow = asyncio.create_task(
            self.world.run(
                program or [{"type": "queue_join", "option": {"queue_id": queue}}, {"type": "call", "option": SEEN}],
                call,
                record=record,
            )
        )
        self.tasks.append(call.flow)
        return call

    def leg(self, name: str) -> Any:
        """The last leg to an agent."""
        return [leg for leg in self.world.agent.legs if leg.spec.request_uri.startswith(f"sip:{name}")][-1]

    def rung(self) -> list[str]:
        return [leg.spec.request_uri.partition(":")[2].partition("@")[0] for leg in self.world.agent.legs]

    def waiting(self) -> list[str]:
        return [waiting.context.record.id for waiting in self.queues.callers(self.board.queue.id)]

    def settle(self, name: str, outcome: Any) -> None:
        self.leg(name).settle(outcome)

    def go(self, scene: Coroutine[Any, Any, Any]) -> None:
        loop = SimulatedLoop()
        self.world.services.calls.clock = loop.time

        async def whole() -> None:
            await scene
            for task in self.tasks:
                if not task.done():
                    task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)
            await asyncio.sleep(200)
            known = (self.board.queue, *self.board.others.values())
            assert not any(self.queues.callers(queue.id) for queue in known)
            assert all(self.queues.agents.state(one) == "free" for one in self.board.agents)
            assert not [one for one in asyncio.all_tasks() if one is not asyncio.current_task()]
            unknown = [error for error in self.world.log.errors() if error.startswith("KeyError")]
            assert not unknown, "an event that a state does not know"
            self.queues.close()

        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(whole())


_SEEN = "sip:seen-${queue.status}-${queue.waited}-${queue.duration}-${queue.agent_name}@desk"
SEEN = {"destinations": [{"type": "sip", "target": _SEEN}]}
# What a flow has seen of the queue is what it dials afterwards.


@pytest.fixture
def hall(world: Any) -> Hall:
    made = Hall(world)
    world.agent.script["seen-"] = world.refused(486)
    return made


def seen(hall: Hall, call: Any) -> str:
    """What the record of a call says of its queue."""
    notes: list[str] = call.record.notes
    return next(note for note in notes if note.startswith("queue "))


def test_a_free_agent_is_rung_at_once_and_talks(hall: Hall) -> None:
    async def scene() -> None:
        hall.board.hire("ann")
        caller = hall.call()
        await asyncio.sleep(0.1)
        assert caller.orders[0] == "answer"
        assert caller.orders[-1] == ("bridge", "sip:ann@desk")
        assert hall.board.status("ann") == "busy" and hall.waiting() == [] and not caller.playing
        await asyncio.sleep(30)
        hall.leg("ann").end("remote", 200)
        await caller.flow
        assert seen(hall, caller) == "queue desk: waited 0 s, talked 30 s with ann"
        assert "sip:seen-answered-0-30-ann@desk" in [spec.spec.request_uri for spec in hall.world.agent.legs]
        assert hall.board.status("ann") == "available"
        assert hall.board.history == [("ann", "ringing"), ("ann", "busy"), ("ann", "available")]

    hall.go(scene())


def test_the_second_caller_waits_with_music_and_gets_the_agent_after_the_wrap_up(hall: Hall) -> None:
    async def scene() -> None:
        hall.describe(wrap_up_timeout=10.0, music="waltz.ogg")
        hall.board.hire("ann")
        first = hall.call("first")
        await asyncio.sleep(0.1)
        second = hall.call("second")
        await asyncio.sleep(5)
        assert second.playing == "waltz.ogg x0" and hall.waiting() == ["second"]
        hall.leg("ann").end("remote", 200)
        await first.flow
        await asyncio.sleep(9.9)
        assert len(hall.world.agent.legs) == 2 and hall.board.status("ann") == "busy"  # ann's, and what was seen
        await asyncio.sleep(0.2)
        assert second.orders[-1] == ("bridge", "sip:ann@desk") and not second.playing
        hall.leg("ann").end("remote", 200)
        await second.flow
        assert seen(hall, second) == "queue desk: waited 15 s, talked 0 s with ann"

    hall.go(scene())


def test_callers_are_served_in_the_order_in_which_they_came(hall: Hall) -> None:
    async def scene() -> None:
        hall.board.hire("ann", status="away")
        callers = [hall.call(f"caller {number}") for number in range(4)]
        await asyncio.sleep(1)
        assert hall.waiting() == [caller.id for caller in callers]
        hall.board.says("ann", "available")
        for caller in callers:
            await asyncio.sleep(1)
            assert caller.orders[-1] == ("bridge", "sip:ann@desk")
            hall.leg("ann").end("remote", 200)
            await caller.flow

    hall.go(scene())


def test_who_does_not_answer_in_time_is_left_in_peace_and_the_next_one_rung(hall: Hall) -> None:
    async def scene() -> None:
        hall.describe(ring_timeout=15.0, routing_method="longest_idle")
        hall.board.hire("ann", "bob")
        hall.world.agent.script |= {"ann": NEVER, "bob": NEVER}
        caller = hall.call()
        await asyncio.sleep(1)
        assert hall.rung() == ["ann"] and hall.leg("ann").spec.ring_timeout == 15
        hall.settle("ann", hall.world.outcome("ring_timeout", 0, "", 0, None))
        await asyncio.sleep(1)
        assert hall.rung() == ["ann", "bob"] and hall.board.status("ann") == "available"
        hall.settle("bob", hall.world.refused(486))
        await asyncio.sleep(REST - 2)
        assert hall.rung() == ["ann", "bob"] and caller.playing and hall.waiting() == ["caller"]
        await asyncio.sleep(2)
        assert hall.rung() == ["ann", "bob", "ann"]
        hall.settle("ann", hall.world.answered)
        await asyncio.sleep(0.1)
        assert caller.orders[-1] == ("bridge", "sip:ann@desk")

    hall.go(scene())


def test_the_longest_idle_agent_is_next(hall: Hall) -> None:
    async def scene() -> None:
        hall.describe(routing_method="longest_idle")
        hall.board.hire("ann", "bob", "eve")
        order = []
        for number in range(7):
            caller = hall.call(f"caller {number}")
            await asyncio.sleep(1)
            order.append(caller.orders[-1][1])
            hall.leg(order[-1][4:]).end("remote", 200)
            await caller.flow
        names = ["ann", "bob", "eve", "ann", "bob", "eve", "ann"]
        assert order == [f"sip:{name}@desk" for name in names]

    hall.go(scene())


def test_random_rings_one_at_a_time_and_everybody_some_time(hall: Hall) -> None:
    async def scene() -> None:
        hall.board.hire("ann", "bob", "eve")
        order = []
        for number in range(30):
            caller = hall.call(f"caller {number}")
            await asyncio.sleep(1)
            order.append(caller.orders[-1][1])
            hall.leg(order[-1][4:]).end("remote", 200)
            await caller.flow
        assert {order.count(f"sip:{name}@desk") > 3 for name in ("ann", "bob", "eve")} == {True}
        assert len([leg for leg in hall.world.agent.legs if "seen" not in leg.spec.request_uri]) == 30

    hall.go(scene())


def test_ring_all_rings_all_and_the_first_that_answers_has_the_caller(hall: Hall) -> None:
    async def scene() -> None:
        hall.describe(routing_method="ring_all")
        hall.board.hire("ann", "bob", "eve")
        hall.world.agent.script |= {"ann": NEVER, "bob": NEVER, "eve": NEVER}
        caller, other = hall.call(), hall.call("other")
        await asyncio.sleep(1)
        assert hall.rung() == ["ann", "bob", "eve"]
        hall.settle("bob", hall.world.answered)
        await asyncio.sleep(0.1)
        assert caller.orders[-1] == ("bridge", "sip:bob@desk")
        assert hall.leg("ann").cancelled or len(hall.rung()) > 3
        # The others are free again, and ring for whoever is next.
        assert hall.rung()[3:] == ["ann", "eve"]
        hall.settle("eve", hall.world.answered)
        await asyncio.sleep(0.1)
        assert other.orders[-1] == ("bridge", "sip:eve@desk")
        assert {name: hall.board.status(name) for name in ("ann", "bob", "eve")} == {
            "ann": "available", "bob": "busy", "eve": "busy",
        }  # fmt: skip

    hall.go(scene())


def test_two_that_answer_at_the_same_moment_do_not_both_get_the_caller(hall: Hall) -> None:
    async def scene() -> None:
        hall.describe(routing_method="ring_all")
        hall.board.hire("ann", "bob")
        hall.world.agent.script |= {"ann": NEVER, "bob": NEVER}
        caller = hall.call()
        await asyncio.sleep(1)
        hall.settle("ann", hall.world.answered)
        hall.settle("bob", hall.world.answered)
        await asyncio.sleep(0.1)
        assert len(caller.bridged) == 1
        other = next(name for name in ("ann", "bob") if name not in caller.orders[-1][1])
        assert hall.leg(other).ended_at is not None and hall.board.status(other) == "available"

    hall.go(scene())


def test_the_addresses_of_an_agent_ring_as_it_wants(hall: Hall) -> None:
    async def scene() -> None:
        both = [Address(type="sip", target="sip:ann-desk@x"), Address(type="sip", target="sip:ann-mobile@x")]
        hall.board.hire("ann", addresses=both, ring_method="linear")
        hall.world.agent.script |= {"ann-desk": NEVER, "ann-mobile": NEVER}
        caller = hall.call()
        await asyncio.sleep(1)
        assert hall.rung() == ["ann-desk"]
        hall.settle("ann-desk", hall.world.refused(480))
        await asyncio.sleep(1)
        assert hall.rung() == ["ann-desk", "ann-mobile"]
        hall.settle("ann-mobile", hall.world.answered)
        await asyncio.sleep(1)
        assert caller.bridged
        hall.leg("ann-mobile").end("remote", 200)
        await caller.flow
        hall.board.agents[agent_id("ann")] = replace(hall.board.agents[agent_id("ann")], ring_method="ring_all")
        caller = hall.call("again")
        await asyncio.sleep(1)
        assert hall.rung()[-2:] == ["ann-desk", "ann-mobile"]
        hall.settle("ann-desk", hall.world.answered)
        await asyncio.sleep(0.1)
        assert caller.bridged and hall.leg("ann-mobile").ended_at is not None

    hall.go(scene())


def test_the_time_to_wait_ends_the_wait_and_the_overflow_flow_runs_in_place(hall: Hall) -> None:
    async def scene() -> None:
        hall.world.flows(night=[{"type": "play", "option": {"sources": ["night.wav"]}}])
        hall.describe(wait_timeout=60.0, overflow_flow_id="night")
        hall.board.hire("ann")
        hall.world.agent.script["ann"] = NEVER
        caller = hall.call()
        await asyncio.sleep(59)
        assert hall.rung() == ["ann"]
        ran = await caller.flow
        assert hall.leg("ann").cancelled == 1
        assert [order for order in ran.orders if order[0] == "play"][-1] == ("play", "night.wav")
        assert seen(hall, caller) == "queue desk: timeout after 60 s"
        assert "sip:seen-timeout-60-0-@desk" in [leg.spec.request_uri for leg in hall.world.agent.legs]

    hall.go(scene())


def test_the_time_to_wait_ends_also_while_nobody_is_rung(hall: Hall) -> None:
    async def scene() -> None:
        hall.describe(wait_timeout=60.0)
        hall.board.hire("ann", status="away")
        caller = hall.call()
        await asyncio.sleep(59)
        assert caller.playing and hall.rung() == []
        await caller.flow
        assert seen(hall, caller) == "queue desk: timeout after 60 s"
        assert hall.rung() == ["seen-timeout-60-0-"]

    hall.go(scene())


@pytest.mark.parametrize("status", ["available", "away"])
def test_a_caller_without_media_fails_and_its_flow_goes_on(hall: Hall, status: str) -> None:
    async def scene() -> None:
        hall.board.hire("ann", status=status)
        hall.world.agent.script["ann"] = NEVER
        caller = hall.call()
        caller.refuse_answer = NoPortError("all ports are taken")
        await caller.flow
        assert seen(hall, caller) == "queue desk: failed after 0 s"
        assert hall.waiting() == [] and hall.rung() == ["seen-failed-0-0-"]
        assert set(hall.world.log.errors()) == {"all ports are taken"}

    hall.go(scene())


def test_a_fault_in_the_moment_in_which_an_agent_is_offered_frees_the_agent(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        hall.describe(routing_method="longest_idle")
        hall.board.hire("ann", "bob")
        other = Queue(named_id("queue", "other"), NIL, "other", agent_ids=(agent_id("eve"),))
        hall.board.others |= {"other": other, str(other.id): other}
        hall.board.hire("eve", status="away", tags=(TAG,))
        hall.world.agent.script |= {"ann": NEVER, "bob": NEVER}
        find = hall.board.find

        def fail(reference: str) -> Queue | None:
            first = hall.queues.callers(hall.board.queue.id)
            if reference == str(other.id) and first and first[0].reserved:
                raise OSError("the store is gone")
            return find(reference)

        caller, behind = hall.call(), hall.call("behind", "other")
        await asyncio.sleep(2)
        monkeypatch.setattr(hall.board, "find", fail)
        hall.settle("ann", hall.world.refused(486))
        await asyncio.sleep(1)
        assert seen(hall, caller) == "queue desk: failed after 2 s"
        assert hall.rung()[:2] == ["ann", "seen-failed-2-0-"] and hall.board.status("bob") == "available"
        assert hall.waiting() == [] and behind.playing
        assert set(hall.world.log.errors()) == {"OSError: the store is gone"}

    hall.go(scene())


def test_a_full_queue_and_one_without_agents_take_nobody_in(hall: Hall) -> None:
    async def scene() -> None:
        hall.describe(max_waiting=1)
        hall.board.hire("ann", status="offline")
        hall.board.hire("bob", status="offline")
        nobody = hall.call("nobody")
        assert "answer" not in (await nobody.flow).orders
        assert seen(hall, nobody) == "queue desk: noagent after 0 s"
        hall.board.says("bob", "away")
        first = hall.call("first")
        await asyncio.sleep(1)
        second = hall.call("second")
        await second.flow
        assert seen(hall, second) == "queue desk: full after 0 s"
        assert hall.waiting() == ["first"] and first.playing

    hall.go(scene())


def test_the_time_to_talk_ends_the_talk_and_the_callers_flow_goes_on(hall: Hall) -> None:
    async def scene() -> None:
        hall.describe(service_timeout=120.0, wait_timeout=5.0)
        hall.board.hire("ann")
        caller = hall.call()
        ran = await caller.flow
        assert seen(hall, caller) == "queue desk: waited 0 s, talked 120 s with ann"
        assert hall.rung() == ["ann", "seen-answered-0-120-ann"]
        assert hall.leg("ann").ended_by == "local" and ran.orders[-1][0] == "hangup"

    hall.go(scene())


@pytest.mark.parametrize("moment", ["waiting", "ringing", "talking"])
def test_a_caller_that_hangs_up_frees_its_place_and_its_agent_at_once(hall: Hall, moment: str) -> None:
    async def scene() -> None:
        hall.board.hire("ann", status="away" if moment == "waiting" else "available")
        hall.world.agent.script["ann"] = hall.world.answered if moment == "talking" else NEVER
        caller = hall.call()
        await asyncio.sleep(3)
        caller.end("remote", 200)
        await caller.flow
        await asyncio.sleep(0.1)
        if moment != "waiting":
            assert hall.leg("ann").ended_at is not None
            assert hall.board.status("ann") == "available"
        expected = "waited 0 s, talked 3 s with ann" if moment == "talking" else "abandoned after 3 s"
        assert seen(hall, caller) == f"queue desk: {expected}"
        assert hall.waiting() == [] and not caller.playing

    hall.go(scene())


@pytest.mark.parametrize(
    ("moment", "status"), [("waiting", "abandoned"), ("ringing", "abandoned"), ("talking", "answered")]
)
def test_a_flow_that_ends_with_its_caller_can_still_read_how_it_went(hall: Hall, moment: str, status: str) -> None:
    read = []

    async def flow(call: Any) -> None:
        try:
            await call.queue_join("desk")
        finally:
            read.append(call.variables.get("queue.status"))

    async def scene() -> None:
        hall.board.hire("ann", status="away" if moment == "waiting" else "available")
        hall.world.agent.script["ann"] = hall.world.answered if moment == "talking" else NEVER
        caller = hall.call(program=compile_python("join", flow))
        await asyncio.sleep(3)
        caller.end("remote", 200)
        await caller.flow
        assert read == [status]

    hall.go(scene())


def test_music_that_breaks_while_an_agent_is_lost_again_ends_the_wait_and_the_flow_goes_on(hall: Hall) -> None:
    async def scene() -> None:
        hall.describe(music="waltz.ogg")
        hall.world.sounds.script["waltz.ogg"] = OSError("the disk is gone")
        hall.board.hire("ann")
        hall.world.agent.script["ann"] = NEVER
        caller = hall.call()
        caller.refuse_bridge = RuntimeError("no media in common")
        await asyncio.sleep(2)
        hall.settle("ann", hall.world.answered)
        await caller.flow
        assert hall.rung() == ["ann", "seen-answered-2-0-ann"] and hall.waiting() == []
        assert set(hall.world.log.errors()) == {"RuntimeError: no media in common", "OSError: the disk is gone"}

    hall.go(scene())


def test_an_agent_that_goes_away_rings_no_more(hall: Hall) -> None:
    async def scene() -> None:
        hall.describe(routing_method="longest_idle")
        hall.board.hire("ann", "bob")
        hall.world.agent.script |= {"ann": NEVER}
        caller = hall.call()
        await asyncio.sleep(1)
        hall.board.says("ann", "away")
        await asyncio.sleep(0.1)
        assert hall.leg("ann").cancelled == 1
        assert hall.board.status("ann") == "away"
        assert caller.orders[-1] == ("bridge", "sip:bob@desk")

    hall.go(scene())


def test_what_an_agent_says_during_a_talk_stands_afterwards(hall: Hall) -> None:
    async def scene() -> None:
        hall.board.hire("ann")
        caller = hall.call()
        await asyncio.sleep(1)
        hall.board.says("ann", "available")  # that it is not
        await asyncio.sleep(1)
        assert hall.board.status("ann") == "busy"
        hall.board.says("ann", "offline")
        await asyncio.sleep(1)
        assert hall.leg("ann").ended_at is None
        hall.leg("ann").end("remote", 200)
        await caller.flow
        assert hall.board.status("ann") == "offline"

    hall.go(scene())


def test_an_agent_ends_its_wrap_up_by_saying_that_it_is_available(hall: Hall) -> None:
    async def scene() -> None:
        hall.describe(wrap_up_timeout=600.0)
        hall.board.hire("ann")
        first = hall.call("first")
        await asyncio.sleep(1)
        hall.leg("ann").end("remote", 200)
        await first.flow
        second = hall.call("second")
        await asyncio.sleep(1)
        assert second.playing
        hall.board.says("ann", "available")
        await asyncio.sleep(1)
        assert second.bridged
        hall.describe(wrap_up_timeout=0.0)
        hall.leg("ann").end("remote", 200)
        await second.flow
        hall.board.says("ann", "available")
        await asyncio.sleep(1)

    hall.go(scene())


def test_an_agent_that_is_deleted_during_its_talk_is_forgotten_afterwards(hall: Hall) -> None:
    async def scene() -> None:
        hall.board.hire("ann")
        caller = hall.call()
        await asyncio.sleep(1)
        hall.queues.agent_changed(agent_id("ann"), "")
        hall.board.agents[agent_id("ann")] = replace(hall.board.agents[agent_id("ann")], addresses=())
        await asyncio.sleep(1)
        assert hall.leg("ann").ended_at is None and len(hall.queues.agents) == 1
        hall.leg("ann").end("remote", 200)
        await caller.flow
        assert len(hall.queues.agents) == 0

    hall.go(scene())


def test_an_engine_that_stops_rings_nobody_any_more(hall: Hall) -> None:
    async def scene() -> None:
        hall.describe(wrap_up_timeout=60.0)
        hall.board.hire("ann")
        first, second = hall.call("first"), hall.call("second")
        await asyncio.sleep(1)
        assert first.bridged and second.playing
        hall.queues.close()
        first.end("local", 200)
        await first.flow
        await asyncio.sleep(100)
        assert hall.rung() == ["ann"] and hall.board.status("ann") == "available"
        second.end("local", 200)
        await second.flow

    hall.go(scene())


def test_an_agent_that_another_engine_rings_is_left_to_it(hall: Hall) -> None:
    async def scene() -> None:
        hall.describe(routing_method="longest_idle")
        hall.board.hire("ann", "bob")
        hall.board.refuse.add("ann")
        caller = hall.call()
        await asyncio.sleep(1)
        assert hall.rung() == ["bob"] and caller.bridged

    hall.go(scene())


def test_two_queues_ring_a_shared_agent_for_one_caller_only(hall: Hall) -> None:
    async def scene() -> None:
        hall.board.hire("ann", tags=(TAG,))
        hall.describe(tag_ids=frozenset({TAG}))
        hall.board.others["other"] = other = Queue(named_id("queue", "other"), NIL, "other", tag_ids=frozenset({TAG}))
        hall.board.others[str(other.id)] = other
        first, second = hall.call("first"), hall.call("second", "other")
        await asyncio.sleep(1)
        assert hall.rung() == ["ann"] and first.bridged and second.playing
        hall.leg("ann").end("remote", 200)
        await first.flow
        await asyncio.sleep(1)
        assert second.bridged

    hall.go(scene())


def test_agents_that_come_while_somebody_waits_are_rung(hall: Hall) -> None:
    async def scene() -> None:
        hall.board.hire("ann", status="away")
        caller = hall.call()
        await asyncio.sleep(10)
        hall.board.hire("bob")
        hall.queues.dispatch()
        await asyncio.sleep(1)
        assert caller.orders[-1] == ("bridge", "sip:bob@desk")

    hall.go(scene())


def test_a_caller_that_could_not_be_connected_is_back_in_its_place(hall: Hall) -> None:
    async def scene() -> None:
        hall.describe(wait_timeout=100.0)
        hall.board.hire("ann")
        caller = hall.call()
        caller.refuse_bridge = RuntimeError("no media in common")
        await asyncio.sleep(1)
        assert hall.waiting() == ["caller"] and caller.playing
        assert set(hall.world.log.errors()) == {"RuntimeError: no media in common"}
        caller.refuse_bridge = None
        hall.board.says("ann", "away")
        hall.board.says("ann", "available")
        await asyncio.sleep(1)
        assert caller.bridged
        hall.leg("ann").end("remote", 200)
        await caller.flow

    hall.go(scene())


def test_music_that_cannot_be_had_is_our_own(hall: Hall) -> None:
    async def scene() -> None:
        hall.describe(music="gone.ogg")
        hall.world.sounds.script["gone.ogg"] = SoundError("there is no file gone.ogg")
        hall.board.hire("ann", status="away")
        caller = hall.call()
        await asyncio.sleep(1)
        assert caller.playing == f"{MUSIC} x0"
        assert [event for _, event, _ in hall.world.log.lines] == ["queue music unavailable"]

    hall.go(scene())


def test_our_own_music_is_a_tone_that_can_be_played() -> None:
    from engine.audio import tones

    segments, endless = tones.read(MUSIC)
    assert endless and 8 < sum(segment.milliseconds for segment in segments) / 1000 < 20


def test_a_queue_that_is_not_there_fails_and_the_flow_goes_on(hall: Hall) -> None:
    ran = hall.world.go([{"type": "queue_join", "option": {"queue_id": "nobody"}}, {"type": "reject"}])
    assert ran.orders == [("reject", 603, "")]
    assert hall.world.log.errors() == ["there is no queue 'nobody'"]


def test_the_record_of_a_call_that_waits_for_hours_stays_small(hall: Hall) -> None:
    async def scene() -> None:
        hall.board.hire("ann")
        hall.world.agent.script["ann"] = hall.world.refused(486)
        caller = hall.call()
        await asyncio.sleep(3600)
        assert len(hall.rung()) > 500
        assert len(caller.record.tried) <= 41 and len(caller.record.sip_call_ids) <= 41

    hall.go(scene())


def test_every_state_can_be_left_but_the_ends() -> None:
    ends = {"answered", "timeout", "full", "noagent", "abandoned", "failed"}
    assert set(CALLER.values()) - {state for state, _ in CALLER} == ends
    assert set(AGENT.values()) == {state for state, _ in AGENT}


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_nobody_is_rung_twice_and_nothing_is_left(hall: Hall, seed: int) -> None:
    dice = random.Random(seed)
    method: Any = ("random", "longest_idle", "ring_all")[seed % 3]
    names = ["ann", "bob", "eve", "dan"]
    busy: dict[str, Any] = {}

    async def phone(leg: Any) -> None:
        """Answers, refuses, or rings out; talks for a while."""
        name = leg.spec.request_uri
        assert name not in busy, f"{name} is rung twice"
        busy[name] = leg
        await asyncio.sleep(dice.uniform(0.1, 10))
        if leg.ended_at is None and leg.waiting is not None and not leg.waiting.done():
            leg.settle(dice.choice([hall.world.answered, hall.world.refused(486), hall.world.refused(480)]))
            if leg.answered:
                await asyncio.sleep(dice.uniform(0, 30))
                if leg.ended_at is None:
                    leg.end("remote", 200)

    async def scene() -> None:
        hall.describe(routing_method=method, wrap_up_timeout=2.0, wait_timeout=40.0, service_timeout=20.0)
        hall.board.hire(*names)
        hall.world.agent.script["@desk"] = NEVER
        dial = hall.world.agent.dial

        def dialled(spec: Any, caller: Any = None, early_media: bool = True) -> Any:
            leg = dial(spec, caller, early_media)
            if "seen" not in spec.request_uri:
                end = leg.end

                def ended(*how: Any) -> None:
                    busy.pop(spec.request_uri, None)
                    end(*how)

                leg.end = ended
                hall.tasks.append(asyncio.create_task(phone(leg)))
            return leg

        hall.world.agent.dial = dialled
        callers = []
        for number in range(60):
            callers.append(hall.call(f"caller {number}"))
            for _ in range(dice.randrange(3)):
                await asyncio.sleep(dice.uniform(0, 3))
                if dice.random() < 0.2:
                    dice.choice(callers).end("remote", 200)
                if dice.random() < 0.2:
                    hall.board.says(dice.choice(names), dice.choice(["available", "available", "away", "offline"]))
        for caller in callers:
            await asyncio.wait((caller.flow,), timeout=300)
        words = {seen(hall, caller).split(": ")[1].split()[0] for caller in callers if caller.record.notes}
        assert {"waited", "abandoned"} <= words
        for name in names:
            assert hall.board.status(name) in ("available", "away", "offline", "busy")

    hall.go(scene())
