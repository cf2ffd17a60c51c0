"""Server transactions: RFC 3261 §17.2, figures 7 and 8, with the Accepted state of RFC 6026 §7.1."""

from collections.abc import Callable
from typing import Literal, Protocol

from engine.sip.flow import Flow
from engine.sip.message.message import Request
from engine.sip.message.status import reason_phrase
from engine.sip.transaction.branch import MAGIC_COOKIE
from engine.sip.transaction.table import Rows, absorbing
from engine.sip.transaction.timers import NEVER, Deadlines, TimerValues

ServerState = Literal["trying", "proceeding", "completed", "confirmed", "accepted", "terminated"]
ServerTimer = Literal["200 ms", "timer G", "timer H", "timer I", "timer J", "timer L"]
ServerEvent = Literal["request", "ACK", "1xx", "2xx", "300-699", "error"] | ServerTimer
ServerAction = Callable[["ServerTransaction", float], None]
ServerTable = Rows[ServerState, ServerEvent, ServerAction]


class ServerTransactions(Protocol):
    """What server transactions share: `engine.sip.transaction.transactions.Transactions`."""

    servers: "dict[tuple[str, ...], ServerTransaction]"
    deadlines: Deadlines
    timers: TimerValues
    retransmissions: int


class ServerUser(Protocol):
    """Who answers an INVITE; other requests are answered at once and need none."""

    def on_cancel(self, transaction: "ServerTransaction", cancel: Request, now: float) -> None:
        """The caller gave up (§9.2); the CANCEL itself has been answered."""
        ...

    def on_unacknowledged(self, transaction: "ServerTransaction", now: float) -> None:
        """Timer H: no ACK came for a final response other than 2xx."""
        ...


def server_key(request: Request, method: str) -> tuple[str, ...]:
    """RFC 3261 §17.2.3: branch, sent-by and method; by the fields of RFC 2543 for a branch without the cookie."""
    branch = request.branch
    if len(branch) > 7 and branch.startswith(MAGIC_COOKIE):
        return (branch, request.sent_by, method)
    uri = request.uri_text if method != "CANCEL" else ""
    return (str(request.via), request.from_tag, request.call_id, str(request.cseq), uri, method)


# Stands in for a request that has been answered: for 32 s only the response is needed again.
ANSWERED = Request("", "", {})


