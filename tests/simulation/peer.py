"""A peer that says exactly what a test lets it say, and keeps what it hears: no transactions, no timers."""

import re

from engine.sip.auth.credentials import Credentials
from engine.sip.dialog.invite_client import Invitation, InviteClient
from engine.sip.flow import Flow
from engine.sip.message.message import Request, Response
from engine.sip.message.parsing import parse
from tests.simulation.network import Network, Node, Owner

OFFER = b"v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n"
ANSWER = OFFER.replace(b"10.0.0.1", b"10.0.0.2")
STEP = 0.01  # s: longer than the network needs


def content(description: bytes) -> bytes:
    """A session description without its `o=` line: in each dialog of ours that is of the dialog."""
    return re.sub(rb"o=[^\r\n]*\r\n", b"", description)


class Peer:
    """At one address of the network. As a caller it keeps one dialog: Call-ID, tags, CSeq."""

    def __init__(self, network: Network, host: str = "10.0.0.1", port: int = 5060, engine: str = "10.0.0.2") -> None:
        self.network = network
        self.host, self.port = host, port
        self.engine = (engine, 5060)
        self.endpoint = self  # what Network drives
        self.heard: list[Request | Response] = []
        self.raw: list[bytes] = []
        self.call_id = f"call-{host}"
        self.tag, self.remote_tag = "peertag", ""
        self.cseq = 0
        self.branches = 0
        self.via_host = host  # what it writes into Via
        self.contact = f"<sip:peer@{host}:{port}>"
        self.transport = "UDP"
        self.last = b""
        network.nodes[(host, port)] = self  # type: ignore[assignment]

    # ---- what Network asks of a node

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        self.heard.append(parse(data))
        self.raw.append(data)

    # ---- what it says

    def say(self, data: bytes) -> None:
        self.last = data
        self.network.send(data, (self.host, self.port), self.engine)
        self.network.run(STEP)

    def again(self) -> None:
        """The last message, as a retransmission."""
        self.say(self.last)

    def request(
        self,
        method: str,
        headers: str = "",
        body: bytes = b"",
        *,
        cseq: int = 0,
        to_tag: str | None = None,
        uri: str = "sip:b@10.0.0.2",
        branch: str = "",
        contact: str | None = None,
        via: str = "",
    ) -> str:
        """Send a request, in the dialog as far as there is one; its branch."""
        if not cseq:
            self.cseq += method != "ACK"
            cseq = self.cseq
        if not branch:
            self.branches += 1
            branch = f"z9hG4bK{self.host}x{self.branches}"
        tag = self.remote_tag if to_tag is None else to_tag
        contact = self.contact if contact is None else contact
        lines = [
            f"{method} {uri} SIP/2.0",
            via or f"Via: SIP/2.0/{self.transport} {self.via_host}:{self.port};branch={branch}",
            f"Max-Forwards: 70\r\nFrom: <sip:a@10.0.0.1>;tag={self.tag}",
            f"To: <sip:b@10.0.0.2>{f';tag={tag}' if tag else ''}",
            f"Call-ID: {self.call_id}\r\nCSeq: {cseq} {method}",
        ]
        if contact and method in ("INVITE", "UPDATE"):
            lines.append(f"Contact: {contact}")
        if body and "Content-Type" not in headers:
            lines.append("Content-Type: application/sdp")
        text = "\r\n".join(lines) + f"\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
        self.say(text.encode() + body)
        return branch

    def invite(self, headers: str = "", body: bytes = OFFER, **more: object) -> str:
        return self.request("INVITE", headers, body, **more)  # type: ignore[arg-type]

    def ack(self, body: bytes = b"", cseq: int = 0) -> None:
        """The ACK of a 2xx."""
        self.request("ACK", body=body, cseq=cseq or self.cseq)

    def cancel(self, branch: str, headers: str = "", to_tag: str | None = None) -> None:
        self.request("CANCEL", headers, branch=branch, cseq=self.cseq, to_tag=to_tag)

    def answer(
        self,
        request: Request,
        status: int,
        headers: str = "",
        body: bytes = b"",
        *,
        tag: str = "peertag",
        contact: str | None = None,
    ) -> None:
        """Answer a request that was heard."""
        to = request.get("To")
        if tag and "tag=" not in to and status > 100:
            to += f";tag={tag}"
        contact = self.contact if contact is None else contact
        head = "".join(f"Via: {via}\r\n" for via in request.lines("Via"))
        head += f"From: {request.get('From')}\r\nTo: {to}\r\nCall-ID: {request.call_id}\r\n"
        head += f"CSeq: {request.cseq} {request.method}\r\n"
        if contact and status > 100 and request.method in ("INVITE", "UPDATE"):
            head += f"Contact: {contact}\r\n"
        if body:
            head += "Content-Type: application/sdp\r\n"
        text = f"SIP/2.0 {status} X\r\n{head}{headers}Content-Length: {len(body)}\r\n\r\n"
        self.say(text.encode() + body)

    # ---- what it heard

    def requests(self, method: str) -> list[Request]:
        return [message for message in self.heard if isinstance(message, Request) and message.method == method]

    def responses(self, method: str) -> list[Response]:
        return [m for m in self.heard if isinstance(m, Response) and m.cseq_method == method]

    def statuses(self, method: str) -> list[int]:
        return [response.status for response in self.responses(method)]

    def final(self, method: str) -> Response:
        """The last final response to this method; its To tag is taken over."""
        response = [r for r in self.responses(method) if r.status >= 200][-1]
        self.remote_tag = self.remote_tag or response.to_tag
        return response

    def kinds(self) -> list[str]:
        """Everything heard: methods, and status with method."""
        return [m.method if isinstance(m, Request) else f"{m.status} {m.cseq_method}" for m in self.heard]

    def forget(self) -> None:
        self.heard.clear()
        self.raw.clear()


class Dialler(Owner):
    """The owner of an outgoing call: `outcome` is what dialling came to."""

    def __init__(self) -> None:
        super().__init__()
        self.late_offer_answer = b""
        self.acknowledges = True

    def on_answered(self, session: InviteClient, response: Response, now: float) -> None:
        self.events.append(("answered", response.status))
        if self.acknowledges:
            session.acknowledge(now, self.late_offer_answer)

    @property
    def outcome(self) -> tuple[str, object] | None:
        kinds = ("answered", "refused", "unreachable", "no_reply", "no_progress", "ring_timeout", "cancelled")
        found = [event for event in self.events if event[0] in kinds]
        assert len(found) <= 1, found
        return found[0] if found else None


def dial(node: Node, target: str = "sip:10.0.0.1:5060", **more: object) -> tuple[InviteClient, Dialler]:
    """A call of `node`; 10 ms of it."""
    owner = Dialler()
    more = {"body": OFFER, "request_uri": "sip:b@10.0.0.1", "destination": target} | more
    invitation = Invitation(from_="<sip:a@10.0.0.2>", to="<sip:b@10.0.0.1>", **more)  # type: ignore[arg-type]
    session = InviteClient(node.endpoint, invitation, owner)
    session.user = owner
    session.start(node.network.now)
    node.network.run(STEP)
    return session, owner


LOGIN = Credentials("alice", "secret")


def nothing_left(node: Node) -> bool:
    """After everything has run out, nothing of the endpoint is left."""
    node.network.run()
    return not any(node.leftovers().values())
