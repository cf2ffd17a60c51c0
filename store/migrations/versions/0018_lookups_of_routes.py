"""routes: who is asked first for the attempts of its calls

Revision: 0018, after 0017
"""

import sqlalchemy as sa
from alembic import op

from store.database.columns import Json

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision."""
    op.add_column("routes", sa.Column("lookup", Json, nullable=True))


def downgrade() -> None:
    """Nothing goes back: restore a backup of before (docs/store.md)."""
    raise NotImplementedError("this revision is not undone; restore a backup")
