"""owners of messages: which process sends a message, and its attempts at providers in a table of their own

Revision: 0004, after 0003
"""

from uuid import UUID

import sqlalchemy as sa
from alembic import op

from store.database.columns import Json, UtcTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_NOBODY = "00000000000000000000000000000000"
_BEING_SENT = sa.text("status = 'sending'")


def upgrade() -> None:
    """To this revision."""
    op.add_column("messages", sa.Column("node_id", sa.Uuid(), nullable=False, server_default=_NOBODY))
    _take_over()
    op.create_index("ix_messages_open", "messages", ["node_id"], sqlite_where=_BEING_SENT, postgresql_where=_BEING_SENT)
    op.create_table(
        "message_attempts",
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("target", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("provider_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("skipped", sa.String(length=32), nullable=False),
        sa.Column("tm_create", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("message_id", "target", "place", name=op.f("pk_message_attempts")),
    )
    op.create_index("ix_message_attempts_provider", "message_attempts", ["provider_id", "tm_create"])


def _take_over() -> None:
    """Until now the process stood in the targets of what it was sending."""
    messages = sa.table(
        "messages",
        sa.column("id", sa.Uuid()),
        sa.column("status", sa.String()),
        sa.column("targets", Json),
        sa.column("node_id", sa.Uuid()),
    )
    connection = op.get_bind()
    being_sent = sa.select(messages.c.id, messages.c.targets).where(messages.c.status == "sending")
    for identifier, targets in connection.execute(being_sent).all():
        owners = [target.pop("node_id", None) for target in targets]
        values = {"targets": targets} | ({"node_id": UUID(owners[0])} if owners and owners[0] else {})
        connection.execute(sa.update(messages).where(messages.c.id == identifier).values(values))


def downgrade() -> None:
    """Nothing goes back: restore a backup of before (docs/store.md)."""
    raise NotImplementedError("this revision is not undone; restore a backup")
