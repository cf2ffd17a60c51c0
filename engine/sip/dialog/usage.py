"""Dialog usages (RFC 5057): requests, timers, the ACK of a 2xx and the end (RFC 3261 §12, §13.2.2.4, §13.3.1.4, §15).

`Session` adds what is negotiated within it.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from engine.sip.auth.credentials import Answered, Credentials, DigestSessions
from engine.sip.capabilities import SDP_TYPE
from engine.sip.core import Core
from engine.sip.dialog.dialog import CONFIRMED, TERMINATED, Dialog
from engine.sip.dialog.next_hop import MISLEADING, find_flows, way_back
from engine.sip.flow import Flow, address_of
from engine.sip.message.grammar import ParseError
from engine.sip.message.message import Request, Response
from engine.sip.request import OutgoingRequest, RequestUser
from engine.sip.sdp.origin import succeed
from engine.sip.transaction.branch import MAGIC_COOKIE
from engine.sip.transaction.server import ServerTransaction
from engine.sip.transaction.timers import NEVER

LIMIT_REACHED = "longest call time reached"
NOT_ANSWERED = "not answered in time"
GONE = "its connection is gone"
MOST_WAITING = 16
"""Requests of one dialog that wait until its peer is back."""
OnFinal = Callable[[int, Response | None, float], None]  # status (408 where nobody answered), response, now


class DialogUsage:
    """One use of a dialog: what an INVITE has set up."""

    __slots__ = (
        "__weakref__",
        "_ack",
        "_alarms",
        "_bye_reason",
        "_digests",
        "_interval",
        "_unacked",
        "_waiting",
        "credentials",
        "deadline",
        "dialog",
        "end_reason",
        "end_status",
        "ended",
        "endpoint",
        "last_body",
        "opening",
        "queued",
        "receives",
    )

    dialog: Dialog

    def __init__(self, endpoint: Core) -> None:
        self.endpoint = endpoint
        self.deadline = self.queued = NEVER
        self.ended = False
        self.end_status = 0
        self.end_reason = ""
        self.last_body = b""  # the SDP that the peer has from us
        self.opening = True  # until the ACK of the INVITE that opened the dialog
        self.receives = False  # the peer has shown that what we send reaches it, by what it can know from that alone
        self._alarms: dict[str, float] | None = None
        self._unacked: ServerTransaction | None = None  # our 2xx, not acknowledged yet
        self._interval = 0.0  # of its retransmission
        self._ack: tuple[int, bytes, Flow] | None = None  # CSeq, the last ACK we sent and where
        self._bye_reason: str | None = None  # a BYE that waits for the ACK (§15)
        self.credentials: Credentials | None = None  # what the peer's challenges are answered with
        self._digests: DigestSessions | None = None  # with whom we had to log in
        # Requests that wait for a peer that has lost its connection; None: it is there.
        self._waiting: list[tuple[OutgoingRequest, Dialog]] | None = None

    # ---- hooks of `Session`

    def _on_ack(self, body: bytes, now: float) -> None:
        """The ACK of our 2xx has arrived."""

    def _before_bye(self, now: float) -> None:
        """A BYE is about to be sent: what is pending has to be answered first."""

    def _on_terminated(self, by: str, status: int, reason: str, now: float) -> None:
        """The usage has ended."""

    @property
    def peer_host(self) -> str:
        """The numeric address that the peer's signalling comes from, before an edge of ours (`sip.proxies`) where that
        passes it on; "" while none has come."""
        return address_of(self.dialog.party)

    @property
    def party(self) -> str:
        """Who is there, as `Peers` is asked."""
        return self.dialog.party

    # ---- alarms: named timers that share one deadline in the endpoint's heap

    @property
    def alarms(self) -> Mapping[str, float]:
        """The timers that run, by name, and when they fire."""
        return self._alarms or {}

    def arm(self, name: str, when: float) -> None:
        if self._alarms is None:
            self._alarms = {}
        self._alarms[name] = when
        if when < self.deadline:
            self.endpoint.deadlines.set(self, when)

    def _disarm(self, *names: str) -> None:
        # The deadline stays: waking once for nothing is cheaper than looking for the next at every ACK.
        alarms = self._alarms
        if alarms:
            for name in names:
                alarms.pop(name, None)

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
        elif name == "limit":
            self.end_by_us(now, 'SIP;cause=200;text="longest call time reached"', 200, LIMIT_REACHED)

    def limit(self, when: float) -> None:
        """End the call at `when` (longest call time)."""
        self.arm("limit", when)

    @property
    def awaits_ack(self) -> bool:
        """Our 2xx has been sent, and its ACK has not arrived."""
        return self._unacked is not None

    @property
    def leaves(self) -> bool:
        """Our BYE waits for the ACK of our 2xx."""
        return self._bye_reason is not None

    def contact_line(self, flow: Flow) -> str:
        """The Contact of our answers within the dialog."""
        dialog = self.dialog
        return flow.contact(dialog.contact_host, sips=dialog.secure)

    @property
    def own_address(self) -> str:
        """Where the peer finds us, as our Contact says; "" where nothing has come from it."""
        dialog, source = self.dialog, self.dialog.source
        return "" if source is None else source.own_address(dialog.contact_host, sips=dialog.secure)

    # ---- requests of ours

    def aim(self, dialog: Dialog) -> None:
        """Set where requests within the dialog go: after its start, and after every target refresh."""
        dialog.flow = way_back(dialog, self.endpoint.peers)

    def move_to(self, flow: Flow) -> None:
        """The peer is reached by another flow from now on, and known by it."""
        dialog = self.dialog
        dialog.source = flow
        dialog.peer = dialog.party = flow.party
        dialog.flow = flow  # its Contact is of the place that it has left, until it says another
        if self._ack is not None:
            self._ack = (*self._ack[:2], flow)  # it may not have had it, and sends its 2xx again
        waiting, self._waiting = self._waiting, None
        for request, within in waiting or ():
            self.send(request, self.endpoint.clock(), within)

    def await_peer(self) -> None:
        """The peer's connection is gone, and it may come back by another: requests wait until `move_to` or `give_up`
        says what has become of it, the BYE of a call that is over too."""
        if self._waiting is None:
            self._waiting = []

    def give_up(self, now: float) -> None:
        """The peer has not come back: what waits for it fails."""
        waiting, self._waiting = self._waiting, None
        for request, _ in waiting or ():
            request.fail(GONE, now)

    def compose(
        self,
        method: str,
        user: RequestUser | None,
        headers: str = "",
        body: bytes = b"",
        cseq: int = 0,
        dialog: Dialog | None = None,
    ) -> OutgoingRequest:
        """Build a request within the dialog (§12.2.1.1). Raises ParseError on an unusable route set."""
        dialog = dialog or self.dialog
        uri, routes, _ = dialog.route()
        number = cseq or dialog.next_cseq()
        head = request_head(dialog, method, number, routes)
        contact = method in ("INVITE", "UPDATE", "REFER", "NOTIFY")
        request = OutgoingRequest(
            self.endpoint,
            user,
            method=method,
            uri=uri,
            head=head,
            tail=self._credentials(method, uri, number, body) + headers,
            body=body,
            contact=contact,
            contact_host=dialog.contact_host,
            sips=dialog.secure or dialog.begins_with_sips,  # §8.1.1.8; the Request-URI is looked at anyway
        )
        if self.credentials is not None and method != "ACK":  # §22.1: nobody can challenge an ACK
            request.login = _Login(self, self.credentials, dialog, uri, headers)
        return request

    def _answer_challenge(self, response: Response, credentials: Credentials, answered: list[Answered]) -> bool:
        if self._digests is None:
            self._digests = DigestSessions(credentials)
        return self._digests.accept_within(response, answered)

    def _renumbered(self, method: str, cseq: int) -> None:
        """A request of ours has been sent again, with credentials and this CSeq."""

    def _credentials(self, method: str, uri: str, cseq: int, body: bytes) -> str:
        """Authorization lines of a request within the dialog; "" where nobody has challenged us."""
        return ""

    def send(self, request: OutgoingRequest, now: float, dialog: Dialog | None = None) -> None:
        """Send a request that `compose` has built. Raises ParseError as `compose` does."""
        dialog = dialog or self.dialog
        if self._waiting is not None:
            if len(self._waiting) < MOST_WAITING:
                self._waiting.append((request, dialog))
            else:
                request.fail(GONE, now)
            return
        find_flows(self.endpoint, dialog, partial(self._found, request, dialog))

    def _found(self, request: OutgoingRequest, dialog: Dialog, flows: list[Flow], cause: str) -> None:
        if cause != MISLEADING:
            request.located(flows, cause)
            return
        now = self.endpoint.clock()
        if request.method in ("ACK", "BYE") and dialog.source is not None:
            # What ends the dialog goes to the peer itself.
            request.send_to([dialog.source], now)
            return
        self.misled(request.method, dialog, now)
        request.abandon(now)

    def misled(self, doing: str, dialog: Dialog, now: float) -> None:
        """The peer has named another party's address as its own: the dialog ends, by a BYE to the peer itself."""
        self.endpoint.on_misled(dialog.peer, doing)
        dialog.flow = dialog.source
        self.end_by_us(now, f'SIP;cause=403;text="{MISLEADING}"', 403, MISLEADING)

    def request(
        self, method: str, now: float, headers: str = "", body: bytes = b"", on_final: OnFinal | None = None
    ) -> None:
        """Send INFO, PRACK or another request that changes no session. `on_final` is called with its final response."""
        user = _Final(self, on_final) if on_final is not None else None
        try:
            self.send(self.compose(method, user, headers, body), now)
        except ParseError as error:
            if on_final is not None:
                on_final(503, None, now)
            self.end_by_us(now, "", 500, str(error))

    def describe(self, body: bytes, dialog: Dialog | None = None) -> bytes:
        """`body` as our next session description in the dialog; b"" for none. See `engine.sip.sdp.origin`."""
        if body:
            dialog = dialog or self.dialog
            dialog.described = body = succeed(dialog.described, body, self.endpoint.random)
        return body

    def has_described(self, body: bytes) -> bool:
        """Whether `body` is what was sent last, whoever says it."""
        return self.dialog.described == succeed(self.dialog.described, body, self.endpoint.random)

    def _acknowledge(self, cseq: int, body: bytes, now: float) -> None:
        """ACK a 2xx (§13.2.2.4): a request of its own, sent again for each retransmission of the 2xx."""
        self.opening = False
        dialog = self.dialog
        if body:
            body = self.last_body = self.describe(body)

        def located(flows: list[Flow], cause: str) -> None:
            misled = cause == MISLEADING and dialog.source is not None
            if misled:
                flows = [dialog.source] if dialog.source is not None else []
            if flows:
                data = ack.compose(flows[0], MAGIC_COOKIE + self.endpoint.token())
                self._ack = (cseq, data, flows[0])
                flows[0].send(data)
            if misled and not self.ended:
                self.misled("ACK", dialog, self.endpoint.clock())

        with suppress(ParseError):
            ack = self.compose("ACK", None, SDP_TYPE if body else "", body, cseq)
            find_flows(self.endpoint, dialog, located)

    def _resend_ack(self, response: Response) -> bool:
        if self._ack is None or self._ack[0] != response.cseq:
            return False
        _, data, flow = self._ack
        flow.send(data)
        return True

    # ---- a 2xx of ours

    def _answer(self, transaction: ServerTransaction, headers: str, body: bytes, now: float) -> None:
        """A 2xx to an INVITE, retransmitted until its ACK comes, 64*T1 at the most (§13.3.1.4)."""
        if body:
            body = self.last_body = self.describe(body)
            headers += SDP_TYPE
        self._unacked = transaction
        timers = self.endpoint.policy.timers
        self._interval = timers.t1
        self.arm("2xx", now + timers.t1)
        self.arm("no ack", now + timers.timeout)
        transaction.respond(200, now, headers=headers, body=body)

    def _resend_2xx(self, now: float) -> None:
        transaction = self._unacked
        if transaction is not None:
            transaction.transactions.retransmissions += 1
            transaction.fire("2xx", now)
            self._interval = min(self._interval * 2, self.endpoint.policy.timers.t2)
            self.arm("2xx", now + self._interval)

    def receive_ack(self, request: Request, now: float) -> None:
        """The ACK of a 2xx of ours."""
        transaction = self._unacked
        if transaction is None or request.cseq != transaction.cseq:
            return
        self._unacked = None
        self.receives, self.opening = True, False  # it knows our To tag
        transaction.acknowledged()
        self._disarm("2xx", "no ack")
        self._on_ack(request.body, now)
        if self._bye_reason is not None and not self.ended:
            self._send_bye(self._bye_reason, now)

    def _unacknowledged(self, now: float) -> None:
        """§13.3.1.4: no ACK for 64*T1 ends the session with a BYE."""
        self._disarm("2xx")
        transaction, self._unacked = self._unacked, None
        if transaction is not None and transaction.flow.transport.reliable:
            self.endpoint.peers.accuse(transaction.flow.party, "unacknowledged")
        if self._bye_reason is not None:
            self._send_bye(self._bye_reason, now)
        else:
            self.end_by_us(now, 'SIP;cause=408;text="no ACK"', 408, "no ACK")

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
        self._before_bye(now)
        headers = f"Reason: {reason}\r\n{self.endpoint.agent_line}" if reason else self.endpoint.agent_line
        with suppress(ParseError):  # nowhere to send it: the call ends all the same
            self.send(self.compose("BYE", None, headers), now)
        self.finish("local", self.end_status or 200, "", now)

    def end_by_us(self, now: float, reason: str, status: int, words: str = "") -> None:
        """End the call because of a failure: BYE with the cause in Reason."""
        if self.ended:
            return
        self.end_status, self.end_reason = status, words
        if self.dialog.state == CONFIRMED:
            self._unacked = None
            self._send_bye(reason, now)
        else:
            self.finish("local", status, words, now)

    def finish(self, by: str, status: int, reason: str, now: float) -> None:
        """The usage ends: it leaves every table, and its user is told once."""
        if self.ended:
            return
        self.ended = True
        self.end_status = status
        endpoint = self.endpoint
        self._leave_dialogs()
        endpoint.deadlines.clear(self)
        self._alarms = None
        self._on_terminated(by, status, reason, now)

    def _leave_dialogs(self) -> None:
        key = self.dialog.key
        if self.dialog.state == CONFIRMED:
            self.endpoint.ended.append(key)
        self.dialog.state = TERMINATED
        self.endpoint.dialogs.pop(key, None)


