"""Webhook deliveries: a queue in the store, so that a restart loses none and two nodes send none twice at a time.

What happens to one call, or to any other resource, goes to a webhook in its order: a delivery whose subject has an
earlier one under way is not due before that one was taken or given up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import sqlalchemy as sa

from routing.identifiers import NIL
from store.database.tables import deliveries, events, webhooks
from store.store import Store, Transaction

LEASE: Final = timedelta(seconds=45)
"""How long a delivery is a node's own. A node that dies leaves it to the others after that."""
SCHEDULE: Final = tuple(
    timedelta(seconds=seconds) for seconds in (1, 5, 15, 60, 300, 900, 3600, 3600 * 3, 3600 * 6, 3600 * 12)
)
"""What is waited after each failed attempt; after the last one the delivery has failed. About a day altogether."""
BATCH: Final = 500


@dataclass(slots=True, frozen=True, kw_only=True)
class Due:
    """A delivery that is this node's to make, and everything that it takes. `secret` as it is kept."""

    id: UUID
    webhook_id: UUID
    customer_id: UUID
    uri: str
    secret: str
    event_id: int
    sequence: int
    subject: str
    type: str
    data: Any
    tm: datetime
    attempts: int


async def spread(store: Store, platform: UUID) -> int:
    """Make deliveries of the events that came since the last time; how many there are new ones. Webhooks of `platform`
    get the events that are no customer's too."""
    async with store.read() as connection:
        query = sa.select(webhooks).where(webhooks.c.tm_delete.is_(None), webhooks.c.enabled)
        hooks = (await connection.execute(query)).all()
        if not hooks:
            return 0
        newest = (await connection.execute(sa.select(sa.func.max(events.c.id)))).scalar_one() or 0
    made = 0
    for hook in hooks:
        if hook.last_event_id < newest:
            made += await _spread_to(store, hook, newest, platform)
    return made


# The call that something happened to, or the resource.
_SUBJECT = sa.func.coalesce(events.c.data["call_id"].as_string(), events.c.data["id"].as_string(), "")


async def _spread_to(store: Store, hook: Any, newest: int, platform: UUID) -> int:
    whose = [hook.customer_id, *([NIL] if hook.customer_id == platform else [])]
    query = (
        sa.select(events.c.id, events.c.type, _SUBJECT.label("subject"))
        .where(events.c.id > hook.last_event_id, events.c.id <= newest, events.c.customer_id.in_(whose))
        .order_by(events.c.id)
        .limit(BATCH)
    )
    if hook.events:
        query = query.where(events.c.type.in_(hook.events))
    async with store.write() as transaction:
        found = (await transaction.execute(query)).all()
        reached = found[-1].id if len(found) == BATCH else newest
        # Another node may have been quicker: then these are its. Until the end of this transaction nobody else changes
        # what of this webhook's is under way (`done`).
        claim = (
            sa.update(webhooks)
            .where(webhooks.c.id == hook.id, webhooks.c.last_event_id == hook.last_event_id)
            .values(last_event_id=reached, sequence=webhooks.c.sequence + len(found))
            .returning(webhooks.c.sequence)
        )
        last = (await transaction.execute(claim)).scalar_one_or_none()
        if last is None or not found:
            return 0
        subjects = [_short(event.subject) for event in found]
        under_way = sa.select(deliveries.c.subject).where(
            deliveries.c.webhook_id == hook.id,
            deliveries.c.status == sa.literal_column("'pending'"),  # written out, or SQLite does not see its index
            deliveries.c.subject.in_(set(subjects)),
        )
        earlier = set((await transaction.execute(under_way)).scalars()) - {""}
        now = transaction.now
        new: list[dict[str, Any]] = []
        for sequence, (event, subject) in enumerate(zip(found, subjects, strict=True), last - len(found) + 1):
            new.append(
                {
                    "id": uuid4(),
                    "customer_id": hook.customer_id,
                    "webhook_id": hook.id,
                    "event_id": event.id,
                    "sequence": sequence,
                    "subject": subject,
                    "type": event.type,
                    "status": "pending",
                    "attempts": 0,
                    "tm_next": None if subject in earlier else now,
                    "tm_create": now,
                    "tm_update": now,
                }
            )
            if subject:
                earlier.add(subject)
        await transaction.execute(sa.insert(deliveries), new)
    return len(found)


def _short(subject: str) -> str:
    """Ids are UUIDs; what is something else keeps no order."""
    return subject if len(subject) <= 64 else ""


