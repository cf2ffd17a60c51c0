"""A request outside of any dialog, and its one answer: OPTIONS (RFC 3261 §11), MESSAGE (RFC 3428 §4)."""

from collections.abc import Callable
from dataclasses import dataclass

from engine.sip.auth.credentials import Credentials, DigestSessions
from engine.sip.core import Core
from engine.sip.flow import Allows
from engine.sip.message.message import Response
from engine.sip.request import OutgoingRequest
from engine.sip.transaction.branch import PLAIN, Mark

Answered = Callable[[Response | None, str], None]
"""The final response; None and the cause where none came."""


@dataclass(slots=True)
class Letter:
    """What is sent."""

    method: str
    uri: str
    """The Request-URI."""
    destination: str
    """The SIP URI that it really goes to."""
    from_: str
    """name-addr without tag."""
    to: str
    headers: str = ""
    """Further lines, each ended by CRLF; Content-Type among them where there is a body."""
    body: bytes = b""
    credentials: Credentials | None = None
    contact: bool = True
    """A MESSAGE has none (RFC 3428 §4)."""
    allows: Allows | None = None
    """Which flows it may go to; None: all."""
    mark: Mark = PLAIN
    """What is to be known of it should it come back."""


class Standalone:
    """One request on its way. A challenge is answered where there are credentials; `tell` is called once."""

    __slots__ = ("_call_id", "_cseq", "_endpoint", "_letter", "_logins", "_request", "_tag", "_tell")

    def __init__(self, endpoint: Core, letter: Letter, tell: Answered) -> None:
        self._endpoint = endpoint
        self._letter = letter
        self._tell: Answered | None = tell
        self._call_id = endpoint.token() + endpoint.token()
        self._tag = endpoint.token()
        self._cseq = 0
        self._logins = DigestSessions(letter.credentials) if letter.credentials is not None else None
        self._request: OutgoingRequest
        self._send()

    def give_up(self, now: float) -> None:
        """Nobody waits any more; nothing is told."""
        self._tell = None
        self._request.abandon(now)

    def next_hop(self, now: float) -> bool:
        """It was asked long enough: ask the next one (RFC 3263 §4.3). False where there is none."""
        return self._tell is not None and self._request.next_hop(now)

    def _send(self) -> None:
        letter, endpoint = self._letter, self._endpoint
        self._cseq += 1
        head = (
            f"Max-Forwards: 70\r\nFrom: {letter.from_};tag={self._tag}\r\nTo: {letter.to}\r\n"
            f"Call-ID: {self._call_id}\r\nCSeq: {self._cseq} {letter.method}\r\n"
        )
        logins = self._logins
        proofs = logins.lines(letter.method, letter.uri, letter.body, endpoint.token) if logins is not None else ""
        tail = proofs + letter.headers + endpoint.agent_line
        self._request = OutgoingRequest(
            endpoint,
            self,
            letter.method,
            letter.uri,
            head,
            tail,
            letter.body,
            letter.contact,
            letter.allows,
            letter.mark,
        )
        self._request.send(letter.destination, endpoint.clock())

    def on_response(self, request: OutgoingRequest, response: Response, now: float) -> None:
        """The response, provisional or final."""
        if response.status < 200 or request is not self._request:
            return
        if response.status in (401, 407) and self._logged_in(response):
            self._send()
        elif response.status != 503 or not request.next_hop(now):  # RFC 3263 §4.3
            self._told(response, "")

    def on_failure(self, request: OutgoingRequest, cause: str, now: float) -> None:
        """None will come."""
        if request is self._request:
            self._told(None, cause)

    def _logged_in(self, response: Response) -> bool:
        """Whether the challenge can be answered, and was not before (RFC 3261 §22.2, §22.3)."""
        return self._logins is not None and self._tell is not None and self._logins.take(response)

    def _told(self, response: Response | None, cause: str) -> None:
        tell, self._tell = self._tell, None
        if tell is not None:
            tell(response, cause)
