"""Flows written in Python: async functions with the actions as methods."""
