"""Agents, and the queues and conferences that they and callers meet in."""
