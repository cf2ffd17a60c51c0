"""SIP, SIPS and tel URIs (RFC 3261 §19.1 and §25.1, RFC 3966), and whatever other scheme a header may carry.

`%XX` is undone once and only where a component is read (`user_text`), never in what is stored and written again:
`%2541` stays itself (RFC 4475 §3.1.1.3).
"""

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote as _percent_encode
from urllib.parse import unquote as _percent_decode

from engine.sip.message.grammar import (
    COMMON_HOST,
    COMMON_PORT,
    HOST,
    MAX_ELEMENTS,
    PORT,
    ParseError,
    check_host,
    check_port,
    excerpt,
    format_params,
    host_address,
)

_UNRESERVED = r"A-Za-z0-9\-_.!~*'()"
_ESCAPED = r"%[0-9A-Fa-f][0-9A-Fa-f]"
# The patterns below take "%" like any other character; what follows it is looked at once, by `_refuse_bad_escapes`.
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f][0-9A-Fa-f])")
# "#" is not in the RFC's list, yet phones send service codes such as #31# unescaped.
_USER = rf"[{_UNRESERVED}&=+$,;?/#%]++"
_PASSWORD = rf"[{_UNRESERVED}&=+$,%]*+"
_PARAM_NAME = rf"[{_UNRESERVED}\[\]/:&+$%]++"
# "=" is not in the RFC's list, yet proxies put base64 into the parameters of their Record-Route.
_PARAM_VALUE = rf"[{_UNRESERVED}\[\]/:&+$=%]++"
_PARAMS = rf"(?:;{_PARAM_NAME}(?:={_PARAM_VALUE})?)*"
_HEADERS = rf"[{_UNRESERVED}\[\]/?:+$&=%]++"

# An empty alternative does what "?" does behind the group, and is quicker.
COMMON_SIP_URI: Final = (
    rf"sips?+:(?:(?:[{_UNRESERVED}&=+$,;?/]++|{_ESCAPED})+@|){COMMON_HOST}(?::{COMMON_PORT}|)"
    rf"(?:;[{_UNRESERVED}\[\]/:&+$]++(?:=[{_UNRESERVED}\[\]/:&+$=]++|)|)"
)
"""Pattern text without groups of what nearly every SIP URI looks like; what it matches `SipUri.parse` never refuses.
One parameter at most: two could contradict each other."""

# The shape of nearly every Request-URI and Contact, in groups; what it matches needs no further check.
_COMMON = re.compile(
    rf"(sips?+):(?:([{_UNRESERVED}&=+$,;?/]++)@|)({COMMON_HOST})(?::({COMMON_PORT})|)"
    r"(?:;transport=([A-Za-z]++)|)(;lr|)"
)
_SIP_URI = re.compile(
    rf"([sS][iI][pP][sS]?+):(?:({_USER})(?::({_PASSWORD}))?@)?({HOST})(?::({PORT}))?({_PARAMS})(?:\?({_HEADERS}))?"
)
_TEL_URI = re.compile(
    r"[tT][eE][lL]:(\+?+(?:[0-9A-Fa-f*#\-.()]++|%23)+)"
    rf"((?:;[A-Za-z0-9\-]++(?:=[{_UNRESERVED}\[\]/:&+$%]++)?)*)"
)
_GLOBAL_NUMBER = re.compile(r"\+[\-.()]*+[0-9][0-9\-.()]*+")
_VISUAL_SEPARATORS = str.maketrans("", "", "-.()")
_OTHER_URI = re.compile(rf"([A-Za-z][A-Za-z0-9+\-.]*+):([{_UNRESERVED};/?:@&=+$,#\[\]%]++)")
_ESCAPES = re.compile(rf"(?:{_ESCAPED})+")

# RFC 3261 §19.1.4: a reserved character is not the same as its escape. "%" joins them, or %253B would equal %3B.
_KEPT_ESCAPED = frozenset(b";/?:@&=+$,%")
# RFC 3261 §19.1.4: these never match when only one of the URIs has them.
_NEVER_IGNORED = frozenset({"user", "ttl", "method", "maddr", "transport"})


_LONGEST_NAME = 60  # characters: a longer parameter name is none that anybody looks for


def escape_user(text: str) -> str:
    """`text` as the user part of a SIP URI: what may not stand there is %-escaped as UTF-8 (RFC 3261 §25.1 user)."""
    return _percent_encode(text, safe="-_.!~*'()&=+$,;?/", errors="surrogateescape")


def _refuse_bad_escapes(text: str) -> None:
    if "%" in text and _BAD_ESCAPE.search(text):
        raise ParseError(f"% without two hexadecimal digits: {excerpt(text)}")


