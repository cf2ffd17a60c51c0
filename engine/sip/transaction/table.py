"""What client and server transactions share: their table, and the shape of a state machine as data (RFC 3261 §17)."""

from collections.abc import Callable
from typing import Any, Protocol

from engine.sip.message.message import Request, Response
from engine.sip.transaction.timers import Deadlines, TimerValues

MAGIC_COOKIE = "z9hG4bK"  # RFC 3261 §8.1.1.7

TERMINATED = "terminated"

# (state, event) -> (next state, actions); an event without a row is absorbed.
Table = dict[str, dict[str, tuple[str, tuple[Callable[..., None], ...]]]]


class Transaction(Protocol):
    """What the table of transactions holds."""

    key: Any
    state: str
    deadline: float
    queued: float

    def on_deadline(self, now: float) -> None: ...


class Transactions:
    """All transactions of an endpoint, found by the keys of RFC 3261 §17.1.3 and §17.2.3."""

    __slots__ = ("clients", "deadlines", "retransmissions", "servers", "timers")

    def __init__(self, deadlines: Deadlines, timers: TimerValues) -> None:
        self.deadlines = deadlines
        self.timers = timers
        self.clients: dict[str, Any] = {}
        self.servers: dict[tuple[str, ...], Any] = {}
        self.retransmissions = 0  # sent by us

    def __len__(self) -> int:
        return len(self.clients) + len(self.servers)

    def client_for(self, response: Response) -> Any | None:
        """The client transaction of a response: branch and CSeq method (§17.1.3)."""
        transaction = self.clients.get(client_key(response.branch, response.cseq_method))
        return transaction if transaction is not None and transaction.method == response.cseq_method else None

    def server_for(self, request: Request, method: str = "") -> Any | None:
        """The server transaction that a request belongs to; `method` "INVITE" for the one an ACK or CANCEL is for."""
        return self.servers.get(server_key(request, method or request.method))


def client_key(branch: str, method: str) -> str:
    """A CANCEL has the branch of the INVITE that it cancels (§9.1), all other requests one of their own."""
    return f"{branch} CANCEL" if method == "CANCEL" else branch


def server_key(request: Request, method: str) -> tuple[str, ...]:
    """RFC 3261 §17.2.3: branch, sent-by and method; by the fields of RFC 2543 for a branch without the cookie."""
    branch = request.branch
    if len(branch) > 7 and branch.startswith(MAGIC_COOKIE):
        return (branch, request.sent_by, method)
    uri = request.uri_text if method != "CANCEL" else ""
    return (str(request.via), request.from_tag, request.call_id, str(request.cseq), uri, method)
