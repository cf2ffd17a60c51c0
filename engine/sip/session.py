"""The INVITE usage of a dialog after it is set up, whoever called (RFC 3261 §13 to §15; RFC 3311, 4028, 6026).

`UasSession` and `UacSession` add how a call comes in and goes out. A session tells one `SessionUser` what happens and
takes its orders. It relays bodies as they are: offers and answers are the user's.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from engine.sip.capabilities import ALLOW_LINE, CAPABILITIES, SDP_TYPE, SUPPORTED_LINE
from engine.sip.dialog import CONFIRMED, TERMINATED, Dialog
from engine.sip.grammar import ParseError
from engine.sip.hop import Hop
from engine.sip.message import Request, Response
from engine.sip.outgoing import OutgoingRequest, RequestUser
from engine.sip.server_transaction import ServerTransaction
from engine.sip.session_timer import SessionTimer, agree_as_client, agree_as_server, read_min_se, too_small
from engine.sip.timers import NEVER

if TYPE_CHECKING:
    from engine.sip.endpoint import Endpoint

MAX_INTERVAL = 86_400  # s: a Min-SE above a day is not followed
LIMIT_REACHED = "longest call time reached"
OnFinal = Callable[[int, Response | None, float], None]  # status (408 where nobody answered), response, now


class SessionUser(Protocol):
    """Who owns the leg: a call, or the bridge of two."""

    def on_progress(self, session: "Session", response: Response, now: float) -> None:
        """Our INVITE got a 101 to 199; a reliable one only once."""
        ...

    def on_answered(self, session: "Session", response: Response, now: float) -> None:
        """Our INVITE got its 2xx; `UacSession.acknowledge` is owed."""
        ...

    def on_acknowledged(self, session: "Session", body: bytes, now: float) -> None:
        """The ACK of a 2xx of ours came; `body` is the answer to a late offer."""
        ...

    def on_reinvite(self, session: "Session", request: Request, now: float) -> None:
        """Answer it with `Session.accept_reinvite` or `refuse_reinvite`, now or later."""
        ...

    def on_request(self, session: "Session", transaction: ServerTransaction, request: Request, now: float) -> None:
        """INFO, UPDATE with an offer, or PRACK with a body: answer it with `Session.reply`, now or later."""
        ...

    def on_ended(self, session: "Session", by: str, status: int, reason: str, now: float) -> None:
        """The leg is over. `by`: "remote" or "local"; `status`: the final one; `reason`: the peer's Reason header."""
        ...


class Exchange:
    """A re-INVITE or UPDATE of ours under way."""

    __slots__ = ("body", "headers", "method", "offerless", "on_final", "request", "retry_glare")

    def __init__(self, method: str, body: bytes, headers: str, on_final: OnFinal, retry_glare: bool) -> None:
        self.method = method
        self.body = body
        self.headers = headers
        self.on_final = on_final
        self.retry_glare = retry_glare
        self.offerless = method == "INVITE" and not body
        self.request: OutgoingRequest | None = None


