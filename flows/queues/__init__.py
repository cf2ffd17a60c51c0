"""Queues, agents and conferences."""
