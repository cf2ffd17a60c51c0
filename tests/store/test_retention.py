"""What is old goes, what is not stays, and nobody who writes waits long."""

import asyncio
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from store.database import tables
from store.maintenance.retention import IDEMPOTENCY, NODES, Pruned, prune
from store.resources.calls import save
from store.rows import insert
from store.store import Store
from tests.store.stored_calls import CUSTOMER, NOW, attempt, call, opened, seconds, table

DAY = 86_400.0
OLD, YOUNG = NOW - seconds(10 * DAY), NOW - seconds(DAY)


async def pruned(store: Store, calls_for: float = 0, events_for: float = 0, batch: int = 2) -> Pruned:
    return await prune(store, calls_for=calls_for, events_for=events_for, batch=batch, pause=0)


async def test_old_calls_go_with_their_attempts(store_url: str) -> None:
    old = [call(tm_create=OLD, tm_hangup=OLD) for _ in range(5)]
    young = call(tm_create=YOUNG, tm_hangup=YOUNG)
    still_open = call(tm_create=OLD)
    tries = [attempt(UUID(int=9), row["id"], place=place) for row in (*old, young, still_open) for place in (0, 1)]
    async with opened(store_url) as store:
        async with store.write() as transaction:
            await save(transaction, [*old, young, still_open], tries)
        done = await pruned(store, calls_for=5 * DAY)
        assert done == Pruned(calls=5, attempts=10)
        kept = {young["id"], still_open["id"]}
        assert {row["id"] for row in await table(store, tables.calls)} == kept
        assert {row["call_id"] for row in await table(store, tables.attempts)} == kept
        assert not await pruned(store, calls_for=5 * DAY)


async def test_old_messages_go_but_for_those_that_are_being_sent(store_url: str) -> None:
    async with opened(store_url) as store:
        kept = set()
        async with store.write() as transaction:
            for moment, status in ((OLD, "delivered"), (OLD, "sending"), (YOUNG, "received")):
                values = {"customer_id": CUSTOMER, "direction": "outgoing", "status": status, "tm_create": moment}
                row = await insert(transaction, tables.messages, values)
                tried = {"message_id": row["id"], "target": 0, "place": 0, "tm_create": moment}
                await transaction.execute(sa.insert(tables.message_attempts), tried)
                if (moment, status) != (OLD, "delivered"):
                    kept.add(row["id"])
        assert await pruned(store, calls_for=5 * DAY) == Pruned(messages=1)
        assert {row["id"] for row in await table(store, tables.messages)} == kept
        assert {row["message_id"] for row in await table(store, tables.message_attempts)} == kept


async def test_temporary_flows_go_with_their_calls_and_no_other_flow_does(store_url: str) -> None:
    async with opened(store_url) as store:
        async with store.write() as transaction:
            for created, deleted in ((OLD, OLD), (YOUNG, YOUNG), (OLD, None), (OLD, YOUNG)):
                values = {"actions": [], "tm_create": created, "tm_delete": deleted}
                await insert(transaction, tables.flows, values)
        assert await pruned(store, calls_for=5 * DAY) == Pruned(flows=1)
        left = {(row["tm_create"], row["tm_delete"]) for row in await table(store, tables.flows)}
        assert left == {(YOUNG, YOUNG), (OLD, None), (OLD, YOUNG)}


async def test_zero_keeps_for_ever(store_url: str) -> None:
    async with opened(store_url) as store:
        async with store.write() as transaction:
            await save(transaction, [call(tm_create=OLD, tm_hangup=OLD)])
            await transaction.execute(sa.insert(tables.events), {"type": "x", "tm_create": OLD})
        assert not await pruned(store)
        assert len(await table(store, tables.calls)) == len(await table(store, tables.events)) == 1


async def test_events_deliveries_and_groupcalls(store_url: str) -> None:
    async with opened(store_url) as store:
        async with store.write() as transaction:
            for moment in (OLD, OLD, OLD, YOUNG):
                await transaction.execute(sa.insert(tables.events), {"type": "x", "tm_create": moment})
                delivery = {"webhook_id": uuid4(), "event_id": 1, "tm_create": moment}
                await insert(transaction, tables.deliveries, delivery)
                await insert(transaction, tables.groupcalls, {"status": "hangup", "tm_create": moment})
            await insert(transaction, tables.groupcalls, {"status": "ringing", "tm_create": OLD})
        assert await pruned(store, events_for=5 * DAY) == Pruned(events=3, deliveries=3)
        assert await pruned(store, calls_for=5 * DAY) == Pruned(groupcalls=3)
        assert [row["tm_create"] for row in await table(store, tables.events)] == [YOUNG]
        assert [row["tm_create"] for row in await table(store, tables.deliveries)] == [YOUNG]
        assert {row["tm_create"] for row in await table(store, tables.groupcalls)} == {OLD, YOUNG}


async def test_answers_to_repeated_requests_are_kept_for_a_day(store_url: str) -> None:
    async with opened(store_url) as store:
        async with store.write() as transaction:
            for number, age in enumerate((IDEMPOTENCY + seconds(1), IDEMPOTENCY + seconds(9), IDEMPOTENCY)):
                row = {"customer_id": CUSTOMER, "key": str(number), "tm_create": NOW - age}
                await transaction.execute(sa.insert(tables.idempotency), row)
        assert await pruned(store) == Pruned(idempotency=2)
        assert [row["key"] for row in await table(store, tables.idempotency)] == ["2"]


async def test_nodes_that_are_gone_go_unless_a_call_of_theirs_is_open(store_url: str) -> None:
    gone, busy, alive = (UUID(int=number) for number in (31, 32, 33))
    async with opened(store_url) as store:
        async with store.write() as transaction:
            for identifier, seen in ((gone, NOW - NODES - seconds(1)), (busy, OLD), (alive, NOW - NODES)):
                row = {"id": identifier, "name": "sip", "tm_seen": seen}
                await insert(transaction, tables.nodes, row)
            await save(transaction, [call(node_id=busy), call(node_id=gone, tm_hangup=NOW)])
        assert await pruned(store) == Pruned(nodes=1)
        assert [row["id"] for row in await table(store, tables.nodes)] == [busy, alive]


@pytest.mark.long
async def test_a_write_gets_its_turn_between_two_batches(store_url: str) -> None:
    async with opened(store_url) as store:
        async with store.write() as transaction:
            await save(transaction, [call(tm_create=OLD, tm_hangup=OLD) for _ in range(60)])
        pruning = asyncio.create_task(prune(store, calls_for=DAY, events_for=0, batch=2, pause=0.02))
        while len(await table(store, tables.calls)) > 50:
            pass
        async with store.write() as transaction:
            await save(transaction, [call(tm_create=YOUNG)])
        assert len(await table(store, tables.calls)) > 1  # it was not the pruning's end that was waited for
        assert (await pruning).calls == 60
        assert len(await table(store, tables.calls)) == 1


async def test_recordings_that_are_over(store_url: str) -> None:
    async with opened(store_url) as store:
        async with store.write() as transaction:
            for status, ended in (("ended", OLD), ("failed", OLD), ("ended", YOUNG), ("recording", None)):
                row = {"status": status, "tm_start": OLD, "tm_end": ended, "tm_create": OLD}
                await insert(transaction, tables.recordings, row)
        assert not await pruned(store)
        assert await prune(store, calls_for=0, events_for=0, recordings_for=5 * DAY) == Pruned(recordings=2)
        left = {(row["status"], row["tm_end"]) for row in await table(store, tables.recordings)}
        assert left == {("ended", YOUNG), ("recording", None)}