def _unescape(text: str) -> str:
    return _percent_decode(text, errors="surrogateescape") if "%" in text else text


def _normalised(text: str) -> str:
    """`text` with escapes undone where that changes no meaning, for comparisons (RFC 3261 §19.1.4)."""
    return _ESCAPES.sub(_normalised_escapes, text) if "%" in text else text


def _normalised_escapes(match: re.Match[str]) -> str:
    parts = []
    for code in bytes.fromhex(match.group().replace("%", "")):
        plain = 0x20 < code < 0x7F and code not in _KEPT_ESCAPED
        parts.append(chr(code) if plain else f"%{code:02X}")
    return "".join(parts)


def _parse_uri_params(text: str) -> dict[str, str | None]:
    """Parameters that a pattern has found valid. A name that is escaped (`%6C%72`) is put plainly, so that it is found
    under its name (RFC 4475 §3.1.1.3); values stay as written."""
    params: dict[str, str | None] = {}
    items = text[1:].split(";")
    if len(items) > MAX_ELEMENTS:
        raise ParseError(f"more than {MAX_ELEMENTS} URI parameters: {excerpt(text)}")
    for item in items:
        written, equals, value = item.partition("=")
        name = written.lower()
        if "%" in name:
            name = _plain_name(name)
        params[name] = value if equals else None
    if len(params) != len(items):
        _refuse_contradictions(items)
    return params


def _plain_name(name: str) -> str:
    if len(name) > _LONGEST_NAME:
        return name
    # Only what a name may hold unescaped is put plainly, so that the text written from it reads as the same name.
    return re.sub(
        _ESCAPED,
        lambda match: (
            plain.lower()
            if re.fullmatch(rf"[{_UNRESERVED}\[\]/:&+$]", plain := chr(int(match.group()[1:], 16)))
            else match.group()
        ),
        name,
    )


def _refuse_contradictions(items: list[str]) -> None:
    seen: dict[str, str] = {}
    for item in items:
        written, _, value = item.partition("=")
        name = _plain_name(written.lower())
        if seen.setdefault(name, value) != value:
            raise ParseError(f"URI parameter {excerpt(name)} stands twice with different values")


@dataclass(slots=True)
class SipUri:
    """A SIP or SIPS URI (RFC 3261 §19.1.1).

    Attributes:
        scheme: "sip" or "sips".
        user: The user part as written, still %-escaped; None where there is none.
        password: As written; None where there is none.
        host: A name or address in lower case; IPv6 in brackets.
        port: None where none is written, which is not the same as 5060 (§19.1.4).
        params: Names in lower case, values as written.
        headers: What follows "?", as written; "" where there is none.
    """

    scheme: str
    user: str | None
    password: str | None
    host: str
    port: int | None = None
    params: dict[str, str | None] = field(default_factory=dict)
    headers: str = ""

    @classmethod
    def parse(cls, text: str) -> "SipUri":
        """The SIP or SIPS URI in `text`. ParseError(400) for anything else."""
        match = _COMMON.fullmatch(text)
        if match is not None:
            scheme, user, host, port, transport, lr = match.groups()
            common: dict[str, str | None] = {"transport": transport} if transport else {}
            if lr:
                common["lr"] = None
            return cls(scheme, user, None, host, int(port) if port else None, common)
        match = _SIP_URI.fullmatch(text)
        if match is None:
            raise ParseError(f"not a SIP URI: {excerpt(text)}")
        _refuse_bad_escapes(text)
        scheme, user, password, host, port, params, headers = match.groups()
        return cls(
            scheme.lower(),
            user,
            password,
            check_host(host),
            None if port is None else check_port(port),
            _parse_uri_params(params) if params else {},
            headers or "",
        )

    def __str__(self) -> str:
        text = f"{self.scheme}:"
        if self.user is not None:
            text += f"{self.user}@" if self.password is None else f"{self.user}:{self.password}@"
        text += self.host if self.port is None else f"{self.host}:{self.port}"
        if self.params:
            text += format_params(self.params)
        return f"{text}?{self.headers}" if self.headers else text

    @property
    def user_text(self) -> str:
        """The user part with its escapes undone, once; bytes that are no UTF-8 as surrogates; "" without a user."""
        return _unescape(self.user) if self.user else ""

    @property
    def host_address(self) -> str:
        """The host without the brackets of IPv6."""
        return host_address(self.host)

    @property
    def transport(self) -> str:
        """The `transport` parameter in lower case; "" where there is none."""
        return (self.params.get("transport") or "").lower()

    @property
    def lr(self) -> bool:
        """Whether the URI names a loose router (RFC 3261 §19.1.1)."""
        return "lr" in self.params

    def equivalent(self, other: object) -> bool:
        """Whether both name the same resource by the rules of RFC 3261 §19.1.4."""
        if not isinstance(other, SipUri):
            return False
        return (
            self.scheme == other.scheme
            and self.host == other.host
            and self.port == other.port
            and _same_text(self.user, other.user)
            and _same_text(self.password, other.password)
            and self._same_params(other)
            and _header_set(self.headers) == _header_set(other.headers)
        )

    def _same_params(self, other: "SipUri") -> bool:
        mine, theirs = self.params, other.params
        for name in mine.keys() ^ theirs.keys():
            if name in _NEVER_IGNORED:
                return False
        return all(
            _normalised(mine[name] or "").lower() == _normalised(theirs[name] or "").lower()
            for name in mine.keys() & theirs.keys()
        )


