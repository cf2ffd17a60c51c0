"""Events: streams with permissions and replay, over a real socket, as browsers and curl read them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import pytest

from api import events
from service.api_server import ApiServer
from tests.api.conftest import Api, Client


@pytest.fixture
async def url(api: Api) -> AsyncIterator[str]:
    server = ApiServer(api.app, "127.0.0.1:0")
    await server.start()
    yield server.url
    # Streams end when the engine stops; the client of each test has gone before.
    await server.close()


async def happen(api: Api, kind: str, customer_id: UUID, **data: Any) -> None:
    async with api.store.write() as transaction:
        transaction.event(kind, customer_id, data)


@asynccontextmanager
async def listening(url: str, client: Client, **options: Any) -> AsyncIterator[AsyncIterator[dict[str, str]]]:
    async with (
        httpx.AsyncClient(timeout=10) as http,
        http.stream(
            "GET",
            f"{url}/v1.0/events",
            headers={"Authorization": f"Bearer {client.key}"} | options.pop("headers", {}),
            params=options,
        ) as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.aiter_lines()
        assert await anext(lines) == "retry: 2000"

        async def events() -> AsyncIterator[dict[str, str]]:
            fields: dict[str, str] = {}
            async for line in lines:
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif "data" in fields:
                    yield fields
                    fields = {}

        yield events()


async def test_a_stream_tells_what_happens_to_ones_own(api: Api, url: str) -> None:
    mine, other = await api.client("customer_agent"), await api.client()
    async with asyncio.timeout(10), listening(url, mine) as events:
        await happen(api, "number_created", other.customer_id, number="+15550000001")
        await happen(api, "number_created", mine.customer_id, number="+15550000002")
        event = await anext(events)
    assert event["event"] == "number_created"
    document = json.loads(event["data"])
    assert document["data"] == {"number": "+15550000002"}
    assert set(document) == {"type", "data", "tm"} and document["tm"].endswith("Z")


async def test_a_super_admin_is_told_everything_and_types_can_be_chosen(api: Api, url: str) -> None:
    one = await api.client()
    async with asyncio.timeout(10), listening(url, api.root, types="call_hangup") as events:
        await happen(api, "call_created", one.customer_id)
        await happen(api, "call_hangup", one.customer_id)
        assert (await anext(events))["event"] == "call_hangup"


@pytest.mark.parametrize("by_header", [True, False])
async def test_what_was_missed_is_told_again_from_an_id(api: Api, url: str, by_header: bool) -> None:
    mine = await api.client()
    for place in range(3):
        await happen(api, "call_created", mine.customer_id, place=place)
    async with asyncio.timeout(10), listening(url, mine, since=0) as events:
        first = await anext(events)
    options: dict[str, Any] = {"headers": {"Last-Event-ID": first["id"]}} if by_header else {"since": first["id"]}
    async with asyncio.timeout(10), listening(url, mine, **options) as events:
        rest = [json.loads((await anext(events))["data"])["data"]["place"] for _ in range(2)]
    assert rest == [1, 2]


async def test_that_events_are_no_longer_kept_is_told(api: Api, url: str) -> None:
    mine = await api.client()
    for place in range(5):
        await happen(api, "call_created", mine.customer_id, place=place)
    async with api.store.write() as transaction:
        from store import tables

        await transaction.execute(tables.events.delete().where(tables.events.c.id <= 3))
    async with asyncio.timeout(10), listening(url, mine, since=1) as events:
        assert (await anext(events))["event"] == "missed"
        assert json.loads((await anext(events))["data"])["data"] == {"place": 3}


@pytest.mark.parametrize("busy", [True, False])
async def test_a_stream_ends_soon_after_its_key_is_revoked_however_much_happens(
    api: Api, url: str, monkeypatch: pytest.MonkeyPatch, busy: bool
) -> None:
    now = 1000.0
    mine = await api.client()
    monkeypatch.setattr(api.services, "clock", lambda: now)
    monkeypatch.setattr(events, "KEEP_ALIVE", 15.0)
    async with asyncio.timeout(10), listening(url, mine) as told:
        await happen(api, "call_created", mine.customer_id, place=0)
        await anext(told)
        await api.root.put(f"/v1.0/customers/{mine.customer_id}", {"suspended": True})
        now += 15
        for place in range(5 if busy else 0):
            await happen(api, "call_created", mine.customer_id, place=place)
        api.services.bell.ring()
        seen = 0
        with pytest.raises(StopAsyncIteration):
            while True:
                await anext(told)
                seen += 1
    assert seen == 0


async def test_a_stream_is_closed_for_the_stop_of_the_engine_and_counted(api: Api, url: str) -> None:
    mine = await api.client()
    stopping = False
    api.services.draining = lambda: stopping
    async with asyncio.timeout(10), listening(url, mine) as events:
        assert api.services.streams == 1
        stopping = True
        api.services.bell.ring()
        with pytest.raises(StopAsyncIteration):
            await anext(events)
    assert api.services.streams == 0
