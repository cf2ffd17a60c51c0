"""What both sides of digest authentication share: how a digest is computed, and how the header fields that speak of it
are read (RFC 7616 as RFC 8760 and RFC 3261 §22.4 bring it to SIP).

Neither a clock nor a source of randomness is in here or beside: `now`, the cnonce and the server's secret are handed
in.

Realm, nonce and opaque are kept as they stand between their quotes, hashed so and sent back so: RFC 7616's `unq` takes
away the quotes and nothing else.
"""

import hashlib
import re
from typing import Final, NamedTuple

from engine.sip.message.grammar import QUOTED, TOKEN_CHARS, ParseError, excerpt, split_list


class Algorithm(NamedTuple):
    """How a digest is computed. `rank` is its strength: of several challenges the highest is answered."""

    name: str
    hash_name: str
    session: bool
    rank: int


ALGORITHMS: Final = {
    algorithm.name.lower(): algorithm
    for algorithm in (
        Algorithm("MD5", "md5", False, 1),
        Algorithm("MD5-sess", "md5", True, 1),
        Algorithm("SHA-256", "sha256", False, 2),
        Algorithm("SHA-256-sess", "sha256", True, 2),
        Algorithm("SHA-512-256", "sha512_256", False, 3),
        Algorithm("SHA-512-256-sess", "sha512_256", True, 3),
    )
}
"""Those that are supported, by their names in lower case."""

_ELEMENT = re.compile(
    rf"(?:([{TOKEN_CHARS}]++)[ \t]++)?([{TOKEN_CHARS}]++)[ \t]*+=[ \t]*+({QUOTED}|[^ \t\",<>\x00-\x1f\x7f]*+)[ \t]*+"
)
# Credentials as nearly everybody writes them: one scheme, each parameter once, no backslash in quotes.
_COMMON_TEXT = rf'"[^"\\\x00-\x1f\x7f]*+"|[{TOKEN_CHARS}]++'
_COMMON = re.compile(rf"Digest +[a-z*]++=(?:{_COMMON_TEXT})(?:, *+[a-z*]++=(?:{_COMMON_TEXT}))*")
_COMMON_PARAM = re.compile(rf"([a-z*]++)=({_COMMON_TEXT})")
_OTHER_SCHEME = re.compile(rf"[{TOKEN_CHARS}]++(?:[ \t]++[A-Za-z0-9\-._~+/]++=*+)?")


def _digest(algorithm: Algorithm, data: bytes) -> str:
    if algorithm.hash_name == "md5":
        return hashlib.md5(data, usedforsecurity=False).hexdigest()
    return hashlib.new(algorithm.hash_name, data).hexdigest()


def hashed(algorithm: Algorithm, *parts: str) -> str:
    """The digest of `parts` with colons between them (RFC 7616 §3: KD and H), in hex."""
    return _digest(algorithm, ":".join(parts).encode("utf-8", "surrogateescape"))


def ha1(algorithm: Algorithm, username: str, realm: str, password: str) -> str:
    """What stands for a password in its realm, in hex: unq(username) ":" unq(realm) ":" passwd, hashed (RFC 7616
    §3.4.2). Whoever has it can log in with this algorithm."""
    return hashed(algorithm, username, realm, password)


def ha1_of_each(username: str, realm: str, password: str) -> dict[str, str]:
    """The `ha1` of each algorithm, by its name in lower case; the session variants share theirs."""
    return {
        name: ha1(algorithm, username, realm, password)
        for name, algorithm in ALGORITHMS.items()
        if not algorithm.session
    }


def response(
    algorithm: Algorithm,
    *,
    secret: str,
    nonce: str,
    method: str,
    uri: str,
    qop: str = "",
    nc: str = "",
    cnonce: str = "",
    body: bytes = b"",
) -> str:
    """The `response` of a request's credentials, in hex (RFC 7616 §3.4.1). `secret` is the `ha1`; an empty `qop` is RFC
    2069's formula."""
    if algorithm.session:
        secret = hashed(algorithm, secret, nonce, cnonce)
    if qop == "auth-int":
        request = hashed(algorithm, method, uri, _digest(algorithm, body))
    else:
        request = hashed(algorithm, method, uri)
    if qop:
        return hashed(algorithm, secret, nonce, nc, cnonce, qop, request)
    return hashed(algorithm, secret, nonce, request)


def parse_schemes(value: str) -> list[tuple[str, dict[str, str]]]:
    """The challenges or credentials in a header value: scheme in lower case, parameters as written, names in lower
    case. Commas stand between parameters and between challenges alike (RFC 7235 §4.1). Raises
    ParseError."""
    common = _common(value)
    if common is not None:
        return [("digest", common)]
    schemes: list[tuple[str, dict[str, str]]] = []
    for element in split_list(value):
        match = _ELEMENT.fullmatch(element)
        if match is None:
            if not _OTHER_SCHEME.fullmatch(element):
                raise ParseError(f"malformed authentication parameter: {excerpt(element)}")
            schemes.append((element.split()[0].lower(), {}))
            continue
        scheme, name, text = match.groups()
        if scheme is not None:
            schemes.append((scheme.lower(), {}))
        elif not schemes:
            raise ParseError(f"authentication without a scheme: {excerpt(value)}")
        params = schemes[-1][1]
        if params.setdefault(name.lower(), text) != text:
            raise ParseError(f"authentication parameter stands twice: {excerpt(name)}")
    return schemes


def _common(value: str) -> dict[str, str] | None:
    """The parameters of credentials that are written as usual, in a third of the time; None for all others."""
    if _COMMON.fullmatch(value) is None:
        return None
    found = _COMMON_PARAM.findall(value)
    params: dict[str, str] = dict(found)
    return params if len(params) == len(found) else None


def inner(text: str) -> str:
    """A parameter's value without its quotes, its escapes as they are."""
    return text[1:-1] if text[:1] == '"' and len(text) > 1 else text
