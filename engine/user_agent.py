"""User agent: listeners below, the protocol core in the middle, calls on top.

    agent = UserAgent(on_call)
    await agent.start(["udp://127.0.0.1:5060"])

`on_call(call)` is called for each incoming call and returns the coroutine that says what happens to it, or None where
that has been said already (`call.reject(404)`). The coroutine runs as a task that ends with the call: a hangup cancels
whatever it waits for.
"""

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from engine.bridge import Bridge
from engine.call import Call
from engine.call_snapshot import CallSnapshot, RestoredCall
from engine.call_tasks import CallTasks
from engine.capture.trace import Trace
from engine.dial import ANY_PEER, DialSpec, OutgoingCall, PeerOptions
from engine.intake import Intake
from engine.log import Log, NoLog, RefusalLog
from engine.media.anchor import Anchor, Anchors, MediaAddress
from engine.media.codec.codec import Codec
from engine.media.codec.registry import by_name
from engine.media.negotiation import CODECS
from engine.media.path import DIRECT, MediaPath
from engine.media.plane import Plane
from engine.media.port import MediaPort
from engine.media.port_pool import PortPool
from engine.media.relay.relay import Relays
from engine.media.rtp.consent import Consent
from engine.messages import Messages, OnMessage
from engine.rate_limit import RateLimit
from engine.settings import AgentSettings
from engine.sip.auth.credentials import Credentials
from engine.sip.core import Hooks
from engine.sip.dialog.invite_client import Invitation, InviteClient
from engine.sip.dialog.invite_server import InviteServer
from engine.sip.dialog.session import Session
from engine.sip.dialog.snapshot import restore
from engine.sip.endpoint import Endpoint
from engine.sip.flow import Flow, Located, address_of
from engine.sip.message.message import Request, Response
from engine.sip.method_handlers import Answerer, RequestHandler
from engine.sip.out_of_dialog import OutOfDialogRequest, RequestSpec
from engine.sip.peers import EVERYBODY, Peers, counted_source
from engine.sip.registrar import EXTENSIONS as REGISTER_EXTENSIONS
from engine.sip.request import OutgoingRequest
from engine.sip.stateless import WAITS, Admission, Refusal
from engine.sip.transaction.client import client_key
from engine.sip.transaction.timers import NEVER
from engine.strangers import Strangers
from engine.transfer_request import OnPickup, OnReplaces, accept_replaces
from engine.transport.addresses import family_of
from engine.transport.certificates import Certificates
from engine.transport.dns.locator import Locator
from engine.transport.dns.resolver import Resolver
from engine.transport.listeners import SETTING, Listeners
from engine.transport.loopback import Loopback

# Timers are looked after this often at the most: under load one turn serves many.
TIMER_STEP = 0.005  # s
_SETTLE_STEP = 0.02  # s
_BYE_GRACE = 2.0  # s that stopping waits for the answers to its last BYEs
_STOP_TRIES = 4
_MISLED_LINES = 1.0  # log lines a second
MOST_SCREENED = 1000
"""INVITEs of strangers that wait at once for what is to be found out about them; a further one gets 503."""

OnCall = Callable[[Call], Coroutine[Any, Any, None] | None]
OnStranger = Callable[[Call, Request], tuple[int, str, bool]]
Screen = Callable[[Request, Flow, bool], object]


