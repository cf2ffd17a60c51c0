"""Outgoing calls: what is dialled (`DialSpec`), how that ends (`Outcome`), and the call that it makes."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NamedTuple, Protocol

from engine.call import MEDIA_FAILURES, Call, CallAgent, NoPortError, NotAcceptable
from engine.call_media import NO_MEDIA, NO_MEDIA_REASON
from engine.media.anchor import CALLEE, CALLER, AnchorError, Rewritten
from engine.media.audio import AudioSink
from engine.media.path import DIRECT, MediaPath, Relayed
from engine.media.relay.relay import Relay
from engine.party import relay_request, relay_update
from engine.sip.auth.credentials import Credentials
from engine.sip.dialog.invite_client import MAX_BREADTH, MAX_FORKS, Invitation, InviteClient, InviteFailure
from engine.sip.dialog.invite_server import InviteServer
from engine.sip.dialog.session import Session
from engine.sip.flow import Allows, Flow, TlsTerms
from engine.sip.message.message import BodyPart, Request, Response
from engine.sip.transaction.branch import Branches, Mark
from engine.sip.transaction.server import ServerTransaction

OutcomeKind = InviteFailure | Literal["answered"]


class Outcome(NamedTuple):
    """How dialling ended.

    `status` is the final SIP status (of no_media, what the caller deserves), 0 when there was none. `retry_after` in
    seconds, 0 when not given. `first_reply` in monotonic seconds. `headers`: what a refusal says beside its status.
    """

    kind: OutcomeKind
    status: int
    reason: str
    retry_after: int = 0
    first_reply: float | None = None
    headers: tuple[tuple[str, str], ...] = ()


class PeerOptions(Protocol):
    """What a peer wants of requests to it, whatever the call. The model of a provider has these fields under the same
    names: it is handed on as it is, so that a field is added there and where it is read, and copied nowhere."""

    @property
    def username(self) -> str: ...
    @property
    def password(self) -> str: ...
    @property
    def realm(self) -> str:
        """Of the challenges that the credentials are for; "" for any."""

    @property
    def codecs(self) -> str:
        """Names with commas, in the order of our own offer, where we make it; "" for those of the engine."""

    @property
    def srtp(self) -> str:
        """`sdes`: our own offer, where we make it, is of SRTP alone (RFC 4568)."""

    @property
    def contact_host(self) -> str:
        """What it is shown in place of our address, in Contact and Via; "": our address. See `Flow.sent_by`."""

    @property
    def tls_terms(self) -> TlsTerms | None:
        """What is asked of it over TLS; None: what is asked of anybody."""

    @property
    def redirects_to(self) -> Sequence[str] | None:
        """Host names, addresses and networks that its redirections are followed to; None: they are not followed."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Peer:
    """The options of a peer that is not configured anywhere."""

    username: str = ""
    password: str = field(default="", repr=False)
    realm: str = ""
    codecs: str = ""
    srtp: str = ""
    contact_host: str = ""
    tls_terms: TlsTerms | None = None
    redirects_to: Sequence[str] | None = None


ANY_PEER = Peer()


def credentials(peer: PeerOptions) -> Credentials | None:
    """What answers a challenge of this peer; None where it has given us none."""
    return Credentials(peer.username, peer.password, peer.realm) if peer.username else None


