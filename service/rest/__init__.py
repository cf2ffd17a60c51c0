"""The REST API of an engine: its listener, its connections, and what requests work with."""
