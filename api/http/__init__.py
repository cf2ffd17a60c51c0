"""Requests and answers: authentication, limits, errors, idempotency."""
