"""What peers send and expect: SIPp scenarios, the engine's configuration for them, and the table of cases."""
