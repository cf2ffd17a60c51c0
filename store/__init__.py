"""What outlives the process: tables, migrations and the change feed, on SQLite or PostgreSQL."""
