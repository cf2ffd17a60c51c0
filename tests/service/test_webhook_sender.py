"""Webhooks, to a server of their own: signed, tried again, surviving restarts, never to private addresses unasked."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
import structlog

from routing.identifiers import PLATFORM
from service.workers.webhook_sender import AT_ONCE_EACH, GATHERING, WebhookSender
from store import rows
from store.database import tables
from store.resources import deliveries
from store.resources.deliveries import Due
from store.resources.events import EventSignal
from store.store import Store, utc_now
from tests.api.conftest import environment

CUSTOMER = UUID(int=7)
SECRET = "a secret of sixteen"


@dataclass
class Receiver:
    """An HTTP server that keeps what it is sent and answers what it is told."""

    port: int = 0
    answers: list[int] = field(default_factory=list)
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers["content-length"]))
        self.requests.append((headers, body))
        status = self.answers.pop(0) if self.answers else 200
        if status:
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        writer.close()
        self.came.set()

    async def received(self, count: int) -> list[tuple[dict[str, str], bytes]]:
        async with asyncio.timeout(10):
            while len(self.requests) < count:
                self.came.clear()
                await self.came.wait()
        return self.requests


@dataclass
class World:
    store: Store
    receiver: Receiver
    sender: WebhookSender
    shift: timedelta = timedelta()

    async def hook(self, **values: Any) -> UUID:
        row = {
            "customer_id": CUSTOMER,
            "uri": f"http://127.0.0.1:{self.receiver.port}/hook",
            "secret": SECRET,
        } | values
        async with self.store.write() as transaction:
            made = await rows.insert(transaction, tables.webhooks, row)
        identifier: UUID = made["id"]
        return identifier

    async def happen(self, kind: str, customer_id: UUID = CUSTOMER, **data: Any) -> None:
        async with self.store.write() as transaction:
            transaction.event(kind, customer_id, data)

    async def told(self, attempts: int) -> dict[str, Any]:
        """The one delivery, as soon as this attempt's outcome is written down."""
        async with asyncio.timeout(10):
            while True:
                async with self.store.read() as connection:
                    found = (await rows.page(connection, tables.deliveries)).rows
                for row in found:
                    # Under way, it is due again when its lease ends.
                    if row["attempts"] == attempts and row["tm_next"] != row["tm_update"] + deliveries.LEASE:
                        return row
                await asyncio.sleep(0.005)

    def later(self, wait: timedelta) -> None:
        self.shift += wait
        self.sender._wake.set()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    store = await Store.open(":memory:")
    flows = environment()
    flows.web.limits.allow_private = True
    flows.web.http = httpx.AsyncClient(
        verify=False
    )  # certificates, which nobody shows here, would be read for every test
    made = World(store, receiver, WebhookSender(store, flows, EventSignal(store), PLATFORM, structlog.get_logger()))
    store.clock = lambda: utc_now() + made.shift
    made.sender.start()
    yield made
    await made.sender.close()
    await flows.web.http.aclose()
    await store.close()
    server.close()
    await server.wait_closed()


