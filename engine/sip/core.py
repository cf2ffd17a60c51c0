"""The core that all sessions of one endpoint share: tables, deadlines, policy, and the hooks into the host."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from engine.sip.flow import Flow, Located, Transport
from engine.sip.message.message import Request
from engine.sip.method_handlers import MethodHandlers
from engine.sip.peers import EVERYBODY, Peers
from engine.sip.stateless import Admission, Refused
from engine.sip.transaction.branch import Branches
from engine.sip.transaction.server import ServerTransaction
from engine.sip.transaction.timers import Deadlines, TimerValues
from engine.sip.transaction.transactions import Transactions

NO_STREAM_FOR = 600.0  # s that a peer which has refused TCP gets long requests by UDP
NO_STREAM_MOST = 4096
REMEMBERED = 512  # ended dialogs, for a Replaces that comes a moment too late (RFC 3891 §3)

DialogKey = tuple[str, str, str]
"""Call-ID, local tag and remote tag (RFC 3261 §12)."""


class Sequenced(Protocol):
    """A dialog, as far as the order of its requests goes."""

    def accepts(self, request: Request) -> bool:
        """Whether a request is newer than the last one (RFC 3261 §12.2.2), which it is from now on."""


class DialogUser(Protocol):
    """The usage that a dialog belongs to (RFC 5057)."""

    @property
    def dialog(self) -> Sequenced: ...
    def came_from_peer(self, request: Request) -> bool: ...
    def receive_ack(self, request: Request, now: float) -> None: ...
    def receive_request(self, transaction: ServerTransaction, request: Request, now: float) -> None: ...


@dataclass(slots=True, kw_only=True)
class EndpointLimits:
    """Bounds on what the network can make an endpoint hold; strangers can fill three quarters of each.

    Attributes:
        transactions: Server transactions at once.
        sessions: Legs at once; a bridged call has two.
        retry_after: Seconds that a 503 asks for.
    """

    transactions: int = 400_000
    sessions: int = 40_000
    retry_after: int = 5


@dataclass(slots=True, kw_only=True)
class Hooks:
    """What the protocol core asks of its host, which has the clock, the sockets and the random source.

    Attributes:
        clock: Monotonic time in seconds.
        token: Makes an unguessable token, for tags, branches and Call-IDs.
        locate: Finds the flows of a next-hop URI, and calls back at once or later.
        select: Our listener for a transport name and a numeric host.
        random: Draws from [0, 1), for back-off times.
        wake: Told when `Endpoint.run` is due, where that is earlier than was said before.
        admits: Whether one more call or text of a source may come in.
        peers: Tells known peers from strangers.
        listens_at: Whether we listen at this host and port, or advertise them.
        sent_from: Whether this flow is the other end of a socket of our own.
        on_misled: Told of a peer, and of the method by which it named an address that is not its own.
        screen: Asked about a stranger's INVITE: a Refusal where there is to be no call, WAITS where that is not known
            yet; anything else becomes `InviteServer.screened`.
        on_refused: Told that a stranger's request was refused: its address, and a stable word for the cause.
        urgent: Whether a call comes in whatever the limits, and while calls are drained: somebody calls for help.
        carries: Whether a part of a body of this content type, in an INVITE from this flow, goes on to whoever
            understands it.
        locate_for_strangers: As `locate`, for what strangers name, so that names that no server answers for delay
            only each other. None: `locate`.
    """

    clock: Callable[[], float]
    token: Callable[[], str]
    locate: Callable[[str, Located], None]
    select: Callable[[str, str], Transport | None]
    random: Callable[[], float] = lambda: 0.5
    wake: Callable[[float], None] | None = None
    admits: Callable[[Request, Flow, float], Admission] = lambda request, source, now: "take"
    peers: Peers = EVERYBODY
    listens_at: Callable[[str, int], bool] = lambda host, port: False
    sent_from: Callable[[Flow], bool] = lambda source: False
    on_misled: Callable[[str, str], None] = lambda peer, method: None
    screen: Callable[[Request, Flow, float], object] = lambda request, source, now: None
    on_refused: Callable[[str, str, Request | None], None] = lambda host, cause, request: None
    urgent: Callable[[Request, Flow], bool] = lambda request, source: False
    carries: Callable[[str, Flow], bool] = lambda content_type, source: False
    locate_for_strangers: Callable[[str, Located], None] | None = None


@dataclass(slots=True, kw_only=True)
class Counters:
    """Messages that came, and those that were refused, since the start.

    Attributes:
        received: All of them.
        malformed: Not SIP, or not as the grammar has it.
        stray: Responses and ACKs that belong to no transaction and no dialog.
        refused: Answered with an error before there was a call.
        overload: Answered 503 because a bound was reached.
        banned: From banned peers; dropped.
        scanners: Requests of tools that look for victims; dropped.
    """

    received: int = 0
    malformed: int = 0
    stray: int = 0
    refused: int = 0
    overload: int = 0
    banned: int = 0
    scanners: int = 0


@dataclass(slots=True, kw_only=True)
class Policy:
    """How an endpoint presents itself, and what it asks for. Times in seconds.

    Attributes:
        user_agent: Its name in Server and User-Agent; "" leaves them out.
        session_expires: The session timer of our offers; 0: none of our own (RFC 4028).
        min_se: The shortest session timer that is taken (RFC 4028 §5: not below 90).
        max_ringing: How long a call may stay unanswered; 0: for ever.
        trying_after: When a 100 is sent where nothing else was; 0: at once (RFC 3261 §17.2.1 allows 0.2).
        timers: T1, T2, T4 and D.
        limits: Bounds.
    """

    user_agent: str = "Trunkline"
    session_expires: int = 1800
    min_se: int = 90
    max_ringing: float = 0.0
    trying_after: float = 0.0
    timers: TimerValues = field(default_factory=TimerValues)
    limits: EndpointLimits = field(default_factory=EndpointLimits)


class Core:
    """The sending half of an endpoint; `engine.sip.endpoint.Endpoint` adds the receiving half."""

    def __init__(self, hooks: Hooks, policy: Policy | None = None) -> None:
        self.policy = policy or Policy()
        self.clock = hooks.clock
        self.token = hooks.token
        self.locate = hooks.locate
        self._locate_for_strangers = hooks.locate_for_strangers
        self.select = hooks.select
        self.random = hooks.random
        self.admits = hooks.admits
        self.urgent = hooks.urgent
        self.carries = hooks.carries
        self.peers = hooks.peers
        self.listens_at = hooks.listens_at
        self.sent_from = hooks.sent_from
        self.on_misled = hooks.on_misled
        self.screen = hooks.screen
        self.on_refused = hooks.on_refused
        self.refused = Refused()
        self.deadlines = Deadlines(hooks.wake)
        self.transactions = Transactions(self.deadlines, self.policy.timers)
        self.dialogs: dict[DialogKey, DialogUser] = {}
        self.sessions: set[DialogUser] = set()
        self.ended: deque[DialogKey] = deque(maxlen=REMEMBERED)
        self.counters = Counters()
        self.methods = MethodHandlers()
        self.draining = False  # new calls get 503
        # Lines of every response and of every request that we send.
        self.server_line = f"Server: {self.policy.user_agent}\r\n" if self.policy.user_agent else ""
        self.agent_line = f"User-Agent: {self.policy.user_agent}\r\n" if self.policy.user_agent else ""
        self._secret = hooks.token().encode()
        self.branches = Branches(hooks.token() + hooks.token())
        self.vetting = 0  # new calls whose names are looked up
        self._no_stream: dict[tuple[str, int], float] = {}

    # ---- told by sessions

    def on_invite(self, session: DialogUser) -> None:
        """A new call; its user has to be set before this returns."""
        raise NotImplementedError

    def on_stranger(self, session: DialogUser, request: Request) -> tuple[int, str, bool]:
        """0 where a request may change the session's call though it comes from another host than the dialog's, else the
        status and header lines of the refusal. True: the dialog follows its sender."""
        raise NotImplementedError

    # ---- out

    def locate_named(self, uri: str, peer: str, done: Located) -> None:
        """The flows of a URI that `peer` has named (its numeric address; "" where that is not known)."""
        of_strangers = self._locate_for_strangers if peer and not self.peers.known(peer) else None
        (of_strangers or self.locate)(uri, done)

    def stream_flow(self, flow: Flow, now: float) -> Flow | None:
        """The same peer by TCP, for a request too long for a datagram; None where it is known not to take that."""
        refused_at = self._no_stream.get((flow.host, flow.port))
        if refused_at is not None and now - refused_at < NO_STREAM_FOR:
            return None
        transport = self.select("tcp", flow.host)
        return None if transport is None else Flow(transport, flow.host, flow.port, domain=flow.domain)

    def remember_no_stream(self, flow: Flow, now: float) -> None:
        """This peer refused a stream: long requests go to it by UDP for a while."""
        if len(self._no_stream) >= NO_STREAM_MOST:
            self._no_stream.clear()
        self._no_stream[(flow.host, flow.port)] = now
