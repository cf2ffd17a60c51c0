"""What all sessions of one node share: its tables, its deadlines, and what the core does not have of its own."""

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

NO_STREAM_FOR = 600.0  # s that a peer which refused TCP is not asked again
NO_STREAM_MOST = 4096
REMEMBERED = 512  # dialogs that are over, for who asks for one a moment later (RFC 3891 §3)


DialogKey = tuple[str, str, str]
"""Call-ID, local tag and remote tag (RFC 3261 §12)."""


class Sequenced(Protocol):
    """A dialog, as far as it is asked here."""

    def accepts(self, request: Request) -> bool:
        """Whether a request is newer than the last one (RFC 3261 §12.2.2), which it is from now on."""


class DialogUser(Protocol):
    """Who a dialog belongs to."""

    @property
    def dialog(self) -> Sequenced: ...
    def came_from_peer(self, request: Request) -> bool: ...
    def receive_ack(self, request: Request, now: float) -> None: ...
    def receive_request(self, transaction: ServerTransaction, request: Request, now: float) -> None: ...


@dataclass(slots=True)
class EndpointLimits:
    """Bounds of what the network can make us keep; of each, strangers can fill three quarters."""

    transactions: int = 400_000
    sessions: int = 40_000  # legs; a call through has two
    retry_after: int = 5  # s, told with a 503


@dataclass(slots=True)
class Hooks:
    """What the core does not have of its own."""

    clock: Callable[[], float]  # s, monotonic
    token: Callable[[], str]  # an unguessable token (tags, branches, Call-IDs)
    locate: Callable[[str, Located], None]  # next-flow URI -> flows, called back at once or later
    select: Callable[[str, str], Transport | None]  # transport name, numeric host -> our listener for it
    random: Callable[[], float] = lambda: 0.5  # [0, 1): back-off times
    wake: Callable[[float], None] | None = None  # told when `run` is due earlier than was said before
    # whether one more call, or text, of a source may come in
    admits: Callable[[Request, Flow, float], Admission] = lambda request, source, now: "take"
    peers: Peers = EVERYBODY
    ours: Callable[[str, int], bool] = lambda host, port: False  # whether we listen there, or say so
    sent_from: Callable[[Flow], bool] = lambda source: False  # whether this is the other end of a socket of our own
    on_misled: Callable[[str, str], None] = lambda peer, doing: None  # a peer named an address that is not its own
    # A Refusal where a stranger's INVITE is refused before there is a call, WAITS where that is not known yet; anything
    # else is `InviteServer.screened`.
    screen: Callable[[Request, Flow, float], object] = lambda request, source, now: None
    # A stranger's request was refused: its address, and a stable word for why.
    on_refused: Callable[[str, str, Request | None], None] = lambda host, cause, request: None
    # As `locate`, for what strangers name: names that nobody answers for keep only each other waiting. None: the same.
    locate_for_strangers: Callable[[str, Located], None] | None = None


@dataclass(slots=True)
class Counters:
    """What came and what was refused, since the start."""

    received: int = 0
    malformed: int = 0
    stray: int = 0  # responses and ACKs that belong to nothing
    refused: int = 0  # answered with an error before there was a call
    overload: int = 0  # answered 503 because a bound was reached
    banned: int = 0  # messages of banned peers, dropped
    scanners: int = 0  # requests of tools that look for victims, dropped


@dataclass(slots=True)
class Policy:
    """How this node presents itself and what it asks for."""

    user_agent: str = "Trunkline"
    session_expires: int = 1800  # s; 0: no session timer of our own wish (RFC 4028)
    min_se: int = 90  # s (RFC 4028 §5: not below 90)
    max_ringing: float = 0.0  # s that a call may stay unanswered; 0: for ever
    trying_after: float = 0.0  # s until a 100 where nothing else was said; 0: at once (RFC 3261 §17.2.1 allows 0.2)
    timers: TimerValues = field(default_factory=TimerValues)
    limits: EndpointLimits = field(default_factory=EndpointLimits)


class Core:
    """See `engine.sip.endpoint.Endpoint`, which adds what comes in."""

    def __init__(self, hooks: Hooks, policy: Policy | None = None) -> None:
        self.policy = policy or Policy()
        self.clock = hooks.clock
        self.token = hooks.token
        self.locate = hooks.locate
        self._locate_for_strangers = hooks.locate_for_strangers
        self.select = hooks.select
        self.random = hooks.random
        self.admits = hooks.admits
        self.peers = hooks.peers
        self.ours = hooks.ours
        self.sent_from = hooks.sent_from
        self.on_misled = hooks.on_misled
        self.screen = hooks.screen
        self.on_refused = hooks.on_refused
        self.refused = Refused()
        self.loopback: Transport | None = None  # by which our own requests come back without a packet
        self.deadlines = Deadlines(hooks.wake)
        self.transactions = Transactions(self.deadlines, self.policy.timers)
        self.dialogs: dict[DialogKey, DialogUser] = {}
        self.sessions: set[DialogUser] = set()
        self.ended: deque[DialogKey] = deque(maxlen=REMEMBERED)
        self.counters = Counters()
        self.methods = MethodHandlers()
        self.draining = False  # new calls get 503
        # The lines that stand in every response to and request of ours.
        self.server_line = f"Server: {self.policy.user_agent}\r\n" if self.policy.user_agent else ""
        self.agent_line = f"User-Agent: {self.policy.user_agent}\r\n" if self.policy.user_agent else ""
        self._secret = hooks.token().encode()
        self.branches = Branches(hooks.token() + hooks.token())
        self.vetting = 0  # new calls whose names are looked up
        self._no_stream: dict[tuple[str, int], float] = {}

    # ---- what sessions tell of

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

    def contact_line(self, flow: Flow) -> str:
        """Our Contact as this peer is to see it."""
        return f"Contact: <sip:{flow.own_address}>\r\n"