async def test_an_event_is_sent_signed_and_written_down(world: World) -> None:
    await world.hook()
    await world.happen("number_created", number="+15551234567")
    ((headers, body),) = await world.receiver.received(1)
    document = json.loads(body)
    assert (document["type"], document["data"]) == ("number_created", {"number": "+15551234567"})
    stamp, digest = (part.partition("=")[2] for part in headers["x-trunkline-signature"].split(","))
    expected = hmac.new(SECRET.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    assert digest == expected
    assert headers["x-trunkline-event"] == "number_created"
    row = await world.told(1)
    assert (row["status"], row["last_status"], str(row["id"])) == ("delivered", 200, headers["x-trunkline-delivery"])


async def test_while_nothing_is_on_its_way_a_burst_of_events_is_looked_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under load every commit of calls rings."""
    looks, spread = 0, deliveries.spread

    async def counted(*arguments: Any) -> int:
        nonlocal looks
        looks += 1
        return await spread(*arguments)

    monkeypatch.setattr(deliveries, "spread", counted)
    clock = asyncio.get_running_loop().time
    began = clock()
    for number in range(50):
        await world.happen("call_ringing", number=number)
    assert looks <= 2 + (clock() - began) / GATHERING


async def test_only_ones_own_events_of_the_chosen_types_are_sent(world: World) -> None:
    await world.hook(events=["call_hangup"])
    await world.happen("call_created")
    await world.happen("call_hangup", UUID(int=8))
    await world.happen("call_hangup", mine=True)
    ((_, body),) = await world.receiver.received(1)
    assert json.loads(body)["data"] == {"mine": True}


async def test_what_is_not_taken_is_sent_again_later_and_later(world: World) -> None:
    await world.hook()
    world.receiver.answers = [500, 0, 200]
    await world.happen("call_created")
    for attempt in range(3):
        await world.receiver.received(attempt + 1)
        row = await world.told(attempt + 1)
        assert row["status"] == ("pending" if attempt < 2 else "delivered")
        if attempt < 2:
            wait = row["tm_next"] - row["tm_update"]
            assert wait == deliveries.SCHEDULE[attempt]
            assert row["last_error"]
            world.later(wait)
    first, second, third = (headers["x-trunkline-delivery"] for headers, _ in world.receiver.requests)
    assert first == second == third


@pytest.mark.long
async def test_after_the_last_attempt_a_delivery_has_failed(world: World) -> None:
    await world.hook()
    attempts = len(deliveries.SCHEDULE) + 1
    world.receiver.answers = [503] * attempts
    await world.happen("call_created")
    for attempt in range(attempts):
        await world.receiver.received(attempt + 1)
        row = await world.told(attempt + 1)
        if row["tm_next"]:
            world.later(row["tm_next"] - row["tm_update"])
    assert (row["status"], row["last_status"], row["tm_next"]) == ("failed", 503, None)


async def test_what_waits_is_sent_after_a_restart(world: World) -> None:
    await world.sender.close()
    await world.hook()
    await world.happen("call_created")
    world.sender._task = None
    world.sender.start()
    await world.receiver.received(1)


@pytest.mark.long
async def test_two_nodes_send_an_event_once(world: World) -> None:
    other = WebhookSender(world.store, world.sender._flows, EventSignal(world.store), PLATFORM, structlog.get_logger())
    other.start()
    try:
        await world.hook()
        for place in range(20):
            await world.happen("call_created", place=place)
        sent = await world.receiver.received(20)
        async with asyncio.timeout(10):
            while await deliveries.waiting(world.store):
                await world.sender._new_events.next_signal()()
    finally:
        await other.close()
    assert sorted(json.loads(body)["data"]["place"] for _, body in sent) == list(range(20))


async def test_private_addresses_are_not_reached_unless_allowed(world: World) -> None:
    world.sender._flows.web.limits.allow_private = False
    await world.hook()
    await world.happen("call_created")
    row = await world.told(1)
    assert "private" in row["last_error"]
    assert not world.receiver.requests


async def test_the_platforms_webhook_hears_what_is_no_customers(world: World) -> None:
    await world.hook(customer_id=PLATFORM)
    await world.happen("provider_unhealthy", UUID(int=0), name="primary")
    ((_, body),) = await world.receiver.received(1)
    assert json.loads(body)["type"] == "provider_unhealthy"


@pytest.mark.long
async def test_a_webhook_that_is_owed_much_does_not_keep_others_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By their dates alone, all of one customer's flood would be sent before anything of the others'."""
    await world.sender.close()
    for customer in (CUSTOMER, UUID(int=77)):
        await world.hook(customer_id=customer)
    for place in range(100):
        await world.happen("call_created", place=place)
    await world.happen("call_created", UUID(int=77), place="other's")
    order: list[Any] = []
    everything = asyncio.Event()

    async def taken_at_once(_: WebhookSender, due: Due) -> None:
        order.append(due.data["place"])
        if len(order) == 101:
            everything.set()

    monkeypatch.setattr(WebhookSender, "_send", taken_at_once)
    world.sender.start()
    async with asyncio.timeout(10):
        await everything.wait()
    assert order.index("other's") <= 2 * AT_ONCE_EACH
    assert [place for place in order if place != "other's"] == list(range(100))
