"""Webhooks of one call arrive in its order; those of others do not wait for them."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import structlog

from routing.identifiers import PLATFORM
from service.workers.webhook_sender import AT_ONCE_EACH, WebhookSender
from store import rows
from store.database import tables
from store.maintenance import retention
from store.resources import deliveries
from store.resources.calls import stage_events, tell
from store.resources.events import EventSignal
from store.store import Store
from tests.api.conftest import environment
from tests.service.conftest import until
from tests.store.stored_calls import call

CUSTOMER = UUID(int=7)


class Sent:
    """Stands for the network: keeps every document that is sent, and answers once it is told to."""

    def __init__(self) -> None:
        self.documents: list[dict[str, Any]] = []
        self.answers: dict[str, asyncio.Future[int]] = {}  # by the id of what happened; there is none: 200 at once

    def holds(self, subject: str) -> "asyncio.Future[int]":
        """What is about this waits for its answer."""
        return self.answers.setdefault(subject, asyncio.get_running_loop().create_future())

    def of(self, subject: str) -> list[str]:
        return [document["type"] for document in self.documents if document["data"]["id"] == subject]

    async def __call__(self, _env: Any, _method: str, _uri: str, body: bytes, _headers: Any) -> tuple[int, bytes]:
        document = json.loads(body)
        self.documents.append(document)
        held = self.answers.get(document["data"]["id"])
        return (200 if held is None else await held), b""


class World:
    def __init__(self, store: Store, sent: Sent) -> None:
        self.store = store
        self.sent = sent
        self.shift = timedelta()
        flows = environment()
        log = structlog.get_logger()
        self.senders = [WebhookSender(store, flows, EventSignal(store), PLATFORM, log) for _ in range(2)]  # two nodes
        store.clock = lambda: datetime(2026, 11, 30, 12, tzinfo=UTC) + self.shift

    async def hook(self, **values: Any) -> UUID:
        async with self.store.write() as transaction:
            values = {"customer_id": CUSTOMER, "uri": "http://192.0.2.1/", "secret": "0123456789abcdef"} | values
            made: UUID = (await rows.insert(transaction, tables.webhooks, values))["id"]
        return made

    async def happen(self, *events: tuple[str, dict[str, Any]]) -> None:
        async with self.store.write() as transaction:
            for kind, data in events:
                transaction.event(kind, CUSTOMER, data)

    async def spread(self) -> None:
        while await deliveries.spread(self.store, PLATFORM):
            pass

    async def due(self) -> list[tuple[str, int]]:
        """What could be sent now, by subject and sequence."""
        async with self.store.read() as connection:
            table = tables.deliveries
            query = table.select().where(table.c.status == "pending", table.c.tm_next <= self.store.clock())
            found = (await connection.execute(query.order_by(table.c.sequence))).all()
        return [(row.subject, row.sequence) for row in found]


@pytest.fixture
async def world(store_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    sent = Sent()
    monkeypatch.setattr("service.workers.webhook_sender.exchange", sent)
    store = await Store.open(store_url)
    made = World(store, sent)
    yield made
    for sender in made.senders:
        await sender.close()
    await store.close()


def stages(identifier: str, count: int = 4) -> list[tuple[str, dict[str, Any]]]:
    kinds = ("call_created", "call_ringing", "call_progressing", "call_hangup")[:count]
    return [(kind, {"id": identifier}) for kind in kinds]


async def test_events_of_one_call_arrive_in_order_though_they_were_written_together_and_by_two_nodes(
    world: World,
) -> None:
    await world.hook()
    ids = [str(uuid4()) for _ in range(12)]
    for sender in world.senders:
        sender.start()
    for identifier in ids[:6]:
        await world.happen(*stages(identifier))
    await world.happen(*(event for each in zip(*map(stages, ids[6:]), strict=True) for event in each))
    await until(lambda: len(world.sent.documents) == 48)
    for identifier in ids:
        assert world.sent.of(identifier) == ["call_created", "call_ringing", "call_progressing", "call_hangup"]
    for document in world.sent.documents:
        assert list(document) == ["id", "type", "data", "tm", "sequence"]
    assert sorted(document["sequence"] for document in world.sent.documents) == list(range(1, 49))
    by_id = sorted(world.sent.documents, key=lambda document: document["id"])
    assert [document["sequence"] for document in by_id] == list(range(1, 49))


async def test_what_hangs_holds_up_its_own_call_alone(world: World) -> None:
    await world.hook()
    hung, others = [str(uuid4()) for _ in range(AT_ONCE_EACH - 1)], [str(uuid4()) for _ in range(5)]
    for identifier in hung:
        world.sent.holds(identifier)
    world.senders[0].start()
    await world.happen(*(event for identifier in hung + others for event in stages(identifier)))
    await until(lambda: all(len(world.sent.of(identifier)) == 4 for identifier in others))
    assert all(world.sent.of(identifier) == ["call_created"] for identifier in hung)
    for identifier in hung:
        world.sent.answers.pop(identifier).set_result(204)
    await until(lambda: all(len(world.sent.of(identifier)) == 4 for identifier in hung))


@pytest.mark.parametrize("refusals", [1, 2])
async def test_what_comes_after_one_that_is_not_taken_waits_for_it(world: World, refusals: int) -> None:
    await world.hook()
    await world.happen(*stages("one", 2))
    await world.spread()
    for attempt in range(refusals):
        (first,) = await deliveries.claim(world.store, 10)
        assert (first.type, first.attempts) == ("call_created", attempt + 1)
        assert await deliveries.done(world.store, first, 500, "answered 500")
        assert await world.due() == []
        world.shift += deliveries.SCHEDULE[attempt]
    (first,) = await deliveries.claim(world.store, 10)
    assert first.sequence == 1
    await deliveries.done(world.store, first, 200, "")
    (second,) = await deliveries.claim(world.store, 10)
    assert (second.type, second.sequence) == ("call_ringing", 2)


async def test_what_comes_after_one_that_was_given_up_is_sent(world: World) -> None:
    await world.hook()
    await world.happen(*stages("one", 2))
    await world.spread()
    for wait in (*deliveries.SCHEDULE, timedelta()):
        (first,) = await deliveries.claim(world.store, 10)
        again = await deliveries.done(world.store, first, 0, "no answer")
        assert again == bool(wait)
        world.shift += wait
    assert await world.due() == [("one", 2)]


async def test_one_that_comes_later_waits_too_and_one_after_the_last_was_taken_does_not(world: World) -> None:
    await world.hook()
    await world.happen(*stages("one", 1))
    await world.spread()
    (first,) = await deliveries.claim(world.store, 10)
    await world.happen(("call_ringing", {"id": "one"}), ("recording_started", {"id": "tape", "call_id": "one"}))
    await world.spread()
    assert await world.due() == []
    for expected in ("call_created", "call_ringing", "recording_started"):
        assert first.type == expected
        await deliveries.done(world.store, first, 200, "")
        if found := await deliveries.claim(world.store, 10):
            (first,) = found
    await world.happen(("call_hangup", {"id": "one"}))
    await world.spread()
    assert await world.due() == [("one", 4)]


async def test_what_is_about_others_to_other_webhooks_or_about_nothing_waits_for_nobody(world: World) -> None:
    await world.hook()
    await world.hook(events=["call_ringing"])
    await world.happen(*stages("one", 2), *stages("two", 1), ("number_updated", {"id": "three"}))
    await world.happen(("provider_healthy", {}), ("provider_unhealthy", {}), ("call_ringing", {"id": "x" * 100}))
    await world.spread()
    assert await world.due() == [
        *[("one", 1), ("one", 1)],  # the second webhook is told of the ringing alone
        *[("", 2), ("two", 3), ("three", 4), ("", 5), ("", 6), ("", 7)],
    ]


async def test_a_node_that_dies_on_the_way_leaves_the_order_as_it_was(world: World) -> None:
    await world.hook()
    await world.happen(*stages("one", 2))
    await world.spread()
    (first,) = await deliveries.claim(world.store, 10)
    world.shift += deliveries.LEASE
    (again,) = await deliveries.claim(world.store, 10)
    assert again.id == first.id


async def test_what_waits_for_one_that_retention_has_deleted_is_sent(world: World) -> None:
    hook = await world.hook()
    await world.happen(*stages("one", 1))
    await world.spread()
    async with world.store.write() as transaction:
        await rows.update(transaction, tables.webhooks, hook, {"enabled": False})
    world.shift += timedelta(days=6)
    async with world.store.write() as transaction:
        await rows.update(transaction, tables.webhooks, hook, {"enabled": True})
    await world.happen(("call_hangup", {"id": "one"}))
    await world.spread()
    world.shift += timedelta(days=2)
    await retention.prune(world.store, calls_for=0, events_for=7 * 86400.0)
    assert await world.due() == [("one", 2)]


async def test_the_time_of_a_calls_event_is_that_of_its_stage_however_late_it_is_written(world: World) -> None:
    """All that happened while the store was away is written at once."""
    begun = datetime(2026, 11, 30, 9, tzinfo=UTC)
    moments = [begun + timedelta(seconds=seconds) for seconds in (0, 1.5, 7, 60)]
    names = ("tm_create", "tm_ringing", "tm_progressing", "tm_hangup")
    row = call(customer_id=CUSTOMER, **dict(zip(names, moments, strict=True)))
    async with world.store.write() as transaction:
        tell(transaction, row, stage_events(row))
    async with world.store.read() as connection:
        found = (await connection.execute(tables.events.select().order_by(tables.events.c.id))).all()
    assert [event.tm_create for event in found] == moments
