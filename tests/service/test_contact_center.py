"""Queues and conferences on a whole engine: real calls with real sound, and agents as the store shows them."""

import asyncio
import wave
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import numpy
import pytest
import sqlalchemy as sa

from engine.media.codec.codec import Samples
from engine.sip.binding import Binding
from engine.sip.flow import Flow
from flows.calls.address import Address
from routing.directory.extensions import ExtensionRow
from routing.identifiers import NIL, PLATFORM
from store import rows
from store.database import tables
from store.resources.agents import held, shown
from tests.audio.signals import Floats
from tests.service.conftest import until

# Sound takes as long as it lasts.
pytestmark = pytest.mark.long

Run = Callable[..., None]
CALLERS, AGENTS = ("127.0.0.12", "127.0.0.13", "127.0.0.14"), ("127.0.0.31", "127.0.0.32")
NUMBER = "+15557654321"


class Ear:
    """Hears a peer, and says how loud some tones are in the last half second."""

    def __init__(self) -> None:
        self.heard: list[Samples] = []
        self.rate = 8000

    def hear(self, samples: Samples, rate: int) -> None:
        self.rate = rate
        self.heard.append(samples.copy())
        del self.heard[:-25]

    def height(self, frequency: float) -> float:
        sound: Floats = numpy.concatenate(self.heard or [numpy.zeros(1, numpy.int16)]).astype(numpy.float64)
        wave = numpy.exp(-2j * numpy.pi * frequency * numpy.arange(len(sound)) / self.rate)
        window = numpy.hanning(len(sound))
        return float(2 * abs((sound * window * wave).sum()) / max(window.sum(), 1.0))

    def loudness(self) -> float:
        if not self.heard:
            return 0.0
        return float(numpy.sqrt(numpy.mean(numpy.concatenate(self.heard).astype(numpy.float64) ** 2)))


async def says(leg: Any, frequency: int) -> Ear:
    """A call speaks a tone, and listens."""
    from engine.audio import tones

    ear = Ear()
    await leg.listen()
    leg.attach(ear)
    clip, _ = tones.parse(f"tone:{frequency}")
    speaking = asyncio.create_task(leg.play(clip.feed(0)))
    speaking.add_done_callback(lambda task: task.cancelled() or task.exception())  # the hangup
    return ear


async def store_row(engine: Any, table: sa.Table, kind: str, values: dict[str, Any]) -> UUID:
    async with engine.node.storage.store.write() as transaction:
        row = await rows.insert(transaction, table, values)
        transaction.changed(kind, row["id"])
    identifier: UUID = row["id"]
    return identifier


async def number_for(engine: Any, actions: list[dict[str, Any]], media: str = "") -> None:
    from routing.models.number import Number
    from store.directory.mapping import number_row

    listed = [{"id": str(uuid4()), "next_id": "", "option": {}} | action for action in actions]
    async with engine.node.storage.store.write() as transaction:
        flow = await rows.insert(transaction, tables.flows, {"name": "joins", "actions": listed, "media": media})
        transaction.changed("flow", flow["id"])
        row = number_row(Number(number=NUMBER, call_flow_id=flow["id"], id=uuid4()))
        await rows.insert(transaction, tables.numbers, row)
        transaction.changed("number", row["id"], NUMBER)
    await engine.node.storage.feed.settled()
    await engine.node.parts.contact_center.directory.settled()


async def hire(engine: Any, name: str, *phones: Any, status: str = "available") -> UUID:
    addresses = [{"type": "sip", "target": f"sip:{name}@{phone.address}"} for phone in phones]
    values = {
        "username": name,
        "name": name,
        "password_hash": "",
        "permission": "customer_agent",
        "addresses": addresses,
        "status": status,
        "ring_method": "ring_all",
    }
    return await store_row(engine, tables.agents, "agent", values)


