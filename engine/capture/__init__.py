"""Capture: the trace of SIP messages, and the ladder drawn of it."""
