"""Extensions: whom phones register as, and where they are reached."""
