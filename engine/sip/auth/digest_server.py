"""Digest authentication, the server's side: challenges, and what the answers are worth (RFC 7616 §3.3 to §3.5)."""

import hmac
import re
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Final, NamedTuple
from urllib.parse import unquote as percent_decode

from engine.sip.auth.digest import ALGORITHMS, ha1, inner, parse_schemes, response
from engine.sip.message.grammar import ParseError, unquote
from engine.sip.message.uri import SipUri, parse_uri

_COUNT = re.compile(r"[0-9A-Fa-f]{8}")
_NONCE = re.compile(r"([0-9a-f]{1,16})\.([0-9a-f]{1,16})\.[0-9a-f]{32}")


LONGEST: Final = 8192
"""Characters of all credentials of a request together, those for other realms too. To read 60 KB of parameters would
take 10 ms for each realm that we have, and whoever sends them need not be anybody."""

_NOBODYS = "0" * 64
_AHEAD = 60_000  # ms that the clock of another node may be ahead of ours

SecretOf = Callable[[str, str], str | None]
"""Of a user's name and an algorithm's (in lower case, without "-sess") the `ha1`; None for an unknown user, and where
there is none for that algorithm."""


def secrets_of_passwords(realm: str, password_of: Callable[[str], str | None]) -> SecretOf:
    """For users whose passwords are known: None for an unknown user."""

    def secret_of(username: str, algorithm: str) -> str | None:
        password = password_of(username)
        return None if password is None else ha1(ALGORITHMS[algorithm], username, realm, password)

    return secret_of


class Verdict(NamedTuple):
    """What a request's credentials are worth.

    Attributes:
        accepted: They are good.
        username: Whose they are, or claim to be; "" where there are none. A peer's text: escape it in logs.
        reason: "" when accepted; else `missing`, `malformed`, `realm`, `algorithm`, `uri`, `user`, `password`, `stale`
            or `replayed`.
        stale: The new challenge is to say `stale=true`: the nonce is not good, and the password was not looked at.
        guess: For `user` and `password`: what tells this answer from every other to the nonce. It came from where the
            nonce was issued to, and can be held against that address.
        realm: In which they were found good, where there are several.
    """

    accepted: bool
    username: str
    reason: str
    stale: bool = False
    guess: str = ""
    realm: str = ""


