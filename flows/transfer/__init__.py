"""Transfers of calls (RFC 5589): by REFER, attended, and by INVITE with Replaces."""
