"""numbers, caller IDs and opt-outs: in the one normal form

Revision: 0014, after 0013. Until now what came with `+` was kept as it was written: +44 020… beside +44 20…, which is
the same number. Two rows that become one are nobody's to merge but their owner's.
"""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from alembic import op

from routing.numbers.numbering import in_plan, is_e164
from store.database.columns import Json, UtcTime
from store.database.errors import StoreRefused

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

SHOWN = 5
"""Pairs that are named, of all that stand in the way."""


def upgrade() -> None:
    """To this revision. Raises StoreRefused where two numbers become one; nothing has changed then."""
    connection = op.get_bind()
    _numbers(connection)
    _caller_ids(connection)
    _opt_outs(connection)


def _normal(text: str) -> str:
    return in_plan(text) if is_e164(text) else text


def _numbers(connection: sa.Connection) -> None:
    numbers = sa.table("numbers", *_columns("number"), sa.column("tm_delete", UtcTime()))
    living = sa.select(numbers.c.id, numbers.c.number).where(numbers.c.tm_delete.is_(None))
    taken: dict[str, str] = {}  # what each number is written as
    changed: list[tuple[UUID, str, str]] = []
    for row in connection.execute(living):
        normal = _normal(row.number)
        if normal == row.number:
            taken[normal] = row.number
        else:
            changed.append((row.id, row.number, normal))
    pairs = []
    for _, number, normal in changed:
        if normal in taken:
            pairs.append(f"{number} and {taken[normal]}")
        taken[normal] = number
    if pairs:
        more = f" and {len(pairs) - SHOWN} more" if len(pairs) > SHOWN else ""
        problem = f"{', '.join(pairs[:SHOWN])}{more} are one number each and have two rows"
        raise StoreRefused(f"{problem}; delete one of the two with the version before, then start this one again")
    for row_id, _, normal in changed:
        connection.execute(sa.update(numbers).where(numbers.c.id == row_id).values(number=normal))


def _caller_ids(connection: sa.Connection) -> None:
    extensions = sa.table("extensions", *_columns("caller_id"), sa.column("caller_ids", Json))
    for row in connection.execute(sa.select(extensions)).all():
        listed = row.caller_ids if isinstance(row.caller_ids, list) else []
        values = {"caller_id": _normal(row.caller_id), "caller_ids": list(dict.fromkeys(map(_normal, listed)))}
        if values != {"caller_id": row.caller_id, "caller_ids": listed}:
            connection.execute(sa.update(extensions).where(extensions.c.id == row.id).values(values))


def _opt_outs(connection: sa.Connection) -> None:
    """Of two that become one either says what is to be known."""
    opt_outs = sa.table("opt_outs", *_columns("number", "contact"), sa.column("tm_delete", UtcTime()))
    rows = connection.execute(sa.select(opt_outs).where(opt_outs.c.tm_delete.is_(None))).all()
    taken = {(row.number, row.contact) for row in rows}
    for row in rows:
        pair = _normal(row.number), _normal(row.contact)
        if pair == (row.number, row.contact):
            continue
        if pair in taken:
            connection.execute(sa.delete(opt_outs).where(opt_outs.c.id == row.id))
        else:
            taken.add(pair)
            values = {"number": pair[0], "contact": pair[1]}
            connection.execute(sa.update(opt_outs).where(opt_outs.c.id == row.id).values(values))


def _columns(*texts: str) -> list[sa.ColumnClause[Any]]:
    found: list[sa.ColumnClause[Any]] = [sa.column("id", sa.Uuid())]
    return found + [sa.column(name, sa.String()) for name in texts]


def downgrade() -> None:
    """Nothing goes back: restore a backup of before (docs/store.md)."""
    raise NotImplementedError("this revision is not undone; restore a backup")
