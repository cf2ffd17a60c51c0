"""released numbers: those that came from the inventory are on offer again

Revision: 0008, after 0007. Until now a number that was released was in nobody's hands until a super admin offered it
anew.
"""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import sqlalchemy as sa
from alembic import op

from store.database.columns import Json, UtcTime

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_TEXTS = ("number", "type", "status", "origin", "country", "region", "city", "kind", "name", "detail", "declared_in")
_IDS = ("id", "customer_id", "call_flow_id", "message_flow_id", "provider_id")
_TIMES = ("tm_purchase", "tm_create", "tm_update", "tm_delete")
_KEPT = ("number", "type", "origin", "country", "region", "city", "kind", "provider_id", "price")


def upgrade() -> None:
    """To this revision."""
    numbers = sa.table(
        "numbers",
        *(sa.column(name, sa.String()) for name in _TEXTS),
        *(sa.column(name, sa.Uuid()) for name in _IDS),
        *(sa.column(name, UtcTime()) for name in _TIMES),
        sa.column("price", sa.BigInteger()),
        sa.column("metadata", Json),
    )
    living = numbers.alias("living")
    exists = sa.exists().where(living.c.number == numbers.c.number, living.c.tm_delete.is_(None))
    query = (
        sa.select(*(numbers.c[name] for name in _KEPT))
        .where(
            numbers.c.status == "released",
            numbers.c.type == "normal",
            numbers.c.origin == "provisioned",
            numbers.c.tm_purchase.is_not(None),
            numbers.c.tm_delete.is_not(None),
            ~exists,
        )
        .order_by(numbers.c.tm_delete)
    )
    connection = op.get_bind()
    # Released more than once: what it was the last time.
    found = {row["number"]: dict(row) for row in connection.execute(query).mappings()}
    providers = sa.table("providers", sa.column("id", sa.Uuid()), sa.column("tm_delete", UtcTime()))
    there = set(connection.execute(sa.select(providers.c.id).where(providers.c.tm_delete.is_(None))).scalars())
    now = datetime.now(UTC)
    for row in found.values():
        values = {name: UUID(int=0) for name in _IDS} | dict.fromkeys(_TEXTS, "") | row
        values |= {"id": uuid4(), "status": "available", "metadata": {}, "tm_create": now, "tm_update": now}
        if row["provider_id"] not in there:
            values["provider_id"] = UUID(int=0)
        connection.execute(numbers.insert().values(values))


def downgrade() -> None:
    """Nothing goes back: restore a backup of before (docs/store.md)."""
    raise NotImplementedError("this revision is not undone; restore a backup")
