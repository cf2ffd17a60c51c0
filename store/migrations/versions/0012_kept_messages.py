"""messages that wait for a phone to register

Revision: 0012, after 0011
"""

import sqlalchemy as sa
from alembic import op

from store.database.columns import Json, UtcTime

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision."""
    op.create_table(
        "kept_messages",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("extension", sa.String(64), nullable=False),
        sa.Column("source", Json, nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("tm_create", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_kept_messages")),
    )


def downgrade() -> None:
    """Nothing goes back: restore a backup of before (docs/store.md)."""
    raise NotImplementedError("this revision is not undone; restore a backup")