@dataclass(slots=True, frozen=True, kw_only=True)
class AgentHooks:
    """What a user agent asks its host, beside `on_call`. Synchronous, and on the way of messages.

    Attributes:
        on_message: Says what happens to a text message (RFC 3428). None: it is refused with 405.
        on_replaces: As `on_call`, for a call that wants to take the place of the second, which is answered (RFC 3891).
            None: it may not.
        on_pickup: As `on_call`, for a call whose Replaces names no dialog of ours: others may have been told of calls
            under names of their own. None: it is refused with 481.
        on_stranger: Asked about a request that changes a call and comes from another host than the call's: 0 where it
            may, else the status and header lines of its refusal; and whether the call follows its sender. None: it may
            not.
        screen: Asked about a stranger's INVITE, and where it came from: a Refusal, or what is to be
            `InviteServer.screened` of the call that it becomes. A coroutine (of a Refusal or None) where that takes a
            while: after None this is asked once more, with True, to be answered at once. Not asked about calls that
            want to take another's place. None: all become calls.
        urgent: Whether an INVITE comes in whatever the limits, and while calls are drained. None: none does.
        carries: Whether a part of a body of this content type, in an INVITE from this flow, goes on to whoever
            understands it. None: none does.
        methods: Who answers requests of further methods (REGISTER, SUBSCRIBE ...) outside of dialogs; see
            `engine.sip.endpoint.Endpoint.handle`.
        on_register: Answers each REGISTER. None: it is refused with 405.
    """

    on_message: OnMessage | None = None
    on_replaces: OnReplaces | None = None
    on_pickup: OnPickup | None = None
    on_stranger: OnStranger | None = None
    screen: Screen | None = None
    urgent: Callable[[Request, Flow], bool] | None = None
    carries: Callable[[str, Flow], bool] | None = None
    methods: Mapping[str, RequestHandler] = field(default_factory=dict)
    on_register: Answerer | None = None


NO_HOOKS: Final = AgentHooks()


class Pong(NamedTuple):
    """What came of OPTIONS. `status` is 0, and `reason` the cause, where there was no answer; `retry_after` in seconds,
    0 where it was not given."""

    status: int
    reason: str
    retry_after: int


