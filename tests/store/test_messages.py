"""Messages in the store: whose they are, what becomes of them when a node ends, and what providers did with them."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from store.database import tables
from store.resources import messages
from store.resources.nodes import SILENCE
from store.resources.statistics import MessageStatistics, provider_statistics
from store.rows import Row, insert
from store.store import Store
from tests.store.stored_calls import CUSTOMER, NOW, opened, seconds, table

HERE, BEFORE, NEIGHBOUR, GONE = (UUID(int=number) for number in (1, 2, 3, 4))
OURS, OTHER = UUID(int=21), UUID(int=22)


async def network(store: Store) -> None:
    """This node, its run before, one that lives, and one that is silent too long."""
    seen = ((HERE, "sip1", NOW), (BEFORE, "sip1", NOW), (NEIGHBOUR, "sip2", NOW), (GONE, "sip3", NOW - SILENCE * 2))
    async with store.write() as transaction:
        for identifier, name, moment in seen:
            values = {"id": identifier, "name": name, "tm_create": moment, "tm_seen": moment}
            await insert(transaction, tables.nodes, values)


def target(status: str = "sending", *attempts: dict[str, Any]) -> dict[str, Any]:
    address = {"type": "tel", "target": "+821012345678", "target_name": ""}
    return address | {"status": status, "sip_status": 0, "sip_reason": "", "attempts": list(attempts)}


def attempt(provider: UUID, outcome: str, status: int = 0, skipped: str = "") -> dict[str, Any]:
    return {"provider_id": str(provider), "outcome": outcome, "sip_status": status, "skipped": skipped}


def being_sent(*targets: dict[str, Any], created: datetime = NOW) -> Row:
    return {
        "id": uuid4(),
        "customer_id": CUSTOMER,
        "direction": "outgoing",
        "status": "sending",
        "source": None,
        "destinations": [],
        "text": "x",
        "number_id": uuid4(),
        "targets": list(targets or (target(),)),
        "tm_create": created,
        "tm_update": created,
        "tm_delete": None,
    }


async def added(store: Store, row: Row, node_id: UUID) -> Row:
    async with store.write() as transaction:
        await messages.add(transaction, row, node_id)
    return row


async def one(store: Store, row: Row) -> Row:
    (found,) = await table(store, tables.messages, tables.messages.c.id == row["id"])
    return found


async def test_what_a_dead_node_was_sending_is_reported_as_failed_once(store_url: str) -> None:
    async with opened(store_url) as store:
        await network(store)
        lost = await added(store, being_sent(target("delivered"), target()), GONE)
        kept = await added(store, being_sent(), NEIGHBOUR)
        assert await messages.close_lost(store, HERE) == 1
        assert await messages.close_lost(store, HERE) == 0
        found = await one(store, lost)
        assert (found["status"], (await one(store, kept))["status"]) == ("partly", "sending")
        assert [each["status"] for each in found["targets"]] == ["delivered", "failed"]
        assert found["targets"][1]["sip_reason"] == messages.LOST
        (event,) = await table(store, tables.events)
        assert (event["type"], event["data"]["id"]) == ("message_sent", str(lost["id"]))


async def test_at_its_start_a_node_closes_what_its_earlier_run_left_however_old(store_url: str) -> None:
    async with opened(store_url) as store:
        await network(store)
        old = NOW - timedelta(days=3)
        rows = {node: await added(store, being_sent(created=old), node) for node in (HERE, BEFORE, NEIGHBOUR, GONE)}
        assert await messages.close_lost(store, HERE, "sip1") == 2
        closed = {node for node, row in rows.items() if (await one(store, row))["status"] == "failed"}
        assert closed == {BEFORE, GONE}


async def test_while_it_runs_a_node_looks_for_silence_alone_however_old(store_url: str) -> None:
    async with opened(store_url) as store:
        await network(store)
        old = NOW - timedelta(days=3)
        rows = {node: await added(store, being_sent(created=old), node) for node in (HERE, BEFORE, NEIGHBOUR, GONE)}
        assert await messages.close_lost(store, HERE) == 1
        assert (await one(store, rows[GONE]))["status"] == "failed"


async def test_more_messages_than_fit_into_one_transaction(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "BATCH", 2)
    async with opened(store_url) as store:
        await network(store)
        for _ in range(5):
            await added(store, being_sent(), GONE)
        assert await messages.close_lost(store, HERE) == 5


async def test_what_is_over_is_no_nodes_business_any_more(store_url: str) -> None:
    async with opened(store_url) as store:
        await network(store)
        row = await added(store, being_sent(), GONE)
        over = row | {"status": "delivered", "targets": [target("delivered")]}
        async with store.write() as transaction:
            await messages.end(transaction, over)
        assert await messages.close_lost(store, HERE, "sip1") == 0
        found = await one(store, row)
        assert (found["status"], found["node_id"]) == ("delivered", GONE)


async def test_a_providers_figures_have_its_messages(store_url: str) -> None:
    async with opened(store_url) as store:
        taken = target("delivered", attempt(OTHER, "refused", 503), attempt(OURS, "answered", 200))
        late = target("accepted", attempt(OURS, "answered", 202))
        refused = target("failed", attempt(OURS, "refused", 403), attempt(UUID(int=0), "answered", 200))
        silent = target("failed", attempt(OURS, "no_reply"), attempt(OURS, "skipped", 0, "unhealthy"))
        for status, targets in (("partly", (taken, late, refused)), ("failed", (silent,))):
            row = await added(store, being_sent(), HERE)
            async with store.write() as transaction:
                await messages.end(transaction, row | {"status": status, "targets": list(targets)})
        old = await added(store, being_sent(created=NOW - timedelta(days=2)), HERE)
        async with store.write() as transaction:
            await messages.end(transaction, old | {"status": "delivered", "targets": [taken]})
        figures = await provider_statistics(store, OURS, until=NOW + seconds(1))
        assert figures.messages == MessageStatistics(
            attempts=4,
            answered=2,
            answered_ratio=0.5,
            codes={"200": 1, "202": 1, "403": 1},
            outcomes={"answered": 2, "no_reply": 1, "refused": 1},
            skipped={"unhealthy": 1},
        )
        assert figures.attempts == 0  # which are calls
        nobody = await provider_statistics(store, UUID(int=23), until=NOW + seconds(1))
        assert nobody.messages == MessageStatistics()
