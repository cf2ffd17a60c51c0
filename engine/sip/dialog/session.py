"""What is negotiated within a call: re-INVITE and UPDATE both ways, with glare, and the session timer
(RFC 3261 §14; RFC 3311, 4028).

`InviteServer` and `InviteClient` add how a call comes in and goes out. A session tells one `SessionUser` what happens
and takes its orders. It relays bodies as they are: offers and answers are the user's.
"""

from collections.abc import Iterable, Mapping
from typing import ClassVar, Protocol

from engine.sip.auth.credentials import Credentials, DigestSessions, LoginState
from engine.sip.capabilities import SDP_TYPE, SUPPORTED_LINE, drop_unusable, refused_offer
from engine.sip.core import Core
from engine.sip.dialog.dialog import CONFIRMED
from engine.sip.dialog.refer import ReferUsage
from engine.sip.dialog.renegotiation import IDLE, TABLE, Action, Event, SessionOffer, State
from engine.sip.dialog.session_timer import SessionTimer, agree_as_client, agree_as_server, read_min_se, too_small
from engine.sip.dialog.usage import OnFinal
from engine.sip.message.grammar import ParseError
from engine.sip.message.message import Request, Response
from engine.sip.request import OutgoingRequest
from engine.sip.sdp.fault import find_fault
from engine.sip.transaction.branch import Mark
from engine.sip.transaction.server import ServerTransaction

MAX_INTERVAL = 86_400  # s: a Min-SE above a day is not followed


class SessionUser(Protocol):
    """The owner of a session: a call, or the bridge of two."""

    def on_progress(self, session: "Session", response: Response, now: float) -> None:
        """Our INVITE got a 101 to 199; a reliable one only once."""
        ...

    def on_answered(self, session: "Session", response: Response, now: float) -> None:
        """Our INVITE got its 2xx; the owner has to call `InviteClient.acknowledge`."""
        ...

    def on_acknowledged(self, session: "Session", body: bytes, now: float) -> None:
        """The ACK of our 2xx has arrived; `body` is the answer to an offer in that 2xx."""
        ...

    def on_reinvite(self, session: "Session", request: Request, now: float) -> None:
        """Answer it with `Session.accept_reinvite` or `refuse_reinvite`, now or later."""
        ...

    def on_request(self, session: "Session", transaction: ServerTransaction, request: Request, now: float) -> None:
        """INFO, MESSAGE, UPDATE with an offer, or PRACK with a body: answer it with `Session.reply`, now or later.

        REFER: `Session.subscription` takes the answer, and reports to the peer.
        """
        ...

    def may_ring_on(self, session: "Session") -> bool:
        """Whether an unanswered call may ring longer than `max_ringing`: it waits for something with its own limit."""
        ...

    def on_ended(self, session: "Session", by: str, status: int, reason: str, now: float) -> None:
        """The session has ended. `by`: "remote" or "local"; `status`: the final one; `reason`: the peer's Reason."""
        ...


