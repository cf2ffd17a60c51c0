"""The user part of a Request-URI: prefix, number and postfix as a trunk wants them."""

import re

from engine.sip.message.uri import escape_user
from routing.numbers.numbering import national_digits

_ESCAPED = re.compile(r"(%[0-9A-Fa-f]{2})")


def escaped(text: str) -> str:
    """`text` with everything escaped that a user part may not hold (RFC 3261 §25.1); what is escaped already stays."""
    if "%" not in text:
        return escape_user(text)
    # split with a group puts the matches at the odd places.
    parts = _ESCAPED.split(text)
    return "".join(part if position % 2 else escape_user(part) for position, part in enumerate(parts))


def formatted(number: str, number_format: str) -> str:
    """A normalised number as `e164` (+1555…), `plain` (1555…) or `national` (as it is dialled in its own country)."""
    if number_format == "e164":
        return number
    return number[1:] if number_format == "plain" else national_digits(number)
