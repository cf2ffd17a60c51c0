"""Events: streams with permissions and replay, over a real socket, as browsers and curl read them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import pytest
from structlog.testing import capture_logs

from api.http.services import STREAM_READS
from api.resources import events
from service.rest import server as api_server
from service.rest.server import ApiServer
from store.database.errors import StoreError
from store.resources import events as stored
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
    assert set(document) == {"id", "type", "data", "tm"} and document["tm"].endswith("Z")


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


async def test_that_events_are_no_longer_kept_is_reported(api: Api, url: str) -> None:
    mine = await api.client()
    for place in range(5):
        await happen(api, "call_created", mine.customer_id, place=place)
    async with api.store.write() as transaction:
        from store.database import tables

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
        api.services.new_events.notify()
        seen = 0
        with pytest.raises(StopAsyncIteration):
            while True:
                await anext(told)
                seen += 1
    assert seen == 0


@pytest.mark.parametrize(
    ("change", "ends"),
    [
        ({"permission": "customer_agent"}, True),
        ({"permission": "customer_admin"}, True),
        ({"password": "another one"}, True),  # the token that it was asked for with is void
        ({"name": "Ann"}, False),
    ],
)
async def test_a_stream_ends_when_its_caller_may_no_longer_see_what_it_tells(
    api: Api, url: str, monkeypatch: pytest.MonkeyPatch, change: dict[str, str], ends: bool
) -> None:
    now = 1000.0
    monkeypatch.setattr(api.services, "clock", lambda: now)
    login = {"username": "ann", "password": "correct horse"}
    agent = await api.root.post("/v1.0/agents", login | {"permission": "project_super_admin"})
    token = (await api.nobody.post("/v1.0/auth/login", login, 200))["token"]
    ann = Client(api.http, token, api.root.customer_id, UUID(agent["id"]))
    other = await api.client()
    async with asyncio.timeout(10), listening(url, ann) as told:
        await happen(api, "call_created", other.customer_id)
        assert await anext(told)
        await api.root.put(f"/v1.0/agents/{agent['id']}", change)
        now += 15
        await happen(api, "call_created", other.customer_id)
        if ends:
            with pytest.raises(StopAsyncIteration):
                await anext(told)
        else:
            assert await anext(told)


async def test_a_stream_is_closed_for_the_stop_of_the_engine_and_counted(api: Api, url: str) -> None:
    mine = await api.client()
    stopping = False
    api.services.draining = lambda: stopping
    async with asyncio.timeout(10), listening(url, mine) as events:
        assert api.services.streams == {mine.customer_id: 1}
        stopping = True
        api.services.new_events.notify()
        with pytest.raises(StopAsyncIteration):
            await anext(events)
    assert not api.services.streams


async def test_one_customer_leaves_streams_to_the_others(api: Api, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MOST_OF_ONE", 2)
    mine, other = await api.client(), await api.client("customer_agent")
    colleague = await api.client("customer_agent", mine.customer_id)
    async with asyncio.timeout(10), AsyncExitStack() as streams:
        for client in (mine, colleague):
            await streams.enter_async_context(listening(url, client))
        for client in (mine, colleague):
            refused = await client.get("/v1.0/events", 429)
            assert refused["reason"] == "RATE_LIMIT_EXCEEDED" and "2 event streams" in refused["message"]
        told = await streams.enter_async_context(listening(url, other))
        await happen(api, "number_created", other.customer_id, number=1)
        assert await anext(told)
        # Let in together, as none of them was open when they were looked at.
        late = [events._stream(api.services, mine, 0, ()) for _ in range(3)]  # type: ignore[arg-type]
        assert [[part async for part in stream] for stream in late] == [[], [], []]
        assert api.services.streams == {mine.customer_id: 2, other.customer_id: 1}


async def test_a_store_that_is_away_ends_no_stream(api: Api, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of clients would come back at once, and each of them be an error in the log."""
    read, asked = stored.after, asyncio.Event()

    async def away(*_: Any, **__: Any) -> Any:
        asked.set()
        raise StoreError("cannot be reached")

    mine = await api.client("customer_agent")
    async with asyncio.timeout(10), listening(url, mine) as events:
        monkeypatch.setattr(stored, "after", away)
        await happen(api, "number_created", mine.customer_id, number="+15550000001")
        await asked.wait()
        monkeypatch.setattr(stored, "after", read)
        await happen(api, "number_created", mine.customer_id, number="+15550000002")
        told = [json.loads((await anext(events))["data"])["data"]["number"] for _ in range(2)]
    assert told == ["+15550000001", "+15550000002"]


async def test_many_streams_that_read_on_leave_the_store_to_others(
    api: Api, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, now, most = stored.after, 0, 0

    async def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal now, most
        now += 1
        most = max(most, now)
        try:
            await asyncio.sleep(0.01)
            return await read(*arguments, **options)
        finally:
            now -= 1

    monkeypatch.setattr(stored, "after", counted)
    mine = await api.client("customer_agent")
    for number in range(events.READ_AT_ONCE + 5):
        await happen(api, "number_created", mine.customer_id, number=number)

    async def follow() -> list[int]:
        async with listening(url, mine, since="0", types="number_created") as told:
            return [json.loads((await anext(told))["data"])["data"]["number"] for _ in range(events.READ_AT_ONCE + 5)]

    async with asyncio.timeout(20):
        for numbers in await asyncio.gather(*(follow() for _ in range(8))):
            assert numbers == list(range(events.READ_AT_ONCE + 5))
    assert most == STREAM_READS


async def test_who_does_not_read_cannot_hold_up_the_end(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_server, "_GRACE", 1.1)
    server = ApiServer(api.app, "127.0.0.1:0")
    await server.start()
    mine = await api.client("customer_agent")
    for _ in range(20):
        await happen(api, "number_created", mine.customer_id, pad="x" * 500_000)
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
    writer.write(f"GET /v1.0/events?since=0 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {mine.key}\r\n\r\n".encode())
    async with asyncio.timeout(10):
        await reader.readline()
        with capture_logs() as lines:
            await server.close()
    assert [line for line in lines if line["log_level"] != "debug"] == []
    assert not api.services.streams
    writer.close()
