"""provider health: what each node has found of each provider, for its next start

Revision: 0006, after 0005
"""

import sqlalchemy as sa
from alembic import op

from store.database.columns import UtcTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision."""
    op.create_table(
        "provider_health",
        sa.Column("node", sa.String(255), nullable=False),
        sa.Column("provider_id", sa.Uuid(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("answered", sa.Boolean(), nullable=False),
        sa.Column("missed", sa.Integer(), nullable=False),
        sa.Column("silent", sa.Integer(), nullable=False),
        sa.Column("tm_check", UtcTime(), nullable=True),
        sa.Column("tm_update", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("node", "provider_id", name=op.f("pk_provider_health")),
    )


def downgrade() -> None:
    """Nothing goes back: restore a backup of before (docs/store.md)."""
    raise NotImplementedError("this revision is not undone; restore a backup")
