"""Sockets and names: how SIP messages leave this machine and reach it (RFC 3261 §18, RFC 3263, RFC 3581)."""
