"""The text that a MESSAGE carries: plain, or wrapped in CPIM (RFC 3428 §8, RFC 3862)."""

import codecs
import re
from typing import Final

from engine.sip.grammar import ParseError, parse_params, unquote
from engine.sip.message import Request

ACCEPT: Final = "Accept: text/plain, message/cpim\r\n"
"""What goes with a 415."""

MAX_TEXT: Final = 32 * 1024
"""Octets of the longest text that is taken: what a variable of a flow may hold."""

_BLANK = re.compile(rb"\r?\n\r?\n")
_HEADER = re.compile(rb"([!-9;-~]{1,64}):[ \t]*([^\r\n\0]{0,1024})")


def text_of(request: Request) -> str:
    """The text of a MESSAGE.

    Raises ParseError with the status that it deserves: 415 for what is no text, 413 for too much of it, 400 for
    nothing, and for bytes that are no text in the charset that is named.
    """
    if len(request.body) > MAX_TEXT:
        raise ParseError(f"the text is longer than {MAX_TEXT} octets", 413)
    encoding = request.get("Content-Encoding").strip().lower()
    if encoding not in ("", "identity"):
        raise ParseError("an encoding of the body that is not understood", 415)
    kind, charset = _content_type(request.get("Content-Type"))
    body = request.body
    if kind == "message/cpim":
        kind, charset, body = _unwrapped(body)
    if kind != "text/plain":
        raise ParseError("only text is taken", 415)
    if not body.strip():
        raise ParseError("the message is empty")
    return _decoded(body, charset)


def _content_type(value: str) -> tuple[str, str]:
    kind, semicolon, rest = value.partition(";")
    params = parse_params(semicolon + rest)
    return kind.strip().lower() or "text/plain", unquote(params.get("charset") or "utf-8").lower()


def _unwrapped(body: bytes) -> tuple[str, str, bytes]:
    """What is within: message headers, a blank line, MIME headers, a blank line, the content (RFC 3862 §2)."""
    parts = _BLANK.split(body, 2)
    if len(parts) < 3:
        raise ParseError("a CPIM message without its blank lines")
    headers = {}
    for line in parts[1].splitlines():
        match = _HEADER.fullmatch(line)
        if match is None:
            raise ParseError("a CPIM message with a broken header")
        headers[match[1].lower()] = match[2].decode("utf-8", "replace")
    if headers.get(b"content-transfer-encoding", "8bit").strip().lower() not in ("7bit", "8bit", "binary"):
        raise ParseError("an encoding of the CPIM content that is not understood", 415)
    return *_content_type(headers.get(b"content-type", "")), parts[2]


def _decoded(body: bytes, charset: str) -> str:
    try:
        known = codecs.lookup(charset).name
        text = body.decode(known)
    except LookupError:
        raise ParseError("a charset that is not known", 415) from None
    except (UnicodeError, ValueError):
        raise ParseError(f"the body is no text in {charset[:40]}") from None
    if not isinstance(text, str):  # rot13 and its like are codecs of another kind
        raise ParseError("a charset that is not known", 415)
    if "\0" in text:
        raise ParseError("the text holds a NUL")
    return text
