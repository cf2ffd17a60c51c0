"""The way of a call out: which providers, in which order, with which headers, and when to stop."""
