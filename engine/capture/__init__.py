"""What went through, kept to be looked at: the trace of messages and the ladder drawn of it."""
