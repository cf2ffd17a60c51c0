"""A request outside of any dialog, and its one answer: OPTIONS (RFC 3261 §11), MESSAGE (RFC 3428 §4)."""

from collections.abc import Callable
from dataclasses import dataclass

from engine.sip.auth.credentials import Credentials, DigestSessions
from engine.sip.core import Core
from engine.sip.flow import Allows, Flow, TlsTerms
from engine.sip.message.message import Response
from engine.sip.request import OutgoingRequest
from engine.sip.transaction.branch import PLAIN, Mark

OnAnswer = Callable[[Response | None, str], None]
"""Takes the final response; None and the cause where none came."""


@dataclass(slots=True, kw_only=True)
class RequestSpec:
    """A request outside of any dialog."""

    method: str
    uri: str
    """The Request-URI."""
    destination: str
    """The SIP URI whose targets it is sent to."""
    flow: Flow | None = None
    """Given: it goes by this one, and `destination` is not looked up (RFC 5626)."""
    from_: str
    """name-addr without tag."""
    to: str
    headers: str = ""
    """Further lines, each ended by CRLF; Content-Type among them where there is a body."""
    body: bytes = b""
    credentials: Credentials | None = None
    contact: bool = True
    """A MESSAGE has none (RFC 3428 §4)."""
    contact_host: str = ""
    """See `Flow.sent_by`."""
    allows: Allows | None = None
    """Which flows it may go to; None: all."""
    tls: TlsTerms | None = None
    """What is asked of the peer over TLS; None: what is asked of anybody."""
    mark: Mark = PLAIN
    """What is to be known of it should it come back."""


class OutOfDialogRequest:
    """One request on its way. A challenge is answered where there are credentials; `on_answer` is called once."""

    __slots__ = ("_call_id", "_cseq", "_digests", "_endpoint", "_on_answer", "_request", "_spec", "_tag")

    def __init__(self, endpoint: Core, spec: RequestSpec, on_answer: OnAnswer) -> None:
        self._endpoint = endpoint
        self._spec = spec
        self._on_answer: OnAnswer | None = on_answer
        self._call_id = endpoint.token() + endpoint.token()
        self._tag = endpoint.token()
        self._cseq = 0
        self._digests = DigestSessions(spec.credentials) if spec.credentials is not None else None
        self._request: OutgoingRequest
        self._send()

    def abandon(self, now: float) -> None:
        """Stop waiting: `on_answer` is not called any more."""
        self._on_answer = None
        self._request.abandon(now)

    def try_next(self, now: float) -> bool:
        """The present target has had its time: try the next one (RFC 3263 §4.3). False where there is none."""
        return self._on_answer is not None and self._request.try_next(now)

    def _send(self) -> None:
        spec, endpoint = self._spec, self._endpoint
        self._cseq += 1
        head = (
            f"Max-Forwards: 70\r\nFrom: {spec.from_};tag={self._tag}\r\nTo: {spec.to}\r\n"
            f"Call-ID: {self._call_id}\r\nCSeq: {self._cseq} {spec.method}\r\n"
        )
        digests = self._digests
        authorization = digests.lines(spec.method, spec.uri, spec.body, endpoint.token) if digests is not None else ""
        tail = authorization + spec.headers + endpoint.agent_line
        self._request = OutgoingRequest(
            endpoint,
            self,
            method=spec.method,
            uri=spec.uri,
            head=head,
            tail=tail,
            body=spec.body,
            contact=spec.contact,
            contact_host=spec.contact_host,
            allows=spec.allows,
            mark=spec.mark,
            tls=spec.tls,
        )
        if spec.flow is not None:
            self._request.located([spec.flow])
        else:
            self._request.send(spec.destination, endpoint.clock())

    def on_response(self, request: OutgoingRequest, response: Response, now: float) -> None:
        """The response, provisional or final."""
        if response.status < 200 or request is not self._request:
            return
        if response.status in (401, 407) and self._accepts_challenge(response):
            self._send()
        elif response.status != 503 or not request.try_next(now):  # RFC 3263 §4.3
            self._finish(response, "")

    def on_failure(self, request: OutgoingRequest, cause: str, now: float) -> None:
        """No response will come."""
        if request is self._request:
            self._finish(None, cause)

    def _accepts_challenge(self, response: Response) -> bool:
        """Whether the challenge can be answered, and was not before (RFC 3261 §22.2, §22.3)."""
        return self._digests is not None and self._on_answer is not None and self._digests.accept(response)

    def _finish(self, response: Response | None, cause: str) -> None:
        on_answer, self._on_answer = self._on_answer, None
        if on_answer is not None:
            on_answer(response, cause)