async def claim(store: Store, limit: int, busy: Sequence[UUID] = ()) -> list[Due]:
    """Deliveries that are due, made this node's own for the time of a lease. `busy`: webhooks to leave alone now."""
    async with store.read() as connection:
        due = sa.select(deliveries.c.id).where(deliveries.c.status == "pending", deliveries.c.tm_next <= store.clock())
        # Mostly there is none, and a write would wait for other writers to find that out.
        if (await connection.execute(due.limit(1))).first() is None:
            return []
    async with store.write() as transaction:
        query = (
            sa.select(deliveries)
            .join(webhooks, webhooks.c.id == deliveries.c.webhook_id)
            .add_columns(webhooks.c.uri, webhooks.c.secret)
            .join(events, events.c.id == deliveries.c.event_id)
            .add_columns(events.c.data, events.c.tm_create.label("tm"))
            .where(
                deliveries.c.status == "pending",
                deliveries.c.tm_next <= transaction.now,
                webhooks.c.tm_delete.is_(None),
                webhooks.c.enabled,
            )
            .order_by(deliveries.c.tm_next, deliveries.c.event_id)
            .limit(limit)
            .with_for_update(skip_locked=True, of=deliveries)
        )
        if busy:
            query = query.where(deliveries.c.webhook_id.not_in(busy))
        found = (await transaction.execute(query)).all()
        if not found:
            return []
        await transaction.execute(
            sa.update(deliveries)
            .where(deliveries.c.id.in_([row.id for row in found]))
            .values(tm_next=transaction.now + LEASE, attempts=deliveries.c.attempts + 1, tm_update=transaction.now)
        )
    return [
        Due(
            id=row.id,
            webhook_id=row.webhook_id,
            customer_id=row.customer_id,
            uri=row.uri,
            secret=row.secret,
            event_id=row.event_id,
            sequence=row.sequence,
            subject=row.subject,
            type=row.type,
            data=row.data,
            tm=row.tm,
            attempts=row.attempts + 1,
        )
        for row in found
    ]


async def done(store: Store, due: Due, status: int, error: str) -> bool:
    """Tell how a delivery went: a 2xx `status` is success, 0 no answer at all. True where it will be tried again."""
    success = 200 <= status < 300
    again = not success and due.attempts <= len(SCHEDULE)
    async with store.write() as transaction:
        # With the webhook's row in hand, as `spread` has it: what comes later is either seen here, or sees this over.
        await transaction.execute(sa.select(webhooks.c.id).where(webhooks.c.id == due.webhook_id).with_for_update())
        values: dict[str, Any] = {
            "status": "delivered" if success else "pending" if again else "failed",
            "last_status": status,
            "last_error": error,
            "tm_update": transaction.now,
            "tm_next": transaction.now + SCHEDULE[due.attempts - 1] if again else None,
        }
        await transaction.execute(sa.update(deliveries).where(deliveries.c.id == due.id).values(values))
        if not again and due.subject:
            first = (
                sa.select(deliveries.c.id)
                .where(
                    deliveries.c.webhook_id == due.webhook_id,
                    deliveries.c.subject == due.subject,
                    deliveries.c.status == sa.literal_column("'pending'"),
                )
                .order_by(deliveries.c.event_id)
                .limit(1)
                .scalar_subquery()
            )
            freed = sa.update(deliveries).where(deliveries.c.id == first, deliveries.c.tm_next.is_(None))
            await transaction.execute(freed.values(tm_next=transaction.now, tm_update=transaction.now))
    return again


async def free_waiting(transaction: Transaction) -> int:
    """Make due what waits for an earlier delivery that is gone, as retention deletes what is old, sent or not; how
    many."""
    before = deliveries.alias("before")
    earlier = sa.exists().where(
        before.c.webhook_id == deliveries.c.webhook_id,
        before.c.subject == deliveries.c.subject,
        before.c.status == sa.literal_column("'pending'"),
        before.c.event_id < deliveries.c.event_id,
    )
    statement = sa.update(deliveries).where(
        deliveries.c.status == sa.literal_column("'pending'"), deliveries.c.tm_next.is_(None), ~earlier
    )
    return (await transaction.execute(statement.values(tm_next=transaction.now))).rowcount


async def waiting(store: Store) -> int:
    """How many deliveries are pending, for metrics."""
    query = sa.select(sa.func.count()).where(deliveries.c.status == "pending")
    async with store.read() as connection:
        count: int = (await connection.execute(query)).scalar_one()
    return count
