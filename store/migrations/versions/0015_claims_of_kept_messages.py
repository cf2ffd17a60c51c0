"""which node delivers a message that waits

Revision: 0015, after 0014
"""

import sqlalchemy as sa
from alembic import op

from store.database.columns import UtcTime

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision."""
    nobody = sa.text("'00000000000000000000000000000000'")
    op.add_column("kept_messages", sa.Column("node_id", sa.Uuid(), nullable=False, server_default=nobody))
    op.add_column("kept_messages", sa.Column("tm_claim", UtcTime(), nullable=True))


def downgrade() -> None:
    """Nothing goes back: restore a backup of before (docs/store.md)."""
    raise NotImplementedError("this revision is not undone; restore a backup")