class DigestServer:
    """Challenges requests and verifies their answers (RFC 7616 §3.3 to §3.5).

    A nonce carries the time of its making and a keyed hash over it and over whom it was issued to, so nothing is
    remembered about one until somebody who knows a password has used it; from anywhere else it is not taken (RFC 7616
    §5.4). What is remembered then are the counts (nc) that have been seen, for `max_nonces` nonces; where one has to be
    forgotten, every nonce that is not younger is refused as stale, so forgetting allows no replay.

    With a secret that is kept, and a clock that all who have it share, nonces outlive a restart, and are good at every
    node: phones that come back by the thousand are not sent away to come once more. What such a nonce has been used for
    elsewhere nobody here knows; so it is taken for a REGISTER alone, which does nothing anew where it is repeated.
    """

    __slots__ = (
        "_algorithms",
        "_forgotten",
        "_issued",
        "_key",
        "_lifetime",
        "_max_nonces",
        "_qop",
        "_realm",
        "_seen",
        "_since",
    )

    def __init__(
        self,
        realm: str,
        secret: bytes,
        *,
        algorithms: Sequence[str] = ("SHA-256", "MD5"),
        qop: Sequence[str] = ("auth",),
        nonce_lifetime: float = 300.0,
        max_nonces: int = 65_536,
        since: float = 0.0,
    ) -> None:
        """`secret` is random; `algorithms` in the order of preference; `nonce_lifetime` in seconds; `since` when this
        server began, on the clock of `now`. ValueError for an algorithm that is not supported and for a realm that
        needs escapes."""
        if not re.fullmatch(r'[^"\\\x00-\x1f\x7f]*', realm):
            raise ValueError(f"a realm holds no quote, no backslash and no control character: {realm!r}")
        unknown = [name for name in algorithms if name.lower() not in ALGORITHMS]
        if unknown or not algorithms:
            raise ValueError(f"algorithms are {', '.join(known.name for known in ALGORITHMS.values())}: not {unknown}")
        self._realm = realm
        self._key = blake2b(secret).digest()
        self._algorithms = [ALGORITHMS[name.lower()] for name in algorithms]
        self._qop = tuple(qop)
        self._lifetime = nonce_lifetime
        self._max_nonces = max_nonces
        self._since = int(since * 1000)
        self._issued = 0
        self._seen: dict[str, tuple[int, int]] = {}  # nonce -> (highest nc, bit n set: highest - n has been seen)
        self._forgotten = -1  # milliseconds: no nonce made at or before this time is taken any more

    @property
    def remembered(self) -> int:
        """How many nonces it remembers, to notice a replay."""
        return len(self._seen)

    def challenges(self, now: float, stale: bool = False, source: str = "") -> list[str]:
        """Values for WWW-Authenticate or Proxy-Authenticate fields, one for each algorithm, the preferred one first
        (RFC 8760 §2.3). All share one new nonce, which is good from `source` alone. `now` in seconds."""
        nonce = self._make_nonce(int(now * 1000), source)
        offered = f', qop="{",".join(self._qop)}"' if self._qop else ""
        end = ", stale=true" if stale else ""
        return [
            f'Digest realm="{self._realm}", nonce="{nonce}", algorithm={algorithm.name}{offered}{end}'
            for algorithm in self._algorithms
        ]

    def verify(
        self,
        values: Sequence[str],
        *,
        method: str,
        uri: str,
        body: bytes,
        secret_of: SecretOf,
        now: float,
        source: str = "",
    ) -> Verdict:
        """Judges the values of a request's Authorization or Proxy-Authorization fields. Never raises.

        `secret_of` gives what stands for a user's password. `uri` is the Request-URI: credentials made for
        another one are refused (RFC 7616 §3.4.6); "" leaves that out. `source` is as for `challenges`. Credentials of
        other schemes or realms count as none (RFC 3261 §22.3, RFC 4475 §3.3.7).
        """
        if sum(map(len, values)) > LONGEST:
            return Verdict(False, "", "malformed")
        try:
            schemes = [parts for value in values for parts in parse_schemes(value)]
        except ParseError:
            return Verdict(False, "", "malformed")
        digests = [params for scheme, params in schemes if scheme == "digest"]
        if not digests:
            return Verdict(False, "", "missing")
        for params in digests:
            if inner(params.get("realm", "")) == self._realm:
                return self._judge(params, method, uri, body, secret_of, now, source)
        return Verdict(False, _username(digests[0]), "realm")

    def _judge(
        self,
        params: dict[str, str],
        method: str,
        uri: str,
        body: bytes,
        secret_of: SecretOf,
        now: float,
        source: str,
    ) -> Verdict:
        username = _username(params)
        nonce, claimed = inner(params.get("nonce", "")), inner(params.get("response", ""))
        written_uri, cnonce = inner(params.get("uri", "")), inner(params.get("cnonce", ""))
        qop, nc = inner(params.get("qop", "")).lower(), inner(params.get("nc", ""))
        if not (username and nonce and claimed and written_uri):
            return Verdict(False, username, "malformed")
        if qop and (qop not in self._qop or not cnonce or not _COUNT.fullmatch(nc)):
            return Verdict(False, username, "malformed")
        algorithm = ALGORITHMS.get(inner(params.get("algorithm", "MD5")).lower())
        if algorithm is None or algorithm not in self._algorithms:
            return Verdict(False, username, "algorithm")
        # Before the password: who may answer a nonce of long ago, or of his own making, and learns whether that would
        # have been right, can guess without end, and nothing says whom to hold it against. So all of them are stale.
        count, clock = int(nc, 16) if qop else 0, int(now * 1000)
        problem = self._nonce_fault(nonce, count, clock, source, method)
        if problem:
            return Verdict(False, username, problem, stale=True)
        secret = secret_of(username, algorithm.name.removesuffix("-sess").lower())
        # An unknown user costs the same time as a wrong password.
        computed = response(
            algorithm,
            secret=secret or _NOBODYS,
            nonce=nonce,
            method=method,
            uri=written_uri,
            qop=qop,
            nc=nc,
            cnonce=cnonce,
            body=body,
        )
        right = hmac.compare_digest(computed.encode(), claimed.lower().encode("utf-8", "surrogateescape"))
        if secret is None or not right:
            return Verdict(False, username, "user" if secret is None else "password", guess=f"{nonce} {claimed}")
        if uri and not _same_target(written_uri, uri):
            return Verdict(False, username, "uri")  # after the password: a wrong one is one, whatever it was made for
        self._use(nonce, count, clock)
        return Verdict(True, username, "")

    def _nonce_fault(self, nonce: str, count: int, now: int, source: str, method: str) -> str:
        """`stale`, `replayed`, or "" where an answer to the nonce can be good."""
        match = _NONCE.fullmatch(nonce)
        if match is None or not hmac.compare_digest(nonce, self._nonce(match[1], match[2], source)):
            return "stale"
        made = int(match[1], 16)
        if made <= self._forgotten or not -_AHEAD <= now - made <= self._lifetime * 1000:
            return "stale"
        if made < self._since and method != "REGISTER":
            return "stale"
        highest, seen = self._seen.get(nonce, (-1, 0))
        # Without qop there is no count, and a nonce is good for one request.
        if count <= highest and (count == 0 or highest - count > 63 or seen >> (highest - count) & 1):
            return "replayed"
        return ""

    def _use(self, nonce: str, count: int, now: int) -> None:
        """Note that a count has been used. Requests may overtake each other on UDP: the last 64 are told apart."""
        highest, seen = self._seen.get(nonce, (-1, 0))
        if count > highest:
            seen = (seen << min(count - highest, 64) | 1) & 0xFFFF_FFFF_FFFF_FFFF
            highest = count
        else:
            seen |= 1 << (highest - count)
        self._remember(nonce, highest, seen, now)

    def _remember(self, nonce: str, highest: int, seen: int, now: int) -> None:
        known = self._seen
        if nonce not in known:
            # They stand in the order of their first use, which is nearly that of their making: one look each time is
            # enough, whatever comes at once.
            while known and (_made(first := next(iter(known))) < now - self._lifetime * 1000):
                del known[first]
            if len(known) >= self._max_nonces:
                first = next(iter(known))
                self._forgotten = max(self._forgotten, _made(first))
                del known[first]
        known[nonce] = (highest, seen)

    def _make_nonce(self, now: int, source: str) -> str:
        self._issued += 1
        return self._nonce(f"{max(now, 0):x}", f"{self._issued:x}", source)

    def _nonce(self, made: str, number: str, source: str) -> str:
        text = f"{made}.{number}."
        sealed = f"{self._realm}\0{text}\0{source}".encode()
        return text + blake2b(sealed, digest_size=16, key=self._key).hexdigest()


def _username(params: dict[str, str]) -> str:
    # A name beyond what a quoted-string of HTTP holds comes encoded (RFC 7616 §3.4, RFC 8187); SIP's may hold UTF-8.
    charset, _, encoded = inner(params.get("username*", "")).partition("''")
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
