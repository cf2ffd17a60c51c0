"""All transactions of an endpoint, found by the keys of RFC 3261 §17.1.3 and §17.2.3."""

from engine.sip.message.message import Request, Response
from engine.sip.transaction.client import ClientTransaction, client_key
from engine.sip.transaction.server import ServerTransaction, server_key
from engine.sip.transaction.timers import Deadlines, TimerValues


class Transactions:
    """Client and server transactions, and what they share.

    Attributes:
        deadlines: Where they wait.
        timers: The values of their timers.
        clients: By `client_key`.
        servers: By `server_key`.
        retransmissions: Sent by us, since the start.
    """

    __slots__ = ("clients", "deadlines", "retransmissions", "servers", "timers")

    def __init__(self, deadlines: Deadlines, timers: TimerValues) -> None:
        self.deadlines = deadlines
        self.timers = timers
        self.clients: dict[str, ClientTransaction] = {}
        self.servers: dict[tuple[str, ...], ServerTransaction] = {}
        self.retransmissions = 0

    def __len__(self) -> int:
        return len(self.clients) + len(self.servers)

    def client_for(self, response: Response) -> ClientTransaction | None:
        """The client transaction of a response: branch and CSeq method (§17.1.3)."""
        transaction = self.clients.get(client_key(response.branch, response.cseq_method))
        return transaction if transaction is not None and transaction.method == response.cseq_method else None

    def server_for(self, request: Request, method: str = "") -> ServerTransaction | None:
        """The server transaction that a request belongs to; `method` "INVITE" for the one an ACK or CANCEL is for."""
        return self.servers.get(server_key(request, method or request.method))
