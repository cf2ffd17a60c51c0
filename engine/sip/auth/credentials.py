"""Credentials for the 401 and 407 that our requests meet (RFC 3261 §22.2, §22.3)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from engine.sip.auth.digest import ALGORITHMS
from engine.sip.auth.digest_client import Challenge, ClientSession, choose, parse_challenges
from engine.sip.message.grammar import ParseError
from engine.sip.message.message import Response

MAX_REALMS: Final = 4
"""Proxies and servers on one way that each want credentials."""

MAX_ANSWERS: Final = 5
"""Challenges that one request within a dialog answers: a wrong password is not to be tried for ever."""

Answered = tuple[str, str, str]
"""The answer's header name, the realm and the nonce."""

_FIELDS: Final = {401: ("WWW-Authenticate", "Authorization"), 407: ("Proxy-Authenticate", "Proxy-Authorization")}
"""Where the challenge stands, and where its answer goes."""


@dataclass(slots=True)
class Credentials:
    """What a 401 or 407 is answered with; an empty realm fits every one."""

    username: str
    password: str = field(repr=False)
    realm: str = ""


@dataclass(slots=True, frozen=True, kw_only=True)
class LoginState:
    """A challenge that is being answered, as another node can go on answering it; see `Challenge`.

    Attributes:
        header: Where the answers go: Authorization or Proxy-Authorization.
        algorithm: Its name, as the challenge has it.
        used: How often the nonce has been used.
    """

    header: str
    realm: str
    nonce: str
    algorithm: str
    algorithm_given: bool
    qop: tuple[str, ...]
    opaque: str | None
    userhash: bool
    used: int


class DigestSessions:
    """The digest sessions of one call, or one request: one for each realm that has challenged it."""

    __slots__ = ("_credentials", "_sessions")

    def __init__(self, credentials: Credentials, states: Iterable[LoginState] = ()) -> None:
        """`states`: of another node's, to go on with."""
        self._credentials = credentials
        self._sessions: dict[tuple[str, str], ClientSession] = {}  # by the answer's header name, and the realm

        for state in states:
            challenge = Challenge(
                realm=state.realm,
                nonce=state.nonce,
                algorithm=ALGORITHMS[state.algorithm.lower()],
                algorithm_given=state.algorithm_given,
                qop=state.qop,
                opaque=state.opaque,
                userhash=state.userhash,
            )
            session = ClientSession(challenge, credentials.username, credentials.password, state.used)
            self._sessions[(state.header, state.realm)] = session

    @property
    def states(self) -> tuple[LoginState, ...]:
        """What another node needs, beside the credentials, to go on."""
        return tuple(
            LoginState(
                header=header,
                realm=realm,
                nonce=session.challenge.nonce,
                algorithm=session.challenge.algorithm.name,
                algorithm_given=session.challenge.algorithm_given,
                qop=session.challenge.qop,
                opaque=session.challenge.opaque,
                userhash=session.challenge.userhash,
                used=session.used,
            )
            for (header, realm), session in self._sessions.items()
        )

    def accept(self, response: Response) -> bool:
        """Take the challenge of a 401 or 407: whether it can be answered, and was not before. Then the next request may
        be sent, with `lines`. A realm is answered anew only where its nonce was too old."""
        header, challenge = self._read(response)
        if challenge is None:
            return False
        before = self._sessions.get((header, challenge.realm))
        fresh = before is None or (challenge.stale and not before.challenge.stale)
        if not fresh or len(self._sessions) >= MAX_REALMS:
            return False
        self._begin(header, challenge)
        return True

    def accept_within(self, response: Response, answered: list[Answered]) -> bool:
        """Take the challenge of a 401 or 407 to a request within a dialog: whether that request may be sent again, with
        `lines`. A nonce of before may have become too old, whether that is said or not, and a server may ask for every
        request by itself; what is refused is a nonce that this very request has been `answered` with."""
        header, challenge = self._read(response)
        if challenge is None or len(answered) >= MAX_ANSWERS:
            return False
        key = (header, challenge.realm, challenge.nonce)
        if key in answered:
            return False
        answered.append(key)
        self._begin(header, challenge)
        return True

    def _read(self, response: Response) -> tuple[str, Challenge | None]:
        """Where the answer goes, and the challenge that is answered; None where none can be."""
        name, header = _FIELDS[response.status]
        try:
            return header, choose(parse_challenges(response.lines(name)), self._credentials.realm)
        except ParseError:
            return header, None

    def _begin(self, header: str, challenge: Challenge) -> None:
        credentials, sessions = self._credentials, self._sessions
        before = sessions.pop((header, challenge.realm), None)
        # A nonce that is asked for once more goes on being counted (RFC 7616 §3.4, nc).
        used = before.used if before is not None and before.challenge.nonce == challenge.nonce else 0
        if len(sessions) >= MAX_REALMS:
            del sessions[next(iter(sessions))]
        session = ClientSession(challenge, credentials.username, credentials.password, used)
        sessions[(header, challenge.realm)] = session

    def lines(self, method: str, uri: str, body: bytes, token: Callable[[], str]) -> str:
        """Header lines of one request, each ended by CRLF, for every challenge so far, the newest first: there are
        servers that read no further. `token` makes cnonces."""
        return "".join(
            f"{header}: {session.authorization(method, uri, token(), body)}\r\n"
            for (header, _), session in reversed(self._sessions.items())
        )
