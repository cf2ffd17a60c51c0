"""webhooks in order: what a delivery is about, and its number among those of its webhook

Revision: 0007, after 0006. What is on its way keeps no order, as before.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_PENDING = sa.text("status = 'pending'")


def upgrade() -> None:
    """To this revision."""
    op.add_column("webhooks", sa.Column("sequence", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("deliveries", sa.Column("sequence", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("deliveries", sa.Column("subject", sa.String(64), nullable=False, server_default=""))
    op.create_index(
        "ix_deliveries_subject",
        "deliveries",
        ["webhook_id", "subject", "event_id"],
        sqlite_where=_PENDING,
        postgresql_where=_PENDING,
    )


def downgrade() -> None:
    """Nothing goes back: restore a backup of before (docs/store.md)."""
    raise NotImplementedError("this revision is not undone; restore a backup")
