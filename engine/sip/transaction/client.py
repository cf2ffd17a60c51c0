"""Client transactions: RFC 3261 §17.1, figures 5 and 6, with the Accepted state of RFC 6026 §8.4."""

from collections.abc import Callable
from typing import Literal, Protocol

from engine.sip.flow import Flow
from engine.sip.message.message import Headers, Request, Response
from engine.sip.message.parsing import parse
from engine.sip.transaction.table import Rows, absorbing
from engine.sip.transaction.timers import NEVER, Deadlines, TimerValues

ClientState = Literal["calling", "trying", "proceeding", "completed", "accepted", "terminated"]
ClientTimer = Literal["timer A", "timer B", "timer D", "timer E", "timer F", "timer K", "timer M"]
ClientEvent = Literal["1xx", "2xx", "300-699", "error", "given up"] | ClientTimer
ClientAction = Callable[["ClientTransaction", float, Response | None], None]
ClientTable = Rows[ClientState, ClientEvent, ClientAction]


class ClientTransactions(Protocol):
    """What client transactions share: `engine.sip.transaction.transactions.Transactions`."""

    clients: "dict[str, ClientTransaction]"
    deadlines: Deadlines
    timers: TimerValues
    retransmissions: int


class ClientUser(Protocol):
    """Who sent the request (the transaction user)."""

    def on_response(self, transaction: "ClientTransaction", response: Response, now: float) -> None:
        """A provisional or final response; every 2xx to an INVITE, its retransmissions too."""
        ...

    def on_failure(self, transaction: "ClientTransaction", cause: str, now: float) -> None:
        """No final response came: "timeout", or what the transport said."""
        ...


def client_key(branch: str, method: str) -> str:
    """A CANCEL has the branch of the INVITE that it cancels (§9.1), all other requests one of their own."""
    return f"{branch} CANCEL" if method == "CANCEL" else branch


class ClientTransaction:
    """A request that we sent, and its responses."""

    __slots__ = (
        "ack",
        "cause",
        "data",
        "deadline",
        "expire_at",
        "flow",
        "interval",
        "key",
        "method",
        "queued",
        "retransmit_at",
        "state",
        "table",
        "transactions",
        "user",
    )

    def __init__(
        self,
        transactions: ClientTransactions,
        user: ClientUser | None,
        method: str,
        branch: str,
        data: bytes,
        flow: Flow,
        now: float,
    ) -> None:
        """Send `data`, whose topmost Via carries `branch`, to `flow` and wait for responses."""
        self.transactions = transactions
        self.user = user
        self.method = method
        self.key = client_key(branch, method)
        self.data = data
        self.flow = flow
        self.ack = b""
        self.cause = ""
        self.deadline = self.queued = NEVER
        self.table = INVITE_CLIENT if method == "INVITE" else NON_INVITE_CLIENT
        self.state: ClientState = "calling" if method == "INVITE" else "trying"
        timers = transactions.timers
        self.interval = timers.t1
        self.expire_at = now + timers.timeout
        self.retransmit_at = NEVER if flow.transport.reliable else now + timers.t1
        transactions.clients[self.key] = self
        transactions.deadlines.set(self, min(self.retransmit_at, self.expire_at))
        flow.send(data)

    def fire(self, event: ClientEvent, now: float, response: Response | None = None) -> None:
        """Run one row of the table."""
        self.state, actions = self.table[self.state][event]
        for action in actions:
            action(self, now, response)
        if self.state == "terminated":
            self.forget()

    def receive(self, response: Response, now: float) -> None:
        """A response that matched this transaction."""
        status = response.status
        if status < 200:
            self.fire("1xx", now, response)
        elif status < 300:
            self.fire("2xx", now, response)
        else:
            self.fire("300-699", now, response)

    def on_deadline(self, now: float) -> None:
        if now >= self.expire_at:
            self.fire((INVITE_EXPIRY if self.method == "INVITE" else NON_INVITE_EXPIRY)[self.state], now)
        else:
            self.fire("timer A" if self.method == "INVITE" else "timer E", now)

    def fail(self, cause: str, now: float) -> None:
        """The transport could not deliver (RFC 3261 §8.1.3.1): connection refused, unreachable, lost."""
        self.cause = cause
        self.fire("error", now)

    def quiet(self, now: float) -> None:
        """Retransmit no more, but stay for 64*T1 to hear a late response: the user has given up on this peer."""
        if self.state in ("calling", "trying"):
            self.retransmit_at = NEVER
            self.expire_at = now + self.transactions.timers.timeout
            self.transactions.deadlines.set(self, self.expire_at)

    def give_up(self, now: float) -> None:
        """An INVITE that was cancelled, or whose call is over, is waited for 64*T1 and no longer (RFC 3261 §9.1)."""
        if self.state == "proceeding" and self.expire_at == NEVER:
            self.expire_at = now + self.transactions.timers.timeout
            self.transactions.deadlines.set(self, self.expire_at)

    def forget(self) -> None:
        """Leave the table; nothing of the transaction stays."""
        self.transactions.deadlines.clear(self)
        if self.transactions.clients.get(self.key) is self:
            del self.transactions.clients[self.key]
        self.user = None
        self.data = b""