class Session:
    """One leg of a call."""

    __slots__ = (
        "__weakref__",
        "_ack",
        "_alarms",
        "_bye_reason",
        "_exchange",
        "_interval",
        "_owed",
        "_reinvite",
        "_unacked",
        "_update",
        "deadline",
        "dialog",
        "end_reason",
        "end_status",
        "ended",
        "endpoint",
        "last_body",
        "peer_allows_update",
        "queued",
        "timer",
        "user",
    )

    dialog: Dialog

    def __init__(self, endpoint: "Endpoint") -> None:
        self.endpoint = endpoint
        self.user: SessionUser | None = None
        self.deadline = self.queued = NEVER
        self.ended = False
        self.end_status = 0
        self.end_reason = ""
        self.last_body = b""  # the SDP that the peer has from us
        self.peer_allows_update = False
        self.timer: SessionTimer | None = None
        self._alarms: dict[str, float] | None = None
        self._exchange: Exchange | None = None  # our re-INVITE or UPDATE under way
        self._owed = 0  # CSeq of a 2xx with an offer: its ACK waits for the user's answer
        self._reinvite: ServerTransaction | None = None  # the peer's, not answered yet
        self._update: ServerTransaction | None = None  # the peer's last with an offer
        self._unacked: ServerTransaction | None = None  # our 2xx, not acknowledged yet
        self._interval = 0.0  # of its retransmission
        self._ack: tuple[int, bytes, Hop] | None = None  # CSeq, the last ACK we sent and where
        self._bye_reason: str | None = None  # a BYE that waits for the ACK (§15)
        endpoint.sessions.add(self)

    # ---- alarms: one deadline in the endpoint's heap for all that a session waits for

    def _arm(self, name: str, when: float) -> None:
        if self._alarms is None:
            self._alarms = {}
        self._alarms[name] = when
        if when < self.deadline:
            self.endpoint.deadlines.set(self, when)

    def _disarm(self, name: str) -> None:
        # The deadline stays: waking once for nothing is cheaper than looking for the next at every ACK.
        if self._alarms is not None:
            self._alarms.pop(name, None)

    def on_deadline(self, now: float) -> None:
        alarms = self._alarms
        if alarms is None:
            return
        for name in [name for name, when in alarms.items() if when <= now]:
            if name in alarms and not self.ended:
                del alarms[name]
                self._alarm(name, now)
        if alarms and not self.ended:
            when = min(alarms.values())
            if when < self.deadline:
                self.endpoint.deadlines.set(self, when)

    def _alarm(self, name: str, now: float) -> None:
        if name == "2xx":
            self._resend_2xx(now)
        elif name == "no ack":
            self._unacknowledged(now)
        elif name == "refresh":
            self._refresh(now)
        elif name == "expired":
            self.end_by_us(now, 'SIP;cause=408;text="session timer expired"', 408)
        elif name == "limit":
            self.end_by_us(now, 'SIP;cause=200;text="longest call time reached"', 200, LIMIT_REACHED)
        elif name == "glare" and self._exchange is not None:
            if self._busy(self._exchange.method):
                self._back_off(now)
            else:
                self._send_exchange(self._exchange, now)

    def limit(self, when: float) -> None:
        """End the call at `when`, however well it goes."""
        self._arm("limit", when)

    @property
    def awaits_ack(self) -> bool:
        """Our 2xx is out and its ACK has not come yet."""
        return self._unacked is not None

    # ---- requests of ours

    def compose(
        self,
        method: str,
        user: RequestUser | None,
        headers: str = "",
        body: bytes = b"",
        cseq: int = 0,
        dialog: Dialog | None = None,
    ) -> OutgoingRequest:
        """A request within the dialog (§12.2.1.1), not sent yet. Raises ParseError on a route set that is unusable."""
        dialog = dialog or self.dialog
        uri, routes, _ = dialog.route()
        number = cseq or dialog.next_cseq()
        route = "".join(f"Route: {value}\r\n" for value in routes)
        head = (
            f"{route}Max-Forwards: 70\r\nFrom: {dialog.local};tag={dialog.local_tag}\r\n"
            f"To: {dialog.remote}{f';tag={dialog.remote_tag}' if dialog.remote_tag else ''}\r\n"
            f"Call-ID: {dialog.call_id}\r\nCSeq: {number} {method}\r\n"
        )
        contact = method in ("INVITE", "UPDATE")
        headers = self._credentials(method, uri, number, body) + headers
        return OutgoingRequest(self.endpoint, user, method, uri, head, headers, body, contact)

    def _credentials(self, method: str, uri: str, cseq: int, body: bytes) -> str:
        """Authorization lines for a request within the dialog; only who had to log in has some."""
        return ""

    def send(self, request: OutgoingRequest, now: float, dialog: Dialog | None = None) -> None:
        """Send a composed request to the dialog's next hop."""
        dialog = dialog or self.dialog
        way_back = dialog.way_back()
        if way_back is not None:
            request.send_to([way_back], now)
        else:
            request.send(dialog.route()[2], now)

    def request(
        self, method: str, now: float, headers: str = "", body: bytes = b"", on_final: OnFinal | None = None
    ) -> None:
        """Send INFO, PRACK or another request that changes no session; `on_final` gets what comes back."""
        user = _Final(self, on_final) if on_final is not None else None
        try:
            self.send(self.compose(method, user, headers, body), now)
        except ParseError as error:
            if on_final is not None:
                on_final(503, None, now)
            self.end_by_us(now, "", 500, str(error))

    def renegotiate(
        self, method: str, body: bytes, now: float, on_final: OnFinal, headers: str = "", retry_glare: bool = False
    ) -> None:
        """Send a re-INVITE (§14.1) or UPDATE (RFC 3311).

        A 491 is final, unless `retry_glare`: then it is tried again after the back-off of §14.1. The same goes for
        what cannot be sent yet, because an INVITE of the peer is not through with its ACK. A 2xx to a re-INVITE
        that made no offer is acknowledged by the user with `acknowledge_reinvite`.
        """
        early = method == "INVITE" and self.dialog.state != CONFIRMED
        busy = self._busy(method)
        if self._exchange is not None or early or self.ended or (busy and not retry_glare):
            on_final(491, None, now)
            return
        self._exchange = Exchange(method, body, headers, on_final, retry_glare)
        if busy:
            self._back_off(now)
        else:
            self._send_exchange(self._exchange, now)

    def _busy(self, method: str) -> bool:
        """§14.1: no INVITE of ours before the peer's is answered, and that answer acknowledged."""
        return self._reinvite is not None or (method == "INVITE" and self._unacked is not None)

    def _back_off(self, now: float) -> None:
        """§14.1: who owns the Call-ID waits longer. Meanwhile nothing of ours is under way."""
        if self._exchange is not None:
            self._exchange.request = None
        random = self.endpoint.random()
        wait = 2.1 + 1.9 * random if self._owns_call_id() else 2.0 * random
        self._arm("glare", now + round(wait, 2))

    def _send_exchange(self, exchange: Exchange, now: float) -> None:
        policy = self.endpoint.policy
        lines = self.endpoint.agent_line + ALLOW_LINE + SUPPORTED_LINE + exchange.headers
        if self.timer is not None:
            # The refresher stays who it was (RFC 4028 §7.4).
            refresher = "uac" if self.timer.we_refresh else "uas"
            lines += f"Session-Expires: {self.timer.interval};refresher={refresher}\r\n"
            lines += f"Min-SE: {policy.min_se}\r\n"
        if exchange.body:
            lines += SDP_TYPE
        try:
            exchange.request = self.compose(exchange.method, self, lines, exchange.body)
            self.send(exchange.request, now)
        except ParseError:
            self._finish_exchange(500, None, now)

    def on_response(self, request: OutgoingRequest, response: Response, now: float) -> None:
        """A response to a re-INVITE or UPDATE of ours."""
        exchange = self._exchange
        status = response.status
        if exchange is None or request is not exchange.request:
            if request.method != "INVITE" or not 200 <= status < 300 or response.cseq == self._owed:
                return
            if not self._resend_ack(response):
                self._acknowledge(response.cseq, b"", now)
            return
        if status < 200:
            return
        if status < 300:
            self.dialog.refresh(response)
            if exchange.body:
                self.last_body = exchange.body
            self._start_timer(agree_as_client(response), now)
            if exchange.offerless:
                self._owed = response.cseq
            elif exchange.method == "INVITE":
                self._acknowledge(response.cseq, b"", now)
        elif status == 491 and exchange.retry_glare:
            self._back_off(now)
            return
        elif status == 422 and self.timer is not None and self.timer.interval < read_min_se(response) <= MAX_INTERVAL:
            # RFC 4028 §7.4: again, with what the peer takes.
            self.timer = SessionTimer(read_min_se(response), self.timer.we_refresh)
            self._send_exchange(exchange, now)
            return
        elif status in (408, 481):
            self._finish_exchange(status, response, now)
            self.end_by_us(now, f"SIP;cause={status}", status)  # §12.2.1.2: the dialog is gone
            return
        self._finish_exchange(status, response, now)

    def on_failure(self, request: OutgoingRequest, cause: str, now: float) -> None:
        """Nobody answered a re-INVITE or UPDATE of ours: as a 408, the dialog is gone (§12.2.1.2)."""
        if self._exchange is not None and request is self._exchange.request:
            self._finish_exchange(408, None, now)
            self.end_by_us(now, "SIP;cause=408", 408)

    def _finish_exchange(self, status: int, response: Response | None, now: float) -> None:
        exchange = self._exchange
        self._exchange = None
        if exchange is not None:
            exchange.on_final(status, response, now)

    def acknowledge_reinvite(self, cseq: int, body: bytes, now: float) -> None:
        """The ACK for a 2xx to a re-INVITE without an offer, with the answer to the offer that came in it."""
        if self._owed == cseq:
            self._owed = 0
        if body:
            self.last_body = body
        self._acknowledge(cseq, body, now)

    def _acknowledge(self, cseq: int, body: bytes, now: float) -> None:
        """ACK a 2xx (§13.2.2.4): a request of its own, sent again for each retransmission of the 2xx."""
        dialog = self.dialog
        try:
            ack = self.compose("ACK", None, SDP_TYPE if body else "", body, cseq)
            next_hop = dialog.route()[2]
        except ParseError:
            return

        def located(hops: list[Hop]) -> None:
            if hops:
                data = ack.compose(hops[0], "z9hG4bK" + self.endpoint.token())
                self._ack = (cseq, data, hops[0])
                hops[0].transport.send(data, hops[0].host, hops[0].port)

        way_back = dialog.way_back()
        if way_back is not None:
            located([way_back])
        else:
            self.endpoint.locate(next_hop, located)

    def _resend_ack(self, response: Response) -> bool:
        if self._ack is None or self._ack[0] != response.cseq:
            return False
        _, data, hop = self._ack
        hop.transport.send(data, hop.host, hop.port)
        return True

    def _owns_call_id(self) -> bool:
        return False

    # ---- requests of the peer

    def receive_request(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """A request within the dialog that is no retransmission."""
        if not self.dialog.accepts(request):
            transaction.respond(500, now)  # §12.2.2: out of order
            return
        handler = _HANDLERS.get(request.method)
        if handler is None:
            transaction.respond(501, now, headers=ALLOW_LINE)
        else:
            getattr(self, handler)(transaction, request, now)

    def reply(
        self, transaction: ServerTransaction, status: int, now: float, headers: str = "", body: bytes = b""
    ) -> None:
        """Answer a request given to `SessionUser.on_request`."""
        if transaction.answered:
            return
        request = transaction.request
        if status < 300 and request.method == "UPDATE":
            headers += self._agree(request, now) + self.endpoint.contact_line(transaction.hop)
            self.dialog.refresh(request, transaction.hop)
            self.last_body = body or self.last_body
        transaction.respond(
            status, now, headers=headers + (SDP_TYPE if body and not _typed(headers) else ""), body=body
        )

    def accept_reinvite(self, now: float, body: bytes = b"", headers: str = "") -> bool:
        """200 to the peer's re-INVITE; False when the peer has taken it back meanwhile."""
        transaction = self._reinvite
        if transaction is None:
            return False
        self._reinvite = None
        self.dialog.refresh(transaction.request, transaction.hop)
        self.send_2xx(transaction, body, now, headers)
        return True

    def refuse_reinvite(self, status: int, now: float, headers: str = "", reason: str = "") -> None:
        """A final response other than 2xx; the session stays what it was (§14.2)."""
        transaction = self._reinvite
        self._reinvite = None
        if transaction is not None:
            transaction.respond(status, now, reason, headers)

    def send_2xx(self, transaction: ServerTransaction, body: bytes, now: float, headers: str = "") -> None:
        """A 2xx to an INVITE, retransmitted until its ACK comes, 64*T1 at the most (§13.3.1.4)."""
        endpoint = self.endpoint
        headers = (
            f"{self._agree(transaction.request, now)}{endpoint.contact_line(transaction.hop)}"
            f"{ALLOW_LINE}{SUPPORTED_LINE}{endpoint.server_line}{headers}"
        )
        if body:
            self.last_body = body
            headers += SDP_TYPE
        self._unacked = transaction
        timers = endpoint.policy.timers
        self._interval = timers.t1
        self._arm("2xx", now + timers.t1)
        self._arm("no ack", now + timers.timeout)
        transaction.respond(200, now, headers=headers, body=body)

    def _resend_2xx(self, now: float) -> None:
        transaction = self._unacked
        if transaction is not None:
            transaction.transactions.retransmissions += 1
            transaction.fire("2xx", now)
            self._interval = min(self._interval * 2, self.endpoint.policy.timers.t2)
            self._arm("2xx", now + self._interval)

    def receive_ack(self, request: Request, now: float) -> None:
        """The ACK of a 2xx of ours."""
        transaction = self._unacked
        if transaction is None or request.cseq != transaction.request.cseq:
            return
        self._unacked = None
        transaction.acknowledged()
        self._disarm("2xx")
        self._disarm("no ack")
        if self.user is not None:
            self.user.on_acknowledged(self, request.body, now)
        if self._bye_reason is not None and not self.ended:
            self._send_bye(self._bye_reason, now)

    def _unacknowledged(self, now: float) -> None:
        """§13.3.1.4: no ACK for 64*T1 ends the session with a BYE."""
        self._disarm("2xx")
        self._unacked = None
        if self._bye_reason is not None:
            self._send_bye(self._bye_reason, now)
        else:
            self.end_by_us(now, 'SIP;cause=408;text="no ACK"', 408, "no ACK")

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
        self.finish("remote", self.end_status or 200, request.get("Reason"), now)

    def _take_reinvite(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        busy = self._reinvite is not None or self._unacked is not None or self._answers_update()
        if busy or self.dialog.state != CONFIRMED:
            self._try_later(transaction, now)  # §14.2
        elif self._offers():
            transaction.respond(491, now)
        elif too_small(request, self.endpoint.policy.min_se):
            transaction.respond(422, now, headers=f"Min-SE: {self.endpoint.policy.min_se}\r\n")
        else:
            self._reinvite = transaction
            transaction.user = self
            transaction.respond(100, now)
            if self.user is not None:
                self.user.on_reinvite(self, request, now)

    def _take_update(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        if request.body:
            if self._offers():
                transaction.respond(491, now)  # RFC 3311 §5.2: our own offer is under way
                return
            if self._reinvite is not None or self._answers_update():
                self._try_later(transaction, now)
                return
        if too_small(request, self.endpoint.policy.min_se):
            transaction.respond(422, now, headers=f"Min-SE: {self.endpoint.policy.min_se}\r\n")
        elif request.body and self.user is not None:
            self._update = transaction
            self.user.on_request(self, transaction, request, now)
        else:
            self.reply(transaction, 200, now)

    def _offers(self) -> bool:
        """Our own INVITE or UPDATE with an offer is under way; one that waits for its back-off is not."""
        exchange = self._exchange
        return (
            exchange is not None
            and exchange.request is not None
            and (exchange.method == "INVITE" or exchange.body != b"")
        )

    def _answers_update(self) -> bool:
        """The peer's UPDATE with an offer has no answer yet."""
        return self._update is not None and not self._update.answered

    def _try_later(self, transaction: ServerTransaction, now: float) -> None:
        """500 with a Retry-After of up to 10 s (§14.2, RFC 3311 §5.2)."""
        retry = round(self.endpoint.random() * 10)
        transaction.respond(500, now, headers=f"Retry-After: {retry}\r\n")

    def _take_info(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        if self.user is not None:
            self.user.on_request(self, transaction, request, now)
        else:
            transaction.respond(200, now)

    def _take_options(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        transaction.respond(200, now, headers=CAPABILITIES)

    def _take_prack(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        transaction.respond(481, now)  # RFC 3262 §3: it acknowledges nothing of ours

    # ---- session timer

    def _agree(self, request: Request, now: float) -> str:
        policy = self.endpoint.policy
        timer, lines = agree_as_server(request, policy.session_expires, policy.min_se)
        self._start_timer(timer, now)
        return lines

    def _start_timer(self, timer: SessionTimer | None, now: float) -> None:
        self.timer = timer
        self._disarm("refresh")
        self._disarm("expired")
        if timer is not None:
            self._arm("expired", now + timer.expires_in())
            if timer.we_refresh:
                self._arm("refresh", now + timer.refresh_in())

    def _refresh(self, now: float) -> None:
        """RFC 4028 §7.4: UPDATE where the peer knows it, else a re-INVITE with the SDP that it has."""
        if self._exchange is not None or self._reinvite is not None:
            self._arm("refresh", now + 1.0)
        elif self.peer_allows_update:
            self.renegotiate("UPDATE", b"", now, self._refreshed, retry_glare=True)
        else:
            self.renegotiate("INVITE", self.last_body, now, self._refreshed, retry_glare=True)

    def _refreshed(self, status: int, response: Response | None, now: float) -> None:
        if self.ended or self.timer is None:
            return
        if status >= 300:
            # Tried again before it is too late: by re-INVITE with a peer that has no UPDATE after all.
            unknown = status in (405, 501) and self.peer_allows_update
            self.peer_allows_update = self.peer_allows_update and not unknown
            self._arm("refresh", now + (0.0 if unknown else max(1.0, self.timer.interval / 8)))
        elif response is not None and response.cseq == self._owed:
            self.acknowledge_reinvite(response.cseq, b"", now)  # a call without session descriptions

    # ---- the end

    def bye(self, now: float, reason: str = "") -> None:
        """End a confirmed dialog; before its ACK has come, as soon as it comes (§15). `reason`: a Reason value."""
        if self.ended or self._bye_reason is not None:
            return
        if self._unacked is not None:
            self._bye_reason = reason
            return
        self._send_bye(reason, now)

    def _send_bye(self, reason: str, now: float) -> None:
        if self._reinvite is not None:
            self.refuse_reinvite(487, now)
        if self._owed:
            self.acknowledge_reinvite(self._owed, b"", now)
        headers = f"Reason: {reason}\r\n{self.endpoint.agent_line}" if reason else self.endpoint.agent_line
        with suppress(ParseError):  # nowhere to send it: the call ends all the same
            self.send(self.compose("BYE", None, headers), now)
        self.finish("local", self.end_status or 200, "", now)

    def end_by_us(self, now: float, reason: str, status: int, words: str = "") -> None:
        """The call cannot go on: BYE, with what is known of the cause."""
        if self.ended:
            return
        self.end_status, self.end_reason = status, words
        if self.dialog.state == CONFIRMED:
            self._unacked = None
            self._send_bye(reason, now)
        else:
            self.finish("local", status, words, now)

    def finish(self, by: str, status: int, reason: str, now: float) -> None:
        """The leg is over: out of every table, and the user is told once."""
        if self.ended:
            return
        self.ended = True
        self.end_status = status
        endpoint = self.endpoint
        endpoint.sessions.discard(self)
        self._leave_dialogs()
        endpoint.deadlines.clear(self)
        self._alarms = None
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            if exchange.request is not None:
                exchange.request.abandon(now)
            exchange.on_final(487, None, now)
        user, self.user = self.user, None
        if user is not None:
            user.on_ended(self, by, status, reason, now)

    def _leave_dialogs(self) -> None:
        self.dialog.state = TERMINATED
        self.endpoint.dialogs.pop(self.dialog.key, None)


class _Final:
    """Takes the one final response to a request that changes no session."""

    __slots__ = ("on_final", "session")

    def __init__(self, session: Session, on_final: OnFinal) -> None:
        self.session = session
        self.on_final = on_final

    def on_response(self, request: OutgoingRequest, response: Response, now: float) -> None:
        if response.status >= 200:
            self.on_final(response.status, response, now)
            if response.status in (408, 481):
                self._gone(response.status, now)

    def on_failure(self, request: OutgoingRequest, cause: str, now: float) -> None:
        self.on_final(408, None, now)
        self._gone(408, now)

    def _gone(self, status: int, now: float) -> None:
        """§12.2.1.2: the peer knows nothing of the dialog any more."""
        if self.session.dialog.state == CONFIRMED:
            self.session.end_by_us(now, f"SIP;cause={status}", status)


def allows_update(message: Request | Response) -> bool:
    """Whether the peer takes UPDATE (RFC 3311 §5.1)."""
    return "Allow" in message.first and any("UPDATE" in line for line in message.lines("Allow"))


def _typed(headers: str) -> bool:
    return "Content-Type:" in headers


_HANDLERS = {
    "BYE": "_take_bye",
    "INVITE": "_take_reinvite",
    "UPDATE": "_take_update",
    "INFO": "_take_info",
    "OPTIONS": "_take_options",
    "PRACK": "_take_prack",
}
