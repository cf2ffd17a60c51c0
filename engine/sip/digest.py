"""Digest authentication, both sides of it (RFC 7616 as RFC 8760 and RFC 3261 §22.4 bring it to SIP).

Neither a clock nor a source of randomness is in here: `now`, the cnonce and the server's secret are handed in.

Realm, nonce and opaque are kept as they stand between their quotes, hashed so and sent back so: RFC 7616's `unq` takes
away the quotes and nothing else.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from urllib.parse import unquote as percent_decode

from engine.sip.grammar import QUOTED, TOKEN_CHARS, ParseError, excerpt, quote, split_list, unquote
from engine.sip.uri import SipUri, parse_uri


class Algorithm(NamedTuple):
    """How a digest is computed. `rank` is its strength: of several challenges the highest is answered."""

    name: str
    hash_name: str
    session: bool
    rank: int


_ALGORITHMS: Final = {
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

_ELEMENT = re.compile(
    rf"(?:([{TOKEN_CHARS}]++)[ \t]++)?([{TOKEN_CHARS}]++)[ \t]*+=[ \t]*+({QUOTED}|[^ \t\",<>\x00-\x1f\x7f]*+)[ \t]*+"
)
_OTHER_SCHEME = re.compile(rf"[{TOKEN_CHARS}]++(?:[ \t]++[A-Za-z0-9\-._~+/]++=*+)?")
_COUNT = re.compile(r"[0-9A-Fa-f]{8}")
_NONCE = re.compile(r"([0-9a-f]{1,16})\.([0-9a-f]{1,16})\.[0-9a-f]{32}")


def _digest(algorithm: Algorithm, data: bytes) -> str:
    if algorithm.hash_name == "md5":
        return hashlib.md5(data, usedforsecurity=False).hexdigest()
    return hashlib.new(algorithm.hash_name, data).hexdigest()


def _hash(algorithm: Algorithm, *parts: str) -> str:
    return _digest(algorithm, ":".join(parts).encode("utf-8", "surrogateescape"))


def response(
    algorithm: Algorithm,
    *,
    username: str,
    realm: str,
    password: str,
    nonce: str,
    method: str,
    uri: str,
    qop: str = "",
    nc: str = "",
    cnonce: str = "",
    body: bytes = b"",
) -> str:
    """The `response` of a request's credentials, in hex (RFC 7616 §3.4.1). An empty `qop` is RFC 2069's formula."""
    secret = _hash(algorithm, username, realm, password)
    if algorithm.session:
        secret = _hash(algorithm, secret, nonce, cnonce)
    if qop == "auth-int":
        request = _hash(algorithm, method, uri, _digest(algorithm, body))
    else:
        request = _hash(algorithm, method, uri)
    if qop:
        return _hash(algorithm, secret, nonce, nc, cnonce, qop, request)
    return _hash(algorithm, secret, nonce, request)


def _parse_schemes(value: str) -> list[tuple[str, dict[str, str]]]:
    """The challenges or credentials in a header value: scheme in lower case, parameters as written, names in lower
    case. Commas stand between parameters and between challenges alike (RFC 7235 §4.1)."""
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


def _inner(text: str) -> str:
    return text[1:-1] if text[:1] == '"' and len(text) > 1 else text


@dataclass(slots=True)
class Challenge:
    """A Digest challenge (RFC 7616 §3.3).

    Attributes:
        realm, nonce: As between their quotes.
        algorithm: A supported one.
        algorithm_given: Whether the challenge named it: a peer that names none may not know the parameter.
        qop: What the server offers and we support, in its order; empty where it knows no qop (RFC 2069).
        opaque: To be sent back as it is; None where there is none.
        stale: Only the nonce was too old: the same credentials are good (§3.3).
        userhash: The server takes the user name hashed (§3.4.4).
    """

    realm: str
    nonce: str
    algorithm: Algorithm
    algorithm_given: bool = False
    qop: tuple[str, ...] = ()
    opaque: str | None = None
    stale: bool = False
    userhash: bool = False


def parse_challenges(values: Iterable[str]) -> list[Challenge]:
    """The Digest challenges in the values of WWW-Authenticate or Proxy-Authenticate fields, in order.

    What is not understood is left out: other schemes, algorithms and qops, challenges without realm or nonce
    (RFC 8760 §2.4). Raises ParseError for text that is no challenge at all.
    """
    challenges = []
    for value in values:
        for scheme, params in _parse_schemes(value):
            challenge = _challenge(params) if scheme == "digest" else None
            if challenge is not None:
                challenges.append(challenge)
    return challenges


def _challenge(params: dict[str, str]) -> Challenge | None:
    algorithm = _ALGORITHMS.get(_inner(params.get("algorithm", "MD5")).lower())
    offered = [item.strip().lower() for item in _inner(params.get("qop", "")).split(",") if item.strip()]
    supported = tuple(item for item in offered if item in ("auth", "auth-int"))
    if algorithm is None or "realm" not in params or "nonce" not in params or (offered and not supported):
        return None
    return Challenge(
        realm=_inner(params["realm"]),
        nonce=_inner(params["nonce"]),
        algorithm=algorithm,
        algorithm_given="algorithm" in params,
        qop=supported,
        opaque=_inner(params["opaque"]) if "opaque" in params else None,
        stale=_inner(params.get("stale", "")).lower() == "true",
        userhash=_inner(params.get("userhash", "")).lower() == "true",
    )


def choose(challenges: Sequence[Challenge], realm: str = "") -> Challenge | None:
    """The challenge to answer: the strongest algorithm, the topmost of equals; None where there is none.

    RFC 8760 §2.4 takes the topmost that is supported unless local policy says otherwise; ours is that a server's order
    must not lead down to MD5. `realm` leaves only challenges of that realm; "" takes any.
    """
    usable = [challenge for challenge in challenges if not realm or challenge.realm == realm]
    return max(usable, key=lambda challenge: challenge.algorithm.rank, default=None)


def answer(
    challenge: Challenge,
    *,
    username: str,
    password: str,
    method: str,
    uri: str,
    cnonce: str,
    nc: int = 1,
    body: bytes = b"",
) -> str:
    """The value of the Authorization or Proxy-Authorization field that answers `challenge` (RFC 7616 §3.4).

    `uri` is the Request-URI as sent, `cnonce` is fresh random text of token characters, `nc` how often this nonce has
    been used, this time included (see `ClientSession`). Plain `auth` goes before `auth-int`, which no middlebox that
    rewrites bodies would survive.
    """
    algorithm = challenge.algorithm
    qop = "" if not challenge.qop else "auth" if "auth" in challenge.qop else challenge.qop[0]
    count = f"{nc:08x}" if qop else ""
    shown = _hash(algorithm, username, challenge.realm) if challenge.userhash else username
    computed = response(
        algorithm,
        username=username,
        realm=challenge.realm,
        password=password,
        nonce=challenge.nonce,
        method=method,
        uri=uri,
        qop=qop,
        nc=count,
        cnonce=cnonce,
        body=body,
    )
    parts = [
        f"Digest username={quote(shown)}",
        f'realm="{challenge.realm}"',
        f'nonce="{challenge.nonce}"',
        f'uri="{uri}"',
        f'response="{computed}"',
    ]
    if challenge.algorithm_given:
        parts.append(f"algorithm={algorithm.name}")
    if challenge.opaque is not None:
        parts.append(f'opaque="{challenge.opaque}"')
    if qop:
        parts.append(f"qop={qop}")
        parts.append(f"nc={count}")
    if qop or algorithm.session:
        parts.append(f'cnonce="{cnonce}"')
    if challenge.userhash:
        parts.append("userhash=true")
    return ", ".join(parts)


@dataclass(slots=True)
class ClientSession:
    """One side's use of a server's nonce: counts how often it has been used (RFC 7616 §3.4 nc)."""

    challenge: Challenge
    username: str
    password: str = field(repr=False)
    used: int = 0

    def authorization(self, method: str, uri: str, cnonce: str, body: bytes = b"") -> str:
        """The next request's credentials; see `answer`."""
        self.used += 1
        return answer(
            self.challenge,
            username=self.username,
            password=self.password,
            method=method,
            uri=uri,
            cnonce=cnonce,
            nc=self.used,
            body=body,
        )


