"""Text of peers made fit to be shown: nothing in it moves a cursor, begins a line or turns text round."""

import re

# Control characters (C0, DEL, C1), line and paragraph separators, bidirectional controls, and lone surrogates, which
# are how bytes that are not UTF-8 come out of the parser.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def escape(text: str) -> str:
    """`text` with everything that a terminal would act upon written as `\\xNN` or `\\uNNNN`."""
    return _UNSAFE.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:  # a byte that surrogateescape kept
        code -= 0xDC00
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"