async def status_of(engine: Any, agent_id: UUID) -> str:
    async with engine.node.storage.store.read() as connection:
        found = (
            await connection.execute(sa.select(tables.agents.c.status).where(tables.agents.c.id == agent_id))
        ).scalar_one()
    return shown(found)


async def becomes(engine: Any, agent_id: UUID, status: str) -> None:
    async with asyncio.timeout(10):
        while await status_of(engine, agent_id) != status:  # noqa: ASYNC110 - it is the store that changes
            await asyncio.sleep(0.01)


async def queue_of(engine: Any, *agents: UUID, **more: Any) -> UUID:
    values = {"name": "desk", "routing_method": "longest_idle", "agent_ids": list(agents)} | more
    return await store_row(engine, tables.queues, "queue", values)


JOIN_QUEUE = [{"type": "queue_join", "option": {"queue_id": "desk"}}]
JOIN_CONFERENCE = [{"type": "conference_join", "option": {"conference_id": "room"}}]


def test_two_callers_and_one_agent(run: Run, store_url: str) -> None:
    """The second waits with music, and gets the agent after the wrap-up."""

    async def test(bench: Any) -> None:
        engine = await bench.engine(store=store_url)
        first, second = await bench.phone(CALLERS[0]), await bench.phone(CALLERS[1])
        desk = await bench.phone(AGENTS[0])
        ann = await hire(engine, "ann", desk)
        queue_id = await queue_of(engine, ann, wrap_up_timeout=400, music="tone:700")
        await number_for(engine, JOIN_QUEUE)
        one, outcome = await first.call(engine.address, NUMBER)
        assert outcome.kind == "answered"
        await desk.incoming()
        await becomes(engine, ann, "busy")
        two, _ = await second.call(engine.address, NUMBER)
        ear = Ear()
        await two.listen()
        two.attach(ear)
        await bench.until(lambda: ear.height(700) > 3000, "music")
        (waiting,) = engine.node.flows.queues.callers(queue_id)
        assert waiting.state == "waiting" and len(desk.calls) == 1
        # The agent hangs up: the first caller's flow goes on, to its end.
        loop = asyncio.get_running_loop()
        desk.calls[0].hangup()
        ended = loop.time()
        await bench.until(lambda: one.ended, "the end of the first call")
        await desk.incoming(2)
        assert loop.time() - ended >= 0.4
        await bench.until(lambda: two.bridged is None and desk.calls[1].answered, "the talk")
        await becomes(engine, ann, "busy")
        two.hangup()
        await bench.until(lambda: desk.calls[1].ended, "the end of the agent's call")
        await engine.quiet()
        await becomes(engine, ann, "available")
        notes = [record.notes for record in engine.node.flows.calls.registry.newest(2)]
        assert all("talked" in note and note.endswith("with ann") for (note,) in notes)

    run(test)


def test_an_agent_that_goes_away_rings_no_more_and_a_caller_that_goes_frees_it(run: Run, store_url: str) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(store=store_url)
        caller, desk = await bench.phone(CALLERS[0]), await bench.phone(AGENTS[0], does="ring")
        other = await bench.phone(AGENTS[1], does="ring")
        ann, bob = await hire(engine, "ann", desk), await hire(engine, "bob", other)
        await queue_of(engine, ann, bob)
        await number_for(engine, JOIN_QUEUE)
        leg, _ = await caller.call(engine.address, NUMBER)
        await desk.incoming()
        await becomes(engine, ann, "ringing")
        async with engine.node.storage.store.write() as transaction:
            await rows.update(transaction, tables.agents, ann, {"status": "away"})
            transaction.changed("agent", ann)
        await bench.until(lambda: desk.calls[0].ended, "CANCEL at the agent that went away")
        await other.incoming()
        assert await status_of(engine, ann) == "away"
        leg.hangup()
        await bench.until(lambda: other.calls[0].ended, "CANCEL at the other")
        await becomes(engine, bob, "available")
        await engine.quiet()
        assert engine.record.notes[0].startswith("queue desk: abandoned after ")

    run(test)


