"""The lexical ground that SIP's header values stand on: tokens, quoted strings, lists and parameters (RFC 3261 §25.1).

Values come in as `str`, unfolded (CRLF WSP is one space already) and decoded from UTF-8 with `surrogateescape`, so that
a byte which is no UTF-8 survives the way through. White space may still stand around every separator (RFC 3261 §25.1
SEMI, EQUAL, COMMA, ...).

Every pattern here and in the modules beside is built so that what may follow a repeat never begins with what the
repeat itself takes: wherever a match fails and goes back, it fails again at once, and its time grows with the length of
the text and no faster. Repeats of one character are possessive, repeats of groups are not and stand in no other repeat
without end: Python before 3.11.5 matches possessive groups wrongly (CPython gh-106052).
"""

import ipaddress
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

TOKEN_CHARS: Final = r"A-Za-z0-9\-.!%*_+`'~"
"""What may stand in a token, as the inside of a character class (RFC 3261 §25.1 token)."""

TOKEN: Final = re.compile(rf"[{TOKEN_CHARS}]+")
"""A token; use `TOKEN.fullmatch`."""

HOST: Final = r"(?:[A-Za-z0-9_][A-Za-z0-9_\-]*+(?:\.[A-Za-z0-9_\-]++)*\.?+|\[[0-9A-Fa-f:.]{2,47}+\])"
"""Pattern text of a host (RFC 3261 §25.1). Wider than the RFC by the underscore, which container networks put in names,
and by what RFC 5118 §4.5 asks for (`:::`); `check_host` looks at the groups of an IPv6 address."""

PORT: Final = r"[0-9]{1,5}+"
"""Pattern text of a port; `check_port` looks at the range."""

COMMON_HOST: Final = r"[a-z0-9][a-z0-9\-]*+(?:\.[a-z0-9\-]++)*"
COMMON_PORT: Final = r"(?:[1-5][0-9]{4}|[0-9]{1,4}(?![0-9]))"
"""What most hosts and ports look like: nothing is left to check or to convert to lower case after these matched."""

QUOTED: Final = r'"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]++|\\[^\r\n])*"'
"""Pattern text of a quoted-string with its quotes (RFC 3261 §25.1). Bytes that are no UTF-8 are let through."""

# gen-value is token / host / quoted-string (RFC 3261 §25.1). IPv6 addresses without brackets in `received`
# (RFC 5118 §4.5) and tags that hold base64 are older than every stricter reading, so ":", "/", "=", "@", "$", "&" and
# "#" pass as well. "?" does not: it is how a URI that lacks its "<>" is told (RFC 3261 §20.10).
_VALUE: Final = rf"[{TOKEN_CHARS}\[\]:/=@$&#]++"
SIMPLE_PARAMS: Final = rf"(?:;[{TOKEN_CHARS}]++(?:={_VALUE}|))*"
"""Pattern text of `;name=value` parameters without white space and without quotes: what nearly every message has."""

_SIMPLE_PARAMS = re.compile(SIMPLE_PARAMS)
_PARAM = re.compile(rf"[ \t]*+;[ \t]*+([{TOKEN_CHARS}]++)(?:[ \t]*+=[ \t]*+({_VALUE}|{QUOTED}))?[ \t]*+")
_QUOTED = re.compile(QUOTED)
# What may stand between two commas of a list, but for quoted-strings that hold a backslash.
_PIECES = re.compile(r"(?:[^\",<>]++|\"[^\"\\\x00-\x08\x0a-\x1f\x7f]*+\"|<[^<>]*+>)+")
# Every character that a quoted-string holds only behind a backslash; CR and LF it cannot hold at all.
_QUOTED_PAIRS = {code: "\\" + chr(code) for code in (*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0x22, 0x5C, 0x7F)}
_QUOTED_PAIRS[0x0D] = _QUOTED_PAIRS[0x0A] = " "

MAX_ELEMENTS: Final = 500
"""More elements than this in one list, or parameters in one value, are refused: a datagram has room for 30,000 of them,
which no peer needs and which would hold up everybody else."""


class ParseError(ValueError):
    """What a peer sent cannot be understood. The only exception that a peer's input may raise.

    `status` is the response that a request with this fault deserves (RFC 3261 §21.4).
    """

    status: int

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def excerpt(text: str) -> str:
    """The beginning of a peer's text for an error message: escaped, in quotes, at most 60 characters of it."""
    return ascii(text) if len(text) <= 60 else ascii(text[:60]) + "..."


