"""Outgoing requests: composed for their flow, and sent to the next target when one fails (RFC 3263 §4.3)."""

from typing import Protocol

from engine.sip.core import Core
from engine.sip.flow import NOT_ALLOWED, NOT_SECURE, Allows, Flow, TlsTerms, is_sips
from engine.sip.message.message import Response
from engine.sip.transaction.branch import MAGIC_COOKIE, Mark
from engine.sip.transaction.client import ClientTransaction

# RFC 3261 §18.1.1: where the path's MTU is unknown, a longer request goes by a congestion-controlled transport.
LARGEST_DATAGRAM = 1300


class RequestUser(Protocol):
    """The user of a request, who is told of the response."""

    def on_response(self, request: "OutgoingRequest", response: Response, now: float) -> None: ...

    def on_failure(self, request: "OutgoingRequest", cause: str, now: float) -> None:
        """Nobody answered, on any flow: "timeout", "name does not resolve", or the transport's words."""
        ...


class RequestLogin(Protocol):
    """How a request answers a 401 or 407."""

    def again(self, request: "OutgoingRequest", response: Response, flow: Flow, now: float) -> bool:
        """Whether the challenge is answered: then the request is on its way once more, and nobody is told of it."""
        ...


class OutgoingRequest:
    """A request without its Via and Contact, which depend on the flow (RFC 3261 §8.1.1.7, §8.1.1.8)."""

    __slots__ = (
        "allows",
        "body",
        "contact",
        "contact_host",
        "endpoint",
        "flows",
        "head",
        "login",
        "mark",
        "method",
        "sips",
        "start",
        "tail",
        "tls",
        "transaction",
        "user",
    )

    def __init__(
        self,
        endpoint: Core,
        user: RequestUser | None,
        *,
        method: str,
        uri: str,
        head: str,
        tail: str = "",
        body: bytes = b"",
        contact: bool = False,
        contact_host: str = "",
        sips: bool = False,
        allows: Allows | None = None,
        mark: Mark | None = None,
        tls: TlsTerms | None = None,
    ) -> None:
        """`head` and `tail` are complete header lines, ended by CRLF, before and after Contact. `contact_host`: see
        `Flow.sent_by`. `sips`: it goes over TLS alone, as it does where `uri` is a SIPS one. `allows`: which flows it
        may go to; None: all. `mark`: what is to be known of it should it come back; None: it opens nothing, and need
        not be known again. `tls`: what is asked of the peer over TLS; None: what the flow says, or of anybody."""
        self.endpoint = endpoint
        self.user = user
        self.method = method
        self.start = f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/"
        self.head = head
        self.tail = tail
        self.body = body
        self.contact = contact
        self.contact_host = contact_host
        self.sips = sips or is_sips(uri)
        self.allows = allows
        self.mark = mark
        self.tls = tls
        self.login: RequestLogin | None = None
        self.flows: list[Flow] = []
        self.transaction: ClientTransaction | None = None

    @property
    def within_dialog(self) -> bool:
        """Whether its To has a tag (RFC 3261 §12.2.1.1)."""
        return ";tag=" in self.head.partition("\r\nTo: ")[2].partition("\r\n")[0]

    def compose(self, flow: Flow, branch: str) -> bytes:
        """The bytes for one flow."""
        transport = flow.transport
        sent_by = flow.sent_by(self.contact_host) if self.contact_host else transport.sent_by(flow.host)
        contact = flow.contact_as(sent_by, sips=self.sips) if self.contact else ""
        via = ";rport" if flow.tls is None else flow.via
        text = (
            f"{self.start}{transport.via_name} {sent_by}{via};branch={branch}\r\n{self.head}{contact}{self.tail}"
            f"Content-Length: {len(self.body)}\r\n\r\n"
        )
        return text.encode("utf-8", "surrogateescape") + self.body

    def send(self, uri: str, now: float) -> None:
        """Find the flows of `uri` (at once, or when its name is resolved) and send to the first."""
        self.endpoint.locate(uri, self.located)

    def located(self, flows: list[Flow], cause: str = "name does not resolve") -> None:
        """Send to the first of these flows; there is nowhere to send it to, and why, where there are none."""
        if self.user is None and self.method == "INVITE":
            return  # the call was given up before the name was resolved
        now = self.endpoint.clock()
        if self.sips and flows:
            flows, cause = [flow for flow in flows if flow.secure], NOT_SECURE
        if self.allows is not None and flows:
            flows, cause = [flow for flow in flows if self.allows(flow)], NOT_ALLOWED
        if not flows:
            self.fail(cause, now)
            return
        self.send_to(flows if self.tls is None else [flow.under(self.tls) for flow in flows], now)

    def send_to(self, flows: list[Flow], now: float) -> None:
        """Send to the first of `flows`; the others are for when it fails (RFC 3263 §4.3)."""
        self.flows = flows[1:]
        flow = flows[0]
        token, mark = self.endpoint.token(), self.mark
        branch = MAGIC_COOKIE + token if mark is None else self.endpoint.branches.make(token, mark)
        data = self.compose(flow, branch)
        if len(data) > LARGEST_DATAGRAM and not flow.transport.reliable:
            larger = self.endpoint.stream_flow(flow, now)
            if larger is not None:
                self.flows = flows  # the datagram after all, where the peer takes no stream (§18.1.1)
                flow = larger
                data = self.compose(flow, branch)
        if self.method == "ACK":
            flow.send(data)
            return
        self.transaction = ClientTransaction(self.endpoint.transactions, self, self.method, branch, data, flow, now)

    def try_next(self, now: float) -> bool:
        """Leave the present flow for the next one (RFC 3263 §4.3); False when there is none."""
        if not self.flows:
            return False
        if self.transaction is not None:
            self.transaction.quiet(now)
            self.transaction = None
        self.send_to(self.flows, now)
        return True

    def cancel(self, transaction: ClientTransaction, reason: str, now: float) -> None:
        """CANCEL an INVITE that has had a provisional response: same URI, Via, Route, To and CSeq number (§9.1)."""
        flow = transaction.flow
        sent_by = flow.sent_by(self.contact_host)
        via = f"{flow.transport.via_name} {sent_by}{flow.via};branch={transaction.key}\r\n"
        start = self.start.replace("INVITE", "CANCEL", 1)
        head = self.head.replace(" INVITE\r\n", " CANCEL\r\n")
        reason = f"Reason: {reason}\r\n" if reason else ""
        data = f"{start}{via}{head}{reason}Content-Length: 0\r\n\r\n".encode("utf-8", "surrogateescape")
        ClientTransaction(self.endpoint.transactions, None, "CANCEL", transaction.key, data, flow, now)
        transaction.ack = b"cancelled"  # once
        transaction.give_up(now)

    def abandon(self, now: float) -> None:
        """Nobody waits for the response any more; a transaction that might wait for ever gets an end."""
        self.user = self.login = None
        if self.transaction is not None:
            self.transaction.give_up(now)

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        login = self.login if response.status in (401, 407) and transaction is self.transaction else None
        if login is not None and login.again(self, response, transaction.flow, now):
            return
        if self.user is None:
            transaction.give_up(now)
            return
        if transaction is not self.transaction and self.method == "INVITE":
            self._late(transaction, response, now)
        else:
            self.user.on_response(self, response, now)

    def _late(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """A response over a flow that was given up: that peer must not ring, and not answer."""
        if response.status < 200:
            if not transaction.ack:
                self.cancel(transaction, "", now)
        elif response.status < 300 and self.user is not None:
            self.user.on_response(self, response, now)

    def on_failure(self, transaction: ClientTransaction, cause: str, now: float) -> None:
        if transaction is not self.transaction:
            return
        if transaction.flow.transport.reliable and self.flows and not self.flows[0].transport.reliable:
            self.endpoint.remember_no_stream(transaction.flow, now)
        if self.flows:
            self.send_to(self.flows, now)
        else:
            self.fail(cause, now)

    def release(self) -> None:
        """Release what was needed for sending: it was answered and will not be sent again."""
        self.head = self.tail = ""
        self.body = b""
        self.flows = []

    def fail(self, cause: str, now: float) -> None:
        """Tell the user that no response will come."""
        if self.user is not None:
            self.user.on_failure(self, cause, now)