class UserAgent:
    """Accepts and makes calls. It owns every socket, task and timer that they need."""

    def __init__(
        self,
        on_call: OnCall,
        settings: AgentSettings | None = None,
        log: Log | None = None,
        peers: Peers = EVERYBODY,
        *,
        hooks: AgentHooks = NO_HOOKS,
        anchors: Anchors | None = None,
        certificates: Certificates | None = None,
        clock: Callable[[], float] = time.monotonic,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """`anchors`: what the media of anchored calls passes; None: sockets of this process. `certificates`:
        what `tls://` listeners show; None where there are none of these. `clock` gives seconds, the
        event loop's (`time.monotonic` is that of both loops, and finer than what uvloop remembers of it);
        `random_bytes(count)` what nobody can guess."""
        self.now = clock
        self.peers = peers
        self.settings = settings or AgentSettings()
        self.log: Log = log or NoLog()
        self.max_call_duration = self.settings.max_call_duration
        self.calls: set[Call] = set()
        self.incoming = 0  # of them
        self.strangers = Strangers(self.peers, self.settings)
        self.messages = Messages(self, hooks.on_message)
        self.trace = Trace(self.settings.trace_messages)
        self._screening: set[asyncio.Task[Refusal | None]] = set()
        self._tokens: list[str] = []  # drawn, and not given out yet
        self._handle: asyncio.TimerHandle | None = None
        self._armed = NEVER
        self._idle: asyncio.Future[None] | None = None
        self.listeners = Listeners(())
        self._misled_log = RateLimit(_MISLED_LINES, 10)
        self._random_bytes = random_bytes
        self._anchors = anchors
        self._certificates = certificates
        self._on_call = on_call
        self._on_replaces = hooks.on_replaces
        self._on_pickup = hooks.on_pickup
        self._on_stranger = hooks.on_stranger
        self._screen_hook = hooks.screen
        self._urgent = hooks.urgent
        self._carries = hooks.carries
        self._methods = hooks.methods
        self._on_register = hooks.on_register

    async def start(self, listen: Iterable[str], where: str = SETTING) -> None:
        """Open the listeners ("udp://127.0.0.1:5060"). Raises ListenError, which says what to do, and in the words of
        `where` the place at which it is to be done."""
        self.loop = asyncio.get_running_loop()
        self.tasks = CallTasks(self.loop, self.log)
        self.refusals = RefusalLog(self.log, self.loop)
        self.endpoint = Endpoint(
            Hooks(
                clock=self.now,
                token=self._token,
                locate=self._locate,
                select=lambda transport, host: self.listeners.select(transport, host),
                random=lambda: int.from_bytes(self._random_bytes(4)) / 2**32,
                wake=self._wake,
                admits=self._admits,
                peers=self.peers,
                listens_at=lambda host, port: self.listeners.listens_at(host, port),
                sent_from=lambda source: self.listeners.sent_from(source),
                on_misled=self._misled,
                screen=self._screen,
                on_refused=self._refused,
                urgent=self._urgent or (lambda request, source: False),
                carries=self._carries or (lambda content_type, source: False),
                locate_for_strangers=self._locate_for_stranger,
            ),
            self.settings.policy,
            on_invite=self._invited,
            on_stranger=self._changed_by_stranger,
        )
        self.endpoint.handle("MESSAGE", self.messages.came, limited=True)
        for method, handler in self._methods.items():
            self.endpoint.handle(method, handler)
        if self._on_register is not None:
            self.endpoint.answer("REGISTER", self._on_register, REGISTER_EXTENSIONS)
        self.intake = Intake(
            self.endpoint, self.peers, self.strangers, self.trace, self.refusals, self.log, self.loop, self.now
        )
        self.listeners = await Listeners.open(
            list(listen),
            self.intake,
            self.settings.advertise,
            where=where,
            certificates=self._certificates,
            websocket=self.settings.websocket,
        )
        self.nowhere = Flow(next(iter(self.listeners)), "", 0)
        self.loopback = Loopback(self.loop, self._came_back, self.intake.sent, self._token(), self.nowhere.transport)
        self.resolver, self._strangers_resolver = self._new_resolver(), self._new_resolver()
        self.locator = Locator(self.listeners, self.resolver, self.log)
        self._strangers_locator = Locator(self.listeners, self._strangers_resolver, self.log)
        hosts = dict.fromkeys(transport.local[0] for transport in self.listeners)
        anywhere = int.from_bytes(self._random_bytes(4))
        self.ports = PortPool(hosts, self.settings.rtp_first, self.settings.rtp_last, first=anywhere)
        self.codecs: tuple[Codec, ...] = CODECS
        if self.settings.codecs:  # whether there is a library for each takes 0.1 s to find out, and once for all calls
            found = await asyncio.to_thread(lambda: [by_name(name) for name in self.settings.codecs])
            self.codecs = tuple(codec for codec in found if codec is not None) or CODECS
        self.plane = Plane(
            self.loop,
            self.now,
            self.settings.rtp_timeout,
            self._media_fault,
            fills=self.settings.silence,
            keepalive=self.settings.keepalive,
        )
        self.relays = Relays(self.ports, self.loop, self.plane)

    def _new_resolver(self) -> Resolver:
        return Resolver(
            nameservers=self.settings.nameservers,
            transports=tuple(dict.fromkeys(transport.name for transport in self.listeners if transport.connects)),
            families=tuple(dict.fromkeys(family_of(transport.local[0]) for transport in self.listeners)),
        )

    # ---- calls

    def dial(
        self, spec: DialSpec, caller: Call | None = None, early_media: bool = True, path: MediaPath = DIRECT
    ) -> OutgoingCall:
        """Open a leg. With `caller`, its session description is offered, its Max-Forwards lowered, and what rings is
        relayed to it (early media too, unless switched off); without, our own media port makes the offer.

        `path` is what the descriptions of the two pass, until the leg ends; direct, unless `spec.anchor` says more."""
        leg = OutgoingCall.dial(self, spec, caller, early_media, path)
        if not leg.ended:
            self.calls.add(leg)
        return leg

    def bridge(self, caller: Call, leg: Call) -> Bridge:
        """See `Call.bridge`. Two that were `restore`d go on talking."""
        return Bridge.connect(caller, leg) if isinstance(leg, OutgoingCall) else Bridge.join(caller, leg)

    def restore(
        self, snapshot: CallSnapshot, *, age: float = 0.0, credentials: Credentials | None = None
    ) -> RestoredCall:
        """Carry on a call of another user agent, whose snapshot was taken `age` seconds ago. The peer is told where it
        is reached from now on, unless that is where it was. `credentials`: for a call that had to log in. Raises
        ValueError where the call is here already."""
        now = self.now()
        session = restore(self.endpoint, snapshot.dialog, now, age=age, credentials=credentials)
        call = RestoredCall(self, session, snapshot, age, now)
        self.calls.add(call)
        self.incoming += call.direction == "incoming"
        if session.own_address != snapshot.dialog.own_address:
            session.refresh(now)
        return call

    async def locate(self, uri: str) -> tuple[list[Flow], str]:
        """The flows of a SIP URI, best first; or none, and why."""
        found: asyncio.Future[tuple[list[Flow], str]] = self.loop.create_future()

        def tell(flows: list[Flow], cause: str = "") -> None:
            if not found.done():
                found.set_result((flows, cause))

        self._locate(uri, tell)
        return await found

    def _locate(self, uri: str, done: Located) -> None:
        if self.loopback.domain in uri:
            done([self.loopback.flow])
        else:
            self.locator.locate(uri, done)

    def _came_back(self, data: bytes, flow: Flow) -> None:
        """A message that we have sent to ourselves."""
        self.intake.take(data, flow, self.now())

    def _locate_for_stranger(self, uri: str, done: Located) -> None:
        self._strangers_locator.locate(uri, done)

    def is_ours(self, host: str) -> bool:
        """Whether we listen at this host ourselves, or say that we do, on some port."""
        return self.listeners.is_ours(host)

    def listens_at(self, host: str, port: int) -> bool:
        """Whether this is where we listen ourselves, or say that we do."""
        return self.listeners.listens_at(host, port)

    async def ping(
        self, uri: str, destination: str, domain: str, patience: float, peer: PeerOptions = ANY_PEER
    ) -> Pong:
        """Send OPTIONS to `destination` (a SIP URI), and on to its next target where one says nothing within `patience`
        seconds, or that it is out of service, as an INVITE would go. `domain`: host of our From, unless `peer` is to be
        shown another."""
        answered: asyncio.Future[Pong] = self.loop.create_future()

        def tell(response: Response | None, cause: str) -> None:
            if answered.done():
                return
            if response is None:
                answered.set_result(Pong(0, cause, 0))
            else:
                answered.set_result(Pong(response.status, response.reason, response.retry_after))

        spec = RequestSpec(
            method="OPTIONS",
            uri=uri,
            destination=destination,
            from_=f"<sip:{peer.contact_host or domain}>",
            to=f"<{uri}>",
            contact_host=peer.contact_host,
            tls=peer.tls_terms,
            headers="Accept: application/sdp\r\n",
        )
        ping = OutOfDialogRequest(self.endpoint, spec, tell)
        try:
            while True:
                await asyncio.wait((answered,), timeout=patience)
                if answered.done():
                    return answered.result()
                if not ping.try_next(self.now()):
                    return Pong(0, "no response", 0)
        finally:
            ping.abandon(self.now())

    def _invited(self, session: InviteServer) -> None:
        call = Call(self, session, session.source, self.now())
        if session.source.transport.internal:
            call.origin = self._origin(session)
            if call.origin is None:
                session.reject(403, self.now())
                return
        self.calls.add(call)
        self.incoming += 1
        if call.origin is None:
            call.share = self.strangers.begun(session.invite, session.source)
        try:
            replaces = "Replaces" in session.invite.first
            work = accept_replaces(call, self._on_replaces, self._on_pickup) if replaces else self._on_call(call)
        except Exception as error:
            self.log.error("call handler failed", call_id=call.id, error=repr(error))
            session.reject(500, self.now())
            return
        if work is None:
            if not call.ended and not call.answered:
                session.reject(480, self.now())
        elif call.ended:
            work.close()
        else:
            self.tasks.run(call, work)

    def _origin(self, session: InviteServer) -> Any:
        """The `DialSpec.origin` of a call that we have dialled to ourselves."""
        transaction = self.endpoint.transactions.clients.get(client_key(session.invite.via.branch, "INVITE"))
        request = None if transaction is None else transaction.user
        dialling = request.user if isinstance(request, OutgoingRequest) else None
        leg = dialling.dialer if isinstance(dialling, InviteClient) else None
        return leg.origin if isinstance(leg, OutgoingCall) else None

    def call_over(self, call: Call) -> None:
        """A leg has ended (it says so itself)."""
        if call not in self.calls:
            return
        self.calls.discard(call)
        if call.direction == "incoming":
            self.incoming -= 1
            self.strangers.ended(call.share)
        self.tasks.call_over(call)
        if self._idle is not None and not self.calls and not self._idle.done():
            self._idle.set_result(None)

    # ---- the end

    async def drain(self, seconds: float) -> int:
        """Refuse new calls, let those in progress end for `seconds`, hang up the rest; return their number."""
        self.endpoint.draining = True
        await self._until_idle(seconds)
        # Dialled legs first: hung up after its caller, a leg would be told no cause.
        rest = sorted(self.calls, key=lambda call: call.direction == "incoming")
        for call in rest:
            call.hangup(503, 'SIP;cause=503;text="shutting down"')
        if rest:
            await self._until_idle(_BYE_GRACE)
        return len(rest)

    async def _until_idle(self, seconds: float) -> None:
        if not self.calls or seconds <= 0:
            return
        self._idle = self.loop.create_future()
        await asyncio.wait((self._idle,), timeout=seconds)

    async def stop(self) -> None:
        """Close everything; calls that are still up are hung up, without waiting for their peers."""
        for call in list(self.calls):
            call.hangup(503)
        for _ in range(_STOP_TRIES):
            running = (*self.tasks.running, *self._screening, *self.messages.tasks)
            for task in running:
                task.cancel()
            if running:
                await asyncio.wait(running, timeout=_BYE_GRACE / _STOP_TRIES)
        self.tasks.close()
        await self.settle()
        for call in tuple(self.calls):
            # Its BYE waits for an ACK that will not come any more (RFC 3261 §15).
            call.finish("local", 408, "no ACK until the end", self.now())
        if self._handle is not None:
            self._handle.cancel()
        self.intake.close()
        self.endpoint.deadlines.stop()
        self.refusals.close()
        await self.locator.close()
        await self._strangers_locator.close()
        await self.listeners.close()
        await self.resolver.close()
        await self._strangers_resolver.close()
        self.plane.close()
        self.ports.close()

    async def settle(self) -> None:
        """Wait, briefly, until our last requests are answered: a peer that missed its end keeps its line busy."""
        for _ in range(round(_BYE_GRACE / _SETTLE_STEP)):
            clients = self.endpoint.transactions.clients.values()
            if not any(t.state in ("trying", "proceeding") for t in clients if t.method != "INVITE"):
                return
            await asyncio.sleep(_SETTLE_STEP)

    # ---- what the protocol core has not of its own

    def _token(self) -> str:
        """16 hexadecimal digits from the system's random source, drawn in larger pieces."""
        if not self._tokens:
            digits = self._random_bytes(2048).hex()
            self._tokens = [digits[start : start + 16] for start in range(0, len(digits), 16)]
        return self._tokens.pop()

    def call_id(self) -> str:
        """A random UUID (version 4) as text."""
        a, b = self._token(), self._token()
        return f"{a[:8]}-{a[8:12]}-4{a[13:16]}-a{b[1:4]}-{b[4:]}"

    def _admits(self, request: Request, source: Flow, now: float) -> Admission:
        if source.transport.internal:
            return "take"  # what an order may set off is bounded where it is ordered
        if request.method == "INVITE" and self.strangers.full(request, source, self.incoming):
            self.refusals.add("max_calls", source.host)
            return "refuse"
        admission, cause, host = self.strangers.admit(request, source, now)
        if cause:
            self.refusals.add(cause, host)
        return admission

    def _refused(self, host: str, cause: str, request: Request | None) -> None:
        """A stranger was refused. What somebody else has decided, that one logs; the rest is the engine's own."""
        if cause.isdigit():
            self.refusals.add(cause, counted_source(host), int(cause), "requests refused")
        else:
            self.refusals.count(cause)

    def _screen(self, request: Request, source: Flow, now: float) -> object:
        """See `Hooks.screen`."""
        if self._screen_hook is None or "Replaces" in request.first:
            return None
        found = self._screen_hook(request, source, False)
        if not asyncio.iscoroutine(found):
            return found
        if len(self._screening) >= MOST_SCREENED:
            found.close()
            return Refusal(status=503, headers=f"Retry-After: {self.settings.policy.limits.retry_after}\r\n")
        task = self.loop.create_task(found, name=f"screen {request.call_id}")
        self._screening.add(task)
        task.add_done_callback(lambda done: self._screened(request, source, done))
        return WAITS

    def _screened(self, request: Request, source: Flow, task: "asyncio.Task[Refusal | None]") -> None:
        self._screening.discard(task)
        if task.cancelled() or self._screen_hook is None:
            return
        error = task.exception()
        if error is not None:
            self.log.error("call not screened", error=repr(error))
        found = Refusal(status=500) if error is not None else task.result() or self._screen_hook(request, source, True)
        self.endpoint.decided(request, source, found, self.now())

    def _misled(self, peer: str, doing: str) -> None:
        if self._misled_log.allows("", self.now()):
            source = address_of(peer)
            self.log.warning("peer names an address that is not its own", source=source, request=doing, status=403)

    def _changed_by_stranger(self, session: Session, request: Request) -> tuple[int, str, bool]:
        owner: Any = session.user  # a call, or the bridge of two
        if self._on_stranger is None or owner is None:
            return 403, "", False
        call: Call = owner.leg_of(session)
        status, headers, follow = self._on_stranger(call, request)
        if follow and request.source is not None:
            call.remote = request.source
        return status, headers, follow

    def _wake(self, when: float) -> None:
        if when < self._armed:
            if self._handle is not None:
                self._handle.cancel()
            self._armed = max(when, self.now() + TIMER_STEP)
            self._handle = self.loop.call_at(self._armed, self._tick)

    def _tick(self) -> None:
        self._armed = NEVER
        self._handle = None
        try:
            self.endpoint.run(self.now())
        except Exception:
            self.log.error("timer not handled", exc_info=True)
        when = self.endpoint.next_deadline()
        if when < self._armed:
            self._wake(when)

    # ---- media of our own

    def open_media(self, call: Call, remote: Flow | None = None) -> MediaPort:
        """A media port for `call`, that its peer can reach, who is at `remote` where the call does not know yet. Raises
        NoPortError when there is none left."""
        place = self._place(remote or call.remote, call.consent)
        return MediaPort.open(self.ports, place.host, place.shown, self.codecs, place.consent)

    def open_media_towards(self, call: Call, invitation: Invitation) -> MediaPort:
        """A media port for a call that we make, on the listener that it will leave by as far as that is known."""
        found = [] if invitation.flow is None else [invitation.flow]
        if not found:
            self._locate(invitation.destination, lambda flows, _cause="": found.extend(flows))
        return self.open_media(call, found[0] if found else self.nowhere)

    def open_anchor(self, caller: Call, leg: Call, callee: Flow, *, embedded: bool) -> Anchor:
        """A place of ours for the media of `caller` and `leg`, which goes to `callee`. Raises AnchorError."""
        anchors: Anchors = self.relays if embedded or self._anchors is None else self._anchors
        # Not the caller's own consent: whom the leg talks with may be another one later (`OutgoingCall.talks_with`).
        near = self._place(caller.remote, Consent(caller.session, self.peers, self.now))
        if caller.anchor_side is None:
            caller.anchor_side = anchors.shared(near)
        return anchors.open(near, self._place(callee, leg.consent), caller.anchor_side)

    def _place(self, remote: Flow, consent: Consent) -> MediaAddress:
        """Where media from and to `remote` finds us: where its signalling does."""
        shown = remote.transport.sent_by(remote.host).rpartition(":")[0].strip("[]")
        if remote.transport.internal:
            shown = remote.host
        return MediaAddress(remote.transport.local[0], shown if family_of(shown) else "", consent)

    def _media_fault(self, error: Exception) -> None:
        """Whatever somebody's feed or tap raised in its turn: the calls of others go on."""
        self.log.error("sound not handled", error=repr(error))

    # ---- connections

    def drop_banned(self) -> None:
        """Close the connections of peers that are banned."""
        for transport in self.listeners:
            transport.drop_banned()
