"""Every table. Rows are read and written with SQLAlchemy Core; `store/migrations` brings a database up to this."""

from typing import Any

import sqlalchemy as sa

from store.database.columns import (
    Json,
    Serial,
    UtcTime,
    declared,
    document,
    identifier,
    identity,
    naming,
    owner,
    text,
    times,
)

metadata = sa.MetaData(
    naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "pk": "pk_%(table_name)s"},
)


def _resource(name: str, *columns: Any) -> sa.Table:
    """A table that lists page through: newest first, the living ones."""
    table = sa.Table(name, metadata, identity(), owner(), *naming(), *columns, *times())
    sa.Index(f"ix_{name}_page", table.c.tm_create, table.c.id)
    sa.Index(f"ix_{name}_customer_page", table.c.customer_id, table.c.tm_create, table.c.id)
    return table


def _living(table: sa.Table) -> Any:
    return {"sqlite_where": table.c.tm_delete.is_(None), "postgresql_where": table.c.tm_delete.is_(None)}


# ---- who

customers = sa.Table(
    "customers",
    metadata,
    identity(),
    *naming(),
    text("email", 255),
    sa.Column("suspended", sa.Boolean, nullable=False, default=False),
    document("destination_countries", list),
    sa.Column("request_rate", sa.Integer, nullable=False, default=0),
    *times(),
)
"""`request_rate`: API requests a second, 0 for the default. `destination_countries`: ISO 3166 codes, none for all."""

agents = _resource(
    "agents",
    text("username", 255),
    text("password_hash"),
    text("permission", 32),
    document("addresses", list),
    text("status", 16),
    text("ring_method", 16),
    document("tag_ids", list),
    declared(),
)
"""People (and programs) that log in; a queue rings them at their addresses."""
sa.Index("uq_agents_username", agents.c.username, unique=True, **_living(agents))

accesskeys = _resource(
    "accesskeys",
    identifier("agent_id"),
    text("key_hash", 64),
    text("key_prefix", 16),
    text("permission", 32),
    sa.Column("tm_expire", UtcTime),
)
"""Keys of agents: SHA-256 of the key, as it is random and long; its beginning, to tell keys apart."""
sa.Index("uq_accesskeys_hash", accesskeys.c.key_hash, unique=True)

secrets = sa.Table(
    "secrets", metadata, sa.Column("name", sa.String(64), primary_key=True), sa.Column("value", sa.Text, nullable=False)
)
"""What the engine has made up for itself once, such as the key that signs tokens."""

# ---- numbers and where calls go

numbers = _resource(
    "numbers",
    text("number", 20),
    text("type", 16),
    text("status", 16),
    identifier("call_flow_id"),
    identifier("message_flow_id"),
    document("metadata", dict),
    identifier("provider_id"),
    text("origin", 16),
    text("country", 8),
    text("region", 255),
    text("city", 255),
    text("kind", 16),
    sa.Column("price", sa.BigInteger, nullable=False, default=0),
    sa.Column("tm_purchase", UtcTime),
    declared(),
)
"""In the inventory (`available`), in use (`active`, `suspended`), or given back (`released`, deleted). `price`: what
provisioning costs, in micro-units."""
# A number exists once: this index is what makes it so.
sa.Index("uq_numbers_number", numbers.c.number, unique=True, **_living(numbers))
# Conditions on a status must be written out and not be parameters, or SQLite does not see that this index serves them.
sa.Index(
    "ix_numbers_offer",
    numbers.c.country,
    numbers.c.kind,
    numbers.c.number,
    sqlite_where=sa.text("status = 'available' AND tm_delete IS NULL"),
    postgresql_where=sa.text("status = 'available' AND tm_delete IS NULL"),
)
# Places are searched in capital and small letters; the other columns keep the order of the search.
for _place in (numbers.c.region, numbers.c.city):
    sa.Index(
        f"ix_numbers_offer_{_place.name}",
        sa.func.lower(_place),
        numbers.c.country,
        numbers.c.kind,
        numbers.c.number,
        sqlite_where=sa.text("status = 'available' AND tm_delete IS NULL"),
        postgresql_where=sa.text("status = 'available' AND tm_delete IS NULL"),
    )
# What a tier's limit counts.
sa.Index(
    "ix_numbers_virtual",
    numbers.c.customer_id,
    sqlite_where=sa.text("type = 'virtual' AND tm_delete IS NULL"),
    postgresql_where=sa.text("type = 'virtual' AND tm_delete IS NULL"),
)
sa.Index("ix_numbers_call_flow", numbers.c.call_flow_id)
sa.Index("ix_numbers_message_flow", numbers.c.message_flow_id)

