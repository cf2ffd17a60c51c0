"""Text messages: outbox, delivery, inbox, opt-outs."""
