"""One endpoint at the end of a wire: what it sends is kept, its clock stands until it is turned."""

from collections.abc import Callable, Sequence
from itertools import count, pairwise
from pathlib import Path

from engine.sip.core import Hooks, Policy
from engine.sip.dialog.invite_server import InviteServer
from engine.sip.endpoint import Endpoint
from engine.sip.flow import Flow
from engine.sip.message.message import Request, Response
from engine.sip.message.parsing import parse
from engine.sip.peers import EVERYBODY, Peers
from engine.sip.stateless import Admission, Refusal

PEER = "192.0.2.7"
OURS = "192.0.2.250"


class Wire:
    """A transport that keeps what is sent, with the time and the target."""

    internal = False
    connects = True

    def __init__(self, name: str = "udp", reliable: bool = False) -> None:
        self.name = name
        self.via_name = name.upper()
        self.reliable = reliable
        self.local = (OURS, 5060)
        self.sent: list[tuple[float, bytes, str, int]] = []
        self.now: Callable[[], float] = lambda: 0.0

    def send(self, data: bytes, flow: Flow) -> None:
        self.sent.append((self.now(), data, flow.host, flow.port))

    def connected(self, flow: Flow) -> bool:
        return True

    def sent_by(self, remote_host: str) -> str:
        return f"{OURS}:5060"

    def close(self) -> None:
        """Nothing is open."""

    async def wait_closed(self) -> None:
        """Nothing is open."""

    # ---- for assertions

    def take(self) -> list[bytes]:
        """What was sent since the last call."""
        sent, self.sent = self.sent, []
        return [data for _, data, _, _ in sent]

    def responses(self) -> list[Response]:
        """What was sent since the last call, all of it responses."""
        found = [parse(data) for data in self.take()]
        assert all(isinstance(message, Response) for message in found), found
        return [message for message in found if isinstance(message, Response)]

    def statuses(self) -> list[int]:
        """The status codes of what was sent since the last call."""
        return [status_of(data) for data in self.take()]

    def times(self, since: float = 0.0) -> list[float]:
        """When something was sent, since the last `take`, in seconds after `since`."""
        return [round(at - since, 6) for at, _, _, _ in self.sent]

    def targets(self) -> list[tuple[str, int]]:
        return [(host, port) for _, _, host, port in self.sent]


def status_of(data: bytes) -> int:
    """The status of a response that need not be well-formed: it may echo what was malformed."""
    assert data.startswith(b"SIP/2.0 "), data
    return int(data[8:11])


class Stage:
    """An endpoint with a UDP and a TCP wire."""

    def __init__(self, policy: Policy | None = None, now: float = 100.0, peers: Peers = EVERYBODY) -> None:
        self.now = now
        self.screen: Callable[[Request], Refusal | None] = lambda request: None
        self.refused: list[tuple[str, str]] = []
        self.udp, self.tcp = Wire(), Wire("tcp", reliable=True)
        self.udp.now = self.tcp.now = lambda: self.now
        self.calls: list[InviteServer] = []
        self.on_invite: Callable[[InviteServer], None] = self.calls.append
        self.admits: Admission = "take"
        self.streams = True  # whether a TCP listener is to be had
        self.flows: list[Flow] = [Flow(self.udp, PEER, 5060)]
        tokens = count(1)
        self.endpoint = Endpoint(
            Hooks(
                clock=lambda: self.now,
                token=lambda: f"t{next(tokens)}",
                locate=lambda uri, done: done(list(self.flows)),
                select=lambda name, host: self.tcp if name == "tcp" and self.streams else None,
                admits=lambda request, source, now: self.admits,
                peers=peers,
                screen=lambda request, source, now: self.screen(request),
                on_refused=lambda host, cause, request: self.refused.append((host, cause)),
            ),
            policy,
            on_invite=lambda session: self.on_invite(session),
        )

    def receive(self, data: bytes, host: str = PEER, port: int = 5060, wire: Wire | None = None) -> None:
        self.endpoint.receive(data, Flow(wire or self.udp, host, port), self.now)

    def ask(self, data: bytes, wire: Wire | None = None) -> list[Response]:
        """What is answered at once."""
        self.receive(data, wire=wire)
        return (wire or self.udp).responses()

    def run(self, seconds: float) -> None:
        """Let the clock go on, deadline after deadline."""
        end = self.now + seconds
        while self.endpoint.next_deadline() <= end:
            self.now = max(self.now, self.endpoint.next_deadline())
            self.endpoint.run(self.now)
        self.now = end

    @property
    def left(self) -> dict[str, int]:
        """What an idle endpoint has none of."""
        endpoint = self.endpoint
        held = {
            "clients": len(endpoint.transactions.clients),
            "servers": len(endpoint.transactions.servers),
            "dialogs": len(endpoint.dialogs),
            "sessions": len(endpoint.sessions),
            "timers": len(endpoint.deadlines),
        }
        return {name: number for name, number in held.items() if number}


