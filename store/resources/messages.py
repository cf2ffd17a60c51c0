"""Text messages, those that wait and opt-outs in the store: how they are written, and how the API shows a message."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from routing.identifiers import NIL
from store.database.tables import kept_messages, message_attempts, messages, nodes, opt_outs
from store.database.timestamps import api_time
from store.resources.nodes import living
from store.rows import Row
from store.store import Executor, Store, Transaction

KEPT: Final = "kept_message"
"""`Change.kind` of a message that waits, or does not any more; its key is the extension."""
LOST: Final = "the engine ended before it was known whether it arrived"
BATCH: Final = 500
"""Messages in a transaction; others write in between."""
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
        "targets": row["targets"],
        "tm_create": api_time(row["tm_create"]),
        "tm_update": api_time(row["tm_update"]),
        "tm_delete": api_time(row["tm_delete"]),
    }


async def add(transaction: Transaction, row: Row, node_id: UUID) -> None:
    """A new message, which `node_id` has taken, or sends."""
    await transaction.execute(sa.insert(messages), row | {"node_id": node_id})
    if row["direction"] == "incoming":
        transaction.event("message_received", row["customer_id"], message_document(row))


async def end(transaction: Transaction, row: Row) -> None:
    """What became of a message that was sent."""
    values = {"status": row["status"], "targets": row["targets"], "tm_update": row["tm_update"]}
    found = await transaction.execute(
        sa.update(messages).where(messages.c.id == row["id"], messages.c.status == "sending").values(values)
    )
    if found.rowcount:
        tried = list(_attempts(row))
        if tried:
            await transaction.execute(sa.insert(message_attempts), tried)
        transaction.event("message_sent", row["customer_id"], message_document(row))


def _attempts(row: Row) -> Iterator[Row]:
    """What the statistics of providers count. Without a provider there is nobody whose they would be."""
    for number, target in enumerate(row["targets"]):
        for place, attempt in enumerate(target.get("attempts", ())):
            provider_id = UUID(attempt["provider_id"])
            if provider_id != NIL:
                yield {
                    "message_id": row["id"],
                    "target": number,
                    "place": place,
                    "provider_id": provider_id,
                    "kind": attempt["outcome"],
                    "status": attempt["sip_status"],
                    "skipped": attempt["skipped"],
                    "tm_create": row["tm_create"],
                }


async def close_lost(store: Store, node_id: UUID, name: str = "") -> int:
    """Tell as failed what dead nodes were sending; how many messages that were.

    Whether they arrived nobody knows, and sending them again could deliver them twice.
    `node_id`, `name`: as `store.resources.nodes.living` takes them.
    """
    alive = await living(store, node_id, name)
    total = 0
    while closed := await _close_some(store, alive):
        total += closed
    return total


async def _close_some(store: Store, alive: Sequence[UUID]) -> int:
    """Up to `BATCH` of them."""
    # The status is written out, as PostgreSQL does not use a partial index for a parameter.
    lost = messages.c.status == sa.literal_column("'sending'"), messages.c.node_id.not_in(alive)
    async with store.read() as connection:
        # Mostly there is nothing: whoever only looks keeps nobody from writing.
        if (await connection.execute(sa.select(messages.c.id).where(*lost).limit(1))).first() is None:
            return 0
    async with store.write() as transaction:
        # Two nodes that find the same dead one close each message once.
        query = sa.select(messages).where(*lost).limit(BATCH).with_for_update(skip_locked=True)
        rows = [dict(found) for found in (await transaction.execute(query)).mappings()]
        for row in rows:
            row["targets"] = [_lost(target) for target in row["targets"]]
            arrived = any(target["status"] in ("delivered", "accepted") for target in row["targets"])
            row["status"], row["tm_update"] = "partly" if arrived else "failed", transaction.now
            await end(transaction, row)
    return len(rows)


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


# ---- messages that wait for a phone to register


async def keep(transaction: Transaction, row: Row) -> None:
    """One more of `tables.kept_messages`."""
    await transaction.execute(sa.insert(kept_messages), row)
    transaction.changed(KEPT, row["id"], row["extension"])


async def all_kept(executor: Executor) -> list[tuple[UUID, str, UUID, datetime]]:
    """Id, extension, customer and when it was sent, the oldest first."""
    table = kept_messages
    query = sa.select(table.c.id, table.c.extension, table.c.customer_id, table.c.tm_create).order_by(
        table.c.tm_create, table.c.id
    )
    return [(row.id, row.extension, row.customer_id, row.tm_create) for row in await executor.execute(query)]


async def find_kept(executor: Executor, message_id: UUID) -> Row | None:
    """One of them."""
    query = sa.select(kept_messages).where(kept_messages.c.id == message_id)
    found = (await executor.execute(query)).mappings().first()
    return None if found is None else dict(found)


async def claim_kept(
    transaction: Transaction, message_id: UUID, node_id: UUID, now: datetime, claimed_for: float
) -> Row | None:
    """One of them, for `node_id` alone until `claimed_for` seconds after `now`; None where it is gone, or another's."""
    table = kept_messages
    name = sa.select(nodes.c.name).where(nodes.c.id == node_id).scalar_subquery()
    earlier_runs = sa.select(nodes.c.id).where(nodes.c.name == name, nodes.c.id != node_id)
    free = sa.or_(
        table.c.node_id == NIL,
        table.c.node_id == node_id,
        table.c.tm_claim <= now - timedelta(seconds=claimed_for),
        table.c.node_id.in_(earlier_runs),
    )
    statement = sa.update(table).where(table.c.id == message_id, free).values(node_id=node_id, tm_claim=now)
    found = (await transaction.execute(statement.returning(*table.c))).mappings().first()
    return None if found is None else dict(found)


async def release_kept(transaction: Transaction, message_id: UUID, node_id: UUID) -> None:
    """It is nobody's, where it still was that node's."""
    mine = kept_messages.c.id == message_id, kept_messages.c.node_id == node_id
    await transaction.execute(sa.update(kept_messages).where(*mine).values(node_id=NIL, tm_claim=None))


async def drop_kept(transaction: Transaction, message_id: UUID) -> None:
    """It is kept no longer."""
    table = kept_messages
    statement = sa.delete(table).where(table.c.id == message_id).returning(table.c.extension)
    extension = (await transaction.execute(statement)).scalar_one_or_none()
    if extension is not None:
        transaction.changed(KEPT, message_id, extension)
