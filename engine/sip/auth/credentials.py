"""What we log in with where a 401 or 407 asks for it (RFC 3261 §22.2, §22.3)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from engine.sip.auth.digest_client import ClientSession, choose, parse_challenges
from engine.sip.message.grammar import ParseError
from engine.sip.message.message import Response

MAX_REALMS: Final = 4
"""Proxies and servers on one way that want a login each."""

_FIELDS: Final = {401: ("WWW-Authenticate", "Authorization"), 407: ("Proxy-Authenticate", "Proxy-Authorization")}
"""Where the challenge stands, and where its answer goes."""


@dataclass(slots=True)
class Credentials:
    """What a 401 or 407 is answered with; an empty realm fits every one."""

    username: str
    password: str
    realm: str = ""


class Logins:
    """The challenges to one call, or one request, that its credentials answer."""

    __slots__ = ("_credentials", "_sessions")

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._sessions: dict[tuple[str, str], ClientSession] = {}  # by the answer's header name, and the realm

    def take(self, response: Response) -> bool:
        """Whether the challenge of a 401 or 407 can be answered, and was not before: then the next request may be
        sent, with `lines`. A realm is answered anew only where its nonce was too old."""
        name, header = _FIELDS[response.status]
        credentials = self._credentials
        try:
            challenge = choose(parse_challenges(response.lines(name)), credentials.realm)
        except ParseError:
            return False
        if challenge is None:
            return False
        before = self._sessions.get((header, challenge.realm))
        fresh = before is None or (challenge.stale and not before.challenge.stale)
        if not fresh or len(self._sessions) >= MAX_REALMS:
            return False
        self._sessions[(header, challenge.realm)] = ClientSession(challenge, credentials.username, credentials.password)
        return True

    def lines(self, method: str, uri: str, body: bytes, token: Callable[[], str]) -> str:
        """Header lines of one request, each ended by CRLF, for everyone who has asked so far. `token` makes cnonces."""
        return "".join(
            f"{header}: {login.authorization(method, uri, token(), body)}\r\n"
            for (header, _), login in self._sessions.items()
        )
