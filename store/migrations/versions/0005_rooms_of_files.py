"""rooms of files: agents, queues and conferences that a configuration file declares, and what queues announce

Revision: 0005, after 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision."""
    for table in ("agents", "queues", "conferences"):
        op.add_column(table, sa.Column("declared_in", sa.Text(), nullable=False, server_default=""))
    op.add_column("queues", sa.Column("announce_every", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("queues", sa.Column("announce_language", sa.String(35), nullable=False, server_default=""))
    op.add_column("queues", sa.Column("announce_text", sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    """Nothing goes back: restore a backup of before (docs/store.md)."""
    raise NotImplementedError("this revision is not undone; restore a backup")
