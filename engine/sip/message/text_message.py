"""The text that a MESSAGE carries: plain, or wrapped in CPIM (RFC 3428 §8, RFC 3862)."""

import re
from encodings.aliases import aliases
from typing import Final

from engine.sip.message.grammar import ParseError, parse_params, unquote
from engine.sip.message.message import Request

ACCEPT: Final = "Accept: text/plain, message/cpim\r\n"
"""What goes with a 415."""

MAX_TEXT: Final = 32 * 1024
"""Octets of the longest text that is taken: what a variable of a flow may hold."""

CHARSETS: Final = frozenset(
    {
        *("utf_8", "ascii", "utf_16", "utf_16_le", "utf_16_be", "koi8_r", "koi8_u", "gb2312", "gbk", "gb18030", "big5"),
        *("shift_jis", "euc_jp", "iso2022_jp", "euc_kr", "latin_1"),
        *(f"iso8859_{part}" for part in range(2, 17) if part != 12),
        *(f"cp{page}" for page in range(1250, 1259)),
    }
)
"""Those that are decoded, as Python's modules for them are called."""
_SEPARATORS = re.compile(r"[^a-z0-9]+")

_BLANK = re.compile(rb"\r?\n\r?\n")
_HEADER = re.compile(rb"([!-9;-~]{1,64}):[ \t]*([^\r\n\0]{0,1024})")


def text_of(request: Request) -> str:
    """The text of a MESSAGE.

    A MESSAGE without a body has the empty one. Raises ParseError with the status that it deserves: 415 for what is no
    text, 413 for too much of it, 400 for bytes that are no text in the charset that is named.
    """
    if not request.body:
        return ""
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
    known = _codec(charset)
    if known not in CHARSETS:
        raise ParseError("a charset that is not known", 415)
    try:
        text = body.decode(known)
    except UnicodeError:
        raise ParseError(f"the body is no text in {known}") from None
    if "\0" in text:
        raise ParseError("the text holds a NUL")
    if len(text) * 4 > MAX_TEXT and len(text.encode()) > MAX_TEXT:
        raise ParseError(f"the text is longer than {MAX_TEXT} octets", 413)
    return text


def _codec(charset: str) -> str:
    """Python's name of a charset; of one that it does not know, the name itself.

    Python's own look-up is not used: it searches its library for each name, and remembers for ever that there is none.
    """
    name = _SEPARATORS.sub("_", charset)
    return aliases.get(name, name)