def _same_text(one: str | None, other: str | None) -> bool:
    return one == other or (one is not None and other is not None and _normalised(one) == _normalised(other))


def _header_set(headers: str) -> list[tuple[str, str]]:
    parts = [part.partition("=") for part in headers.split("&")]
    return sorted((_normalised(name).lower(), _normalised(value)) for name, _, value in parts)


@dataclass(slots=True)
class TelUri:
    """A telephone number (RFC 3966 §3).

    Attributes:
        number: As written, visual separators included.
        params: `ext`, `isub`, `phone-context` and others: names in lower case, values as written.
    """

    number: str
    params: dict[str, str | None] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "TelUri":
        """The tel URI in `text`. A local number without `phone-context` is let through, as phones send it so.

        Raises ParseError(400) for anything else.
        """
        match = _TEL_URI.fullmatch(text)
        if match is None:
            raise ParseError(f"not a tel URI: {excerpt(text)}")
        _refuse_bad_escapes(text)
        number, params = match.groups()
        if number[0] == "+" and not _GLOBAL_NUMBER.fullmatch(number):
            raise ParseError(f"not a global number: {excerpt(text)}")
        uri = cls(number, _parse_uri_params(params) if params else {})
        if not uri.digits:
            raise ParseError(f"tel URI without a digit: {excerpt(text)}")
        return uri

    def __str__(self) -> str:
        return f"tel:{self.number}{format_params(self.params)}"

    @property
    def digits(self) -> str:
        """The number without visual separators (RFC 3966 §3: they mean nothing), in upper case, `%23` as `#`."""
        return self.number.replace("%23", "#").translate(_VISUAL_SEPARATORS).upper()

    @property
    def is_global(self) -> bool:
        """Whether the number is a global one, with "+" before it."""
        return self.number.startswith("+")

    @property
    def context(self) -> str:
        """`phone-context` of a local number: a global number's digits, or a domain name in lower case; "" if none."""
        context = _unescape(self.params.get("phone-context") or "").lower()
        return context.translate(_VISUAL_SEPARATORS) if context.startswith("+") else context

    def equivalent(self, other: object) -> bool:
        """Whether both are the same number by RFC 3966 §4: separators and case aside, with the same parameters."""
        return isinstance(other, TelUri) and self.digits == other.digits and self._comparable() == other._comparable()

    def _comparable(self) -> dict[str, str]:
        params = {name: _normalised(value or "").lower() for name, value in self.params.items()}
        for name in params.keys() & {"ext", "phone-context"}:
            if name == "ext" or params[name].startswith("+"):
                params[name] = params[name].translate(_VISUAL_SEPARATORS)
        return params


@dataclass(slots=True)
class OtherUri:
    """A URI of a scheme that is not interpreted here (RFC 3261 §25.1 absoluteURI).

    Attributes:
        scheme: In lower case.
        text: What follows the colon, as written.
    """

    scheme: str
    text: str

    @classmethod
    def parse(cls, text: str) -> "OtherUri":
        """The URI in `text`. ParseError(400) where it is none."""
        match = _OTHER_URI.fullmatch(text)
        if match is None:
            raise ParseError(f"not a URI: {excerpt(text)}")
        _refuse_bad_escapes(text)
        return cls(match.group(1).lower(), match.group(2))

    def __str__(self) -> str:
        return f"{self.scheme}:{self.text}"

    def equivalent(self, other: object) -> bool:
        """Whether both are written alike, the scheme's case aside."""
        return self == other


Uri = SipUri | TelUri | OtherUri


def parse_uri(text: str) -> Uri:
    """The URI in `text`, which has no `<>` around it and no white space in it (RFC 4475 §3.1.2.7, §3.1.2.8).

    Raises ParseError(400). A scheme that is foreign here is no error: 416 is the caller's to decide.
    """
    scheme = text.partition(":")[0].lower()
    if scheme == "sip" or scheme == "sips":
        return SipUri.parse(text)
    if scheme == "tel":
        return TelUri.parse(text)
    return OtherUri.parse(text)
