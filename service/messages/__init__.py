"""Text messages: what comes in, and where they are kept."""
