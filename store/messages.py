"""Text messages and opt-outs in the store: how they are written, and how the API and events show a message."""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from store.nodes import SILENCE
from store.rows import Executor, Row
from store.store import Store, Transaction
from store.tables import messages, nodes, opt_outs
from store.times import api_time

LOST: Final = "the engine ended before it was known whether it arrived"
_NODE: Final = "node_id"
"""In a target, beside what the API shows: the process that sends it."""
_RECENT: Final = timedelta(days=1)
_LIVING = opt_outs.c.tm_delete.is_(None)


def message_document(row: Mapping[str, Any]) -> dict[str, Any]:
    """A message as JSON. `row` has the columns of `tables.messages`."""
    return {
        "id": str(row["id"]),
        "customer_id": str(row["customer_id"]),
        "direction": row["direction"],
        "status": row["status"],
        "source": row["source"],
        "destinations": row["destinations"],
        "text": row["text"],
        "number_id": str(row["number_id"]),
        "targets": shown_targets(row["targets"]),
        "tm_create": api_time(row["tm_create"]),
        "tm_update": api_time(row["tm_update"]),
        "tm_delete": api_time(row["tm_delete"]),
    }


def shown_targets(targets: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Targets without what is the store's own."""
    return [{name: value for name, value in target.items() if name != _NODE} for target in targets]


async def add(transaction: Transaction, row: Row, node_id: UUID) -> None:
    """A new message; one that is being sent is `node_id`'s."""
    await transaction.execute(sa.insert(messages), _owned(row, node_id))
    if row["direction"] == "incoming":
        transaction.event("message_received", row["customer_id"], message_document(row))


async def end(transaction: Transaction, row: Row) -> None:
    """What became of a message that was sent."""
    values = {"status": row["status"], "targets": row["targets"], "tm_update": row["tm_update"]}
    found = await transaction.execute(
        sa.update(messages).where(messages.c.id == row["id"], messages.c.status == "sending").values(values)
    )
    if found.rowcount:
        transaction.event("message_sent", row["customer_id"], message_document(row))


def _owned(row: Row, node_id: UUID) -> Row:
    targets = [{**target, _NODE: str(node_id)} for target in row["targets"]]
    return {**row, "targets": targets if row["status"] == "sending" else row["targets"]}


async def close_lost(store: Store, node_id: UUID, name: str = "") -> int:
    """Tell as failed what dead nodes were sending; how many messages that were.

    Whether they arrived nobody knows, and sending them again could deliver them twice.

    node_id: The node that asks; it lives.
    name: Given at a node's start: other nodes of that name are its earlier runs. Without it only what is younger than
        a day is looked at, which is quick.
    """
    where = [messages.c.status == "sending", messages.c.direction == "outgoing"]
    if not name:
        where.append(messages.c.tm_create >= store.clock() - _RECENT)
    async with store.read() as connection:
        if (await connection.execute(sa.select(messages.c.id).where(*where).limit(1))).first() is None:
            return 0
    closed = 0
    async with store.write() as transaction:
        living = await _living(transaction, store, node_id, name)
        query = sa.select(messages).where(*where).with_for_update(skip_locked=True)
        for found in (await transaction.execute(query)).mappings().all():
            row = dict(found)
            if any(target.get(_NODE) in living for target in row["targets"]):
                continue
            row["targets"] = [_lost(target) for target in shown_targets(row["targets"])]
            arrived = any(target["status"] in ("delivered", "accepted") for target in row["targets"])
            row["status"], row["tm_update"] = "partly" if arrived else "failed", transaction.now
            await end(transaction, row)
            closed += 1
    return closed


async def _living(transaction: Transaction, store: Store, node_id: UUID, name: str) -> set[str]:
    alive = nodes.c.tm_seen >= store.clock() - SILENCE
    if name:
        alive = sa.and_(alive, nodes.c.name != name)
    found = (await transaction.execute(sa.select(nodes.c.id).where(alive))).scalars()
    return {str(node_id), *map(str, found)}


def _lost(target: dict[str, Any]) -> dict[str, Any]:
    return target | {"status": "failed", "sip_reason": LOST} if target.get("status") == "sending" else target


# ---- opt-outs


async def opt_out(transaction: Transaction, customer_id: UUID, number: str, contact: str, keyword: str) -> bool:
    """`contact` wants no messages from `number`. False where that is known."""
    now = transaction.now
    row = {
        "id": uuid4(),
        "customer_id": customer_id,
        "number": number,
        "contact": contact,
        "keyword": keyword,
        "tm_create": now,
        "tm_update": now,
    }
    insert = postgresql.insert if transaction.connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(opt_outs).on_conflict_do_nothing().returning(opt_outs.c.id)
    return (await transaction.execute(statement, row)).first() is not None


async def opt_in(transaction: Transaction, number: str, contact: str) -> bool:
    """`contact` wants them again. False where nothing was known of it."""
    now = transaction.now
    where = (opt_outs.c.number == number, opt_outs.c.contact == contact, _LIVING)
    found = await transaction.execute(sa.update(opt_outs).where(*where).values(tm_delete=now, tm_update=now))
    return bool(found.rowcount)


async def opted_out(executor: Executor, number: str, contacts: Collection[str]) -> bool:
    """Whether any of these wants no messages from this number."""
    query = sa.select(opt_outs.c.id).where(opt_outs.c.number == number, opt_outs.c.contact.in_(contacts), _LIVING)
    return (await executor.execute(query.limit(1))).first() is not None
