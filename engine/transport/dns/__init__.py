"""Locating SIP servers (RFC 3263): from a URI to addresses, by name servers and the hosts file."""
