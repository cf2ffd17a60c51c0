"""What a process left open that ended without a word is closed, once, and nothing else is."""

import asyncio
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from store.cluster.recovery import BATCH, END_REASON, recover
from store.database import tables
from store.database.timestamps import api_time
from store.resources.calls import save
from store.resources.nodes import SILENCE
from store.rows import insert
from store.store import Store
from tests.store.stored_calls import CUSTOMER, NOW, Clock, call, opened, seconds, table

HERE, BEFORE, NEIGHBOUR, GONE = (UUID(int=number) for number in (1, 2, 3, 4))
SEEN = NOW - seconds(10)


async def node(store: Store, identifier: UUID, name: str, seen: datetime) -> None:
    async with store.write() as transaction:
        await insert(transaction, tables.nodes, {"id": identifier, "name": name, "tm_create": seen, "tm_seen": seen})


async def network(store: Store) -> None:
    """This node, its run before, which was killed ten seconds ago, one that lives, and one that is silent too long."""
    await node(store, HERE, "sip1", NOW)
    await node(store, BEFORE, "sip1", SEEN)
    await node(store, NEIGHBOUR, "sip2", SEEN)
    await node(store, GONE, "sip3", NOW - SILENCE - seconds(1))


async def written(store: Store, *rows: dict[str, Any]) -> None:
    async with store.write() as transaction:
        await save(transaction, rows)


async def one(store: Store, identifier: UUID) -> dict[str, Any]:
    (row,) = await table(store, tables.calls, tables.calls.c.id == identifier)
    return row


async def test_a_call_that_was_cut_off_has_failed_when_its_node_was_last_seen(store_url: str) -> None:
    row = call(
        node_id=BEFORE,
        status="progressing",
        tm_create=NOW - seconds(100),
        tm_ringing=NOW - seconds(99),
        tm_progressing=NOW - seconds(98),
    )
    async with opened(store_url) as store:
        await network(store)
        await written(store, row)
        found = await recover(store, HERE, "sip1")
        assert (found.calls, found.groupcalls, found.reservations) == (1, 0, 0)
        assert await one(store, row["id"]) == row | {
            "status": "hangup",
            "hangup_reason": "failed",
            "hangup_by": "local",
            "end_reason": END_REASON,
            "tm_hangup": SEEN,
            "tm_update": NOW,
        }
        (event,) = await table(store, tables.events)
        assert (event["type"], event["customer_id"]) == ("call_hangup", CUSTOMER)
        assert event["data"]["id"] == str(row["id"])
        assert (event["data"]["status"], event["data"]["hangup_reason"]) == ("hangup", "failed")
        assert event["data"]["tm_hangup"] == api_time(SEEN)


async def test_nothing_ends_before_it_has_begun(store_url: str) -> None:
    """The last sign of life was before the call was answered, or there is none at all."""
    answered = call(node_id=BEFORE, tm_create=SEEN + seconds(1), tm_progressing=SEEN + seconds(2))
    nobodys = call(node_id=uuid4(), tm_create=NOW - seconds(9), tm_update=NOW - seconds(8))
    async with opened(store_url) as store:
        await network(store)
        await written(store, answered, nobodys)
        assert (await recover(store, HERE, "sip1")).calls == 2
        assert (await one(store, answered["id"]))["tm_hangup"] == SEEN + seconds(2)
        assert (await one(store, nobodys["id"]))["tm_hangup"] == NOW - seconds(8)


async def test_at_its_start_a_node_closes_what_its_earlier_run_and_silent_nodes_left(store_url: str) -> None:
    rows = {found: call(node_id=found) for found in (HERE, BEFORE, NEIGHBOUR, GONE)}
    over = call(node_id=BEFORE, status="hangup", hangup_reason="normal", tm_hangup=NOW)
    async with opened(store_url) as store:
        await network(store)
        await written(store, *rows.values(), over)
        assert (await recover(store, HERE, "sip1")).calls == 2
        closed = {found for found, row in rows.items() if (await one(store, row["id"]))["tm_hangup"]}
        assert closed == {BEFORE, GONE}
        assert await one(store, over["id"]) == over
        assert not await recover(store, HERE, "sip1")


