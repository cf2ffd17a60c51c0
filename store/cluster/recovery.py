"""What a process leaves open when it ends without a word: its calls are closed, by its next start or by its neighbours.

A call is never left open for ever: its node gives a sign of life every few seconds (`tables.nodes`), and one that has
not done so for a while is taken for dead.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from store.database.tables import calls, groupcalls, nodes, reservations
from store.resources.agents import release_dead
from store.resources.calls import STAGES, save, stage_events, tell
from store.resources.nodes import living
from store.resources.reservations import settle_dead
from store.rows import Row
from store.store import Store, Transaction

BATCH: Final = 500
"""Calls in a transaction; others write in between."""
END_REASON: Final = "The engine ended during the call"
_HANGUP = len(STAGES) - 1


@dataclass(slots=True)
class Recovered:
    """What was found open, and closed."""

    calls: int = 0
    groupcalls: int = 0
    reservations: int = 0
    agents: int = 0

    def __bool__(self) -> bool:
        return bool(self.calls or self.groupcalls or self.reservations or self.agents)


async def recover(store: Store, node_id: UUID, name: str = "") -> Recovered:
    """Close the calls of dead nodes as `failed`, settle what they had reserved, and free the agents that they rang.
    `node_id`, `name`: as `store.resources.nodes.living` takes them."""
    alive = await living(store, node_id, name)
    found = Recovered()
    while closed := await _close_calls(store, alive):
        found.calls += closed
    async with store.write() as transaction:
        found.groupcalls = await _close_groupcalls(transaction, alive)
        found.agents = await release_dead(transaction, alive)
        query = sa.select(reservations.c.node_id).where(reservations.c.node_id.not_in(alive)).distinct()
        dead = (await transaction.execute(query)).scalars().all()
        if dead:
            found.reservations = await settle_dead(transaction, dead)
    return found


async def _close_calls(store: Store, alive: Sequence[UUID]) -> int:
    """Up to `BATCH` of them."""
    async with store.write() as transaction:
        query = (
            sa.select(calls, nodes.c.tm_seen)
            .select_from(calls.outerjoin(nodes, nodes.c.id == calls.c.node_id))
            .where(calls.c.tm_hangup.is_(None), calls.c.node_id.not_in(alive))
            .limit(BATCH)
            # Two nodes that find the same dead one close each call once.
            .with_for_update(of=calls, skip_locked=True)
        )
        rows: list[Row] = [dict(row) for row in (await transaction.execute(query)).mappings()]
        for row in rows:
            row |= _end(row, row.pop("tm_seen"), transaction)
            tell(transaction, row, stage_events(row, _HANGUP))
        await save(transaction, rows)
    return len(rows)


def _end(row: Row, seen: datetime | None, transaction: Transaction) -> dict[str, Any]:
    """How a call ended that nobody saw end: with its node's last sign of life, or what is known to be later."""
    known = (row["tm_create"], row["tm_ringing"], row["tm_progressing"], seen or row["tm_update"])
    return {
        "status": "hangup",
        "hangup_reason": "failed",
        "hangup_by": "local",
        "end_reason": END_REASON,
        "tm_hangup": max(moment for moment in known if moment is not None),
        "tm_update": transaction.now,
    }


async def _close_groupcalls(transaction: Transaction, alive: Sequence[UUID]) -> int:
    # Written out, as PostgreSQL does not use a partial index for a parameter.
    still_open = groupcalls.c.status != sa.literal_column("'hangup'")
    statement = sa.update(groupcalls).where(still_open, groupcalls.c.node_id.not_in(alive))
    result = await transaction.execute(statement.values(status="hangup", tm_update=transaction.now))
    return result.rowcount
