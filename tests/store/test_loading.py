"""Everything from the store into memory: as it was saved, no more than fits, and in small pieces."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from routing.directory.customers import CustomerTerms
from routing.models.number import Number
from routing.models.provider import Provider
from routing.models.route import Route
from store import rows
from store.database import tables
from store.directory.loading import load
from store.directory.mapping import number_of, provider_of, route_of
from store.feed import prune
from store.store import Store
from tests.store.feeding import add_number, add_provider, add_route, delete, process


def nothing_skipped(kind: str, identifier: Any, error: Exception) -> None:
    raise AssertionError(f"{kind} {identifier}: {error}")


async def test_every_field_comes_back_as_it_was_saved(store_url: str) -> None:
    provider = Provider(
        id=uuid4(), name="carrier", detail="d", hostname="sip.example:5080", transport="tcp", enabled=False,
        inbound_addresses=["192.0.2.0/24", "2001:db8::/32"], tech_prefix="1", tech_postfix="@x.example",
        tech_headers={"X-Z": "é", "X-A": "2"}, username="u", password="p", realm="r", from_user="f",
        from_domain="d.example", user_is_phone=True, caller_id_headers=["Remote-Party-ID"], number_format="plain",
        max_channels=7, max_cps=3, no_reply_timeout=1.5, no_progress_timeout=2.5, ring_timeout=33.0,
        failover_codes=["5xx", 404], stop_codes=[503], codecs="PCMA,PCMU",
    )  # fmt: skip
    customer = uuid4()
    route = Route(
        id=uuid4(), customer_id=customer, name="n", detail="d", provider_id=provider.id, priority=-3, weight=0,
        target="+4420", enabled=False, rate=12_345, short_prefix=True, failover_codes=[486], stop_codes=[],
        no_reply_timeout=0.5, no_progress_timeout=None, ring_timeout=9.0,
    )  # fmt: skip
    number = Number(
        id=uuid4(), customer_id=customer, number="+442079460123", status="suspended", call_flow_id=uuid4(),
        message_flow_id=uuid4(), metadata={"a": [1, {"b": None}]}, provider_id=provider.id, origin="ported",
        country="GB", region="England", city="London", kind="local", name="office", detail="d",
    )  # fmt: skip
    store = await Store.open(store_url)
    try:
        async with store.write() as transaction:
            values = provider.model_dump(exclude={"id", "name"})
            stored = await add_provider(transaction, provider.name, id=provider.id, **_settings(values))
            made = await add_route(transaction, **_settings(route.model_dump()))
            values = _settings(number.model_dump(exclude={"number", "id"}))
            kept = await add_number(transaction, number.number, **values)
            values = {"id": customer, "suspended": True, "destination_countries": ["GB", "US"]}
            await rows.insert(transaction, tables.customers, values)
        times = {"tm_create", "tm_update", "tm_delete"}
        assert provider_of(stored).model_dump(exclude=times) == provider.model_dump(exclude=times)
        assert route_of(made).model_dump(exclude=times) == route.model_dump(exclude=times)
        assert number_of(kept).model_dump(exclude=times | {"id"}) == number.model_dump(exclude=times | {"id"})

        content = await load(store, nothing_skipped)
        assert content.complete
        trunk = content.trunks[provider.id.int]
        assert trunk.provider.model_dump(exclude=times) == provider.model_dump(exclude=times)
        assert list(trunk.provider.tech_headers) == ["X-Z", "X-A"]
        (row,) = content.routes
        assert (row.prefix, row.provider, row.customer, row.priority, row.weight, row.rate, row.enabled) == (
            "+4420", provider.id.int, customer.int, -3, 0, 12_345, False,
        )  # fmt: skip
        assert row.overrides is not None
        assert (row.overrides.failover, row.overrides.stop, row.overrides.ring_timeout) == ({486}, frozenset(), 9.0)
        found = content.numbers[number.number]
        assert (found.id, found.customer_id, found.status) == (kept["id"], customer, "suspended")
        assert (found.call_flow_id, found.message_flow_id) == (number.call_flow_id, number.message_flow_id)
        assert (found.country, found.city, found.kind, found.origin) == ("GB", "London", "local", "ported")
        assert found.metadata == {"a": [1, {"b": None}]}
        assert content.customers[customer.int] == CustomerTerms(customer.int, True, frozenset({"GB", "US"}))
    finally:
        await store.close()


def _settings(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if not name.startswith(("tm_", "health_"))}


@pytest.mark.parametrize("target", ["911", "116117", "emergency"])
async def test_a_route_to_a_short_number_is_loaded(store_url: str, target: str) -> None:
    provider = Provider(id=uuid4(), name="help", hostname="sip.example")
    route = Route(id=uuid4(), provider_id=provider.id, target=target, short_prefix=True)
    store = await Store.open(store_url)
    try:
        async with store.write() as transaction:
            await add_provider(transaction, "help", id=provider.id, hostname="sip.example")
            await add_route(transaction, **_settings(route.model_dump()))
        (row,) = (await load(store, nothing_skipped)).routes
        assert (row.target, row.short_prefix) == (target, True)
    finally:
        await store.close()


async def test_what_is_deleted_and_routes_that_lead_nowhere_are_left_out(store_url: str) -> None:
    store = await Store.open(store_url)
    try:
        async with store.write() as transaction:
            gone = await add_provider(transaction, "gone")
            await add_route(transaction, gone["id"])
            await delete(transaction, tables.providers, "provider", gone)
            number = await add_number(transaction, "+15551234567")
            await delete(transaction, tables.numbers, "number", number)
        content = await load(store, nothing_skipped)
        assert (len(content.trunks), len(content.routes), len(content.numbers)) == (0, 0, 0)
    finally:
        await store.close()


async def fill(store: Store, count: int, status: str, first: int = 0) -> None:
    async with store.write() as transaction:
        values = [
            {
                "id": uuid4(), "number": f"+1555{first + index:07}", "type": "normal", "status": status,
                "metadata": {}, "tm_create": transaction.now, "tm_update": transaction.now,
            }
            for index in range(count)
        ]  # fmt: skip
        await transaction.execute(sa.insert(tables.numbers), values)


async def test_with_more_numbers_than_fit_those_that_take_calls_go_first(store_url: str) -> None:
    store = await Store.open(store_url)
    try:
        await fill(store, 30, "available")
        await fill(store, 20, "active", first=30)
        content = await load(store, nothing_skipped, limit=25)
        statuses = [row.status for row in content.numbers.values()]
        assert not content.complete
        assert (statuses.count("active"), statuses.count("available")) == (20, 5)
        content = await load(store, nothing_skipped, limit=10)
        assert [row.status for row in content.numbers.values()] == ["active"] * 10
        content = await load(store, nothing_skipped, limit=50)
        assert (len(content.numbers), content.complete) == (50, True)
    finally:
        await store.close()


async def test_a_feed_over_a_full_directory_keeps_to_its_limit_and_follows(store_url: str) -> None:
    store = await Store.open(store_url)
    try:
        await fill(store, 50, "active")
    finally:
        await store.close()
    async with process(store_url, limit=20) as here:
        assert (len(here.directory.numbers), here.directory.complete) == (20, False)
        async with here.store.write() as transaction:
            await add_number(transaction, "+15557654321")
        await here.settled()
        assert "+15557654321" in here.directory.numbers
        assert len(here.directory.numbers) <= 20
        await prune(here.store)


async def test_the_loop_turns_while_many_numbers_are_read(store_url: str) -> None:
    store = await Store.open(store_url)
    try:
        await fill(store, 5_000, "active")
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.ensure_future(count())
        content = await load(store, nothing_skipped)
        counting.cancel()
        assert len(content.numbers) == 5_000
        assert turns >= 10  # one for each slice at least
    finally:
        await store.close()
