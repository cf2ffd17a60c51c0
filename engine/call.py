"""Call: one leg as the application sees it, with orders to give and events to wait for.

Orders are synchronous and cheap; only waiting is asynchronous. What a peer does reaches the call synchronously from
the protocol core, so that a relayed message waits for no task.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from engine.call_media import CallEnded, CallMedia
from engine.media.anchor import CALLEE, Anchor, Shared
from engine.media.negotiation import NotAcceptable
from engine.media.plane import Plane
from engine.media.port import MediaPort
from engine.media.port_pool import NoPortError
from engine.media.refusal import MEDIA_FAILURES, warning
from engine.media.rtp.consent import Consent
from engine.party import Party
from engine.settings import AgentSettings
from engine.sip.dialog.invite_client import MAX_BREADTH, Invitation
from engine.sip.dialog.invite_server import InviteServer
from engine.sip.dialog.session import Session
from engine.sip.endpoint import Endpoint
from engine.sip.flow import Flow
from engine.sip.message.message import Request, Response
from engine.sip.peers import Peers
from engine.sip.sdp.offer_answer import resumed
from engine.sip.stateless import Refusal
from engine.sip.transaction.server import ServerTransaction
from engine.transfer import Transferred, transfer
from engine.transport.loopback import Loopback

if TYPE_CHECKING:  # numpy is for calls that have sound of ours
    from engine.media.audio import AudioSink, AudioSource

__all__ = ["MEDIA_FAILURES", "Call", "CallEnded", "NoPortError", "NotAcceptable"]


class CallTexts(Protocol):
    """Who takes a text that comes within a call (`engine.messages.Messages`)."""

    def came(
        self, transaction: ServerTransaction, request: Request, source: Flow, now: float, within: "Call | None" = None
    ) -> None: ...


class CallAgent(Protocol):
    """What a call needs of its user agent (`engine.user_agent.UserAgent`)."""

    endpoint: Endpoint
    loop: asyncio.AbstractEventLoop
    loopback: Loopback
    max_call_duration: float
    nowhere: Flow
    peers: Peers
    plane: Plane
    settings: AgentSettings

    @property
    def messages(self) -> CallTexts: ...
    def now(self) -> float: ...
    def call_id(self) -> str: ...
    def open_media(self, call: "Call") -> MediaPort: ...
    def open_media_towards(self, call: "Call", invitation: Invitation) -> MediaPort: ...
    def open_anchor(self, caller: "Call", leg: "Call", callee: Flow, *, embedded: bool) -> Anchor: ...
    def bridge(self, caller: "Call", leg: "Call") -> "Bridged": ...
    def call_over(self, call: "Call") -> None: ...


class Bridged(Protocol):
    """The two of which a call is one (`engine.bridge.Bridge`)."""

    caller: "Call"
    listener: object

    async def ended(self) -> str: ...
    def other(self, call: "Call") -> "Call": ...
    def release(self) -> None: ...


class DialledLeg(Protocol):
    """A leg that is dialled for a call (`engine.dial.OutgoingCall`)."""

    @property
    def ended(self) -> bool: ...
    @property
    def far_end(self) -> object: ...
    @property
    def ring_timeout(self) -> float: ...
    def cancel(self, cause: str = "") -> None: ...
    def take_from_caller(
        self, session: Session, transaction: ServerTransaction, request: Request, now: float
    ) -> bool: ...


class Call(Party):
    """One leg. Times are monotonic seconds of the event loop's clock.

    `status` is dialing, ringing, progressing (answered), terminating (our BYE waits), canceling or hangup.
    `ended_by` is "remote" or "local"; `end_status` the final SIP status; `end_reason` words for it.
    """

    __slots__ = (
        "__weakref__",
        "_carried",
        "_consent",
        "_ended",
        "_orders",
        "_rang",
        "anchor_side",
        "answered_at",
        "awaits_end",
        "bridged",
        "created",
        "dialled",
        "end_reason",
        "end_status",
        "ended_at",
        "ended_by",
        "id",
        "legs",
        "max_breadth",
        "max_forwards",
        "on_end",
        "on_status",
        "origin",
        "peer_reason",
        "remote",
        "resting",
        "share",
        "status",
        "task",
    )

    direction = "incoming"
    agent: CallAgent

    def move_to(self, flow: Flow) -> None:
        """The peer is reached by another flow from now on."""
        self.remote = flow
        self.session.move_to(flow)

    def __init__(self, agent: CallAgent, session: Session, remote: Flow, now: float) -> None:
        super().__init__(agent, session)
        self.remote = remote
        self.share = ""  # the stranger whose share it counts in (`engine.strangers`); "": nobody's
        self.id = agent.call_id()
        self.status = "dialing"
        self.created = now
        self.answered_at: float | None = None
        self.ended_at: float | None = None
        self.ended_by = ""
        self.end_status = 0
        self.end_reason = ""
        # What legs dialled for it say: their Max-Forwards; how many there may be at once, all that these lead to
        # included (RFC 5393 §5.3.3).
        self.max_forwards, self.max_breadth = 70, MAX_BREADTH
        if isinstance(session, InviteServer):
            invite = session.invite
            self.peer_body = invite.body
            self.max_forwards = int(invite.get("Max-Forwards", "70")) - 1
            if "Max-Breadth" in invite.first:
                self.max_breadth = _breadth(invite.first["Max-Breadth"].strip())
        self.peer_reason = ""  # Reason of the leg that was bridged to this one, for this one's BYE
        self.legs: list[DialledLeg] = []  # being dialled for this call
        self.bridged: Bridged | None = None
        self.anchor_side: Shared | None = None  # what legs of this call share that are anchored
        self.on_end: Callable[[Call], None] | None = None
        # Told of every change of `status` but the last, which is on_end's. It must not raise, and is quick.
        self.on_status: Callable[[Call], None] | None = None
        self.task: asyncio.Task[Any] | None = None  # runs what happens to the call; ends with it
        self.awaits_end = False  # the task waits for nothing else, so it need not be cancelled
        self._ended: asyncio.Event | None = None
        self._orders: CallMedia | None = None  # made by the first order that needs it
        self._consent: Consent | None = None  # made where media of ours asks for it
        self._carried: dict[str, Any] | None = None  # what went through media of ours that was given back
        self._rang = False
        self.resting = False  # it waits for nothing; see `rest`
        self.dialled = ""  # the number that was dialled, in the form in which numbers are compared
        self.origin: Any = None  # of a call that we made to ourselves: `DialSpec.origin`; None: it came from a peer
        session.user = self

    # ---- what it is

    @property
    def invite(self) -> Request:
        """The INVITE that opened the call; there is none any more when our answer has been acknowledged."""
        assert isinstance(self.session, InviteServer)
        return self.session.invite

    @property
    def returned(self) -> bool:
        """We sent its INVITE ourselves, and it has come back."""
        return self.session.marks is not None

    @property
    def depth(self) -> int:
        """How many calls of ours led to this one, that came back to us one after the other."""
        marks = self.session.marks
        return 0 if marks is None else 1 + max((mark.depth for mark in marks), default=0)

    def loops(self, dialled: str) -> bool:
        """Whether it is a call to `dialled` that has led to this one (RFC 3261 §16.3 step 4)."""
        marks = self.session.marks
        if not marks:
            return False
        stands_for = self.agent.endpoint.branches.stands_for(dialled)
        return any(mark.dialled == stands_for for mark in marks)

    @property
    def answered(self) -> bool:
        return self.answered_at is not None

    @property
    def ended(self) -> bool:
        return self.ended_at is not None

    @property
    def sip_call_id(self) -> str:
        """The Call-ID of this leg."""
        return self.session.dialog.call_id

    @property
    def signalling_ids(self) -> set[str]:
        """Call-IDs of this leg, for its trace."""
        return {self.session.dialog.call_id}

    @property
    def consent(self) -> Consent:
        """Where the peer may be sent media of ours."""
        if self._consent is None:
            self._consent = Consent(self.session, self.agent.peers, self.agent.now)
        return self._consent

    # ---- orders before the answer

    def keep(self) -> None:
        """The call has begun: a refusal from now on is sent reliably, also where the caller is a stranger."""
        if isinstance(self.session, InviteServer):
            self.session.keep(self.agent.now())

    def ringing(self) -> None:
        """180 Ringing, once; nothing after it is answered."""
        session = self._incoming()
        if not self._rang and not self.answered:
            self._rang = True
            self._set_status("ringing")
            session.provisional(180, self.agent.now())

    def progress(self, body: bytes = b"") -> None:
        """183 Session Progress with a session description, that of our own media port where none is given.

        Raises CallEnded, and what is in MEDIA_FAILURES where our own media cannot be had.
        """
        session = self._incoming()
        if not self.answered:
            speaker: object = body or self
            body = body or self._local_description()
            self._set_status("ringing")
            session.speak_for(speaker, self.agent.now())
            session.provisional(183, self.agent.now(), body)

    def relay_progress(
        self, response: Response, with_body: bool, reliable: bool, far_end: object = None, headers: str = ""
    ) -> None:
        """Pass on what a dialled leg's peer sent: ringing once, early media whenever it changes. `far_end`: whose media
        its description is of. `headers`: lines of it that go on."""
        session = self.session
        if self.ended or self.answered or not isinstance(session, InviteServer) or not 180 <= response.status < 190:
            return
        # An offer may not travel in an unreliable response (RFC 3262 §5): a caller that made none hears only ringing.
        offered = bool(session.invite.body) or (reliable and session.supports_100rel)
        body = response.body if with_body and offered else b""
        if body:
            session.speak_for(far_end, self.agent.now())
        if body and session.has_described(body):
            body = b""
        if not body and self._rang:
            return
        status = response.status if body or response.status != 183 else 180
        self._rang = self._rang or status == 180
        self._set_status("ringing")
        session.provisional(status, self.agent.now(), body, headers, reliable=reliable)

    def answer(self, body: bytes = b"") -> None:
        """200 OK, with our own media port's description where none is given. Nothing when already answered.

        Raises CallEnded, NotAcceptable (488) when no media can be agreed on, NoPortError (503) when no port is left.
        """
        session = self._incoming()
        if self.answered:
            return
        now = self.agent.now()
        session.speak_for(body or self, now)
        session.accept(now, body or self._local_description())
        self.set_answered(now)

    def reject(self, status: int, reason: str = "", headers: Sequence[tuple[str, str]] = ()) -> None:
        """A final response other than 2xx: the call is over."""
        session = self._incoming()
        if self.answered:
            raise CallEnded("the call has been answered: it can be hung up, not rejected")
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        session.reject(status, self.agent.now(), lines, reason)

    def refuse(self, refusal: Refusal) -> None:
        """As `reject`, with what has been made ready."""
        self._incoming().reject(refusal.status, self.agent.now(), refusal.headers, refusal.reason)

    def redirect(self, contacts: Sequence[str]) -> None:
        """302 with the URIs to try instead, in order."""
        self.reject(302, headers=[("Contact", f"<{uri}>") for uri in contacts])

    def hangup(self, status: int = 480, cause: str = "", reason: str = "") -> None:
        """End the call: BYE once answered, before that `status`. `cause` is a Reason value (`Q.850;cause=16`)."""
        if self.ended:
            return
        now = self.agent.now()
        cause = cause or self.peer_reason
        if self.answered:
            self._set_status("terminating")
            self.session.bye(now, cause)
        else:
            session = self._incoming()
            session.reject(status, now, f"Reason: {cause}\r\n" if cause else "", reason)

    def _incoming(self) -> InviteServer:
        if self.ended:
            raise CallEnded("the call is over")
        session = self.session
        if not isinstance(session, InviteServer):
            raise CallEnded("an outgoing call is answered by its far end")
        return session

    # ---- waiting

    async def wait_ended(self) -> None:
        """Returns when the leg is over. A call whose own task waits here rests."""
        if self.ended:
            return
        if self._ended is None:
            self._ended = asyncio.Event()
        rested = self.resting
        if asyncio.current_task() is self.task:
            self.awaits_end = True
            self.rest()
        try:
            await self._ended.wait()
        finally:
            self.awaits_end = False
            self.rest(rested)

    async def sleep(self, seconds: float) -> None:
        """Wait; a hangup ends it by cancelling the call's task. Raises CallEnded on a call that is over."""
        if self.ended:
            raise CallEnded("the call is over")
        await asyncio.sleep(seconds)

    # ---- media of our own

    def _local_description(self) -> bytes:
        """Our media port's answer to the caller's offer, or its own offer where the caller made none."""
        assert isinstance(self.session, InviteServer)
        media, offer = self.open_media(), self.session.invite.body
        if self.session.dialog.renegotiated:
            return self.session.last_body
        return media.answer(offer) if offer else media.local or media.offer()

    def open_media(self) -> MediaPort:
        """Our media port for this call, opened where it is not. Raises NoPortError when there is none left."""
        if self.media_port is None:
            self.media_port = self.agent.open_media(self)
        return self.media_port

    async def echo(self, seconds: float | None = None) -> None:
        """Send the caller's audio back for so long, or until it hangs up. Answers first if need be."""
        await self._media_orders().echo(seconds)

    async def play(self, feed: "AudioSource", until: str = "") -> str:
        """Plays `feed` to its end. A key in `until` stops it, stays in the buffer, and is returned; "" otherwise.

        An unanswered call whose `progress` has sent our description hears it as early media; any other is answered
        first. A later `play` takes the place of this one, which then returns. Cancelling it stops the sound at once.
        Raises CallEnded, and what is in MEDIA_FAILURES.
        """
        return await self._media_orders().play(feed, until)

    async def key(self, timeout: float | None = None) -> str:  # noqa: ASYNC109 - running out of it is no error
        """The next key ("0" to "9", "*", "#", "A" to "D"); "" when none came within `timeout` seconds.

        Keys are kept (64, the oldest go first) from when our media is opened: by RFC 4733, by SIP INFO, and as tones
        where the engine is told to hear them. Raises CallEnded, and what is in MEDIA_FAILURES.
        """
        return await self._media_orders().key(timeout)

    async def pressed(self, among: str) -> str:
        """The next key of `among`, from now on; it stays in the buffer. Our media has to be open (`listen` opens it).

        For a watcher beside the one that asks for keys; it waits for ever where no such key comes.
        """
        return await self._media_orders().pressed(among)

    async def listen(self) -> None:
        """Opens our media without playing; answers first if need be. Raises as `play` does."""
        await self._media_orders().listen()

    def rest(self, on: bool = True) -> None:
        """From now on the peer waits for nothing: whenever it hears nothing it is sent a packet now and then, and not
        silence all the time. With `on` false as before."""
        if on == self.resting:
            return
        self.resting = on
        if self.answered and not self.ended:
            stream = self.media_port.stream if self.media_port is not None else None
            if stream is None:
                self._wait_quietly()
            elif self._orders is not None:
                self._orders.fill()

    def _wait_quietly(self) -> None:
        """Nobody plays anything to the peer yet, although its media may end at us."""
        plane = self.agent.plane
        plane.unfilled.remove(self)
        plane.resting.remove(self)
        if self.media_port is not None:
            (plane.unfilled if plane.fills and not self.resting else plane.resting).add(self)

    def due(self, now: float) -> None:
        """The peer has waited (`Plane.unfilled`, `Plane.resting`)."""
        plane, port = self.agent.plane, self.media_port
        if self.ended or port is None:
            return
        if plane.fills and not self.resting:
            if not self._media_orders().fill():
                plane.unfilled.add(self)  # our offer has no answer yet
        elif port.keep_alive(plane):
            plane.resting.add(self)

    def forget_keys(self) -> None:
        """Throws away the keys that nobody has asked for."""
        if self._orders is not None:
            self._orders.digits.clear()

    async def send_keys(self, digits: str, duration: float = 0.1, interval: float = 0.1, *, info: bool = False) -> None:
        """Presses `digits` for the peer, `duration` seconds each with `interval` seconds between them; "," is a pause
        of a second. By RFC 4733; by SIP INFO (application/dtmf-relay) where the peer took no telephone-event, or with
        `info`. Answers first if need be. Raises ValueError for what is no key, and else as `play` does.
        """
        await self._media_orders().send_keys(digits, duration, interval, info)

    def attach(self, tap: "AudioSink") -> None:
        """From now on `tap` hears the peer, whenever our media is open. Raises RuntimeError where it is not open now
        (`listen` opens it)."""
        self._media_orders().attach(tap)

    def detach(self, tap: "AudioSink") -> None:
        """`tap` hears no more; nothing where it did not."""
        if self._orders is not None:
            self._orders.detach(tap)

    def _media_orders(self) -> CallMedia:
        if self._orders is None:
            self._orders = CallMedia(self)
        return self._orders

    @property
    def media(self) -> dict[str, Any] | None:
        """What has gone through our own media: `codec`, packets `sent`, `received` and `lost`, `jitter_ms`, and
        `rtt_ms` where the peer reports (RTCP). None where there was none."""
        return _added(self._carried, self.media_port.report() if self.media_port is not None else None)

    def close_media(self) -> None:
        """Give our own media port back; what plays ends."""
        media, self.media_port = self.media_port, None
        if media is not None:
            plane = self.agent.plane
            plane.unfilled.remove(self)
            plane.resting.remove(self)
            self._carried = _added(self._carried, media.report())
            media.close()
        if self._orders is not None:
            self._orders.close()

    # ---- transfer

    @property
    def own_address(self) -> str:
        """Where the peer finds us: what stands behind the `@` of a URI."""
        return self.remote.own_address(self.session.dialog.contact_host)

    async def transfer(self, refer_to: str, referred_by: str = "") -> Transferred:
        """Ask the peer to call `refer_to`, a URI, in place of us (REFER), and wait for what becomes of it; see
        `engine.transfer.transfer`. `referred_by` is a URI of ours (RFC 3892). Raises CallEnded on a call that is over.
        """
        if self.ended:
            raise CallEnded("the call is over")
        lines = f"Referred-By: <{referred_by}>\r\n" if referred_by else ""
        return await transfer(self.session, self.agent.now(), refer_to, lines)

    # ---- another leg

    def offer_for_leg(self) -> tuple[bytes, int, bool]:
        """What a leg dialled for this call says: its offer, its Max-Forwards, and whether it may ask for 100rel.

        A caller that made no offer gets the far end's, which can come early only if it takes reliable responses.
        """
        session = self.session
        if not isinstance(session, InviteServer):
            return self.resumed_body, self.max_forwards, True
        body = self.resumed_body if self.answered else session.invite.body
        return body, self.max_forwards, bool(body) or session.supports_100rel

    @property
    def resumed_body(self) -> bytes:
        """What the peer said last, for somebody new: it may be held by the one that it talks with until then."""
        return self.peer_body if self.bridged is None else resumed(self.peer_body)

    def bridge(self, leg: "Call") -> Bridged:
        """Answer the caller with what `leg`, which was dialled for it, answered, and connect both; see `engine.bridge`.
        Raises CallEnded when one of them is over."""
        return self.agent.bridge(self, leg)

    def talks_with(self, other: "Call") -> None:
        """What the peer hears and says from now on is `other`'s."""

    def leg_of(self, session: Session) -> "Call":
        """Whose session it is, as `Bridge.leg_of` says."""
        return self

    def _set_status(self, status: str) -> None:
        """Every change of `status` but the last."""
        if status != self.status:
            self.status = status
            if self.on_status is not None:
                self.on_status(self)

    def set_answered(self, now: float) -> None:
        self.answered_at = now
        self._set_status("progressing")
        if self.media_port is not None:
            self._wait_quietly()
        if self.agent.max_call_duration:
            self.session.limit(now + self.agent.max_call_duration)

    # ---- what the peer does (SessionUser)

    def on_progress(self, session: Session, response: Response, now: float) -> None:
        """Only outgoing calls make progress."""

    def on_answered(self, session: Session, response: Response, now: float) -> None:
        """Only outgoing calls are answered by their far end."""

    def on_acknowledged(self, session: Session, body: bytes, now: float) -> None:
        if body and self.media_port is not None:
            self.path.answer(CALLEE, body, self.accept_answer)
        if self._orders is not None:
            self._orders.on_acknowledged()

    def on_reinvite(self, session: Session, request: Request, now: float) -> None:
        """Hold, resume or a changed address, while the media is ours."""

        def reply(status: int, body: bytes, lines: str) -> None:
            if status < 300:
                session.accept_reinvite(self.agent.now(), body)
            else:
                session.refuse_reinvite(status, self.agent.now(), lines)

        if self.media_port is None:
            session.refuse_reinvite(488, now)
        else:
            self.answer_offer(request.body, reply)

    def on_request(self, session: Session, transaction: ServerTransaction, request: Request, now: float) -> None:
        """INFO, UPDATE or PRACK outside of a bridge: for the leg that is being dialled, or for our media. A MESSAGE is
        for the number that the call is with."""
        if request.method == "MESSAGE":
            self.agent.messages.came(transaction, request, request.source or self.remote, now, within=self)
            return
        if session.subscription is not None and request.method == "REFER":
            why = "nobody is connected who could be transferred"
            session.subscription.refuse(603, now, headers=f'Warning: 399 trunkline "{why}"\r\n')
            return
        ours = self.answered or not self.legs  # before the answer, what a caller hears and presses is its leg's
        if ours and request.method == "INFO" and self._orders is not None and self._orders.take_info(request, now):
            session.reply(transaction, 200, now)
            return
        leg = self._leg_of(request.method)
        if leg is not None and leg.take_from_caller(session, transaction, request, now):
            return
        if request.method == "INFO" or not request.body:
            session.reply(transaction, 200, now)
        elif self.media_port is None:
            session.reply(transaction, 488, now)
        elif request.method == "PRACK" and self.media_port.agreed is None:
            try:
                self.media_port.accept(request.body)
            except NotAcceptable as error:
                session.reply(transaction, error.status, now, f"Warning: {warning(error)}\r\n")
            else:
                session.reply(transaction, 200, now)
        else:
            self.answer_offer(
                request.body,
                lambda status, body, lines: session.reply(transaction, status, self.agent.now(), lines, body),
            )

    def _leg_of(self, method: str) -> DialledLeg | None:
        """Which of the legs that are dialled a request before the answer is for: offers are for the one whose dialog it
        is, keys for the only one."""
        legs = self.legs
        speaker = self.session.speaker if isinstance(self.session, InviteServer) else None
        if speaker is not None:
            described = [leg for leg in legs if leg.far_end is speaker]
            legs = described if described or method != "INFO" else legs
        return legs[0] if len(legs) == 1 else None

    def may_ring_on(self, session: Session) -> bool:
        longest = self.agent.settings.policy.max_ringing
        return any(leg.ring_timeout > longest for leg in self.legs if not leg.ended)

    def on_ended(self, session: Session, by: str, status: int, reason: str, now: float) -> None:
        self.finish(by, status, session.end_reason or reason, now)

    def finish(self, by: str, status: int, reason: str, now: float) -> None:
        """The leg is over: everything it holds is returned, waiters are woken, its task is ended."""
        if self.ended:
            return
        self.ended_at = now
        self.ended_by = by
        self.end_status = status
        self.end_reason = reason
        self.status = "hangup"
        self.on_status = None
        self.close_media()
        if self.anchor_side is not None:
            self.anchor_side.close()
        for leg in tuple(self.legs):
            leg.cancel(reason if by == "remote" else "")  # what we call it ourselves is no Reason value
        self.bridged = None
        if self._ended is not None:
            self._ended.set()
        on_end, self.on_end = self.on_end, None
        if on_end is not None:
            on_end(self)
        self.agent.call_over(self)


def _breadth(text: str) -> int:
    """The value of a Max-Breadth, as far as it is one and not above ours."""
    return min(int(text), MAX_BREADTH) if text.isascii() and text.isdigit() and len(text) < 10 else MAX_BREADTH


def _added(before: dict[str, Any] | None, after: dict[str, Any] | None) -> dict[str, Any] | None:
    """The figures of media that was ours more than once: counts add up, else the last ones stand."""
    if before is None or after is None:
        return after or before
    return {**before, **after, **{name: before[name] + after[name] for name in ("sent", "received", "lost")}}
