"""Digest authentication, the client's side: which challenge is answered, and how (RFC 7616 §3.4, RFC 8760 §2.4)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from engine.sip.auth.digest import ALGORITHMS, Algorithm, ha1, hashed, inner, parse_schemes, response
from engine.sip.message.grammar import quote


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
        for scheme, params in parse_schemes(value):
            challenge = _challenge(params) if scheme == "digest" else None
            if challenge is not None:
                challenges.append(challenge)
    return challenges


def _challenge(params: dict[str, str]) -> Challenge | None:
    algorithm = ALGORITHMS.get(inner(params.get("algorithm", "MD5")).lower())
    offered = [item.strip().lower() for item in inner(params.get("qop", "")).split(",") if item.strip()]
    supported = tuple(item for item in offered if item in ("auth", "auth-int"))
    if algorithm is None or "realm" not in params or "nonce" not in params or (offered and not supported):
        return None
    return Challenge(
        realm=inner(params["realm"]),
        nonce=inner(params["nonce"]),
        algorithm=algorithm,
        algorithm_given="algorithm" in params,
        qop=supported,
        opaque=inner(params["opaque"]) if "opaque" in params else None,
        stale=inner(params.get("stale", "")).lower() == "true",
        userhash=inner(params.get("userhash", "")).lower() == "true",
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
    shown = hashed(algorithm, username, challenge.realm) if challenge.userhash else username
    computed = response(
        algorithm,
        secret=ha1(algorithm, username, challenge.realm, password),
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
