"""Loops in the background: health, addresses, webhooks, maintenance."""