def request_head(dialog: Dialog, method: str, cseq: int, routes: list[str]) -> str:
    """The header lines of a request within a dialog, before Contact (§12.2.1.1). `routes`: of `Dialog.route`."""
    route = "".join(f"Route: {value}\r\n" for value in routes) if routes else ""
    return (
        f"{route}Max-Forwards: 70\r\nFrom: {dialog.local};tag={dialog.local_tag}\r\n"
        f"To: {dialog.remote}{f';tag={dialog.remote_tag}' if dialog.remote_tag else ''}\r\n"
        f"Call-ID: {dialog.call_id}\r\nCSeq: {cseq} {method}\r\n"
    )


class _Login:
    """How a request within a dialog answers the challenges that it meets (RFC 3261 §22.2, §22.3): the same again, one
    CSeq higher, by the flow that brought them; the BYE of a call that is over too."""

    __slots__ = ("answered", "credentials", "dialog", "headers", "uri", "usage")

    def __init__(self, usage: DialogUsage, credentials: Credentials, dialog: Dialog, uri: str, headers: str) -> None:
        self.usage = usage
        self.credentials = credentials
        self.dialog = dialog
        self.uri = uri
        self.headers = headers
        self.answered: list[Answered] = []

    def again(self, request: OutgoingRequest, response: Response, flow: Flow, now: float) -> bool:
        """See `RequestLogin`."""
        usage, dialog, method = self.usage, self.dialog, request.method
        if not usage._answer_challenge(response, self.credentials, self.answered):
            return False
        try:
            routes = dialog.route()[1]
        except ParseError:
            return False
        number = dialog.next_cseq()
        request.head = request_head(dialog, method, number, routes)
        request.tail = usage._credentials(method, self.uri, number, request.body) + self.headers
        usage._renumbered(method, number)
        request.send_to([flow, *request.flows], now)
        return True


class _Final:
    """The user of a request that changes no session: takes its final response."""

    __slots__ = ("on_final", "usage")

    def __init__(self, usage: DialogUsage, on_final: OnFinal) -> None:
        self.usage = usage
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
        """§12.2.1.2: the dialog is gone at the peer."""
        if self.usage.dialog.state == CONFIRMED:
            self.usage.end_by_us(now, f"SIP;cause={status}", status)
