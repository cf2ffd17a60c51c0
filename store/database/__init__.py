"""The database: engines, the file of SQLite, tables and column types, bulk writes, encryption of secrets."""