@pytest.mark.parametrize("media", ["", "anchor"])
def test_the_two_hear_each_other_and_the_caller_comes_back_when_the_time_to_talk_is_up(run: Run, media: str) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(store=f"sqlite:///{bench.path.parent}/rooms.db")
        agents: list[Ear] = []

        async def answers(call: Any) -> None:
            call.answer()
            agents.append(await says(call, 1300))
            await call.wait_ended()

        caller, desk = await bench.phone(CALLERS[0]), await bench.phone(AGENTS[0], does=answers)
        ann = await hire(engine, "ann", desk)
        await queue_of(engine, ann, service_timeout=1500)
        play = {"type": "play", "option": {"sources": ["tone:900"]}}
        await number_for(engine, [*JOIN_QUEUE, play], media)
        leg, _ = await caller.call(engine.address, NUMBER)
        ear = await says(leg, 500)
        await bench.until(lambda: ear.height(1300) > 3000, "the caller hears the agent")
        await bench.until(lambda: agents[0].height(500) > 3000, "the agent hears the caller")
        if media:
            assert len(engine.node.agent.relays.relays) == 1
        await bench.until(lambda: desk.calls[0].ended, "the end of the talk")
        await bench.until(lambda: ear.height(900) > 3000 and ear.height(1300) < 300, "what the flow plays")
        leg.hangup()
        await engine.quiet()
        assert engine.record.notes[0].endswith("talked 2 s with ann")

    run(test)


def test_who_finds_no_agent_hears_what_the_overflow_flow_does(run: Run) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(store=f"sqlite:///{bench.path.parent}/rooms.db")
        caller, desk = await bench.phone(CALLERS[0]), await bench.phone(AGENTS[0])
        ann = await hire(engine, "ann", desk, status="offline")
        busy = {"id": "a", "next_id": "", "type": "reject", "option": {"code": 486}}
        flow = await store_row(engine, tables.flows, "flow", {"name": "night", "actions": [busy]})
        await queue_of(engine, ann, overflow_flow_id=str(flow))
        await number_for(engine, JOIN_QUEUE)
        assert (await caller.call(engine.address, NUMBER))[1].status == 486
        await engine.quiet()
        assert engine.record.notes == ["queue desk: noagent after 0 s"]

    run(test)


def test_what_the_platform_makes_by_the_api_is_found_by_name_from_the_numbers_of_a_file(run: Run) -> None:
    """Rows of a file are nobody's, those of a super admin the platform's own customer's: both are the platform's."""

    async def test(bench: Any) -> None:
        engine = await bench.engine(store=f"sqlite:///{bench.path.parent}/rooms.db")
        directory = engine.node.parts.contact_center.directory
        queue_id = await queue_of(engine, customer_id=PLATFORM)
        room_id = await store_row(
            engine, tables.conferences, "conference", {"name": "room", "status": "", "customer_id": PLATFORM}
        )
        stranger = uuid4()
        await queue_of(engine, name="theirs", customer_id=stranger)
        await engine.node.storage.feed.settled()
        await directory.settled()
        found = directory.queue("desk", NIL), directory.conference("room", NIL)
        assert [row and row.id for row in found] == [queue_id, room_id]
        assert directory.queue("theirs", NIL) is None  # a name means one's own; an id is enough for the platform
        assert directory.queue("desk", stranger) is None

    run(test)


