"""Text to speech: voices, and the markup they understand."""
