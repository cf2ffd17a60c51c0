"""Customers in the store: what they still have, and what goes with them."""

from collections.abc import Collection
from uuid import UUID

import sqlalchemy as sa

from store.database.tables import (
    accesskeys,
    agents,
    billing_accounts,
    calls,
    customers,
    extensions,
    numbers,
    webhooks,
)
from store.resources.extensions import change_key
from store.resources.numbers import IN_USE
from store.store import Executor, Transaction

# What ends with its customer: nobody logs in for it any more, and nothing is sent to it. Flows, queues and the like
# stay where they are, as calls that were made with them are still looked at.
_ENDED = (
    ("agent", agents, False),
    ("accesskey", accesskeys, False),
    ("webhook", webhooks, False),
    ("extension", extensions, True),
)


async def hold(transaction: Transaction, customer_id: UUID) -> bool:
    """Keep everybody from giving this living customer anything, until the transaction ends. False: there is none."""
    query = sa.select(customers.c.id).where(customers.c.id == customer_id, customers.c.tm_delete.is_(None))
    return (await transaction.execute(query.with_for_update())).first() is not None


async def in_use(executor: Executor, customer_id: UUID) -> tuple[int, int]:
    """How many numbers it has, active or suspended, and how many of its calls are up."""
    held = sa.select(sa.func.count()).where(
        numbers.c.customer_id == customer_id, numbers.c.status.in_(IN_USE), numbers.c.tm_delete.is_(None)
    )
    running = sa.select(sa.func.count()).where(calls.c.customer_id == customer_id, calls.c.tm_hangup.is_(None))
    return (await executor.execute(held)).scalar_one(), (await executor.execute(running)).scalar_one()


async def revoke(transaction: Transaction, customer_id: UUID) -> None:
    """Delete the customer's agents, access keys, webhooks and extensions."""
    for kind, table, named in _ENDED:
        statement = (
            sa.update(table)
            .where(table.c.customer_id == customer_id, table.c.tm_delete.is_(None))
            .values(tm_delete=transaction.now, tm_update=transaction.now)
            .returning(table.c.id, table.c.name)
        )
        for row in await transaction.execute(statement):
            transaction.changed(kind, row.id, change_key(row.name) if named else "")


async def account_ids(executor: Executor, customer_ids: Collection[UUID]) -> dict[UUID, UUID]:
    """The billing accounts of these customers, of those that have one."""
    if not customer_ids:
        return {}
    columns = billing_accounts.c
    query = sa.select(columns.customer_id, columns.id).where(
        columns.customer_id.in_(customer_ids), columns.tm_delete.is_(None)
    )
    return {row.customer_id: row.id for row in await executor.execute(query)}
