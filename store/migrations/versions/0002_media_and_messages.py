"""media and messages: what flows say of media, opt-outs, recordings, and what queues and conferences are told

Revision: 0002, after 0001
"""

import sqlalchemy as sa
from alembic import op

from store.database.columns import Json, UtcTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _text(name: str, length: int | None = None) -> sa.Column[str]:
    # Rows that are there already need a value: the server's default gives it to them.
    return sa.Column(name, sa.String(length) if length else sa.Text(), nullable=False, server_default="")


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False, server_default="0")


def _times() -> tuple[sa.Column[UtcTime], ...]:
    return (
        sa.Column("tm_create", UtcTime(), nullable=False),
        sa.Column("tm_update", UtcTime(), nullable=False),
        sa.Column("tm_delete", UtcTime(), nullable=True),
    )


def upgrade() -> None:
    """To this revision."""
    op.add_column("flows", _text("media", 16))
    op.add_column("calls", sa.Column("media", Json, nullable=False, server_default="{}"))
    nobody = "00000000000000000000000000000000"
    op.add_column("messages", sa.Column("number_id", sa.Uuid(), nullable=False, server_default=nobody))
    op.add_column("messages", sa.Column("targets", Json, nullable=False, server_default="[]"))
    op.add_column("queues", _text("music"))
    op.add_column("queues", _number("ring_timeout"))
    op.add_column("queues", _number("wrap_up_timeout"))
    op.add_column("queues", _number("max_waiting"))
    op.add_column("queues", _text("overflow_flow_id", 255))
    op.add_column("conferences", sa.Column("announce", sa.Boolean(), nullable=False, server_default=sa.true()))

    op.create_table(
        "opt_outs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.String(length=20), nullable=False),
        sa.Column("contact", sa.String(length=255), nullable=False),
        sa.Column("keyword", sa.String(length=32), nullable=False),
        *_times(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_opt_outs")),
    )
    op.create_index(
        "uq_opt_outs_pair",
        "opt_outs",
        ["number", "contact"],
        unique=True,
        sqlite_where=sa.text("tm_delete IS NULL"),
        postgresql_where=sa.text("tm_delete IS NULL"),
    )
    op.create_index("ix_opt_outs_customer_page", "opt_outs", ["customer_id", "tm_create", "id"])

    op.create_table(
        "recordings",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("call_id", sa.Uuid(), nullable=False),
        sa.Column("node_id", sa.Uuid(), nullable=False),
        sa.Column("format", sa.String(length=8), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("ended_by", sa.String(length=16), nullable=False),
        sa.Column("channels", sa.Integer(), nullable=False),
        sa.Column("duration", sa.Integer(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("tm_start", UtcTime(), nullable=True),
        sa.Column("tm_end", UtcTime(), nullable=True),
        *_times(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recordings")),
    )
    op.create_index("ix_recordings_call", "recordings", ["call_id"])
    op.create_index("ix_recordings_page", "recordings", ["tm_create", "id"])
    op.create_index("ix_recordings_customer_page", "recordings", ["customer_id", "tm_create", "id"])


def downgrade() -> None:
    """Nothing goes back: restore a backup of before (docs/store.md)."""
    raise NotImplementedError("this revision is not undone; restore a backup")
