"""An answer to a write is given when calls see it: on SQLite and on PostgreSQL, for all that calls go by."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
import structlog

from flows.calls.address import Address
from service.contact_center.queue_directory import QueueDirectory
from service.workers.flow_sync import FlowSync
from service.workers.trunk_addresses import TrunkAddresses
from store.directory.sync import DirectorySync
from store.feed import ChangeFeed
from tests.api.conftest import Api, Client

NIL = str(UUID(int=0))
NUMBER = "+899100000001"


class Calls:
    """What calls go by, following the store as a node does."""

    def __init__(self, api: Api) -> None:
        log = structlog.get_logger()
        flows = api.services.flows
        self.directory, self.flows = flows.calls.directory, flows.library
        sync = DirectorySync(api.store, self.directory, FlowSync(self.flows, log), log)
        self.feed = ChangeFeed(api.store, sync, log, poll=60.0)
        self.rooms = QueueDirectory(api.store, log)

    async def start(self) -> None:
        for kind in ("queue", "agent", "conference"):
            self.feed.subscribe(kind, partial(self.rooms.changed, kind))
        await self.feed.start()
        await self.rooms.start()

    async def settled(self) -> None:
        await self.feed.settled()
        await self.rooms.settled()

    async def close(self) -> None:
        await self.rooms.close()
        await self.feed.close()


@pytest.fixture
async def calls(api_on: Api) -> AsyncIterator[Calls]:
    made = Calls(api_on)
    await made.start()
    api_on.services.settled = made.settled
    yield made
    await made.close()


async def test_a_number(api_on: Api, calls: Calls) -> None:
    admin = await api_on.client()
    flow = await admin.post("/v1.0/flows", {"actions": [{"type": "answer"}]})

    def known() -> Any:
        return calls.directory.number(NUMBER)

    made = await admin.post("/v1.0/numbers", {"number": NUMBER})
    path = f"/v1.0/numbers/{made['id']}"
    assert known() is not None and known().call_flow_id == UUID(int=0)
    await admin.put(path, {"call_flow_id": flow["id"]})
    assert str(known().call_flow_id) == flow["id"]
    await admin.post(f"{path}/suspend", status=200)
    assert known().status == "suspended"
    await admin.post(f"{path}/reactivate", status=200)
    assert known().status == "active"
    await admin.delete(path)
    assert not calls.directory.own(NUMBER)


async def test_a_number_of_the_inventory(api_on: Api, calls: Calls) -> None:
    number = "+12125551234"
    offered = await api_on.root.post("/v1.0/inventory", {"number": number})
    await api_on.root.delete(f"/v1.0/inventory/{offered['id']}")
    file = b"number,price\n+12125551234,0\n+12125551235,0\n"
    await api_on.root.ask("POST", "/v1.0/inventory", content=file, headers={"Content-Type": "text/csv"})
    admin = await api_on.client()
    made = await admin.post("/v1.0/numbers", {"number": number})
    assert calls.directory.own(number) and str(calls.directory.number(number).id) == made["id"]  # type: ignore[union-attr]


async def test_a_flow(api_on: Api, calls: Calls) -> None:
    admin = await api_on.client()

    made = await admin.post("/v1.0/flows", {"actions": [{"type": "answer"}]})
    before = calls.flows.find(made["id"])
    assert before is not None
    await admin.put(f"/v1.0/flows/{made['id']}", {"actions": [{"type": "hangup"}], "name": "other"})
    after = calls.flows.find(made["id"])
    assert after is not None and after is not before and after.name == "other"
    await admin.delete(f"/v1.0/flows/{made['id']}")
    assert calls.flows.find(made["id"]) is None


async def test_a_provider_and_its_routes(api_on: Api, calls: Calls) -> None:
    root = api_on.root
    provider = await root.post("/v1.0/providers", {"hostname": "192.0.2.1", "inbound_addresses": ["192.0.2.0/28"]})
    identifier = UUID(provider["id"])
    at = calls.directory.provider_at("192.0.2.9")
    assert at is not None and at.id == identifier
    path = f"/v1.0/providers/{identifier}"
    await root.put(path, {"inbound_addresses": ["198.51.100.0/28"], "tech_prefix": "9"})
    assert calls.directory.provider_at("192.0.2.9") is None and calls.directory.provider_at("198.51.100.1") is not None
    route = await root.post("/v1.0/routes", {"provider_id": provider["id"], "target": "+44"})
    assert [row.target for row in calls.directory.routes] == ["+44"]
    await root.put(f"/v1.0/routes/{route['id']}", {"target": "+49"})
    assert [row.target for row in calls.directory.routes] == ["+49"]
    await root.delete(f"/v1.0/routes/{route['id']}")
    assert not list(calls.directory.routes)
    await root.delete(path)
    assert calls.directory.provider(identifier) is None


async def test_a_customer(api_on: Api, calls: Calls) -> None:
    made = await api_on.root.post("/v1.0/customers", {"destination_countries": ["US"]})
    path, key = f"/v1.0/customers/{made['id']}", UUID(made["id"]).int

    def terms() -> Any:
        return calls.directory.customer(key)

    await api_on.root.put(path, {"suspended": True})
    assert terms() is not None and terms().suspended
    await api_on.root.put(path, {"suspended": False})
    assert not terms().suspended
    await api_on.root.delete(path)
    assert terms() is None


async def test_queues_agents_and_conferences(api_on: Api, calls: Calls) -> None:
    admin = await api_on.client()
    owner = admin.customer_id
    body = {"username": uuid4().hex, "password": "correct horse", "name": "ann"}
    agent = await admin.post("/v1.0/agents", body | {"addresses": [{"type": "sip", "target": "sip:ann@example.com"}]})
    ann = Address(type="agent", target="ann")

    async def reached() -> str:
        found = calls.rooms.agent_address(ann, owner)
        return "" if found is None else found[0].target

    assert await reached() == "sip:ann@example.com"
    await admin.put(f"/v1.0/agents/{agent['id']}", {"addresses": [{"type": "sip", "target": "sip:ann@example.org"}]})
    assert await reached() == "sip:ann@example.org"
    await admin.delete(f"/v1.0/agents/{agent['id']}")
    assert await reached() == ""
    for kind, found in (("queues", calls.rooms.queue), ("conferences", calls.rooms.conference)):
        await _comes_and_goes(admin, f"/v1.0/{kind}", lambda name, find=found: find(name, owner))  # type: ignore[misc]


async def _comes_and_goes(admin: Client, path: str, find: Callable[[str], Any]) -> None:
    made = await admin.post(path, {"name": "one"})
    assert find("one") is not None
    await admin.put(f"{path}/{made['id']}", {"name": "two"})
    assert find("one") is None and find("two") is not None
    await admin.delete(f"{path}/{made['id']}")
    assert find("two") is None


async def test_beside_others_that_write_without_end(api_on: Api, calls: Calls) -> None:
    """Each waits for its own change, not for an end of all changes."""
    admin = await api_on.client(customer_id=await api_on.customer(tier="unlimited"))

    async def make(place: int) -> None:
        number = f"+8991000010{place:02}"
        await admin.post("/v1.0/numbers", {"number": number})
        assert calls.directory.own(number)

    await asyncio.gather(*(make(place) for place in range(20)))


# ---- when it waits, and when not


async def test_whatever_changes_something_waits_and_nothing_else_does(api: Api) -> None:
    waited: list[str] = []

    async def settled() -> None:
        waited.append("settled")

    api.services.settled = settled
    admin = await api.client()
    tries: list[tuple[str, Callable[[], Awaitable[Any]], int]] = [
        ("a read", lambda: admin.get("/v1.0/queues"), 0),
        ("a refusal", lambda: admin.post("/v1.0/queues", {"name": 7}, 400), 0),
        ("a creation", lambda: admin.post("/v1.0/queues"), 1),
        ("what is not there", lambda: admin.delete(f"/v1.0/queues/{uuid4()}", 404), 0),
        ("a change", lambda: admin.put(f"/v1.0/customers/{admin.customer_id}", {"name": "x"}), 1),
    ]
    for what, ask, times in tries:
        waited.clear()
        await ask()
        assert len(waited) == times, what


async def test_a_provider_by_name_waits_for_its_addresses(api: Api) -> None:
    """An INVITE from there is the provider's from then on."""

    class Resolver:
        def __init__(self) -> None:
            self.go = asyncio.Event()
            self.asked = asyncio.Event()

        async def resolve(self, uri: Any) -> list[Any]:
            self.asked.set()
            await self.go.wait()
            return [type("Target", (), {"host": "192.0.2.77"})]

    calls, resolver = Calls(api), Resolver()
    names = TrunkAddresses(calls.directory, resolver, structlog.get_logger())  # type: ignore[arg-type]
    calls.feed.subscribe("provider", lambda _change: names.look_again())
    await calls.start()
    names.start()

    async def settled() -> None:
        await calls.settled()
        await names.settled()

    api.services.settled = settled
    asking = asyncio.ensure_future(api.root.post("/v1.0/providers", {"hostname": "sip.example.com"}))
    await resolver.asked.wait()
    assert not asking.done()
    resolver.go.set()
    made = await asking
    at = calls.directory.provider_at("192.0.2.77")
    assert at is not None and str(at.id) == made["id"]
    # A change that is not about its name waits for no name.
    resolver.go.clear()
    await api.root.put(f"/v1.0/providers/{made['id']}", {"detail": "x"})
    await names.close()
    await calls.close()