class Session(ReferUsage):
    """The INVITE usage of a dialog: opened by an `InviteClient` or `InviteServer`, or restored from a snapshot."""

    handlers: ClassVar[Mapping[str, str]] = {
        "BYE": "_take_bye",
        "INVITE": "_take_reinvite",
        "UPDATE": "_take_update",
        "INFO": "_take_info",
        "MESSAGE": "_take_text",
        "OPTIONS": "_take_options",
        "PRACK": "_take_prack",
        "REFER": "_take_refer",
        "NOTIFY": "_take_notify",
    }

    __slots__ = (
        "_negotiation",
        "_offer",
        "_reinvite",
        "_shown",
        "_update",
        "ack_due",
        "initiator",
        "marks",
        "peer_allows_update",
        "timer",
        "user",
    )

    def __init__(self, endpoint: Core) -> None:
        super().__init__(endpoint)
        self.user: SessionUser | None = None
        self.peer_allows_update = False
        self.timer: SessionTimer | None = None
        self._negotiation: State = IDLE
        self._offer: SessionOffer | None = None  # our re-INVITE or UPDATE under way
        self.initiator = False  # we sent the INVITE that opened the dialog, and chose its Call-ID
        self.marks: tuple[Mark, ...] | None = None  # of a request of ours that has come back; None: it is a peer's
        self._shown = ""  # the Authorization lines of our last re-INVITE
        self.ack_due = 0  # CSeq of a 2xx with an offer: its ACK waits for the user's answer
        self._reinvite: ServerTransaction | None = None  # the peer's, not answered yet
        self._update: ServerTransaction | None = None  # the peer's with an offer, not answered yet
        endpoint.sessions.add(self)

    @property
    def reinvited(self) -> bool:
        """The peer's re-INVITE waits for its final response."""
        return self._reinvite is not None

    # ---- hooks of the base classes

    def _turn(self, event: Event) -> Action:
        """Take one row of the table of offers and answers."""
        self._negotiation, action = TABLE[self._negotiation, event]
        return action

    def _on_ack(self, body: bytes, now: float) -> None:
        action = self._turn("ACK")
        fault = find_fault(body) if body else None
        if self.user is not None:
            self.user.on_acknowledged(self, body if fault is None else b"", now)
        if fault is not None and not self.ended:
            self.end_by_us(now, f"SIP;cause={fault.status}", fault.status, fault.words)  # an ACK cannot be refused
            return
        if action == "send" and self._offer is not None:
            self._send_offer(self._offer, now)

    def _before_bye(self, now: float) -> None:
        if self._reinvite is not None:
            self.refuse_reinvite(487, now)
        if self._update is not None:
            self._refuse_update(487, now)
        if self.ack_due:
            self.acknowledge_reinvite(self.ack_due, b"", now)

    def _on_terminated(self, by: str, status: int, reason: str, now: float) -> None:
        self.endpoint.sessions.discard(self)
        if self._update is not None:
            self._refuse_update(487, now)  # §15.1.2: what is pending is answered all the same
        offer, self._offer = self._offer, None
        if offer is not None:
            if offer.request is not None:
                offer.request.abandon(now)
            offer.on_final(487, None, now)
        self._end_transfers(now)
        user, self.user = self.user, None
        if user is not None:
            user.on_ended(self, by, status, reason, now)

    def _alarm(self, name: str, now: float) -> None:
        if name == "refresh":
            self.refresh(now)
        elif name == "expired":
            self.end_by_us(now, 'SIP;cause=408;text="session timer expired"', 408)
        elif name == "glare":
            if self._offer is not None:
                self._carry_out(self._offer, self._turn(self._offer.retried), now)
        else:
            super()._alarm(name, now)

    # ---- re-INVITE and UPDATE of ours

    def renegotiate(
        self, method: str, body: bytes, now: float, on_final: OnFinal, headers: str = "", retry_glare: bool = False
    ) -> None:
        """Send a re-INVITE (§14.1) or UPDATE (RFC 3311).

        A 491 is final, unless `retry_glare`: then it is tried again after the back-off of §14.1; so is what cannot be
        sent while an INVITE of the peer is unanswered. Where only the ACK of our own 2xx is missing, it is sent as
        soon as that comes. A 2xx to a re-INVITE that made no offer is acknowledged by the user with
        `acknowledge_reinvite`.
        """
        offer = SessionOffer(method, body, headers, on_final, retry_glare)
        early = method == "INVITE" and self.dialog.state != CONFIRMED
        action = "refuse" if early or self.ended else self._turn(offer.wanted)
        if action == "refuse":
            on_final(491, None, now)
        else:
            self._offer = offer
            self._carry_out(offer, action, now)

    def _carry_out(self, offer: SessionOffer, action: Action, now: float) -> None:
        if action == "send":
            self._send_offer(offer, now)
        elif action == "back off":
            # §14.1: who owns the Call-ID waits longer.
            offer.request = None
            random = self.endpoint.random()
            wait = 2.1 + 1.9 * random if self.initiator else 2.0 * random
            self.arm("glare", now + round(wait, 2))

    def _send_offer(self, offer: SessionOffer, now: float) -> None:
        policy = self.endpoint.policy
        lines = self.endpoint.agent_line + self.endpoint.methods.allow_line + SUPPORTED_LINE + offer.headers
        if self.timer is not None:
            # The refresher stays who it was (RFC 4028 §7.4).
            refresher = "uac" if self.timer.we_refresh else "uas"
            lines += f"Session-Expires: {self.timer.interval};refresher={refresher}\r\n"
            lines += f"Min-SE: {policy.min_se}\r\n"
        if offer.body:
            lines += SDP_TYPE
            offer.body = self.describe(offer.body)
        try:
            offer.request = self.compose(offer.method, self, lines, offer.body)
            self.send(offer.request, now)
        except ParseError:
            self._finish_offer(500, None, now)

    def on_response(self, request: OutgoingRequest, response: Response, now: float) -> None:
        """A response to a re-INVITE or UPDATE of ours."""
        offer = self._offer
        status = response.status
        if offer is None or request is not offer.request:
            if request.method != "INVITE" or not 200 <= status < 300 or response.cseq == self.ack_due:
                return
            if not self._resend_ack(response):
                self._acknowledge(response.cseq, b"", now)
            return
        if status < 200:
            return
        if status < 300:
            drop_unusable(response)
            self._move(response)
            if offer.body:
                self.last_body = offer.body
                self._renegotiated()
            self._start_timer(agree_as_client(response), now)
            if offer.method == "INVITE" and not offer.body:
                self.ack_due = response.cseq
            elif offer.method == "INVITE":
                self._acknowledge(response.cseq, b"", now)
        elif status == 491 and offer.retry_glare:
            self._carry_out(offer, self._turn("491"), now)
            return
        elif status == 422 and self.timer is not None and self.timer.interval < read_min_se(response) <= MAX_INTERVAL:
            # RFC 4028 §7.4: again, with what the peer takes.
            self.timer = SessionTimer(read_min_se(response), self.timer.we_refresh)
            self._send_offer(offer, now)
            return
        elif status in (408, 481):
            self._finish_offer(status, response, now)
            self.end_by_us(now, f"SIP;cause={status}", status)  # §12.2.1.2: the dialog is gone
            return
        self._finish_offer(status, response, now)

    def _renegotiated(self) -> None:
        if self.dialog.state != CONFIRMED:
            self.dialog.renegotiated = True

    def on_failure(self, request: OutgoingRequest, cause: str, now: float) -> None:
        """Nobody answered a re-INVITE or UPDATE of ours: as a 408, the dialog is gone (§12.2.1.2)."""
        if self._offer is not None and request is self._offer.request:
            self._finish_offer(408, None, now)
            self.end_by_us(now, "SIP;cause=408", 408)

    def _finish_offer(self, status: int, response: Response | None, now: float) -> None:
        offer, self._offer = self._offer, None
        if offer is not None:
            self._turn("final")
            offer.on_final(status, response, now)

    def acknowledge_reinvite(self, cseq: int, body: bytes, now: float) -> None:
        """The ACK for a 2xx to a re-INVITE without an offer, with the answer to the offer that came in it."""
        if self.ack_due == cseq:
            self.ack_due = 0
        self._acknowledge(cseq, body, now)

    def _credentials(self, method: str, uri: str, cseq: int, body: bytes) -> str:
        if self._digests is None:
            return ""
        if method == "ACK":
            return self._shown  # §22.1: it repeats what its INVITE said
        lines = self._digests.lines(method, uri, body, self.endpoint.token)
        if method == "INVITE":
            self._shown = lines
        return lines

    def _renumbered(self, method: str, cseq: int) -> None:
        if method == "REFER" and self.referral is not None:
            self.referral.cseq = cseq

    @property
    def login_states(self) -> tuple[LoginState, ...]:
        """The challenges that requests of ours answer."""
        return () if self._digests is None else self._digests.states

    def log_in(self, credentials: Credentials, states: Iterable[LoginState]) -> None:
        """Answer these challenges from now on."""
        self.credentials = credentials
        self._digests = DigestSessions(credentials, states)

    # ---- requests of the peer

    def reply(
        self, transaction: ServerTransaction, status: int, now: float, headers: str = "", body: bytes = b""
    ) -> None:
        """Answer a request given to `SessionUser.on_request`."""
        if transaction.answered:
            return
        if transaction is self._update:
            self._settle_update()
        request = transaction.request
        if status < 300 and request.method == "UPDATE":
            headers += self._agree(request, now) + self.contact_line(transaction.flow)
            if self.came_from_peer(request):
                self._move(request)
        if status < 300 and request.method in ("UPDATE", "PRACK") and body:
            body = self.last_body = self.describe(body)
            self._renegotiated()
        transaction.respond(
            status, now, headers=headers + (SDP_TYPE if body and not _typed(headers) else ""), body=body
        )

    def accept_reinvite(self, now: float, body: bytes = b"", headers: str = "") -> bool:
        """200 to the peer's re-INVITE; False when the peer has taken it back meanwhile."""
        transaction = self._reinvite
        if transaction is None:
            return False
        self._reinvite = None
        self._move(transaction.request)
        self.send_2xx(transaction, body, now, headers)
        return True

    def _move(self, message: Request | Response) -> None:
        """Target refresh (§12.2)."""
        self.dialog.refresh(message, message.source if isinstance(message, Request) else None)
        self.aim(self.dialog)

    def refuse_reinvite(self, status: int, now: float, headers: str = "", reason: str = "") -> None:
        """A final response other than 2xx; the session stays what it was (§14.2)."""
        transaction, self._reinvite = self._reinvite, None
        if transaction is not None:
            self._turn("INVITE refused")
            transaction.respond(status, now, reason, headers)

    def _refuse_update(self, status: int, now: float) -> None:
        transaction = self._settle_update()
        if transaction is not None:
            transaction.respond(status, now)

    def _settle_update(self) -> ServerTransaction | None:
        transaction, self._update = self._update, None
        if transaction is not None:
            self._turn("UPDATE answered")
        return transaction

    def send_2xx(self, transaction: ServerTransaction, body: bytes, now: float, headers: str = "") -> None:
        """A 2xx to an INVITE, with what a target refresh and a session timer need."""
        self._turn("2xx sent")
        endpoint = self.endpoint
        headers = (
            f"{self._agree(transaction.request, now)}{self.contact_line(transaction.flow)}"
            f"{self.endpoint.methods.allow_line}{SUPPORTED_LINE}{endpoint.server_line}{headers}"
        )
        self._answer(transaction, headers, body, now)

    def on_cancel(self, transaction: ServerTransaction, cancel: Request, now: float) -> None:
        """The peer takes its re-INVITE back."""
        if transaction is self._reinvite:
            self.refuse_reinvite(487, now)

    def on_unacknowledged(self, transaction: ServerTransaction, now: float) -> None:
        """No ACK for a refusal: nothing hangs on it."""

    def _take_bye(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        transaction.respond(200, now, headers=self.endpoint.server_line)
        if self._reinvite is not None:
            self.refuse_reinvite(487, now)  # §15.1.2
        self.finish("remote", self.end_status or 200, request.reasons, now)

    def _take_reinvite(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        action = self._turn("peer INVITE") if self.dialog.state == CONFIRMED else "500"
        if action != "take":
            self._put_off(transaction, action, now)
        elif fault := self._fault(request):
            self._turn("INVITE refused")
            transaction.respond(fault[0], now, headers=fault[1])
        else:
            self._reinvite = transaction
            transaction.user = self
            transaction.respond(100, now)
            if self.user is not None:
                self.user.on_reinvite(self, request, now)

    def _take_update(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        action = self._turn("peer UPDATE") if request.body else "take"
        if action != "take":
            self._put_off(transaction, action, now)
            return
        if request.body:
            self._update = transaction
        if fault := self._fault(request):
            self._settle_update()
            transaction.respond(fault[0], now, headers=fault[1])
        elif request.body and self.user is not None:
            self.user.on_request(self, transaction, request, now)
        else:
            self.reply(transaction, 200, now)

    def _fault(self, request: Request) -> tuple[int, str] | None:
        """Why a re-INVITE or UPDATE is refused at once: status and header lines."""
        if refused := refused_offer(request):
            return refused
        least = self.endpoint.policy.min_se
        return (422, f"Min-SE: {least}\r\n") if too_small(request, least) else None

    def _put_off(self, transaction: ServerTransaction, action: Action, now: float) -> None:
        if action == "491":
            transaction.respond(491, now)
        else:
            self._try_later(transaction, now)

    def _take_info(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        if self.user is not None:
            self.user.on_request(self, transaction, request, now)
        else:
            transaction.respond(200, now)

    def _take_text(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        if self.user is not None:
            self.user.on_request(self, transaction, request, now)
        else:
            transaction.respond(481, now)  # nobody is here any more who could read it

    def _take_options(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        transaction.respond(200, now, headers=self.endpoint.methods.capabilities)

    def _take_prack(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        transaction.respond(481, now)  # RFC 3262 §3: it acknowledges nothing of ours

    # ---- transfer

    def _take_refer(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        if self._receive_refer(transaction, request, now) and self.user is not None:
            self.user.on_request(self, transaction, request, now)
        if self.subscription is not None and self.user is None:
            self.subscription.refuse(603, now)

    # ---- session timer

    def _agree(self, request: Request, now: float) -> str:
        policy = self.endpoint.policy
        timer, lines = agree_as_server(request, policy.session_expires, policy.min_se)
        self._start_timer(timer, now)
        return lines

    def _start_timer(self, timer: SessionTimer | None, now: float) -> None:
        self.timer = timer
        self._disarm("refresh", "expired")
        if timer is not None:
            self.arm("expired", now + timer.expires_in())
            if timer.we_refresh:
                self.arm("refresh", now + timer.refresh_in())

    def refresh(self, now: float) -> None:
        """Refresh the session and our target: by UPDATE where the peer knows it, else by a re-INVITE with the session
        description that it has (RFC 4028 §7.4, RFC 3261 §12.2)."""
        if self._offer is not None or self._reinvite is not None:
            self.arm("refresh", now + 1.0)
        elif self.peer_allows_update:
            self.renegotiate("UPDATE", b"", now, self._refreshed, retry_glare=True)
        else:
            self.renegotiate("INVITE", self.last_body, now, self._refreshed, retry_glare=True)

    def _refreshed(self, status: int, response: Response | None, now: float) -> None:
        if self.ended:
            return
        if status < 300:
            if response is not None and response.cseq == self.ack_due:
                self.acknowledge_reinvite(response.cseq, b"", now)  # a call without session descriptions
        elif status in (405, 501) and self.peer_allows_update:
            self.peer_allows_update = False
            self.arm("refresh", now)  # by re-INVITE with a peer that has no UPDATE after all
        elif self.timer is not None:
            self.arm("refresh", now + max(1.0, self.timer.interval / 8))  # again before it is too late


def _typed(headers: str) -> bool:
    return "Content-Type:" in headers
