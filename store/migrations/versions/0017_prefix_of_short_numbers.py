"""routes: whether the provider's prefix goes before short numbers

Revision: 0017, after 0015
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision."""
    op.add_column("routes", sa.Column("short_prefix", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    """Nothing goes back: restore a backup of before (docs/store.md)."""
    raise NotImplementedError("this revision is not undone; restore a backup")