@dataclass(slots=True, kw_only=True)
class DialSpec:
    """Whom to call and what to say. Timeouts in seconds; `headers` are sent as they are, in order."""

    request_uri: str
    destination: str  # a sip: URI: where the request really goes
    flow: Flow | None = None  # given: it goes by this one, without a look-up (a registration's connection, RFC 5626)
    from_: str  # name-addr without tag
    to: str
    headers: Sequence[tuple[str, str]] = ()
    parts: Sequence[BodyPart] = ()  # of its body, beside the session description
    peer: PeerOptions = ANY_PEER
    no_reply_timeout: float = 32.0
    no_progress_timeout: float = 60.0
    ring_timeout: float = 180.0
    anchor: str = ""  # "": media goes end to end; "anchor": through an anchor; "embedded": through one of this process
    tells: Callable[[Response], str] | None = None  # header lines of its responses that the caller gets too
    allows: Allows | None = None  # which flows the request may go to; None: all
    origin: Any = None  # given: the call is to be taken here, by `on_call`, without a packet; `Call.origin` is this
    # For which number's call or text it is sent, and how many led to that: known again should it come back. None: the
    # caller's.
    dialled: str | None = None
    depth: int | None = None
    max_breadth: int | None = None  # RFC 5393; None: the caller's, or 60

    def mark(self, branches: Branches, caller: Call | None = None) -> Mark:
        """What the request says of itself should it come back."""
        depth, dialled = self.depth, self.dialled
        if depth is None:
            depth = 0 if caller is None else caller.depth
        if dialled is None:
            dialled = "" if caller is None else caller.dialled
        return branches.mark(depth, dialled)