class ServerTransaction:
    """One request of a peer and what we answer."""

    __slots__ = (
        "_after_to",
        "_before_to",
        "cseq",
        "deadline",
        "expire_at",
        "flow",
        "interval",
        "kept",
        "key",
        "method",
        "queued",
        "request",
        "response",
        "retransmit_at",
        "state",
        "status",
        "table",
        "tag",
        "transactions",
        "user",
    )

    def __init__(
        self, transactions: ServerTransactions, request: Request, flow: Flow, tag: str, *, kept: bool = True
    ) -> None:
        """`flow`: where responses go (§18.2.2). `tag`: the To tag of our responses, unless the request brought one.
        `kept`: what is refused is not forgotten at once, as that of a stranger is (`engine.sip.stateless`)."""
        self.transactions = transactions
        self.kept = kept
        self.request = request
        self.method = request.method
        self.cseq = request.cseq
        self.flow = flow
        self.tag = tag
        self.key = server_key(request, request.method)
        self.user: ServerUser | None = None
        self.response = b""  # the last one sent, for retransmission
        self.status = 0
        self.deadline = self.queued = self.retransmit_at = self.expire_at = NEVER
        self.interval = 0.0
        self.table = INVITE_SERVER if request.method == "INVITE" else NON_INVITE_SERVER
        self.state: ServerState = "proceeding" if request.method == "INVITE" else "trying"
        first = request.first
        # As many names as lines: then no Via stands behind the first one.
        via = request.top_via if request.unrepeated else "\r\nVia: ".join(request.lines("Via"))
        self._before_to = f"\r\nVia: {via}\r\nFrom: {first['From']}\r\nTo: {first['To']}"
        tagged = "" if request.to_tag else f";tag={tag}"
        self._after_to = f"{tagged}\r\nCall-ID: {request.call_id}\r\nCSeq: {request.cseq} {request.method}\r\n"
        transactions.servers[self.key] = self

    def retag(self, tag: str) -> None:
        """The To tag of our responses from now on: they are another dialog's (RFC 3261 §12.1.1)."""
        self.tag = tag
        self._after_to = f";tag={tag}{self._after_to[self._after_to.index(chr(13)) :]}"

    def trying_at(self, when: float) -> None:
        """Send 100 at `when`, unless something better has been said by then (§17.2.1: within 200 ms)."""
        self.expire_at = when
        self.transactions.deadlines.set(self, when)

    def respond(self, status: int, now: float, reason: str = "", headers: str = "", body: bytes = b"") -> None:
        """Send a response. `headers`: further lines, each ended by CRLF; a body needs its Content-Type there."""
        if status == 100:
            # No tag in a 100, and its Timestamp echoed (§8.2.6.1, §8.2.6.2).
            after = self._after_to if self.request.to_tag else self._after_to[self._after_to.index("\r\n") :]
            stamp = self.request.first.get("Timestamp")
            headers += f"Timestamp: {stamp}\r\n" if stamp else ""
        else:
            after = self._after_to
        text = (
            f"SIP/2.0 {status} {reason or reason_phrase(status)}{self._before_to}{after}{headers}"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self.response = text.encode("utf-8", "surrogateescape") + body
        self.status = status
        if status < 200:
            self.kept = True  # a caller that was told to wait does not retransmit, and must not miss the end
            self.fire("1xx", now)
            return
        # What the request held is given back at once: memory that is still warm serves the next call.
        self.request = ANSWERED
        self._before_to = self._after_to = ""
        if status >= 300 and not self.kept:
            send(self, now)
            self.state = "terminated"
            self.forget()
            return
        self.fire("2xx" if status < 300 else "300-699", now)

    @property
    def answered(self) -> bool:
        """A final response has been sent."""
        return self.status >= 200

    def fire(self, event: ServerEvent, now: float) -> None:
        """Run one row of the table."""
        self.state, actions = self.table[self.state][event]
        for action in actions:
            action(self, now)
        if self.state == "terminated":
            self.forget()

    def on_deadline(self, now: float) -> None:
        if now >= self.expire_at:
            self.fire((INVITE_EXPIRY if self.method == "INVITE" else NON_INVITE_EXPIRY)[self.state], now)
        else:
            self.fire("timer G", now)

    def fail(self, now: float) -> None:
        """The transport could not deliver a response (§17.2.4)."""
        self.fire("error", now)

    def acknowledged(self) -> None:
        """The user has the ACK of its 2xx: nothing will be sent again, so nothing is kept for that."""
        self.response = b""
        self.user = None

    def forget(self) -> None:
        """Leave the table; nothing of the transaction stays."""
        self.transactions.deadlines.clear(self)
        if self.transactions.servers.get(self.key) is self:
            del self.transactions.servers[self.key]
        self.user = None
        self.response = b""


def send(transaction: ServerTransaction, now: float) -> None:
    transaction.flow.send(transaction.response)


def say_trying(transaction: ServerTransaction, now: float) -> None:
    """Nothing has been said yet: a caller that hears nothing retransmits (§17.2.1)."""
    if not transaction.status and transaction.expire_at < NEVER:
        transaction.respond(100, now)


def resend(transaction: ServerTransaction, now: float) -> None:
    if transaction.response:
        transaction.transactions.retransmissions += 1
        send(transaction, now)


def _wait(transaction: ServerTransaction, retransmit_at: float, expire_at: float) -> None:
    transaction.retransmit_at = retransmit_at
    transaction.expire_at = expire_at
    transaction.transactions.deadlines.set(transaction, min(retransmit_at, expire_at))


def start_g_and_h(transaction: ServerTransaction, now: float) -> None:
    """Resend until the ACK, doubling up to T2, for 64*T1 (§17.2.1); a reliable transport needs no Timer G."""
    timers = transaction.transactions.timers
    transaction.interval = timers.t1
    at = NEVER if transaction.flow.transport.reliable else now + timers.t1
    _wait(transaction, at, now + timers.timeout)


def back_off_g(transaction: ServerTransaction, now: float) -> None:
    transaction.interval = min(transaction.interval * 2, transaction.transactions.timers.t2)
    _wait(transaction, now + transaction.interval, transaction.expire_at)


def start_i(transaction: ServerTransaction, now: float) -> None:
    """Absorb further ACKs for T4; at once over a reliable transport."""
    transaction.response = b""
    _absorb(transaction, now, transaction.transactions.timers.t4)


def start_j(transaction: ServerTransaction, now: float) -> None:
    """Answer retransmissions for 64*T1; at once over a reliable transport."""
    _absorb(transaction, now, transaction.transactions.timers.timeout)


def start_l(transaction: ServerTransaction, now: float) -> None:
    """Accepted absorbs the INVITE's retransmissions for 64*T1, whatever the transport (RFC 6026 §7.1)."""
    _wait(transaction, NEVER, now + transaction.transactions.timers.timeout)


def _absorb(transaction: ServerTransaction, now: float, seconds: float) -> None:
    if transaction.flow.transport.reliable:
        transaction.state = "terminated"
    else:
        _wait(transaction, NEVER, now + seconds)


def report_no_ack(transaction: ServerTransaction, now: float) -> None:
    if transaction.user is not None:
        transaction.user.on_unacknowledged(transaction, now)


# RFC 3261 figure 7, with RFC 6026 §7.1. "request" is the retransmitted INVITE; the ACK of a 2xx is not the
# transaction's but the dialog's, so Accepted has no row for it.
INVITE_SERVER: ServerTable = absorbing(
    {
        "proceeding": {
            "request": ("proceeding", (resend, say_trying)),
            "200 ms": ("proceeding", (say_trying,)),
            "1xx": ("proceeding", (send,)),
            "2xx": ("accepted", (send, start_l)),
            "300-699": ("completed", (send, start_g_and_h)),
        },
        "completed": {
            "request": ("completed", (resend,)),
            "timer G": ("completed", (resend, back_off_g)),
            "timer H": ("terminated", (report_no_ack,)),
            "ACK": ("confirmed", (start_i,)),
            "error": ("terminated", (report_no_ack,)),
        },
        "confirmed": {"timer I": ("terminated", ())},
        "accepted": {
            "2xx": ("accepted", (send,)),
            "timer L": ("terminated", ()),
        },
    },
    {
        "proceeding": ("ACK", "error"),
        "completed": ("1xx", "2xx", "300-699"),
        "confirmed": ("request", "ACK", "1xx", "2xx", "300-699", "error"),
        "accepted": ("request", "1xx", "300-699", "error"),
        "terminated": ("request", "ACK", "1xx", "2xx", "300-699", "error"),
    },
)

# RFC 3261 figure 8.
NON_INVITE_SERVER: ServerTable = absorbing(
    {
        "trying": {
            "1xx": ("proceeding", (send,)),
            "2xx": ("completed", (send, start_j)),
            "300-699": ("completed", (send, start_j)),
        },
        "proceeding": {
            "request": ("proceeding", (resend,)),
            "1xx": ("proceeding", (send,)),
            "2xx": ("completed", (send, start_j)),
            "300-699": ("completed", (send, start_j)),
            "error": ("terminated", ()),
        },
        "completed": {
            "request": ("completed", (resend,)),
            "timer J": ("terminated", ()),
            "error": ("terminated", ()),
        },
    },
    {
        "trying": ("request", "error"),
        "completed": ("1xx", "2xx", "300-699"),
        "terminated": ("request", "1xx", "2xx", "300-699", "error"),
    },
)

# Which timer it is that expires in a state, by machine.
INVITE_EXPIRY: dict[ServerState, ServerEvent] = {
    "proceeding": "200 ms",
    "completed": "timer H",
    "confirmed": "timer I",
    "accepted": "timer L",
}
NON_INVITE_EXPIRY: dict[ServerState, ServerEvent] = {"completed": "timer J"}
