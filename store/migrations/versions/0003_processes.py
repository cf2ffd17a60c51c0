"""processes: where a node runs, so that two engines of one name are found

Revision: 0003, after 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision."""
    op.add_column("nodes", sa.Column("process", sa.String(300), nullable=False, server_default=""))


def downgrade() -> None:
    """Nothing goes back: restore a backup of before (docs/store.md)."""
    raise NotImplementedError("this revision is not undone; restore a backup")
