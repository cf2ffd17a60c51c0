"""Retry-After (RFC 3261 §20.33)."""

from engine.sip.message.message import Message


def retry_after(message: Message) -> int:
    """The seconds that the header says; 0 without it, and where it is malformed."""
    if "Retry-After" not in message.first:
        return 0
    digits = message.first["Retry-After"].split("(", 1)[0].split(";", 1)[0].strip()
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else 0