def _wait(transaction: ClientTransaction, retransmit_at: float, expire_at: float) -> None:
    transaction.retransmit_at = retransmit_at
    transaction.expire_at = expire_at
    transaction.transactions.deadlines.set(transaction, min(retransmit_at, expire_at))


def pass_up(transaction: ClientTransaction, now: float, response: Response | None) -> None:
    if transaction.user is not None and response is not None:
        transaction.user.on_response(transaction, response, now)


def let_go(transaction: ClientTransaction, now: float, _: Response | None) -> None:
    """The user has heard the last of it; what follows is only absorbed."""
    transaction.user = None


def report_timeout(transaction: ClientTransaction, now: float, _: Response | None) -> None:
    if transaction.user is not None:
        transaction.user.on_failure(transaction, "timeout", now)


def report_error(transaction: ClientTransaction, now: float, _: Response | None) -> None:
    if transaction.user is not None:
        transaction.user.on_failure(transaction, transaction.cause, now)


def retransmit(transaction: ClientTransaction, now: float, _: Response | None) -> None:
    transaction.transactions.retransmissions += 1
    transaction.flow.send(transaction.data)


def back_off_a(transaction: ClientTransaction, now: float, _: Response | None) -> None:
    """Timer A doubles without a limit (§17.1.1.2)."""
    transaction.interval *= 2
    _wait(transaction, now + transaction.interval, transaction.expire_at)


def back_off_e(transaction: ClientTransaction, now: float, _: Response | None) -> None:
    """Timer E doubles up to T2 (§17.1.2.2)."""
    transaction.interval = min(transaction.interval * 2, transaction.transactions.timers.t2)
    _wait(transaction, now + transaction.interval, transaction.expire_at)


def slow_e(transaction: ClientTransaction, now: float, _: Response | None) -> None:
    """In Proceeding, Timer E is T2 (§17.1.2.2); Timer F runs on."""
    transaction.interval = transaction.transactions.timers.t2
    at = NEVER if transaction.flow.transport.reliable else now + transaction.interval
    _wait(transaction, at, transaction.expire_at)


def stop_timers(transaction: ClientTransaction, now: float, _: Response | None) -> None:
    """How long a call may ring is for its user to say, not for the transaction (§17.1.1.2)."""
    _wait(transaction, NEVER, NEVER)


def start_m(transaction: ClientTransaction, now: float, _: Response | None) -> None:
    """Accepted takes further 2xx (of other branches, or retransmitted) for 64*T1 (RFC 6026 §8.4)."""
    transaction.data = b""
    _wait(transaction, NEVER, now + transaction.transactions.timers.timeout)


def start_d(transaction: ClientTransaction, now: float, _: Response | None) -> None:
    transaction.data = b""
    _absorb(transaction, now, transaction.transactions.timers.d)


def start_k(transaction: ClientTransaction, now: float, _: Response | None) -> None:
    transaction.data = b""
    _absorb(transaction, now, transaction.transactions.timers.t4)


