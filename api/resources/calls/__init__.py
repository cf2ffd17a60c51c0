"""Calls: made, followed, authorised; what was tried, said on the wire and recorded."""