providers = _resource("providers", text("hostname", 300), document("settings", dict), declared())
"""`settings`: the fields of `routing.models.provider.Provider` that have no column."""
sa.Index(
    "uq_providers_name",
    providers.c.name,
    unique=True,
    sqlite_where=sa.and_(providers.c.tm_delete.is_(None), providers.c.name != ""),
    postgresql_where=sa.and_(providers.c.tm_delete.is_(None), providers.c.name != ""),
)

provider_health = sa.Table(
    "provider_health",
    metadata,
    sa.Column("node", sa.String(255), primary_key=True),
    sa.Column("provider_id", sa.Uuid, primary_key=True),
    text("destination"),
    text("status", 16),
    sa.Column("answered", sa.Boolean, nullable=False),
    sa.Column("missed", sa.Integer, nullable=False),
    sa.Column("silent", sa.Integer, nullable=False),
    sa.Column("tm_check", UtcTime),
    sa.Column("tm_update", UtcTime, nullable=False),
)
"""What each node has found of each provider by its probes (`routing.hunt.health`), for its next start."""

routes = _resource(
    "routes",
    identifier("provider_id"),
    text("target", 20),
    sa.Column("priority", sa.Integer, nullable=False, default=0),
    sa.Column("weight", sa.Integer, nullable=False, default=1),
    sa.Column("rate", sa.BigInteger, nullable=False, default=0),
    sa.Column("message_rate", sa.BigInteger, nullable=False, default=0),
    sa.Column("short_prefix", sa.Boolean, nullable=False, default=False),
    sa.Column("lookup", Json),
    sa.Column("enabled", sa.Boolean, nullable=False, default=True),
    sa.Column("failover_codes", Json),
    sa.Column("stop_codes", Json),
    sa.Column("no_reply_timeout", sa.Float),
    sa.Column("no_progress_timeout", sa.Float),
    sa.Column("ring_timeout", sa.Float),
    declared(),
)
sa.Index("ix_routes_provider", routes.c.provider_id)

flows = _resource("flows", document("actions", list), text("on_complete_flow_id", 255), text("media", 16), declared())
"""`media`: `anchor` has the calls that it connects send their media through us or an rtpengine; "" leaves it direct."""

extensions = _resource(
    "extensions",
    text("realm"),
    text("ha1"),
    text("display_name", 255),
    text("caller_id", 20),
    document("caller_ids", list),
    sa.Column("max_calls", sa.Integer, nullable=False, default=0),
    sa.Column("max_contacts", sa.Integer, nullable=False, default=1),
    identifier("call_flow_id"),
    text("mailbox", 64),
    text("status", 16),
    declared(),
)
"""Whom phones register as. `ha1`: by digest algorithm, what stands for the password in its `realm` (RFC 7616 §3.4.2),
as JSON; "" where nobody can log in."""
# It is dialled, and logs in, by its name alone.
sa.Index("uq_extensions_name", extensions.c.name, unique=True, **_living(extensions))
sa.Index("ix_extensions_call_flow", extensions.c.call_flow_id)

mailboxes = sa.Table(
    "mailboxes",
    metadata,
    sa.Column("customer_id", sa.Uuid, primary_key=True),
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("new", sa.Integer, nullable=False),
    sa.Column("old", sa.Integer, nullable=False),
    sa.Column("tm_update", UtcTime, nullable=False),
)
"""How many messages wait in each mailbox, new and old ones. It has no row before somebody says so."""

# ---- what happens

