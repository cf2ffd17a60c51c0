"""The REST API: one file for each resource, and what they share (errors, authentication, lists, fields)."""
