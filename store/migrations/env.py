"""What Alembic runs: the connection is handed over by `upgrade`, the tables are those of `store.database.tables`."""

from alembic import context

from store.database.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    compare_type=True,
    # SQLite cannot alter most of a table: Alembic makes a new one and copies.
    render_as_batch=connection.dialect.name == "sqlite",
)
with context.begin_transaction():
    context.run_migrations()
