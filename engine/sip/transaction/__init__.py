"""Transactions of both sides and their timers (RFC 3261 §17, RFC 6026)."""
