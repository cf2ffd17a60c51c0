"""Flows that were made of one order's actions: kept as long as the calls that ran them, and nobody else's to use.

Such a row is deleted from the moment that it is made: it is in no list, no directory loads it, and nothing can refer to
it. Who knows its id, from the order's answer or from a call, can still see what ran.
"""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from store import rows
from store.database.tables import flows
from store.rows import Row
from store.store import Executor, Transaction

TEMPORARY: Final = flows.c.tm_delete == flows.c.tm_create


async def keep(transaction: Transaction, flow_id: UUID, customer_id: UUID, actions: Sequence[dict[str, Any]]) -> None:
    """Write a temporary flow."""
    values = {"id": flow_id, "customer_id": customer_id, "actions": list(actions), "tm_delete": transaction.now}
    await rows.insert(transaction, flows, values)


async def shown(executor: Executor, flow_id: UUID, customer_id: UUID | None) -> Row | None:
    """The flow with this id, living or temporary; with `customer_id`, only if it belongs to that customer."""
    query = sa.select(flows).where(flows.c.id == flow_id, sa.or_(flows.c.tm_delete.is_(None), TEMPORARY))
    if customer_id is not None:
        query = query.where(flows.c.customer_id == customer_id)
    found = (await executor.execute(query)).mappings().one_or_none()
    return None if found is None else dict(found)
