"""Telephone numbers: what customers have, and what is on offer."""
