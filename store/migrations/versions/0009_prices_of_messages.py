"""prices of messages: routes have one for text messages, and reserved credit says what it is for

Revision: 0009, after 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision."""
    op.add_column("routes", sa.Column("message_rate", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("reservations", sa.Column("kind", sa.String(16), nullable=False, server_default="call"))


def downgrade() -> None:
    """Nothing goes back: restore a backup of before (docs/store.md)."""
    raise NotImplementedError("this revision is not undone; restore a backup")
