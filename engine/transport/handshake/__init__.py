"""Handshakes of TLS: what a client asks for, what goes wrong with them, and how many are under way."""
