"""The value of From, To, Contact, Route, Record-Route, P-Asserted-Identity and their like: a name, a URI and the
header's own parameters (RFC 3261 §20.10, §20.20, §25.1)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from engine.sip.message.grammar import (
    COMMON_HOST,
    COMMON_PORT,
    QUOTED,
    SIMPLE_PARAMS,
    TOKEN_CHARS,
    ParseError,
    excerpt,
    format_params,
    parse_params,
    quote,
    split_list,
    split_params,
    unquote,
)
from engine.sip.message.uri import COMMON_SIP_URI, Uri, parse_uri

PLAIN_ADDRESS = re.compile(
    r'(?:"[^"\\<>\x00-\x1f]*"[ ]?|[A-Za-z0-9\-.!%*_+`\'~ ]*)<(sips?:'
    rf"(?:[A-Za-z0-9\-_.!~*'()&=+$,;?/]+@)?{COMMON_HOST}(?::{COMMON_PORT})?"
    rf"(?:;[A-Za-z0-9\-]++(?:=[A-Za-z0-9\-_.]++)?)*)>(?:;tag=([{TOKEN_CHARS}]+))?"
)
"""The usual shape of From, To and Contact, for those who want its URI (group 1) or its tag (2) alone. What it matches
is valid; all else goes to `NameAddr`."""

# Nearly every value is matched by this one, which proves it valid: a quoted, plain or absent name, a SIP URI in
# brackets, parameters without quotes or white space.
_COMMON = re.compile(
    r'(?:"([^"\\\x00-\x1f\x7f]*+)"[ ]?+|([A-Za-z0-9\-.]++)[ ]|)'
    rf"<({COMMON_SIP_URI})>(?:;tag=([{TOKEN_CHARS}]++)|)({SIMPLE_PARAMS})"
)
# display-name is *(token LWS) or a quoted-string; names with letters beyond ASCII come unquoted from real phones.
# A comma must be quoted (RFC 4475 §3.1.2.15); so must what else separates here.
_BRACKETED = re.compile(
    rf"[ \t]*+(?:({QUOTED})|([^\"<>,;\\\x00-\x08\x0a-\x1f\x7f]*+))[ \t]*+<([^<>]*+)>(.*+)",
    re.DOTALL,
)
_BARE = re.compile(r"[ \t]*+([^ \t;,?<>\"]++)(.*+)", re.DOTALL)


@dataclass(slots=True)
class NameAddr:
    """A name-addr or addr-spec with the parameters of its header field.

    Attributes:
        display: The name without its quotes and their escapes; "" where there is none.
        uri_text: The URI as written.
        params: The header's parameters (`tag`, `expires`, `q`, ...): names in lower case, values as written.
    """

    display: str
    uri_text: str
    params: dict[str, str | None] = field(default_factory=dict)
    _uri: Uri | None = field(default=None, init=False, repr=False, compare=False)

    @classmethod
    def parse(cls, text: str) -> "NameAddr":
        """One value. Without `<>` every `;param` is the header's and the URI can hold neither `,` nor `?` (§20.10).

        Raises ParseError(400): no URI, or a malformed one (RFC 4475 §3.1.2.13, §3.1.2.14), a name that needs quotes and
        has none (§3.1.2.15), quotes that are not closed (§3.1.2.6), stray separators (§3.1.2.1).
        """
        match = _COMMON.fullmatch(text)
        if match is not None:
            quoted, plain, uri_text, tag, params = match.groups()
            if params:
                return cls(quoted or plain or "", uri_text, split_params(f";tag={tag}{params}" if tag else params))
            return cls(quoted or plain or "", uri_text, {"tag": tag} if tag else {})
        return cls._parse_any(text)

    @classmethod
    def _parse_any(cls, text: str) -> "NameAddr":
        match = _BRACKETED.fullmatch(text)
        if match is not None:
            quoted, plain, uri_text, params = match.groups()
            display = unquote(quoted) if quoted else " ".join(plain.split())
        else:
            match = _BARE.fullmatch(text)
            if match is None:
                raise ParseError(f"neither a URI nor a name with a URI in angle brackets: {excerpt(text)}")
            uri_text, params = match.groups()
            display = ""
        value = cls(display, uri_text, parse_params(params))
        value._uri = parse_uri(uri_text)
        return value

    def __str__(self) -> str:
        name = f"{quote(self.display)} " if self.display else ""
        return f"{name}<{self.uri_text}>{format_params(self.params)}"

    @property
    def uri(self) -> Uri:
        """The URI, parsed when first asked for; found valid when the value was parsed."""
        if self._uri is None:
            self._uri = parse_uri(self.uri_text)
        return self._uri

    @property
    def tag(self) -> str:
        """The `tag` parameter (RFC 3261 §19.3); "" where there is none."""
        return self.params.get("tag") or ""


def parse_name_addrs(values: Iterable[str]) -> list[NameAddr]:
    """The values of a list header such as Contact or Route, in order, whether in one field or in several (§7.3.1).

    `*`, which a REGISTER's Contact may be (§20.10), is none of them. Raises ParseError(400).
    """
    addresses = []
    for value in values:
        if _COMMON.fullmatch(value):
            addresses.append(NameAddr.parse(value))
        else:
            addresses.extend([NameAddr.parse(element) for element in split_list(value)])
    return addresses
