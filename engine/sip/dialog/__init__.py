"""Dialogs and what happens within them: INVITE sessions, transfers, session timers (RFC 3261 §12 to §15)."""