def _absorb(transaction: ClientTransaction, now: float, seconds: float) -> None:
    """Timers D and K are zero on a reliable transport: nothing is retransmitted there."""
    if transaction.flow.transport.reliable:
        transaction.state = "terminated"
    else:
        _wait(transaction, NEVER, now + seconds)


def send_ack(transaction: ClientTransaction, now: float, response: Response | None) -> None:
    """The ACK for a final response other than 2xx (§17.1.1.3): the INVITE's Via, Route and CSeq, the response's To."""
    invite = parse(transaction.data)
    assert isinstance(invite, Request) and response is not None
    headers: Headers = {"Via": invite.lines("Via")[:1]}
    if "Route" in invite.first:
        headers["Route"] = invite.lines("Route")
    headers["From"] = [invite.first["From"]]
    headers["Call-ID"] = [invite.call_id]
    headers["To"] = [response.first["To"]]
    headers["CSeq"] = [f"{invite.cseq} ACK"]
    headers["Max-Forwards"] = ["70"]
    transaction.ack = bytes(Request("ACK", invite.uri_text, headers))
    resend_ack(transaction, now, response)


def resend_ack(transaction: ClientTransaction, now: float, _: Response | None) -> None:
    transaction.flow.send(transaction.ack)


# RFC 3261 figure 5, with RFC 6026 §8.4 (Accepted, Timer M).
INVITE_CLIENT: ClientTable = absorbing(
    {
        "calling": {
            "timer A": ("calling", (retransmit, back_off_a)),
            "timer B": ("terminated", (report_timeout,)),
            "error": ("terminated", (report_error,)),
            "1xx": ("proceeding", (stop_timers, pass_up)),
            "2xx": ("accepted", (start_m, pass_up)),
            "300-699": ("completed", (send_ack, start_d, pass_up, let_go)),
        },
        "proceeding": {
            "error": ("terminated", (report_error,)),
            "given up": ("terminated", ()),
            "1xx": ("proceeding", (pass_up,)),
            "2xx": ("accepted", (start_m, pass_up)),
            "300-699": ("completed", (send_ack, start_d, pass_up, let_go)),
        },
        "completed": {
            "300-699": ("completed", (resend_ack,)),
            "timer D": ("terminated", ()),
        },
        "accepted": {
            "2xx": ("accepted", (pass_up,)),
            "timer M": ("terminated", ()),
        },
    },
    {
        "completed": ("1xx", "2xx", "error"),
        "accepted": ("1xx", "300-699", "error"),
        "terminated": ("1xx", "2xx", "300-699", "error"),
    },
)

# RFC 3261 figure 6.
NON_INVITE_CLIENT: ClientTable = absorbing(
    {
        "trying": {
            "timer E": ("trying", (retransmit, back_off_e)),
            "timer F": ("terminated", (report_timeout,)),
            "error": ("terminated", (report_error,)),
            "1xx": ("proceeding", (slow_e, pass_up)),
            "2xx": ("completed", (start_k, pass_up, let_go)),
            "300-699": ("completed", (start_k, pass_up, let_go)),
        },
        "proceeding": {
            "timer E": ("proceeding", (retransmit, slow_e)),
            "timer F": ("terminated", (report_timeout,)),
            "error": ("terminated", (report_error,)),
            "1xx": ("proceeding", (pass_up,)),
            "2xx": ("completed", (start_k, pass_up, let_go)),
            "300-699": ("completed", (start_k, pass_up, let_go)),
        },
        "completed": {"timer K": ("terminated", ())},
    },
    {
        "completed": ("1xx", "2xx", "300-699", "error"),
        "terminated": ("1xx", "2xx", "300-699", "error"),
    },
)

# Which timer it is that expires in a state, by machine.
INVITE_EXPIRY: dict[ClientState, ClientEvent] = {
    "calling": "timer B",
    "proceeding": "given up",
    "completed": "timer D",
    "accepted": "timer M",
}
NON_INVITE_EXPIRY: dict[ClientState, ClientEvent] = {
    "trying": "timer F",
    "proceeding": "timer F",
    "completed": "timer K",
}