def split_list(text: str) -> list[str]:
    """The elements of a comma-separated header value, stripped (RFC 3261 §7.3.1).

    Commas within quotes and within `<>` separate nothing. A blank value is an empty list, which `Supported:` and
    `Accept:` may be (RFC 3261 §20.1, §20.37).

    Raises ParseError: an empty element (RFC 4475 §3.1.2.1), quotes or brackets that are not closed.
    """
    elements: list[str]
    if '"' not in text and "<" not in text and ">" not in text:
        elements = [element.strip(" \t") for element in text.split(",", MAX_ELEMENTS)]
        if "" not in elements:
            if len(elements) > MAX_ELEMENTS:
                raise ParseError(f"more than {MAX_ELEMENTS} elements in a list: {excerpt(text)}")
            return elements
        if len(elements) == 1:
            return []
        raise ParseError(f"empty element in the list {excerpt(text)}")
    elements = []
    start = position = 0
    end = len(text)
    while True:
        match = _PIECES.match(text, position)
        if match is not None:
            position = match.end()
        if position == end or text[position] == ",":
            if len(elements) == MAX_ELEMENTS:
                raise ParseError(f"more than {MAX_ELEMENTS} elements in a list: {excerpt(text)}")
            element = text[start:position].strip(" \t")
            if not element:
                raise ParseError(f"empty element in the list {excerpt(text)}")
            elements.append(element)
            if position == end:
                return elements
            start = position = position + 1
        elif text[position] != '"':
            raise ParseError(f"unbalanced angle bracket: {excerpt(text[position:])}")
        elif match := _QUOTED.match(text, position):
            position = match.end()
        else:
            rest = excerpt(text[position:])
            raise ParseError(f"quote that is not closed, or a control character in quotes: {rest}")


def parse_params(text: str) -> dict[str, str | None]:
    """`;a=b;c` as `{"a": "b", "c": None}`: names lower-cased, values as written, quoted ones with their quotes.

    A name may stand twice only with the same value (RFC 3261 §7.3.1 forbids it altogether; a repeated `lr` does no
    harm, two different tags do).

    Raises ParseError: stray separators, empty values, contradicting parameters.
    """
    if text and _SIMPLE_PARAMS.fullmatch(text):
        return split_params(text)
    params: dict[str, str | None] = {}
    position, end, count = 0, len(text), 0
    while position < end:
        count += 1
        if count > MAX_ELEMENTS:
            raise _too_many(text)
        match = _PARAM.match(text, position)
        if match is None:
            if not text.strip(" \t"):
                return params
            raise ParseError(f"malformed parameter: {excerpt(text[position:])}")
        written, value = match.groups()
        name = written.lower()
        if params.setdefault(name, value) != value:
            raise ParseError(f"parameter {excerpt(name)} stands twice with different values")
        position = match.end()
    return params


def split_params(text: str) -> dict[str, str | None]:
    """What `parse_params` gives, of a text with at least one parameter that `SIMPLE_PARAMS` is known to match.

    Raises ParseError: contradicting parameters.
    """
    items = text[1:].split(";")
    if len(items) > MAX_ELEMENTS:
        raise _too_many(text)
    params: dict[str, str | None] = {}
    for item in items:
        name, equals, value = item.partition("=")
        name = name.lower()
        if name in params and params[name] != (value if equals else None):
            raise ParseError(f"parameter {excerpt(name)} stands twice with different values")
        params[name] = value if equals else None
    return params


def _too_many(text: str) -> ParseError:
    return ParseError(f"more than {MAX_ELEMENTS} parameters: {excerpt(text)}")


def format_params(params: Mapping[str, str | None]) -> str:
    """The parameters as text: `{"a": "b", "c": None}` as `;a=b;c`. Values are written as they are; see `quote`."""
    return "".join([f";{name}" if value is None else f";{name}={value}" for name, value in params.items()])


def quote(text: str) -> str:
    """`text` as a quoted-string (RFC 3261 §25.1). CR and LF, which cannot be quoted, become spaces."""
    return f'"{text.translate(_QUOTED_PAIRS)}"'


def unquote(text: str) -> str:
    """The content of a quoted-string; text that is none is given back as it is. `%XX` is no escape here."""
    if len(text) < 2 or text[0] != '"' or not _QUOTED.fullmatch(text):
        return text
    # A backslash that is left after every pair of them has become one escapes what follows it.
    return "\\".join([part.replace("\\", "") for part in text[1:-1].split("\\\\")])


def check_host(host: str) -> str:
    """A host that `HOST` matches, lower-cased. ParseError when brackets hold no IPv6 address."""
    host = host.lower()
    if host[0] == "[":
        _check_ipv6(host)
    return host


def is_nobodys(name: str) -> bool:
    """Whether a name, in lower case, stands for no host (RFC 2606 §2). It is never looked up: what writes one into Via
    or Contact, as phones in browsers do (RFC 7118 §5), is reached by its flow."""
    return name == "invalid" or name.endswith(".invalid")


def host_address(host: str) -> str:
    """A host without the brackets of an IPv6 reference; `:::`, which an old grammar's reading led to, is `::`
    (RFC 5118 §4.5)."""
    return host[1:-1].replace(":::", "::") if host[:1] == "[" else host


@lru_cache(maxsize=1024)
def _check_ipv6(host: str) -> None:
    try:
        ipaddress.IPv6Address(host_address(host))
    except ValueError:
        raise ParseError(f"not an IPv6 address: {excerpt(host)}") from None


def check_port(text: str) -> int:
    """A port's digits as a number. ParseError above 65535."""
    port = int(text)
    if port > 65535:
        raise ParseError(f"port above 65535: {text}")
    return port


# ---- text that is shown

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
