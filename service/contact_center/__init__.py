"""Queues, agents and conferences of an engine, on what the store holds."""
