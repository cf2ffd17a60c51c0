"""mailboxes: how many messages wait

Revision: 0013, after 0012
"""

import sqlalchemy as sa
from alembic import op

from store.database.columns import UtcTime

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision."""
    op.create_table(
        "mailboxes",
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("new", sa.Integer(), nullable=False),
        sa.Column("old", sa.Integer(), nullable=False),
        sa.Column("tm_update", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "name", name=op.f("pk_mailboxes")),
    )


def downgrade() -> None:
    """Nothing goes back: restore a backup of before (docs/store.md)."""
    raise NotImplementedError("this revision is not undone; restore a backup")