@pytest.mark.parametrize("by", ["id", "name"])
def test_a_flow_connects_to_an_agent_whatever_its_status(run: Run, by: str) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(store=f"sqlite:///{bench.path.parent}/rooms.db")
        caller, desk = await bench.phone(CALLERS[0]), await bench.phone(AGENTS[0])
        ann = await hire(engine, "ann", desk, status="offline")
        target = {"type": "agent", "target": "ann" if by == "name" else str(ann)}
        await number_for(engine, [{"type": "connect", "option": {"destinations": [target]}}])
        leg, outcome = await caller.call(engine.address, NUMBER)
        assert (outcome.kind, len(desk.calls)) == ("answered", 1)
        leg.hangup()
        await engine.quiet()
        resolve = engine.node.flows.calls.contacts.resolve
        (found,) = await resolve(Address(**target), NIL)
        assert found.uri == f"sip:ann@{desk.address}"
        assert not await resolve(Address(**target), UUID(int=8))
        assert not await resolve(Address(type="extension", target="ann"), NIL)

    run(test)


def test_agents_are_free_when_an_engine_stops_and_after_one_that_was_killed(run: Run, store_url: str) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(store=store_url)
        caller, desk = await bench.phone(CALLERS[0]), await bench.phone(AGENTS[0])
        ann = await hire(engine, "ann", desk)
        lost = await hire(engine, "eve", desk, status=held("busy", uuid4()))
        await queue_of(engine, ann)
        await number_for(engine, JOIN_QUEUE)
        await caller.call(engine.address, NUMBER)
        await becomes(engine, ann, "busy")
        await engine.node.close()
        again = await bench.engine(store=store_url)
        await becomes(again, ann, "available")  # at the stop, or by who starts next where that was cut short
        await becomes(again, lost, "available")

    run(test)


def test_three_in_a_conference_hear_the_others_and_not_themselves(run: Run) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(store=f"sqlite:///{bench.path.parent}/rooms.db")
        room = await store_row(
            engine, tables.conferences, "conference", {"name": "room", "status": "", "announce": False}
        )
        await number_for(engine, JOIN_CONFERENCE)
        pitches = (500, 800, 1300)
        legs, ears = [], []
        for host, pitch in zip(CALLERS, pitches, strict=True):
            phone = await bench.phone(host)
            leg, outcome = await phone.call(engine.address, NUMBER)
            assert outcome.kind == "answered"
            legs.append(leg)
            ears.append(await says(leg, pitch))

        def mixed() -> bool:
            for ear, own in zip(ears, pitches, strict=True):
                heights = {pitch: ear.height(pitch) for pitch in pitches}
                others = [height for pitch, height in heights.items() if pitch != own]
                if heights[own] > 300 or not all(4000 < height < 12000 for height in others):
                    return False
            return True

        await bench.until(mixed, "each hears the two others")
        assert len(engine.node.flows.conferences.members(room)) == 3
        legs[2].hangup()
        await bench.until(lambda: ears[0].height(1300) < 100, "silence of the third")
        assert len(engine.node.flows.conferences.members(room)) == 2
        for leg in legs[:2]:
            leg.hangup()
        await engine.quiet()
        await bench.until(lambda: not engine.node.flows.conferences.members(room), "an empty room")

    run(test)


def test_a_recording_in_a_conference_has_the_caller_on_the_left_and_what_it_hears_on_the_right(run: Run) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(store=f"sqlite:///{bench.path.parent}/rooms.db")
        values = {"name": "room", "status": "", "announce": False}
        await store_row(engine, tables.conferences, "conference", values)
        await number_for(engine, [{"type": "recording_start"}, *JOIN_CONFERENCE])
        pitches = (500, 800)
        legs, ears = [], []
        for host, pitch in zip(CALLERS, pitches, strict=False):
            leg, _ = await (await bench.phone(host)).call(engine.address, NUMBER)
            legs.append(leg)
            ears.append(await says(leg, pitch))
        await bench.until(lambda: ears[0].height(800) > 4000 and ears[1].height(500) > 4000, "both hear the other")
        began = asyncio.get_running_loop().time()
        await bench.until(lambda: asyncio.get_running_loop().time() - began > 0.6, "some of it is recorded")
        for leg in legs:
            leg.hangup()
        await engine.quiet()
        folder = engine.node.flows.calls.media.recordings.folder
        await bench.until(lambda: len(list(folder.glob("platform/*.wav"))) == 2, "the files")
        heard = set()
        for file in folder.glob("platform/*.wav"):
            with wave.open(str(file)) as opened:
                sound = numpy.frombuffer(opened.readframes(10**7), numpy.int16).reshape(-1, opened.getnchannels())
            last = [Ear() for _ in range(2)]
            for ear, side in zip(last, sound[-4400:-400].T, strict=True):
                ear.hear(side, 8000)
            heard.add(tuple(tuple(pitch for pitch in pitches if ear.height(pitch) > 2000) for ear in last))
        assert heard == {((500,), (800,)), ((800,), (500,))}

    run(test)