class Verdict(NamedTuple):
    """What a request's credentials are worth.

    Attributes:
        accepted: They are good.
        username: Whose they are, or claim to be; "" where there are none. A peer's text: escape it in logs.
        reason: "" when accepted; else `missing`, `malformed`, `realm`, `algorithm`, `uri`, `user`, `password`, `stale`
            or `replayed`.
        stale: The new challenge is to say `stale=true`: the password was right, the nonce is not good any more.
    """

    accepted: bool
    username: str
    reason: str
    stale: bool = False


class DigestServer:
    """Challenges requests and verifies their answers (RFC 7616 §3.3 to §3.5).

    A nonce carries the time of its making and an HMAC, so nothing is remembered about one until somebody who knows a
    password has used it. What is remembered then are the counts (nc) that have been seen, for `max_nonces` nonces;
    where one has to be forgotten, every nonce that is not younger is refused as stale, so forgetting allows no replay.
    """

    __slots__ = (
        "_algorithms",
        "_forgotten",
        "_issued",
        "_lifetime",
        "_max_nonces",
        "_qop",
        "_realm",
        "_secret",
        "_seen",
    )

    def __init__(
        self,
        realm: str,
        secret: bytes,
        *,
        algorithms: Sequence[str] = ("SHA-256", "MD5"),
        qop: Sequence[str] = ("auth",),
        nonce_lifetime: float = 300.0,
        max_nonces: int = 10_000,
    ) -> None:
        """`secret` is random and known to nobody else; `algorithms` in the order of preference; `nonce_lifetime` in
        seconds. ValueError for an algorithm that is not supported and for a realm that needs escapes."""
        if not re.fullmatch(r'[^"\\\x00-\x1f\x7f]*', realm):
            raise ValueError(f"a realm holds no quote, no backslash and no control character: {realm!r}")
        unknown = [name for name in algorithms if name.lower() not in _ALGORITHMS]
        if unknown or not algorithms:
            raise ValueError(f"algorithms are {', '.join(known.name for known in _ALGORITHMS.values())}: not {unknown}")
        self._realm = realm
        self._secret = secret
        self._algorithms = [_ALGORITHMS[name.lower()] for name in algorithms]
        self._qop = tuple(qop)
        self._lifetime = nonce_lifetime
        self._max_nonces = max_nonces
        self._issued = 0
        self._seen: dict[str, tuple[int, int]] = {}  # nonce -> (highest nc, bit n set: highest - n has been seen)
        self._forgotten = -1  # milliseconds: no nonce made at or before this time is taken any more

    def challenges(self, now: float, stale: bool = False) -> list[str]:
        """Values for WWW-Authenticate or Proxy-Authenticate fields, one for each algorithm, the preferred one first
        (RFC 8760 §2.3). All share one new nonce. `now` in seconds on any clock that does not go back."""
        nonce = self._make_nonce(int(now * 1000))
        offered = f', qop="{",".join(self._qop)}"' if self._qop else ""
        end = ", stale=true" if stale else ""
        return [
            f'Digest realm="{self._realm}", nonce="{nonce}", algorithm={algorithm.name}{offered}{end}'
            for algorithm in self._algorithms
        ]

    def verify(
        self,
        values: Iterable[str],
        *,
        method: str,
        uri: str,
        body: bytes,
        password_of: Callable[[str], str | None],
        now: float,
    ) -> Verdict:
        """Judges the values of a request's Authorization or Proxy-Authorization fields. Never raises.

        `password_of` gives a user's password, None for an unknown user. `uri` is the Request-URI: credentials made for
        another one are refused (RFC 7616 §3.4.6); "" leaves that out. Credentials of other schemes or realms count as
        none (RFC 3261 §22.3, RFC 4475 §3.3.7).
        """
        try:
            schemes = [parts for value in values for parts in _parse_schemes(value)]
        except ParseError:
            return Verdict(False, "", "malformed")
        digests = [params for scheme, params in schemes if scheme == "digest"]
        if not digests:
            return Verdict(False, "", "missing")
        for params in digests:
            if _inner(params.get("realm", "")) == self._realm:
                return self._judge(params, method, uri, body, password_of, now)
        return Verdict(False, _username(digests[0]), "realm")

    def _judge(
        self,
        params: dict[str, str],
        method: str,
        uri: str,
        body: bytes,
        password_of: Callable[[str], str | None],
        now: float,
    ) -> Verdict:
        username = _username(params)
        nonce, claimed = _inner(params.get("nonce", "")), _inner(params.get("response", ""))
        written_uri, cnonce = _inner(params.get("uri", "")), _inner(params.get("cnonce", ""))
        qop, nc = _inner(params.get("qop", "")).lower(), _inner(params.get("nc", ""))
        if not (username and nonce and claimed and written_uri):
            return Verdict(False, username, "malformed")
        if qop and (qop not in self._qop or not cnonce or not _COUNT.fullmatch(nc)):
            return Verdict(False, username, "malformed")
        algorithm = _ALGORITHMS.get(_inner(params.get("algorithm", "MD5")).lower())
        if algorithm is None or algorithm not in self._algorithms:
            return Verdict(False, username, "algorithm")
        if uri and not _same_target(written_uri, uri):
            return Verdict(False, username, "uri")
        password = password_of(username)
        # An unknown user costs the same time as a wrong password.
        computed = response(
            algorithm,
            username=username,
            realm=self._realm,
            password=password or "",
            nonce=nonce,
            method=method,
            uri=written_uri,
            qop=qop,
            nc=nc,
            cnonce=cnonce,
            body=body,
        )
        right = hmac.compare_digest(computed.encode(), claimed.lower().encode("utf-8", "surrogateescape"))
        if password is None:
            return Verdict(False, username, "user")
        if not right:
            return Verdict(False, username, "password")
        # Only now: stale=true tells a client that its password was right (RFC 7616 §3.3).
        return self._judge_nonce(username, nonce, int(nc, 16) if qop else 0, int(now * 1000))

    def _judge_nonce(self, username: str, nonce: str, count: int, now: int) -> Verdict:
        match = _NONCE.fullmatch(nonce)
        if match is None or not hmac.compare_digest(nonce, self._nonce(match[1], match[2])):
            return Verdict(False, username, "stale", stale=True)
        made = int(match[1], 16)
        if made <= self._forgotten or not 0 <= now - made <= self._lifetime * 1000:
            return Verdict(False, username, "stale", stale=True)
        highest, seen = self._seen.get(nonce, (-1, 0))
        if count > highest:
            # Requests may overtake each other on UDP: the last 64 counts are told apart.
            seen = (seen << min(count - highest, 64) | 1) & 0xFFFF_FFFF_FFFF_FFFF
            highest = count
        elif count == 0 or highest - count > 63 or seen >> (highest - count) & 1:
            # Without qop there is no count, and a nonce is good for one request.
            return Verdict(False, username, "replayed", stale=True)
        else:
            seen |= 1 << (highest - count)
        self._remember(nonce, highest, seen, now)
        return Verdict(True, username, "")

    def _remember(self, nonce: str, highest: int, seen: int, now: int) -> None:
        if nonce not in self._seen and len(self._seen) >= self._max_nonces:
            oldest_alive = now - self._lifetime * 1000
            self._seen = {known: state for known, state in self._seen.items() if _made(known) >= oldest_alive}
            while len(self._seen) >= self._max_nonces:
                # In batches, so that this is not done for every request of a full house.
                for known in sorted(self._seen, key=_made)[: max(1, self._max_nonces // 10)]:
                    self._forgotten = max(self._forgotten, _made(known))
                    del self._seen[known]
        self._seen[nonce] = (highest, seen)

    def _make_nonce(self, now: int) -> str:
        self._issued += 1
        return self._nonce(f"{max(now, 0):x}", f"{self._issued:x}")

    def _nonce(self, made: str, number: str) -> str:
        text = f"{made}.{number}."
        return text + hmac.digest(self._secret, f"{self._realm}\0{text}".encode(), "sha256").hex()[:32]


def _username(params: dict[str, str]) -> str:
    # A name beyond what a quoted-string of HTTP holds comes encoded (RFC 7616 §3.4, RFC 8187); SIP's may hold UTF-8.
    charset, _, encoded = _inner(params.get("username*", "")).partition("''")
    return (
        percent_decode(encoded, errors="surrogateescape")
        if charset.lower() == "utf-8"
        else unquote(params.get("username", ""))
    )


def _made(nonce: str) -> int:
    return int(nonce.partition(".")[0], 16)


def _same_target(written: str, uri: str) -> bool:
    """Whether credentials' `uri` and the Request-URI name the same user and host. Parameters and the port are not
    compared: proxies on the way add and remove them (RFC 3261 §22.4)."""
    if written == uri:
        return True
    try:
        one, other = parse_uri(written), parse_uri(uri)
    except ParseError:
        return False
    if isinstance(one, SipUri) and isinstance(other, SipUri):
        return one.user_text == other.user_text and one.host == other.host
    return one.equivalent(other)