class OutgoingCall(Call):
    """One leg that we opened; see `UserAgent.dial`."""

    __slots__ = (
        "_answering",
        "_decided",
        "_early",
        "_outcome",
        "_tells",
        "answer_body",
        "answer_headers",
        "caller",
        "early_media",
        "offerless",
        "request_uri",
    )

    direction = "outgoing"
    session: InviteClient

    def __init__(self, agent: CallAgent, session: InviteClient, caller: Call | None, early_media: bool, now: float):
        super().__init__(agent, session, agent.nowhere, now)
        self.caller = caller
        self.early_media = early_media
        self.request_uri = session.request_uri
        self.offerless = False  # the answer brought an offer, which its ACK has to answer
        self.answer_body = b""  # of the 200, or of the response before it
        self._early: dict[str, bytes] = {}  # what each branch of a fork has said before the answer, by To tag
        self.answer_headers = ""  # lines of the 200 that the caller gets too
        self._tells: Callable[[Response], str] | None = None
        self._answering = False  # its 2xx has come, and is on its way along the media path
        self._outcome: Outcome | None = None
        self._decided: asyncio.Event | None = None

    @classmethod
    def dial(
        cls, agent: CallAgent, spec: DialSpec, caller: Call | None, early_media: bool, path: MediaPath
    ) -> "OutgoingCall":
        """Send the INVITE; see `UserAgent.dial`."""
        now = agent.now()
        headers = "".join(f"{name}: {value}\r\n" for name, value in spec.headers)
        body, forwards, reliable = b"", 70, True
        breadth = spec.max_breadth
        if breadth is None:
            breadth = MAX_BREADTH if caller is None else caller.max_breadth
        if caller is not None:
            body, forwards, reliable = caller.offer_for_leg()
            # An early offer that is not to be relayed would never be answered (RFC 3262 §5).
            reliable = reliable and (early_media or bool(body))
        invitation = Invitation(
            request_uri=spec.request_uri,
            flow=spec.flow,
            destination=spec.destination if spec.origin is None else f"sip:{agent.loopback.domain}",
            from_=spec.from_,
            to=spec.to,
            body=body,
            headers=headers,
            parts=spec.parts,
            max_forwards=forwards,
            credentials=credentials(spec.peer),
            no_reply_timeout=spec.no_reply_timeout,
            no_progress_timeout=spec.no_progress_timeout,
            ring_timeout=spec.ring_timeout,
            reliable=reliable,
            contact_host=spec.peer.contact_host,
            tls=spec.peer.tls_terms,
            redirects_to=spec.peer.redirects_to,
            allows=spec.allows,
            mark=spec.mark(agent.endpoint.branches, caller),
            max_breadth=breadth,
        )
        leg = cls(agent, InviteClient(agent.endpoint, invitation, None), caller, early_media, now)
        leg.session.dialer = leg
        leg.path = path
        leg.origin = spec.origin
        leg._tells = spec.tells
        if caller is not None:
            caller.legs.append(leg)
        leg._start(spec, forwards, now)
        return leg

    def _start(self, spec: DialSpec, forwards: int, now: float) -> None:
        if forwards < 0:
            # RFC 3261 §16.3: what has gone through 70 hops goes round in a circle.
            self.session.refuse_locally(483, "Too Many Hops", now)
            return
        if self.session.invitation.max_breadth < 1:
            self.session.refuse_locally(440, "Max-Breadth Exceeded", now)  # RFC 5393 §5.3.3.2
            return
        if self.caller is None:
            try:
                self.media_port = self.agent.open_media_towards(self, self.session.invitation)
                codecs = [name for name in spec.peer.codecs.split(",") if name]
                self.session.invitation.body = self.media_port.offer(codecs=codecs, srtp=spec.peer.srtp == "sdes")
            except MEDIA_FAILURES as error:
                status = error.status if isinstance(error, NoPortError) else 500
                self.session.refuse_locally(status, str(error), now)
                return
        if spec.anchor and self.caller is not None and self.path is DIRECT:  # without a caller the media ends here
            self._anchor(self.caller, spec)
        else:
            self._invite()

    def _invite(self) -> None:
        """Send the INVITE with the caller's offer, as the media path writes it. Where that cannot be had, the outcome
        is `no_media`."""
        session = self.session

        def offered(text: bytes, error: AnchorError | None) -> None:
            if self.ended:
                return
            if error is None:
                session.invitation.body = text
                session.start(self.agent.now())
            else:
                session.refuse_locally(error.status, str(error), self.agent.now(), kind="no_media")

        self.path.offer(CALLER, session.invitation.body, offered)

    def _anchor(self, caller: Call, spec: DialSpec) -> None:
        """The anchor has to be where both sides can reach it: first it is found out where the callee is."""

        def located(flows: list[Flow], _cause: str = "") -> None:
            if self.ended:
                return
            try:
                if flows:
                    anchor = self.agent.open_anchor(caller, self, flows[0], embedded=spec.anchor == "embedded")
                    self.path = Relayed(anchor)
                    if isinstance(anchor, Relay):
                        anchor.on_fault = self._faulty
            except AnchorError as error:
                self.session.refuse_locally(error.status, str(error), self.agent.now(), kind="no_media")
            else:
                self._invite()

        if spec.flow is not None:
            located([spec.flow])
        else:
            self.agent.endpoint.locate(self.session.invitation.destination, located)

    def _faulty(self, side: int, flood: str) -> None:
        """One of the two whose media passes us sends nothing any more, and is taken to be gone; or far too much."""
        bridge = self.bridged
        partner = self.caller if bridge is None else bridge.other(self)  # who was dialled for may have left since
        call, now = (partner if side == CALLER else self), self.agent.now()
        if flood:
            self.session.end_by_us(now, f'SIP;cause=488;text="{flood}"', 488, flood)
        elif self.answered and call is not None and call.answered and not call.ended:
            call.session.end_by_us(now, NO_MEDIA_REASON, 408, NO_MEDIA)

    @property
    def anchored(self) -> bool:
        """Whether the media of this leg passes an anchor (`DialSpec.anchor`)."""
        return self.path.anchor is not None

    @property
    def far_end(self) -> object:
        """Whose media the caller is told of: this leg's, or that of an end of ours that several legs share."""
        caller = self.caller
        if caller is not None and self.anchored and caller.anchor_side is not None:
            return caller.anchor_side
        return self

    async def passed(self) -> dict[str, Any] | None:
        """What passed the anchor of this leg, None where it has none. After the leg's end it is waited for: an
        rtpengine says it in answer to the end of its call (within a second, or nothing more)."""
        anchor = self.path.anchor
        if anchor is None:
            return None
        await anchor.settled()
        return anchor.report()

    def talks_with(self, other: Call) -> None:
        """See `Call.talks_with`: on the near side of a relay of ours is `other`'s media now."""
        anchor = self.path.anchor
        if isinstance(anchor, Relay):
            anchor.near.place.consent.adopt(other.session)

    def overhear(self, caller: AudioSink, callee: AudioSink) -> None:
        """Tell `caller` what the caller says, and `callee` what this leg does, until its end. Nothing on a leg whose
        media is not anchored in this process (`DialSpec.anchor`)."""
        anchor = self.path.anchor
        if isinstance(anchor, Relay):
            anchor.overhear(caller, callee)

    # ---- the outcome

    @property
    def ring_timeout(self) -> float:
        """Seconds that it may ring."""
        return self.session.invitation.ring_timeout

    @property
    def first_reply(self) -> float | None:
        """When it first rang or was answered (monotonic s); None: it has not."""
        return self.session.first_reply

    async def outcome(self) -> Outcome:
        """Wait for how dialling ends."""
        if self._outcome is None:
            if self._decided is None:
                self._decided = asyncio.Event()
            await self._decided.wait()
        assert self._outcome is not None
        return self._outcome

    def cancel(self, cause: str = "") -> None:
        """Give up: CANCEL, or BYE where the answer was faster. `cause` is a Reason value."""
        if self.ended:
            return
        if self.answered:
            self.hangup(cause=cause)
        elif self._answering:
            self._set_status("canceling")
            self.session.bye(self.agent.now(), cause)
        else:
            self._set_status("canceling")
            self.session.cancel(self.agent.now(), cause)

    def hangup(self, status: int = 480, cause: str = "", reason: str = "") -> None:
        if self.answered:
            super().hangup(status, cause, reason)
        else:
            self.cancel(cause)

    def _set_outcome(self, outcome: Outcome) -> None:
        self._outcome = outcome
        self._leave_caller()
        if self._decided is not None:
            self._decided.set()

    def _leave_caller(self) -> None:
        if self.caller is not None and self in self.caller.legs:
            self.caller.legs.remove(self)

    # ---- what the far end does

    def on_progress(self, session: Session, response: Response, now: float) -> None:
        # An offer may not travel in an unreliable response (RFC 3262 §5).
        usable = bool(self.session.invitation.body) or "RSeq" in response.first
        self._describe(response.body if usable else b"", partial(self._on_ringing, response))

    def _describe(self, body: bytes, rewritten: Rewritten) -> None:
        """The callee's answer to the INVITE, or its offer where that made none, for the caller."""
        (self.path.answer if self.session.invitation.body else self.path.offer)(CALLEE, body, rewritten)

    def _on_ringing(self, response: Response, text: bytes, _error: AnchorError | None) -> None:
        """With early media or without: where that cannot be had, it rings all the same."""
        if self.ended:
            return
        response.body = text
        self._set_status("ringing")
        caller = self.caller
        reliable = "RSeq" in response.first
        if text and len(self._early) < MAX_FORKS:
            self._early[response.to_tag] = text
        if caller is not None:
            told = "" if self._tells is None else self._tells(response)
            caller.relay_progress(response, self.early_media, reliable, self.far_end, told)

    def on_answered(self, session: Session, response: Response, now: float) -> None:
        self._answering = True
        self.offerless = not self.session.invitation.body
        self._describe(response.body, partial(self._on_answer, response))

    def _on_answer(self, response: Response, text: bytes, error: AnchorError | None) -> None:
        if not self._answering:
            return  # the end was quicker
        self._answering = False
        session, now = self.session, self.agent.now()
        self.answer_body = text or self._early.get(response.to_tag, b"")
        if not self.answer_body and error is None:
            error = AnchorError("an answer without a session description")
        if error is not None:
            self.on_refused(session, "refused", error.status, str(error), None, now)
            session.acknowledge(now)
            session.end_by_us(now, f"SIP;cause={error.status}", error.status, str(error))
            return
        if not session.dialog.renegotiated:
            self.peer_body = self.answer_body
        self.remote = session.flow or self.remote
        self.set_answered(now)
        if self.caller is None:
            if self.media_port is not None:
                try:
                    self.media_port.accept(self.answer_body)
                except NotAcceptable:
                    session.acknowledge(now)
                    self._set_outcome(
                        Outcome(kind="refused", status=488, reason="no media agreed", first_reply=session.first_reply)
                    )
                    session.end_by_us(now, 'SIP;cause=488;text="no media agreed"', 488, "no media agreed")
                    return
            session.acknowledge(now)
        if self._tells is not None:
            self.answer_headers = self._tells(response)
        self._set_outcome(
            Outcome(kind="answered", status=response.status, reason=response.reason, first_reply=session.first_reply)
        )

    def acknowledge(self, body: bytes = b"") -> None:
        """The ACK of the answer, with the caller's answer to the offer that came in it: the two talk."""
        self.path.chosen()

        def answered(text: bytes, error: AnchorError | None) -> None:
            if not self.session.ended:
                self.session.acknowledge(self.agent.now(), text)
                self.end_unusable(error)

        self.path.answer(CALLER, body, answered)

    def on_ended(self, session: Session, by: str, status: int, reason: str, now: float) -> None:
        if self._answering:
            # The answer is not reported any more: the outcome is another.
            self._answering = False
            if by == "local":
                self.on_refused(self.session, "cancelled", 487, reason, None, now)
            else:
                self.on_refused(self.session, "refused", 480, reason, None, now)
        super().on_ended(session, by, status, reason, now)

    def finish(self, by: str, status: int, reason: str, now: float) -> None:
        """See `Call.finish`."""
        far_end = self.far_end
        if self.caller is not None and far_end is self and isinstance(self.caller.session, InviteServer):
            self.caller.session.far_end_gone(self)
        super().finish(by, status, reason, now)
        self.path.close()

    def on_refused(
        self,
        session: InviteClient,
        kind: InviteFailure,
        status: int,
        reason: str,
        response: Response | None,
        now: float,
    ) -> None:
        self._set_outcome(
            # What we refuse ourselves (483, no media) has a status as well.
            Outcome(
                kind=kind,
                status=status if response is not None or kind in ("refused", "no_media") else 0,
                reason=reason,
                retry_after=response.retry_after if response is not None else 0,
                first_reply=session.first_reply,
                headers=response.explanation if response is not None and kind == "refused" else (),
            )
        )
        ours = kind in ("cancelled", "no_media") or (kind == "refused" and response is None)
        self.finish("local" if ours else "remote", status, reason, now)

    def on_request(self, session: Session, transaction: ServerTransaction, request: Request, now: float) -> None:
        """INFO or UPDATE from the far end before the answer is passed to the caller."""
        caller = self.caller
        if caller is None or caller.ended or self.answered or request.method in ("PRACK", "MESSAGE"):
            super().on_request(session, transaction, request, now)
        elif request.method == "INFO":
            relay_request(caller.session, session, transaction, request, now)
        elif caller.session.peer_allows_update and (caller.session.last_body or self._answering):  # RFC 3311 §5.1
            relay_update(self, caller, transaction, request.body)
        else:
            session.reply(transaction, 488, now)

    def take_from_caller(self, session: Session, transaction: ServerTransaction, request: Request, now: float) -> bool:
        """The caller's INFO, UPDATE or PRACK while this leg is dialled; False when it is none of the leg's."""
        ours = self.session
        if request.method == "PRACK" and ours.holds_prack:
            self._prack(request.body)
            session.reply(transaction, 200, now)
            return True
        if not ours.dialog.remote_tag:
            return False
        if request.method == "INFO":
            relay_request(ours, session, transaction, request, now)
            return True
        if request.body and ours.peer_allows_update and self.caller is not None:
            relay_update(self.caller, self, transaction, request.body)
            return True
        return False

    def _prack(self, body: bytes) -> None:
        """The PRACK of a reliable response that brought an offer, with the caller's answer."""

        def answered(text: bytes, error: AnchorError | None) -> None:
            if not self.session.ended:
                self.session.prack(self.agent.now(), text)
                self.end_unusable(error)

        self.path.answer(CALLER, body, answered)
