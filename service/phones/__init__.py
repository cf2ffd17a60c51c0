"""Phones: who may register, what is kept of it, and how those behind NATs stay reachable."""
