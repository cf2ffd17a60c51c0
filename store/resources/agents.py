"""What agents do, as all engines on one store see it: the column `status` of `tables.agents`.

What an agent says of itself stands there as a word. What a queue makes of that carries the beginning of the id of the
engine that did it, `ringing:1f0c9a2e`: it alone takes it back, and what a dead engine has left can be told from what
an agent wants.
"""

from collections.abc import Sequence
from typing import Final, Literal
from uuid import UUID

import sqlalchemy as sa

from store import rows
from store.database.tables import agents
from store.rows import Row
from store.store import Transaction

AVAILABLE: Final = "available"


def held(status: Literal["ringing", "busy"], node_id: UUID) -> str:
    """What an engine writes."""
    return f"{status}:{node_id.hex[:8]}"


def shown(status: str) -> str:
    """The word alone."""
    return status.partition(":")[0]


async def turn(transaction: Transaction, agent_id: UUID, before: Sequence[str], after: str) -> Row | None:
    """`after` in place of one of `before`. None, and nothing is written, where something else stands there."""
    row = await rows.update(transaction, agents, agent_id, {"status": after}, agents.c.status.in_(before))
    if row is not None:
        transaction.changed("agent", agent_id)
    return row


async def release_all(transaction: Transaction, node_id: UUID) -> int:
    """An engine stops: agents that it had rung, or connected, are available. How many."""
    return await _release(transaction, agents.c.status.in_((held("ringing", node_id), held("busy", node_id))))


async def release_dead(transaction: Transaction, living: Sequence[UUID]) -> int:
    """The same for all engines but those that live."""
    theirs = [held(status, node_id) for node_id in living for status in _HELD]
    ours = sa.or_(*(agents.c.status.like(f"{status}:%") for status in _HELD))
    return await _release(transaction, sa.and_(ours, agents.c.status.not_in(theirs)))


_HELD: Final[tuple[Literal["ringing", "busy"], ...]] = ("ringing", "busy")


async def _release(transaction: Transaction, where: sa.ColumnElement[bool]) -> int:
    statement = sa.update(agents).where(where).values(status=AVAILABLE, tm_update=transaction.now)
    found = (await transaction.execute(statement.returning(agents.c.id))).scalars().all()
    for agent_id in found:
        transaction.changed("agent", agent_id)
    return len(found)
