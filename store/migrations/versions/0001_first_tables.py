"""the first tables

Revision: 0001, after None
"""

import sqlalchemy as sa
from alembic import op

from store.database.columns import Json, Serial, UtcTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision."""
    op.create_table(
        "accesskeys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("agent_id", sa.Uuid(), nullable=False),
        sa.Column("key_hash", sa.String(length=64), nullable=False),
        sa.Column("key_prefix", sa.String(length=16), nullable=False),
        sa.Column("permission", sa.String(length=32), nullable=False),
        sa.Column("tm_expire", UtcTime(), nullable=True),
        sa.Column("tm_create", UtcTime(), nullable=False),
        sa.Column("tm_update", UtcTime(), nullable=False),
        sa.Column("tm_delete", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accesskeys")),
    )
    with op.batch_alter_table("accesskeys", schema=None) as batch_op:
        batch_op.create_index("ix_accesskeys_customer_page", ["customer_id", "tm_create", "id"], unique=False)
        batch_op.create_index("ix_accesskeys_page", ["tm_create", "id"], unique=False)
        batch_op.create_index("uq_accesskeys_hash", ["key_hash"], unique=True)

    op.create_table(
        "agents",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("username", sa.String(length=255), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("permission", sa.String(length=32), nullable=False),
        sa.Column("addresses", Json, nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("ring_method", sa.String(length=16), nullable=False),
        sa.Column("tag_ids", Json, nullable=False),
        sa.Column("tm_create", UtcTime(), nullable=False),
        sa.Column("tm_update", UtcTime(), nullable=False),
        sa.Column("tm_delete", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agents")),
    )
    with op.batch_alter_table("agents", schema=None) as batch_op:
        batch_op.create_index("ix_agents_customer_page", ["customer_id", "tm_create", "id"], unique=False)
        batch_op.create_index("ix_agents_page", ["tm_create", "id"], unique=False)
        batch_op.create_index(
            "uq_agents_username",
            ["username"],
            unique=True,
            sqlite_where=sa.text("tm_delete IS NULL"),
            postgresql_where=sa.text("tm_delete IS NULL"),
        )

    op.create_table(
        "attempts",
        sa.Column("call_id", sa.Uuid(), nullable=False),
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("provider_id", sa.Uuid(), nullable=False),
        sa.Column("provider_name", sa.String(length=255), nullable=False),
        sa.Column("request_uri", sa.Text(), nullable=False),
        sa.Column("tm_start", UtcTime(), nullable=True),
        sa.Column("start_ms", sa.Integer(), nullable=True),
        sa.Column("tm_first_reply", UtcTime(), nullable=True),
        sa.Column("first_reply_ms", sa.Integer(), nullable=True),
        sa.Column("tm_end", UtcTime(), nullable=True),
        sa.Column("end_ms", sa.Integer(), nullable=True),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("skipped", sa.String(length=32), nullable=False),
        sa.Column("talk_ms", sa.Integer(), nullable=True),
        sa.Column("tm_create", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("call_id", "place", name=op.f("pk_attempts")),
    )
    with op.batch_alter_table("attempts", schema=None) as batch_op:
        batch_op.create_index("ix_attempts_provider", ["provider_id", "tm_create"], unique=False)

    op.create_table(
        "billing_accounts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("tier", sa.String(length=16), nullable=False),
        sa.Column("balance", sa.BigInteger(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.Column("tm_create", UtcTime(), nullable=False),
        sa.Column("tm_update", UtcTime(), nullable=False),
        sa.Column("tm_delete", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_billing_accounts")),
    )
    with op.batch_alter_table("billing_accounts", schema=None) as batch_op:
        batch_op.create_index("ix_billing_accounts_customer_page", ["customer_id", "tm_create", "id"], unique=False)
        batch_op.create_index("ix_billing_accounts_page", ["tm_create", "id"], unique=False)
        batch_op.create_index(
            "uq_billing_accounts_customer",
            ["customer_id"],
            unique=True,
            sqlite_where=sa.text("tm_delete IS NULL"),
            postgresql_where=sa.text("tm_delete IS NULL"),
        )

    op.create_table(
        "calls",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("node_id", sa.Uuid(), nullable=False),
        sa.Column("direction", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("source_type", sa.String(length=16), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("source_name", sa.Text(), nullable=False),
        sa.Column("destination_type", sa.String(length=16), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("anonymous", sa.Boolean(), nullable=False),
        sa.Column("number_id", sa.Uuid(), nullable=False),
        sa.Column("flow_id", sa.Uuid(), nullable=False),
        sa.Column("provider_id", sa.Uuid(), nullable=False),
        sa.Column("groupcall_id", sa.Uuid(), nullable=False),
        sa.Column("end_status", sa.Integer(), nullable=False),
        sa.Column("end_reason", sa.Text(), nullable=False),
        sa.Column("hangup_reason", sa.String(length=16), nullable=False),
        sa.Column("hangup_by", sa.String(length=16), nullable=False),
        sa.Column("notes", Json, nullable=False),
        sa.Column("metadata", Json, nullable=False),
        sa.Column("sip_call_ids", Json, nullable=False),
        sa.Column("tm_ringing", UtcTime(), nullable=True),
        sa.Column("tm_progressing", UtcTime(), nullable=True),
        sa.Column("tm_hangup", UtcTime(), nullable=True),
        sa.Column("tm_create", UtcTime(), nullable=False),
        sa.Column("tm_update", UtcTime(), nullable=False),
        sa.Column("tm_delete", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calls")),
    )
    with op.batch_alter_table("calls", schema=None) as batch_op:
        batch_op.create_index("ix_calls_customer_page", ["customer_id", "tm_create", "id"], unique=False)
        batch_op.create_index(
            "ix_calls_open",
            ["node_id"],
            unique=False,
            sqlite_where=sa.text("tm_hangup IS NULL"),
            postgresql_where=sa.text("tm_hangup IS NULL"),
        )
        batch_op.create_index("ix_calls_page", ["tm_create", "id"], unique=False)

    op.create_table(
        "changes",
        sa.Column("id", Serial, autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("resource_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("tm_create", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_changes")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "conferences",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("timeout", sa.Integer(), nullable=False),
        sa.Column("max_members", sa.Integer(), nullable=False),
        sa.Column("pre_actions", Json, nullable=False),
        sa.Column("post_actions", Json, nullable=False),
        sa.Column("tm_create", UtcTime(), nullable=False),
        sa.Column("tm_update", UtcTime(), nullable=False),
        sa.Column("tm_delete", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conferences")),
    )
    with op.batch_alter_table("conferences", schema=None) as batch_op:
        batch_op.create_index("ix_conferences_customer_page", ["customer_id", "tm_create", "id"], unique=False)
        batch_op.create_index("ix_conferences_page", ["tm_create", "id"], unique=False)

    op.create_table(
        "customers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("email", sa.String(length=255), nullable=False),
        sa.Column("suspended", sa.Boolean(), nullable=False),
        sa.Column("destination_countries", Json, nullable=False),
        sa.Column("request_rate", sa.Integer(), nullable=False),
        sa.Column("tm_create", UtcTime(), nullable=False),
        sa.Column("tm_update", UtcTime(), nullable=False),
        sa.Column("tm_delete", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customers")),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("tm_next", UtcTime(), nullable=True),
        sa.Column("last_status", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.Column("tm_create", UtcTime(), nullable=False),
        sa.Column("tm_update", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
    )
    with op.batch_alter_table("deliveries", schema=None) as batch_op:
        batch_op.create_index(
            "ix_deliveries_due",
            ["tm_next"],
            unique=False,
            sqlite_where=sa.text("status = 'pending'"),
            postgresql_where=sa.text("status = 'pending'"),
        )
        batch_op.create_index("ix_deliveries_page", ["webhook_id", "tm_create", "id"], unique=False)
        batch_op.create_index("ix_deliveries_time", ["tm_create"], unique=False)

    op.create_table(
        "events",
        sa.Column("id", Serial, autoincrement=True, nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("data", Json, nullable=False),
        sa.Column("tm_create", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.create_index("ix_events_customer", ["customer_id", "id"], unique=False)
        batch_op.create_index("ix_events_time", ["tm_create"], unique=False)

    op.create_table(
        "flows",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("actions", Json, nullable=False),
        sa.Column("on_complete_flow_id", sa.String(length=255), nullable=False),
        sa.Column("declared_in", sa.Text(), nullable=False),
        sa.Column("tm_create", UtcTime(), nullable=False),
        sa.Column("tm_update", UtcTime(), nullable=False),
        sa.Column("tm_delete", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flows")),
    )
    with op.batch_alter_table("flows", schema=None) as batch_op:
        batch_op.create_index("ix_flows_customer_page", ["customer_id", "tm_create", "id"], unique=False)
        batch_op.create_index("ix_flows_page", ["tm_create", "id"], unique=False)

    op.create_table(
        "groupcalls",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("node_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("source", Json, nullable=True),
        sa.Column("destinations", Json, nullable=False),
        sa.Column("ring_method", sa.String(length=16), nullable=False),
        sa.Column("flow_id", sa.Uuid(), nullable=False),
        sa.Column("answer_call_id", sa.Uuid(), nullable=False),
        sa.Column("call_ids", Json, nullable=False),
        sa.Column("tm_create", UtcTime(), nullable=False),
        sa.Column("tm_update", UtcTime(), nullable=False),
        sa.Column("tm_delete", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_groupcalls")),
    )
    with op.batch_alter_table("groupcalls", schema=None) as batch_op:
        batch_op.create_index("ix_groupcalls_customer_page", ["customer_id", "tm_create", "id"], unique=False)
        batch_op.create_index(
            "ix_groupcalls_open",
            ["node_id"],
            unique=False,
            sqlite_where=sa.text("status != 'hangup'"),
            postgresql_where=sa.text("status != 'hangup'"),
        )
        batch_op.create_index("ix_groupcalls_page", ["tm_create", "id"], unique=False)

    op.create_table(
        "idempotency",
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("request_hash", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("tm_create", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "key", name=op.f("pk_idempotency")),
    )
    with op.batch_alter_table("idempotency", schema=None) as batch_op:
        batch_op.create_index("ix_idempotency_time", ["tm_create"], unique=False)

    op.create_table(
        "ledger",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("balance", sa.BigInteger(), nullable=False),
        sa.Column("reference_id", sa.Uuid(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("tm_create", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger")),
    )
    with op.batch_alter_table("ledger", schema=None) as batch_op:
        batch_op.create_index("ix_ledger_page", ["account_id", "tm_create", "id"], unique=False)

    op.create_table(
        "messages",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("direction", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("source", Json, nullable=True),
        sa.Column("destinations", Json, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("tm_create", UtcTime(), nullable=False),
        sa.Column("tm_update", UtcTime(), nullable=False),
        sa.Column("tm_delete", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
    )
    with op.batch_alter_table("messages", schema=None) as batch_op:
        batch_op.create_index("ix_messages_customer_page", ["customer_id", "tm_create", "id"], unique=False)
        batch_op.create_index("ix_messages_page", ["tm_create", "id"], unique=False)

    op.create_table(
        "nodes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("tm_create", UtcTime(), nullable=False),
        sa.Column("tm_seen", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_nodes")),
    )
    op.create_table(
        "numbers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("number", sa.String(length=20), nullable=False),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("call_flow_id", sa.Uuid(), nullable=False),
        sa.Column("message_flow_id", sa.Uuid(), nullable=False),
        sa.Column("metadata", Json, nullable=False),
        sa.Column("provider_id", sa.Uuid(), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("country", sa.String(length=8), nullable=False),
        sa.Column("region", sa.String(length=255), nullable=False),
        sa.Column("city", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("price", sa.BigInteger(), nullable=False),
        sa.Column("tm_purchase", UtcTime(), nullable=True),
        sa.Column("declared_in", sa.Text(), nullable=False),
        sa.Column("tm_create", UtcTime(), nullable=False),
        sa.Column("tm_update", UtcTime(), nullable=False),
        sa.Column("tm_delete", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_numbers")),
    )
    with op.batch_alter_table("numbers", schema=None) as batch_op:
        batch_op.create_index("ix_numbers_call_flow", ["call_flow_id"], unique=False)
        batch_op.create_index("ix_numbers_customer_page", ["customer_id", "tm_create", "id"], unique=False)
        batch_op.create_index("ix_numbers_message_flow", ["message_flow_id"], unique=False)
        batch_op.create_index(
            "ix_numbers_offer",
            ["country", "kind", "number"],
            unique=False,
            sqlite_where=sa.text("status = 'available' AND tm_delete IS NULL"),
            postgresql_where=sa.text("status = 'available' AND tm_delete IS NULL"),
        )
        batch_op.create_index(
            "ix_numbers_offer_city",
            [sa.literal_column("lower(city)"), "country", "kind", "number"],
            unique=False,
            sqlite_where=sa.text("status = 'available' AND tm_delete IS NULL"),
            postgresql_where=sa.text("status = 'available' AND tm_delete IS NULL"),
        )
        batch_op.create_index(
            "ix_numbers_offer_region",
            [sa.literal_column("lower(region)"), "country", "kind", "number"],
            unique=False,
            sqlite_where=sa.text("status = 'available' AND tm_delete IS NULL"),
            postgresql_where=sa.text("status = 'available' AND tm_delete IS NULL"),
        )
        batch_op.create_index("ix_numbers_page", ["tm_create", "id"], unique=False)
        batch_op.create_index(
            "ix_numbers_virtual",
            ["customer_id"],
            unique=False,
            sqlite_where=sa.text("type = 'virtual' AND tm_delete IS NULL"),
            postgresql_where=sa.text("type = 'virtual' AND tm_delete IS NULL"),
        )
        batch_op.create_index(
            "uq_numbers_number",
            ["number"],
            unique=True,
            sqlite_where=sa.text("tm_delete IS NULL"),
            postgresql_where=sa.text("tm_delete IS NULL"),
        )

    op.create_table(
        "providercalls",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("provider_id", sa.Uuid(), nullable=False),
        sa.Column("flow_id", sa.Uuid(), nullable=False),
        sa.Column("source", Json, nullable=True),
        sa.Column("destinations", Json, nullable=False),
        sa.Column("anonymous", sa.String(length=8), nullable=False),
        sa.Column("call_ids", Json, nullable=False),
        sa.Column("groupcall_ids", Json, nullable=False),
        sa.Column("tm_create", UtcTime(), nullable=False),
        sa.Column("tm_update", UtcTime(), nullable=False),
        sa.Column("tm_delete", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_providercalls")),
    )
    with op.batch_alter_table("providercalls", schema=None) as batch_op:
        batch_op.create_index("ix_providercalls_customer_page", ["customer_id", "tm_create", "id"], unique=False)
        batch_op.create_index("ix_providercalls_page", ["tm_create", "id"], unique=False)

    op.create_table(
        "providers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("hostname", sa.String(length=300), nullable=False),
        sa.Column("settings", Json, nullable=False),
        sa.Column("declared_in", sa.Text(), nullable=False),
        sa.Column("tm_create", UtcTime(), nullable=False),
        sa.Column("tm_update", UtcTime(), nullable=False),
        sa.Column("tm_delete", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_providers")),
    )
    with op.batch_alter_table("providers", schema=None) as batch_op:
        batch_op.create_index("ix_providers_customer_page", ["customer_id", "tm_create", "id"], unique=False)
        batch_op.create_index("ix_providers_page", ["tm_create", "id"], unique=False)
        batch_op.create_index(
            "uq_providers_name",
            ["name"],
            unique=True,
            sqlite_where=sa.text("tm_delete IS NULL AND name != ''"),
            postgresql_where=sa.text("tm_delete IS NULL AND name != ''"),
        )

    op.create_table(
        "queues",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("routing_method", sa.String(length=16), nullable=False),
        sa.Column("tag_ids", Json, nullable=False),
        sa.Column("agent_ids", Json, nullable=False),
        sa.Column("wait_timeout", sa.Integer(), nullable=False),
        sa.Column("service_timeout", sa.Integer(), nullable=False),
        sa.Column("wait_actions", Json, nullable=False),
        sa.Column("tm_create", UtcTime(), nullable=False),
        sa.Column("tm_update", UtcTime(), nullable=False),
        sa.Column("tm_delete", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_queues")),
    )
    with op.batch_alter_table("queues", schema=None) as batch_op:
        batch_op.create_index("ix_queues_customer_page", ["customer_id", "tm_create", "id"], unique=False)
        batch_op.create_index("ix_queues_page", ["tm_create", "id"], unique=False)

    op.create_table(
        "reservations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("node_id", sa.Uuid(), nullable=False),
        sa.Column("call_id", sa.Uuid(), nullable=False),
        sa.Column("rate", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("tm_answer", UtcTime(), nullable=True),
        sa.Column("tm_create", UtcTime(), nullable=False),
        sa.Column("tm_update", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reservations")),
    )
    op.create_table(
        "routes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("provider_id", sa.Uuid(), nullable=False),
        sa.Column("target", sa.String(length=20), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("weight", sa.Integer(), nullable=False),
        sa.Column("rate", sa.BigInteger(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("failover_codes", Json, nullable=True),
        sa.Column("stop_codes", Json, nullable=True),
        sa.Column("no_reply_timeout", sa.Float(), nullable=True),
        sa.Column("no_progress_timeout", sa.Float(), nullable=True),
        sa.Column("ring_timeout", sa.Float(), nullable=True),
        sa.Column("declared_in", sa.Text(), nullable=False),
        sa.Column("tm_create", UtcTime(), nullable=False),
        sa.Column("tm_update", UtcTime(), nullable=False),
        sa.Column("tm_delete", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_routes")),
    )
    with op.batch_alter_table("routes", schema=None) as batch_op:
        batch_op.create_index("ix_routes_customer_page", ["customer_id", "tm_create", "id"], unique=False)
        batch_op.create_index("ix_routes_page", ["tm_create", "id"], unique=False)
        batch_op.create_index("ix_routes_provider", ["provider_id"], unique=False)

    op.create_table(
        "secrets",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_secrets")),
    )
    op.create_table(
        "webhooks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("events", Json, nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("last_event_id", sa.BigInteger(), nullable=False),
        sa.Column("tm_create", UtcTime(), nullable=False),
        sa.Column("tm_update", UtcTime(), nullable=False),
        sa.Column("tm_delete", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhooks")),
    )
    with op.batch_alter_table("webhooks", schema=None) as batch_op:
        batch_op.create_index("ix_webhooks_customer_page", ["customer_id", "tm_create", "id"], unique=False)
        batch_op.create_index("ix_webhooks_page", ["tm_create", "id"], unique=False)


def downgrade() -> None:
    """Back to the one before."""
    with op.batch_alter_table("webhooks", schema=None) as batch_op:
        batch_op.drop_index("ix_webhooks_page")
        batch_op.drop_index("ix_webhooks_customer_page")

    op.drop_table("webhooks")
    op.drop_table("secrets")
    with op.batch_alter_table("routes", schema=None) as batch_op:
        batch_op.drop_index("ix_routes_provider")
        batch_op.drop_index("ix_routes_page")
        batch_op.drop_index("ix_routes_customer_page")

    op.drop_table("routes")
    op.drop_table("reservations")
    with op.batch_alter_table("queues", schema=None) as batch_op:
        batch_op.drop_index("ix_queues_page")
        batch_op.drop_index("ix_queues_customer_page")

    op.drop_table("queues")
    with op.batch_alter_table("providers", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_providers_name",
            sqlite_where=sa.text("tm_delete IS NULL AND name != ''"),
            postgresql_where=sa.text("tm_delete IS NULL AND name != ''"),
        )
        batch_op.drop_index("ix_providers_page")
        batch_op.drop_index("ix_providers_customer_page")

    op.drop_table("providers")
    with op.batch_alter_table("providercalls", schema=None) as batch_op:
        batch_op.drop_index("ix_providercalls_page")
        batch_op.drop_index("ix_providercalls_customer_page")

    op.drop_table("providercalls")
    with op.batch_alter_table("numbers", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_numbers_number",
            sqlite_where=sa.text("tm_delete IS NULL"),
            postgresql_where=sa.text("tm_delete IS NULL"),
        )
        batch_op.drop_index(
            "ix_numbers_virtual",
            sqlite_where=sa.text("type = 'virtual' AND tm_delete IS NULL"),
            postgresql_where=sa.text("type = 'virtual' AND tm_delete IS NULL"),
        )
        batch_op.drop_index("ix_numbers_page")
        batch_op.drop_index(
            "ix_numbers_offer_region",
            sqlite_where=sa.text("status = 'available' AND tm_delete IS NULL"),
            postgresql_where=sa.text("status = 'available' AND tm_delete IS NULL"),
        )
        batch_op.drop_index(
            "ix_numbers_offer_city",
            sqlite_where=sa.text("status = 'available' AND tm_delete IS NULL"),
            postgresql_where=sa.text("status = 'available' AND tm_delete IS NULL"),
        )
        batch_op.drop_index(
            "ix_numbers_offer",
            sqlite_where=sa.text("status = 'available' AND tm_delete IS NULL"),
            postgresql_where=sa.text("status = 'available' AND tm_delete IS NULL"),
        )
        batch_op.drop_index("ix_numbers_message_flow")
        batch_op.drop_index("ix_numbers_customer_page")
        batch_op.drop_index("ix_numbers_call_flow")

    op.drop_table("numbers")
    op.drop_table("nodes")
    with op.batch_alter_table("messages", schema=None) as batch_op:
        batch_op.drop_index("ix_messages_page")
        batch_op.drop_index("ix_messages_customer_page")

    op.drop_table("messages")
    with op.batch_alter_table("ledger", schema=None) as batch_op:
        batch_op.drop_index("ix_ledger_page")

    op.drop_table("ledger")
    with op.batch_alter_table("idempotency", schema=None) as batch_op:
        batch_op.drop_index("ix_idempotency_time")

    op.drop_table("idempotency")
    with op.batch_alter_table("groupcalls", schema=None) as batch_op:
        batch_op.drop_index("ix_groupcalls_page")
        batch_op.drop_index(
            "ix_groupcalls_open",
            sqlite_where=sa.text("status != 'hangup'"),
            postgresql_where=sa.text("status != 'hangup'"),
        )
        batch_op.drop_index("ix_groupcalls_customer_page")

    op.drop_table("groupcalls")
    with op.batch_alter_table("flows", schema=None) as batch_op:
        batch_op.drop_index("ix_flows_page")
        batch_op.drop_index("ix_flows_customer_page")

    op.drop_table("flows")
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.drop_index("ix_events_time")
        batch_op.drop_index("ix_events_customer")

    op.drop_table("events")
    with op.batch_alter_table("deliveries", schema=None) as batch_op:
        batch_op.drop_index("ix_deliveries_time")
        batch_op.drop_index("ix_deliveries_page")
        batch_op.drop_index(
            "ix_deliveries_due",
            sqlite_where=sa.text("status = 'pending'"),
            postgresql_where=sa.text("status = 'pending'"),
        )

    op.drop_table("deliveries")
    op.drop_table("customers")
    with op.batch_alter_table("conferences", schema=None) as batch_op:
        batch_op.drop_index("ix_conferences_page")
        batch_op.drop_index("ix_conferences_customer_page")

    op.drop_table("conferences")
    op.drop_table("changes")
    with op.batch_alter_table("calls", schema=None) as batch_op:
        batch_op.drop_index("ix_calls_page")
        batch_op.drop_index(
            "ix_calls_open", sqlite_where=sa.text("tm_hangup IS NULL"), postgresql_where=sa.text("tm_hangup IS NULL")
        )
        batch_op.drop_index("ix_calls_customer_page")

    op.drop_table("calls")
    with op.batch_alter_table("billing_accounts", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_billing_accounts_customer",
            sqlite_where=sa.text("tm_delete IS NULL"),
            postgresql_where=sa.text("tm_delete IS NULL"),
        )
        batch_op.drop_index("ix_billing_accounts_page")
        batch_op.drop_index("ix_billing_accounts_customer_page")

    op.drop_table("billing_accounts")
    with op.batch_alter_table("attempts", schema=None) as batch_op:
        batch_op.drop_index("ix_attempts_provider")

    op.drop_table("attempts")
    with op.batch_alter_table("agents", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_agents_username",
            sqlite_where=sa.text("tm_delete IS NULL"),
            postgresql_where=sa.text("tm_delete IS NULL"),
        )
        batch_op.drop_index("ix_agents_page")
        batch_op.drop_index("ix_agents_customer_page")

    op.drop_table("agents")
    with op.batch_alter_table("accesskeys", schema=None) as batch_op:
        batch_op.drop_index("uq_accesskeys_hash")
        batch_op.drop_index("ix_accesskeys_page")
        batch_op.drop_index("ix_accesskeys_customer_page")

    op.drop_table("accesskeys")
