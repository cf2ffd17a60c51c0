"""The change feed within one process: what is committed is in the directory at once, in order, and nothing else is."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from routing.directory.directory import Directory
from store import rows
from store.database import tables
from store.directory.sync import DirectorySync
from store.feed import EVERYTHING, ChangeFeed, prune
from store.store import Change, Store
from tests.store.feeding import (
    BOUND,
    Lines,
    Shelf,
    add_flow,
    add_number,
    add_provider,
    add_route,
    delete,
    process,
    until,
)

NUMBER = "+15551234567"


async def test_what_is_committed_is_in_the_directory_at_once(store_url: str) -> None:
    async with process(store_url) as here:
        async with here.store.write() as transaction:
            await add_number(transaction, NUMBER, name="front desk")
            assert here.directory.number(NUMBER) is None  # not before it is committed
        await until(lambda: here.directory.number(NUMBER))
        row = here.directory.number(NUMBER)
        assert row is not None
        assert (row.name, row.status) == ("front desk", "active")


async def test_every_kind_of_resource_follows_its_row(store_url: str) -> None:
    async with process(store_url) as here:
        async with here.store.write() as transaction:
            flow = await add_flow(transaction, "welcome")
            provider = await add_provider(transaction, "carrier", tech_headers={"X-B": "1", "X-A": "2"})
            route = await add_route(transaction, provider["id"], target="+44", rate=5_000)
            number = await add_number(transaction, NUMBER, call_flow_id=flow["id"])
            customer = await rows.insert(transaction, tables.customers, {"destination_countries": ["GB"]})
            transaction.changed("customer", customer["id"])
        await here.settled()
        directory = here.directory
        trunk = directory.provider_named("carrier")
        assert trunk is not None
        assert list(trunk.tech_headers) == ["X-B", "X-A"]  # in the order in which they are sent
        assert [(found.prefix, found.rate) for found in directory.routes] == [("+44", 5_000)]
        assert list(here.shelf.rows) == [flow["id"]]
        terms = directory.customer(customer["id"].int)
        assert terms is not None
        assert terms.destination_countries == {"GB"}

        async with here.store.write() as transaction:
            await rows.update(transaction, tables.providers, provider["id"], {"hostname": "192.0.2.9"})
            transaction.changed("provider", provider["id"])
            await rows.update(transaction, tables.routes, route["id"], {"target": "+49"})
            transaction.changed("route", route["id"])
            await rows.update(transaction, tables.numbers, number["id"], {"status": "suspended"})
            transaction.changed("number", number["id"], NUMBER)
            await rows.update(transaction, tables.customers, customer["id"], {"suspended": True})
            transaction.changed("customer", customer["id"])
        await here.settled()
        changed = directory.provider(provider["id"])
        assert changed is not None
        assert changed.hostname == "192.0.2.9"
        assert [found.prefix for found in directory.routes] == ["+49"]
        found = directory.number(NUMBER)
        assert found is not None
        assert found.status == "suspended"
        terms = directory.customer(customer["id"].int)
        assert terms is not None
        assert terms.suspended

        async with here.store.write() as transaction:
            await delete(transaction, tables.numbers, "number", number)
            await delete(transaction, tables.routes, "route", route)
            await delete(transaction, tables.providers, "provider", provider)
            await delete(transaction, tables.flows, "flow", flow)
            await delete(transaction, tables.customers, "customer", customer)
        await here.settled()
        assert (directory.number(NUMBER), directory.providers, list(directory.routes)) == (None, [], [])
        assert not here.shelf.rows
        assert directory.customer(customer["id"].int) is None


async def test_what_is_rolled_back_never_shows(store_url: str) -> None:
    async with process(store_url, poll=0.01) as here:
        with pytest.raises(RuntimeError):
            async with here.store.write() as transaction:
                await add_number(transaction, NUMBER)
                raise RuntimeError
        async with here.store.write() as transaction:
            await add_number(transaction, "+15557654321")
        await here.settled()
        assert list(here.directory.numbers) == ["+15557654321"]


async def test_a_number_given_back_and_taken_by_somebody_else_is_theirs(store_url: str) -> None:
    async with process(store_url) as here:
        async with here.store.write() as transaction:
            first = await add_number(transaction, NUMBER, name="first")
        async with here.store.write() as transaction:
            await delete(transaction, tables.numbers, "number", first)
            second = await add_number(transaction, NUMBER, name="second")
            # The change of the row that is gone comes last, and still does not take away the one that is there.
            transaction.changed("number", first["id"], NUMBER)
        await here.settled()
        found = here.directory.number(NUMBER)
        assert found is not None
        assert (found.id, found.name) == (second["id"], "second")


async def test_a_provider_that_comes_back_has_its_routes_again(store_url: str) -> None:
    async with process(store_url) as here:
        async with here.store.write() as transaction:
            provider = await add_provider(transaction, "carrier")
            await add_route(transaction, provider["id"])
        async with here.store.write() as transaction:
            await delete(transaction, tables.providers, "provider", provider)
        await here.settled()
        assert (here.directory.providers, list(here.directory.routes)) == ([], [])
        async with here.store.write() as transaction:
            revived = sa.update(tables.providers).where(tables.providers.c.id == provider["id"]).values(tm_delete=None)
            await transaction.execute(revived)
            transaction.changed("provider", provider["id"])
        await here.settled()
        assert [row.provider for row in here.directory.routes] == [provider["id"].int]


async def test_a_thousand_changes_at_once_arrive_each_and_in_order(store_url: str) -> None:
    async with process(store_url) as here:
        told: list[str] = []
        here.feed.subscribe("number", lambda change: told.append(change.key if change else "all"))
        wanted = [f"+1555{index:07}" for index in range(2_500)]
        values = [
            {"number": number, "type": "normal", "status": "active"}
            | dict.fromkeys(("tm_create", "tm_update"), here.store.clock())
            for number in wanted
        ]
        async with here.store.write() as transaction:
            made = [row | {"id": Change("", _id(index)).resource_id} for index, row in enumerate(values)]
            await transaction.execute(sa.insert(tables.numbers), made)
            for row in made:
                transaction.changed("number", row["id"], row["number"])
        await here.settled()
        assert list(here.directory.numbers) == wanted
        assert told == wanted


def _id(index: int) -> Any:
    from uuid import UUID

    return UUID(int=index + 1)


async def test_subscribers_hear_of_their_kind_after_the_directory_and_one_that_fails_stops_nobody(
    store_url: str,
) -> None:
    async with process(store_url) as here:
        seen: list[tuple[Change | None, bool]] = []

        def fails(_change: Change | None) -> None:
            raise ValueError("a fault of a subscriber")

        here.feed.subscribe("number", fails)
        here.feed.subscribe("number", lambda change: seen.append((change, NUMBER in here.directory.numbers)))
        here.feed.subscribe("webhook", lambda change: seen.append((change, False)))
        async with here.store.write() as transaction:
            row = await add_number(transaction, NUMBER)
        await here.settled()
        assert seen == [(Change("number", row["id"], NUMBER), True)]
        assert here.log.events("error") == ["change feed"]
        assert here.feed.healthy


async def test_a_row_that_this_version_refuses_is_left_out_and_said(store_url: str) -> None:
    async with process(store_url) as here:
        async with here.store.write() as transaction:
            good = await add_provider(transaction, "good")
            bad = await add_provider(transaction, "bad")
            await rows.update(transaction, tables.providers, bad["id"], {"hostname": "no host"})
        await here.settled()
        assert [provider.id for provider in here.directory.providers] == [good["id"]]
        assert here.log.lines[0][2]["id"] == str(bad["id"])
        here.feed.start_over()
        await until(lambda: here.feed.resynchronisations)
        assert [provider.id for provider in here.directory.providers] == [good["id"]]


async def test_it_starts_with_what_there_is_and_looks_by_itself(store_url: str) -> None:
    store = await Store.open(store_url)
    try:
        async with store.write() as transaction:
            await add_number(transaction, NUMBER)
        async with process(store_url, poll=0.02) as here:
            assert list(here.directory.numbers) == [NUMBER]
            # Another process that tells nobody: what a lost notice looks like.
            async with store.write() as transaction:
                await add_number(transaction, "+15557654321")
            await until(lambda: "+15557654321" in here.directory.numbers)
            assert here.feed.healthy
            assert not here.feed.resynchronisations
    finally:
        await store.close()


async def test_changes_that_were_deleted_unread_lead_to_reading_everything(store_url: str) -> None:
    other = await Store.open(store_url)
    try:
        async with process(store_url) as here:
            async with here.store.write() as transaction:
                await add_number(transaction, NUMBER)
            await here.settled()
            told: list[Change | None] = []
            here.feed.subscribe("number", told.append)
            for index in range(3):
                async with other.write() as transaction:
                    await add_number(transaction, f"+1555000000{index}")
            assert await prune(other, kept=1) >= 3
            here.feed.look()
            await until(lambda: here.feed.resynchronisations)
            assert len(here.directory.numbers) == 4
            assert told == [None]
            async with other.write() as transaction:
                await add_number(transaction, "+15550009999")
            here.feed.look()
            await until(lambda: "+15550009999" in here.directory.numbers)
            assert here.feed.resynchronisations == 1
    finally:
        await other.close()


async def test_pruning_keeps_what_is_young_and_always_the_newest(store_url: str) -> None:
    store = await Store.open(store_url)
    try:
        for index in range(5):
            async with store.write() as transaction:
                await add_number(transaction, f"+1555000000{index}")
        assert await prune(store) == 0
        assert await prune(store, kept=3) == 2
        assert await prune(store, kept_for=timedelta(0)) == 2
        async with store.read() as connection:
            assert len((await connection.execute(sa.select(tables.changes))).all()) == 1
    finally:
        await store.close()


async def test_what_changes_while_everything_is_read_is_in_the_new_content_too(store_url: str) -> None:
    async with process(store_url) as here:
        async with here.store.write() as transaction:
            kept = await add_number(transaction, NUMBER, name="before")
            gone = await add_number(transaction, "+15557654321")
        await here.settled()
        held = asyncio.Event()
        sync: Any = here.feed._applier
        load = sync.load

        async def slow() -> None:
            await load()
            await held.wait()

        sync.load = slow
        here.feed.start_over()
        await until(lambda: here.feed._loading)
        await until(lambda: sync._built)
        async with here.store.write() as transaction:
            await rows.update(transaction, tables.numbers, kept["id"], {"name": "after"})
            transaction.changed("number", kept["id"], NUMBER)
            await delete(transaction, tables.numbers, "number", gone)
            await add_flow(transaction, "late")
        # Calls meanwhile see the changes as quickly as ever.
        await until(lambda: here.directory.number("+15557654321") is None)
        assert not here.feed.resynchronisations
        held.set()
        await until(lambda: here.feed.resynchronisations)
        assert [(row.number, row.name) for row in here.directory.numbers.values()] == [(NUMBER, "after")]
        assert [row["name"] for row in here.shelf.rows.values()] == ["late"]


async def test_a_writer_may_report_everything_in_place_of_each(store_url: str) -> None:
    async with process(store_url) as here:
        async with here.store.write() as transaction:
            await add_number(transaction, NUMBER)
            transaction.changes[:] = [EVERYTHING]
        await here.settled()  # not before everything was read
        assert list(here.directory.numbers) == [NUMBER]
        assert here.feed.resynchronisations == 1


async def test_names_that_were_resolved_are_still_trunks_after_reading_everything(store_url: str) -> None:
    async with process(store_url) as here:
        async with here.store.write() as transaction:
            provider = await add_provider(transaction, "carrier", hostname="sip.carrier.example")
        await here.settled()
        here.directory.set_resolved_addresses(provider["id"], ["192.0.2.77"])
        here.feed.start_over()
        await until(lambda: here.feed.resynchronisations)
        found = here.directory.provider_at("192.0.2.77")
        assert found is not None
        assert found.id == provider["id"]


async def test_a_fault_in_the_applier_does_not_end_the_feed(store_url: str) -> None:
    store = await Store.open(store_url)

    class Broken(DirectorySync):
        broken = True

        async def apply(self, changes: Any) -> None:
            if self.broken:
                raise KeyError("a fault of ours")
            await super().apply(changes)

    directory, log = Directory(), Lines()
    applier = Broken(store, directory, Shelf(), log)
    feed = ChangeFeed(store, applier, log, poll=0.01)
    try:
        await feed.start()
        async with store.write() as transaction:
            await add_number(transaction, NUMBER)
        await until(lambda: log.events("error"))
        applier.broken = False
        await until(lambda: NUMBER in directory.numbers)
        await until(lambda: feed.healthy)
    finally:
        await feed.close()
        await store.close()


async def test_waiting_for_changes_has_an_end_while_the_store_is_away(store_url: str) -> None:
    async with process(store_url) as here:
        here.feed._committed += 1
        async with asyncio.timeout(BOUND):
            await here.feed.settled(within=0.01)


async def test_a_row_that_somebody_broke_costs_no_other(store_url: str) -> None:
    async with process(store_url) as here:
        async with here.store.write() as transaction:
            await add_number(transaction, NUMBER)
            broken = await add_number(transaction, "+15557654321")
            await rows.update(transaction, tables.numbers, broken["id"], {"status": "odd"})
        await here.settled()
        assert list(here.directory.numbers) == [NUMBER]
        here.feed.start_over()
        await until(lambda: here.feed.resynchronisations)
        assert list(here.directory.numbers) == [NUMBER]
        assert len(here.log.events("error")) == 2
        assert not here.feed._start_over


async def test_waiting_for_changes_ends_when_the_feed_does(store_url: str) -> None:
    async with process(store_url) as here:
        here.feed._committed += 1  # as if the store had gone right after a commit
        waiting = asyncio.ensure_future(here.feed.settled())
        await asyncio.sleep(0)
        await here.feed.close()
        async with asyncio.timeout(BOUND):
            await waiting
