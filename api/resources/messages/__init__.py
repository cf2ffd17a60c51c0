"""Text messages, and who wants none."""