calls = sa.Table(
    "calls",
    metadata,
    identity(),
    owner(),
    identifier("node_id"),
    text("direction", 16),
    text("status", 16),
    text("source_type", 16),
    text("source"),
    text("source_name"),
    text("destination_type", 16),
    text("destination"),
    sa.Column("anonymous", sa.Boolean, nullable=False, default=False),
    identifier("number_id"),
    identifier("flow_id"),
    identifier("provider_id"),
    identifier("groupcall_id"),
    sa.Column("end_status", sa.Integer, nullable=False, default=0),
    text("end_reason"),
    text("hangup_reason", 16),
    text("hangup_by", 16),
    document("notes", list),
    document("metadata", dict),
    document("media", dict),
    document("sip_call_ids", list),
    sa.Column("tm_ringing", UtcTime),
    sa.Column("tm_progressing", UtcTime),
    sa.Column("tm_hangup", UtcTime),
    *times(),
)
sa.Index("ix_calls_page", calls.c.tm_create, calls.c.id)
sa.Index("ix_calls_customer_page", calls.c.customer_id, calls.c.tm_create, calls.c.id)
sa.Index(
    "ix_calls_open",
    calls.c.node_id,
    sqlite_where=calls.c.tm_hangup.is_(None),
    postgresql_where=calls.c.tm_hangup.is_(None),
)

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("call_id", sa.Uuid, primary_key=True),
    sa.Column("place", sa.Integer, primary_key=True, autoincrement=False),
    identifier("provider_id"),
    text("provider_name", 255),
    text("request_uri"),
    sa.Column("tm_start", UtcTime),
    sa.Column("start_ms", sa.Integer),
    sa.Column("tm_first_reply", UtcTime),
    sa.Column("first_reply_ms", sa.Integer),
    sa.Column("tm_end", UtcTime),
    sa.Column("end_ms", sa.Integer),
    text("kind", 16),
    sa.Column("status", sa.Integer, nullable=False, default=0),
    text("reason"),
    text("skipped", 32),
    sa.Column("talk_ms", sa.Integer),
    sa.Column("tm_create", UtcTime, nullable=False),
)
"""Providers tried or skipped, `place` counting from 0. `talk_ms`: how long the answered one talked. `tm_create`: the
call's, as a provider that was skipped has no start of its own."""
sa.Index("ix_attempts_provider", attempts.c.provider_id, attempts.c.tm_create)

providercalls = _resource(
    "providercalls",
    identifier("provider_id"),
    identifier("flow_id"),
    sa.Column("source", Json),
    document("destinations", list),
    text("anonymous", 8),
    document("call_ids", list),
    document("groupcall_ids", list),
)

groupcalls = _resource(
    "groupcalls",
    identifier("node_id"),
    text("status", 16),
    sa.Column("source", Json),
    document("destinations", list),
    text("ring_method", 16),
    identifier("flow_id"),
    identifier("answer_call_id"),
    document("call_ids", list),
)
sa.Index(
    "ix_groupcalls_open",
    groupcalls.c.node_id,
    sqlite_where=groupcalls.c.status != "hangup",
    postgresql_where=groupcalls.c.status != "hangup",
)

messages = _resource(
    "messages",
    identifier("node_id"),
    text("direction", 16),
    text("status", 16),
    sa.Column("source", Json),
    document("destinations", list),
    text("text"),
    identifier("number_id"),
    document("targets", list),
)
"""`node_id`: the process that took it, or sends it. `targets`: what became of it at each destination: status, SIP
status, attempts."""
sa.Index(
    "ix_messages_open",
    messages.c.node_id,
    sqlite_where=messages.c.status == "sending",
    postgresql_where=messages.c.status == "sending",
)

kept_messages = sa.Table(
    "kept_messages",
    metadata,
    identity(),
    owner(),
    text("extension", 64),
    sa.Column("source", Json),
    text("text"),
    sa.Column("tm_create", UtcTime, nullable=False),
    identifier("node_id"),
    sa.Column("tm_claim", UtcTime),
)
"""Messages for extensions (by name) that no phone was registered for, until one has taken them. `node_id`: the node
that delivers it since `tm_claim`."""

