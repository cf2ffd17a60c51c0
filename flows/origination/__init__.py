"""Calls of our own: orders, groupcalls, providercalls."""