def request(
    method: str = "OPTIONS",
    uri: str = "sip:bob@192.0.2.250",
    headers: Sequence[str] = (),
    body: bytes = b"",
    branch: str = "z9hG4bKa",
    via: str = "",
    cseq: int = 1,
    from_tag: str = "alice",
    to_tag: str = "",
    call_id: str = "call-1",
    contact: bool = True,
    cseq_method: str = "",
    parameters: str = "",
) -> bytes:
    """A request of a well-behaved peer; `headers` stand in front of the usual ones."""
    lines = [
        f"{method} {uri} SIP/2.0",
        f"Via: {via or f'SIP/2.0/UDP {PEER}:5060;branch={branch}{parameters}'}",
        *headers,
        "Max-Forwards: 70",
        f"From: Alice <sip:alice@{PEER}>" + (f";tag={from_tag}" if from_tag else ""),
        "To: Bob <sip:bob@192.0.2.250>" + (f";tag={to_tag}" if to_tag else ""),
        f"Call-ID: {call_id}",
        f"CSeq: {cseq} {cseq_method or method}",
    ]
    if contact and method in ("INVITE", "UPDATE"):
        lines.append(f"Contact: <sip:alice@{PEER}>")
    if body and not any(line.startswith("Content-Type") for line in headers):
        lines.append("Content-Type: application/sdp")
    lines.append(f"Content-Length: {len(body)}\r\n\r\n")
    return "\r\n".join(lines).encode() + body


def response(to: bytes, status: int, to_tag: str = "bob", headers: Sequence[str] = (), body: bytes = b"") -> bytes:
    """A peer's response to a request of ours."""
    asked = parse(to)
    assert isinstance(asked, Request)
    tag = f";tag={to_tag}" if to_tag and not asked.to_tag else ""
    lines = [
        f"SIP/2.0 {status} Because",
        *[f"Via: {via}" for via in asked.values("Via")],
        f"From: {asked.get('From')}",
        f"To: {asked.get('To')}{tag}",
        f"Call-ID: {asked.call_id}",
        f"CSeq: {asked.cseq} {asked.cseq_method}",
        *headers,
        f"Content-Length: {len(body)}\r\n\r\n",
    ]
    return "\r\n".join(lines).encode() + body


MESSAGES = Path(__file__).resolve().parents[1] / "sip"  # of RFC 4475 and RFC 5118


def rfc4475(name: str) -> bytes:
    """A torture message, byte for byte."""
    return (MESSAGES / "rfc4475" / f"{name}.dat").read_bytes()


def rfc5118(name: str) -> bytes:
    """An IPv6 torture message; the archive's lines end in LF, and two of its files lack the empty line."""
    data = (MESSAGES / "rfc5118" / name).read_bytes().replace(b"\n", b"\r\n")
    return data if b"\r\n\r\n" in data else data + b"\r\n"


def in_chunks(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """`data` in pieces, cut anywhere."""
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]
