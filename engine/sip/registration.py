"""The client's side of REGISTER: one contact, kept at a registrar (RFC 3261 §10.2)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from engine.sip.auth.credentials import Credentials, DigestSessions
from engine.sip.core import Core
from engine.sip.message.grammar import ParseError
from engine.sip.message.message import Response
from engine.sip.message.name_addr import NameAddr
from engine.sip.request import OutgoingRequest

REFRESHED_AT: Final = 0.8
"""Of the time that was granted, when it is asked for again."""
LONGEST: Final = 86_400
"""Seconds that are asked for at most, whatever a 423 says."""


class RegistrationAnswer(NamedTuple):
    """What a registrar has said.

    Attributes:
        status: Its final status; 0 where there was none.
        reason: Its words, or the cause.
        granted: For how many seconds the contact is bound; 0: not at all.
    """

    status: int
    reason: str
    granted: int


@dataclass(slots=True, kw_only=True)
class RegistrationSpec:
    """What is registered.

    Attributes:
        registrar: The Request-URI: a domain.
        destination: The SIP URI whose targets are asked.
        aor: The address-of-record, a URI.
        contact: The URI that it is bound to.
        expires: Seconds that are asked for.
    """

    registrar: str
    destination: str
    aor: str
    contact: str
    credentials: Credentials | None = None
    expires: int = 3600


class Registration:
    """Keeps one Call-ID and counts CSeq up (§10.2). `on_answer` is called once for each `ask`; whoever asks asks again
    in time: `RegistrationAnswer.granted` times REFRESHED_AT."""

    __slots__ = ("_call_id", "_cseq", "_digests", "_endpoint", "_expires", "_on_answer", "_request", "_spec")

    def __init__(self, endpoint: Core, spec: RegistrationSpec) -> None:
        self._endpoint = endpoint
        self._spec = spec
        self._call_id = endpoint.token() + endpoint.token()
        self._cseq = 0
        self._expires = spec.expires
        self._digests: DigestSessions | None = None
        self._request: OutgoingRequest | None = None
        self._on_answer: Callable[[RegistrationAnswer], None] | None = None

    def ask(self, on_answer: Callable[[RegistrationAnswer], None], *, leave: bool = False) -> None:
        """Register, or refresh; `leave`: undo it. What was asked before, and not answered yet, is waited for no more
        (§10.2.1: one at a time)."""
        self.abandon()
        self._on_answer = on_answer
        self._expires = 0 if leave else self._expires or self._spec.expires
        self._digests = None  # a nonce of before may be worth nothing by now, and not every registrar says so (`stale`)
        self._send()

    def abandon(self) -> None:
        """Stop waiting."""
        self._on_answer = None
        if self._request is not None:
            self._request.abandon(self._endpoint.clock())

    def _send(self) -> None:
        spec, endpoint = self._spec, self._endpoint
        self._cseq += 1
        digests = self._digests
        authorization = digests.lines("REGISTER", spec.registrar, b"", endpoint.token) if digests is not None else ""
        self._request = OutgoingRequest(
            endpoint,
            self,
            method="REGISTER",
            uri=spec.registrar,
            head=(
                f"Max-Forwards: 70\r\nFrom: <{spec.aor}>;tag={endpoint.token()}\r\nTo: <{spec.aor}>\r\n"
                f"Call-ID: {self._call_id}\r\nCSeq: {self._cseq} REGISTER\r\n"
                f"Contact: <{spec.contact}>\r\nExpires: {self._expires}\r\n"
            ),
            tail=authorization + endpoint.agent_line,
        )
        self._request.send(spec.destination, endpoint.clock())

    # ---- answers

    def on_response(self, request: OutgoingRequest, response: Response, now: float) -> None:
        """The response, provisional or final."""
        status = response.status
        if status < 200 or request is not self._request or self._on_answer is None:
            return
        if status in (401, 407) and self._accepts(response):
            self._send()
        elif status == 423 and 0 < self._expires < (least := _seconds(response.get("Min-Expires"))) <= LONGEST:
            self._expires = least  # §10.3 step 7
            self._send()
        elif status == 503 and request.try_next(now):
            return
        else:
            self._tell(RegistrationAnswer(status, response.reason, self._granted(response) if status < 300 else 0))

    def on_failure(self, request: OutgoingRequest, cause: str, now: float) -> None:
        """No response will come."""
        if request is self._request:
            self._tell(RegistrationAnswer(0, cause, 0))

    def _accepts(self, response: Response) -> bool:
        if self._spec.credentials is None:
            return False
        if self._digests is None:
            self._digests = DigestSessions(self._spec.credentials)
        return self._digests.accept(response)

    def _granted(self, response: Response) -> int:
        """What a 200 gives our contact, in its `expires` or in the header for all (§10.2.4)."""
        if not self._expires:
            return 0
        for value in response.values("Contact") if "Contact" in response.first else ():
            try:
                contact = NameAddr.parse(value)
            except ParseError:
                continue
            if contact.uri_text == self._spec.contact and "expires" in contact.params:
                return min(_seconds(str(contact.params["expires"])), LONGEST)
        given = response.get("Expires") if "Expires" in response.first else ""
        return min(_seconds(given), LONGEST) or self._expires

    def _tell(self, answer: RegistrationAnswer) -> None:
        tell, self._on_answer = self._on_answer, None
        if tell is not None:
            tell(answer)


def _seconds(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 11 else 0