message_attempts = sa.Table(
    "message_attempts",
    metadata,
    sa.Column("message_id", sa.Uuid, primary_key=True),
    sa.Column("target", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("place", sa.Integer, primary_key=True, autoincrement=False),
    identifier("provider_id"),
    text("kind", 16),
    sa.Column("status", sa.Integer, nullable=False, default=0),
    text("skipped", 32),
    sa.Column("tm_create", UtcTime, nullable=False),
)
"""Providers tried or skipped for a message that is over: what their statistics count of `messages.targets`. `target`
and `place` count from 0; `tm_create` is the message's."""
sa.Index("ix_message_attempts_provider", message_attempts.c.provider_id, message_attempts.c.tm_create)

opt_outs = sa.Table(
    "opt_outs",
    metadata,
    identity(),
    owner(),
    text("number", 20),
    text("contact", 255),
    text("keyword", 32),
    *times(),
)
"""Who wants no messages (`contact`) from one of our numbers (`number`): the word that said so. Deleted by START."""
sa.Index("uq_opt_outs_pair", opt_outs.c.number, opt_outs.c.contact, unique=True, **_living(opt_outs))
sa.Index("ix_opt_outs_customer_page", opt_outs.c.customer_id, opt_outs.c.tm_create, opt_outs.c.id)

recordings = _resource(
    "recordings",
    identifier("call_id"),
    identifier("node_id"),
    text("format", 8),
    text("filename"),
    text("status", 16),
    text("ended_by", 16),
    sa.Column("channels", sa.Integer, nullable=False, default=1),
    sa.Column("duration", sa.Integer, nullable=False, default=0),
    sa.Column("size", sa.BigInteger, nullable=False, default=0),
    sa.Column("tm_start", UtcTime),
    sa.Column("tm_end", UtcTime),
)
"""Recordings of calls. `filename` is relative to the node's folder of recordings; `duration` milliseconds, `size`
bytes."""
sa.Index("ix_recordings_call", recordings.c.call_id)

queues = _resource(
    "queues",
    text("routing_method", 16),
    document("tag_ids", list),
    document("agent_ids", list),
    sa.Column("wait_timeout", sa.Integer, nullable=False, default=0),
    sa.Column("service_timeout", sa.Integer, nullable=False, default=0),
    document("wait_actions", list),
    text("music"),
    sa.Column("ring_timeout", sa.Integer, nullable=False, default=0),
    sa.Column("wrap_up_timeout", sa.Integer, nullable=False, default=0),
    sa.Column("max_waiting", sa.Integer, nullable=False, default=0),
    text("overflow_flow_id", 255),
    sa.Column("announce_every", sa.Integer, nullable=False, default=0),
    text("announce_language", 35),
    text("announce_text"),
    declared(),
)
"""Times are milliseconds, 0 for no limit (`ring_timeout`: 0 takes the default). `music`: what `play` takes.
`announce_every`: 0 for never."""

conferences = _resource(
    "conferences",
    text("status", 16),
    sa.Column("timeout", sa.Integer, nullable=False, default=0),
    sa.Column("max_members", sa.Integer, nullable=False, default=0),
    document("pre_actions", list),
    document("post_actions", list),
    sa.Column("announce", sa.Boolean, nullable=False, default=True),
    declared(),
)
"""`announce`: whether the others hear a tone when somebody joins or leaves."""

# ---- money, in micro-units of the platform's currency

billing_accounts = _resource(
    "billing_accounts",
    text("tier", 16),
    sa.Column(
        "balance", sa.BigInteger, sa.CheckConstraint("balance >= 0", name="ck_balance"), nullable=False, default=0
    ),
    sa.Column(
        "reserved",
        sa.BigInteger,
        sa.CheckConstraint("reserved >= 0 AND reserved <= balance", name="ck_reserved"),
        nullable=False,
        default=0,
    ),
)
"""One living account for each customer. `reserved`: the part of the balance that running calls may use."""
sa.Index("uq_billing_accounts_customer", billing_accounts.c.customer_id, unique=True, **_living(billing_accounts))

ledger = sa.Table(
    "ledger",
    metadata,
    identity(),
    owner(),
    sa.Column("account_id", sa.Uuid, nullable=False),
    text("kind", 16),
    sa.Column("amount", sa.BigInteger, nullable=False),
    sa.Column("balance", sa.BigInteger, nullable=False),
    identifier("reference_id"),
    text("detail"),
    sa.Column("tm_create", UtcTime, nullable=False),
)
"""Every change of a balance, `balance` being the one after it; their sum is the account's. `kind`: top_up, call,
message, purchase, adjustment."""
sa.Index("ix_ledger_page", ledger.c.account_id, ledger.c.tm_create, ledger.c.id)

reservations = sa.Table(
    "reservations",
    metadata,
    identity(),
    owner(),
    sa.Column("account_id", sa.Uuid, nullable=False),
    identifier("node_id"),
    sa.Column("call_id", sa.Uuid, nullable=False),
    sa.Column("kind", sa.String(16), nullable=False, default="call"),
    sa.Column("rate", sa.BigInteger, nullable=False),
    sa.Column("amount", sa.BigInteger, nullable=False),
    sa.Column("tm_answer", UtcTime),
    sa.Column("tm_create", UtcTime, nullable=False),
    sa.Column("tm_update", UtcTime, nullable=False),
)
"""What a running call may use. A row is gone when the call is settled; those of a dead node are settled at start.
`kind`: call, or message, which is as a call of one second and costs a sixtieth of its `rate`."""

# ---- news

changes = sa.Table(
    "changes",
    metadata,
    sa.Column("id", Serial, primary_key=True, autoincrement=True),
    text("kind", 32),
    identifier("resource_id"),
    text("key", 64),
    sa.Column("tm_create", UtcTime, nullable=False),
    sqlite_autoincrement=True,
)
"""What has changed, in the order of the commits, for the directories of all nodes. `key`: the number, for numbers;
the name, for extensions."""

events = sa.Table(
    "events",
    metadata,
    sa.Column("id", Serial, primary_key=True, autoincrement=True),
    owner(),
    text("type", 32),
    document("data", dict),
    sa.Column("tm_create", UtcTime, nullable=False),
    sqlite_autoincrement=True,
)
"""What customers are told, in the order of the commits."""
sa.Index("ix_events_customer", events.c.customer_id, events.c.id)
sa.Index("ix_events_time", events.c.tm_create)

webhooks = _resource(
    "webhooks",
    text("uri"),
    text("secret"),
    document("events", list),
    sa.Column("enabled", sa.Boolean, nullable=False, default=True),
    sa.Column("last_event_id", sa.BigInteger, nullable=False, default=0),
    sa.Column("sequence", sa.BigInteger, nullable=False, default=0),
)
"""`events`: types that are sent, none for all. `last_event_id`: up to where events have become deliveries; `sequence`:
how many there have been."""

deliveries = sa.Table(
    "deliveries",
    metadata,
    identity(),
    owner(),
    sa.Column("webhook_id", sa.Uuid, nullable=False),
    sa.Column("event_id", sa.BigInteger, nullable=False),
    sa.Column("sequence", sa.BigInteger, nullable=False, default=0),
    text("subject", 64),
    text("type", 32),
    text("status", 16),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("tm_next", UtcTime),
    sa.Column("last_status", sa.Integer, nullable=False, default=0),
    text("last_error"),
    sa.Column("tm_create", UtcTime, nullable=False),
    sa.Column("tm_update", UtcTime, nullable=False),
)
"""Events on their way to a webhook: pending (due at `tm_next`), delivered, failed. `subject`: the call, or the other
resource, that something happened to; a pending one without a `tm_next` waits for an earlier one of the same subject.
`sequence` counts those of the webhook."""
sa.Index(
    "ix_deliveries_subject",
    deliveries.c.webhook_id,
    deliveries.c.subject,
    deliveries.c.event_id,
    sqlite_where=deliveries.c.status == "pending",
    postgresql_where=deliveries.c.status == "pending",
)
sa.Index("ix_deliveries_time", deliveries.c.tm_create)
sa.Index("ix_deliveries_page", deliveries.c.webhook_id, deliveries.c.tm_create, deliveries.c.id)
sa.Index(
    "ix_deliveries_due",
    deliveries.c.tm_next,
    sqlite_where=deliveries.c.status == "pending",
    postgresql_where=deliveries.c.status == "pending",
)

# ---- the engine's own

idempotency = sa.Table(
    "idempotency",
    metadata,
    sa.Column("customer_id", sa.Uuid, primary_key=True),
    sa.Column("key", sa.String(255), primary_key=True),
    text("request_hash", 64),
    sa.Column("status", sa.Integer, nullable=False, default=0),
    text("body"),
    sa.Column("tm_create", UtcTime, nullable=False),
)
"""Answers to POST requests that carried an Idempotency-Key; `status` 0 while the first one is being worked on."""
sa.Index("ix_idempotency_time", idempotency.c.tm_create)

nodes = sa.Table(
    "nodes",
    metadata,
    identity(),
    text("name", 255),
    text("process", 300),
    sa.Column("tm_create", UtcTime, nullable=False),
    sa.Column("tm_seen", UtcTime, nullable=False),
)
"""Processes on this database: one row for each start, with a heartbeat. What a dead one left open is closed. `process`:
its host and number, "" for one that has ended by itself."""

bindings = sa.Table(
    "bindings",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    text("node", 255),
    text("extension", 64),
    text("contact"),
    sa.Column("expires_place", sa.Integer, nullable=False, default=0),
    text("uri"),
    sa.Column("q", sa.Float, nullable=False, default=1.0),
    text("instance"),
    sa.Column("reg_id", sa.Integer, nullable=False, default=0),
    text("call_id"),
    sa.Column("cseq", sa.BigInteger, nullable=False, default=0),
    text("path"),
    text("listener", 80),
    text("host", 64),
    sa.Column("port", sa.Integer, nullable=False, default=0),
    text("source", 64),
    text("user_agent"),
    sa.Column("natted", sa.Boolean, nullable=False, default=False),
    sa.Column("tm_create", UtcTime, nullable=False),
    sa.Column("tm_expire", UtcTime, nullable=False),
)
"""Where phones are registered: `engine.sip.binding.Binding`. `node`: by which a phone is reached; `listener`: of that
node, as transport/host:port; `path`: URIs, a blank between two."""
sa.Index("ix_bindings_node", bindings.c.node)