def test_the_time_of_a_conference_ends_it_for_all(run: Run) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(store=f"sqlite:///{bench.path.parent}/rooms.db")
        values = {"name": "room", "status": "", "timeout": 700, "max_members": 2}
        await store_row(engine, tables.conferences, "conference", values)
        await number_for(engine, JOIN_CONFERENCE)
        phones = [await bench.phone(host) for host in CALLERS]
        legs = [(await phone.call(engine.address, NUMBER))[0] for phone in phones[:2]]
        assert (await phones[2].call(engine.address, NUMBER))[1].status == 480  # full, and its flow is at its end
        ear = Ear()
        await legs[0].listen()
        legs[0].attach(ear)
        await bench.until(lambda: all(leg.ended for leg in legs), "the end of the conference")
        await engine.quiet()

    run(test)


@pytest.fixture(autouse=True)
def _loaded() -> None:
    """Reading numpy and what builds on it is nobody's waiting time here."""
    import engine.audio.mixer  # noqa: F401


async def at_extension(engine: Any, agent: str, phone: Any) -> None:
    """An agent whose address is an extension, for which a phone has registered."""
    host, _, port = phone.address.rpartition(":")
    flow = Flow(next(iter(engine.node.agent.listeners)), host, int(port))
    engine.node.directory.put_extension(ExtensionRow(name="101"))
    until_then = engine.node.agent.now() + 3600
    uri = "sip:101@10.1.2.3"
    binding = Binding(id="1", flow=flow, contact=f"<{uri}>", registered_at=0.0, expires_at=until_then)
    engine.node.location.add("101", binding)
    addresses = [{"type": "extension", "target": "101"}]
    row = {"username": agent, "name": agent, "password_hash": "", "permission": "customer_agent", "status": "available"}
    await queue_of(engine, await store_row(engine, tables.agents, "agent", row | {"addresses": addresses}))


TO_ANN = [{"type": "connect", "option": {"destinations": [{"type": "agent", "target": "ann"}]}}]


@pytest.mark.parametrize("actions", [JOIN_QUEUE, TO_ANN])
def test_an_agent_is_rung_at_its_extension(run: Run, actions: list[dict[str, Any]]) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(store=f"sqlite:///{bench.path.parent}/rooms.db")
        caller, desk = await bench.phone(CALLERS[0]), await bench.phone(AGENTS[0])
        await at_extension(engine, "ann", desk)
        await number_for(engine, actions)
        leg, _ = await caller.call(engine.address, NUMBER)
        await until(lambda: desk.calls, "the agent's phone rings")
        assert desk.invites[0].uri_text == "sip:101@10.1.2.3"
        leg.hangup()
        await engine.quiet()

    run(test)


def test_an_agent_that_is_registered_nowhere_is_not_reached(run: Run) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(store=f"sqlite:///{bench.path.parent}/rooms.db")
        caller, desk = await bench.phone(CALLERS[0]), await bench.phone(AGENTS[0])
        await at_extension(engine, "ann", desk)
        engine.node.location.remove("101", engine.node.location.bindings("101")[0])
        await number_for(engine, TO_ANN)
        _, outcome = await caller.call(engine.address, NUMBER)
        assert (outcome.kind, desk.calls) == ("refused", [])

    run(test)