async def test_while_it_runs_it_looks_for_silence_alone(store_url: str) -> None:
    """Two nodes that were given one name would else end each other's calls for ever."""
    rows = {found: call(node_id=found) for found in (HERE, BEFORE, NEIGHBOUR, GONE)}
    clock = Clock()
    async with opened(store_url, clock) as store:
        await network(store)
        await written(store, *rows.values())
        assert (await recover(store, HERE)).calls == 1
        assert (await one(store, rows[GONE]["id"]))["status"] == "hangup"
        clock.now = SEEN + SILENCE
        assert not await recover(store, HERE)
        clock.now += seconds(1)
        assert (await recover(store, HERE)).calls == 2  # its neighbour's and its earlier run's, never its own
        assert (await one(store, rows[HERE]["id"]))["status"] == "dialing"


async def test_more_calls_than_fit_into_one_transaction(store_url: str) -> None:
    rows = [call(node_id=BEFORE) for _ in range(2 * BATCH + 1)]
    async with opened(store_url) as store:
        await network(store)
        await written(store, *rows)
        assert (await recover(store, HERE, "sip1")).calls == len(rows)
        assert await table(store, tables.calls, tables.calls.c.tm_hangup.is_(None)) == []
        assert len(await table(store, tables.events)) == len(rows)


async def test_two_that_find_the_same_dead_node_tell_of_each_call_once(store_url: str) -> None:
    rows = [call(node_id=GONE) for _ in range(BATCH + 1)]
    async with opened(store_url) as store:
        await network(store)
        await written(store, *rows)
        found = await asyncio.gather(recover(store, HERE), recover(store, NEIGHBOUR))
        assert sum(one.calls for one in found) == len(rows)
        assert len(await table(store, tables.events)) == len(rows)


async def test_groupcalls_are_closed_too(store_url: str) -> None:
    async with opened(store_url) as store:
        await network(store)
        async with store.write() as transaction:
            for found, status in ((BEFORE, "ringing"), (HERE, "ringing"), (GONE, "hangup")):
                await insert(transaction, tables.groupcalls, {"id": found, "node_id": found, "status": status})
        assert (await recover(store, HERE, "sip1")).groupcalls == 1
        rows = {row["id"]: row["status"] for row in await table(store, tables.groupcalls)}
        assert rows == {BEFORE: "hangup", HERE: "ringing", GONE: "hangup"}


async def test_what_they_had_reserved_is_settled(store_url: str) -> None:
    account = {"customer_id": CUSTOMER, "balance": 1_000_000, "reserved": 300_000, "tier": "free"}
    async with opened(store_url) as store:
        await network(store)
        async with store.write() as transaction:
            customer = {"id": CUSTOMER, "name": "Ann's"}
            await insert(transaction, tables.customers, customer)
            opened_account = await insert(transaction, tables.billing_accounts, account)
            for found in (BEFORE, NEIGHBOUR):
                reservation = {
                    "customer_id": CUSTOMER,
                    "account_id": opened_account["id"],
                    "node_id": found,
                    "call_id": uuid4(),
                    "rate": 60_000,
                    "amount": 150_000,
                    "tm_answer": SEEN - seconds(60),
                }
                await insert(transaction, tables.reservations, reservation)
        assert (await recover(store, HERE, "sip1")).reservations == 1
        (kept,) = await table(store, tables.reservations)
        assert kept["node_id"] == NEIGHBOUR
        (after,) = await table(store, tables.billing_accounts)
        assert (after["balance"], after["reserved"]) == (940_000, 150_000)  # a minute at 60,000
        async with store.read() as connection:
            total = (await connection.execute(sa.select(sa.func.sum(tables.ledger.c.amount)))).scalar_one()
        assert total == -60_000
