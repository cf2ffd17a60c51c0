"""extensions: whom phones register as

Revision: 0010, after 0009
"""

import sqlalchemy as sa
from alembic import op

from store.database.columns import Json, UtcTime

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision."""
    op.create_table(
        "extensions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("realm", sa.Text(), nullable=False),
        sa.Column("ha1", sa.Text(), nullable=False),
        sa.Column("display_name", sa.String(255), nullable=False),
        sa.Column("caller_id", sa.String(20), nullable=False),
        sa.Column("caller_ids", Json, nullable=False),
        sa.Column("max_calls", sa.Integer(), nullable=False),
        sa.Column("max_contacts", sa.Integer(), nullable=False),
        sa.Column("call_flow_id", sa.Uuid(), nullable=False),
        sa.Column("mailbox", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("declared_in", sa.Text(), nullable=False),
        sa.Column("tm_create", UtcTime(), nullable=False),
        sa.Column("tm_update", UtcTime(), nullable=False),
        sa.Column("tm_delete", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_extensions")),
    )
    living = sa.text("tm_delete IS NULL")
    op.create_index(
        "uq_extensions_name", "extensions", ["name"], unique=True, sqlite_where=living, postgresql_where=living
    )
    op.create_index("ix_extensions_call_flow", "extensions", ["call_flow_id"])
    op.create_index("ix_extensions_page", "extensions", ["tm_create", "id"])
    op.create_index("ix_extensions_customer_page", "extensions", ["customer_id", "tm_create", "id"])


def downgrade() -> None:
    """Nothing goes back: restore a backup of before (docs/store.md)."""
    raise NotImplementedError("this revision is not undone; restore a backup")
