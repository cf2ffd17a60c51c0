"""The client side of an INVITE: from the request to its 2xx or its failure (RFC 3261 §13.2; RFC 3262 §4 for reliable
provisional responses)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from typing import Literal, Protocol

from engine.sip.auth.credentials import Credentials, DigestSessions
from engine.sip.capabilities import SDP_TYPE, allows_update, drop_unusable
from engine.sip.core import Core
from engine.sip.dialog.dialog import CONFIRMED, EARLY, TERMINATED, Dialog
from engine.sip.dialog.next_hop import MISLEADING, leads_astray
from engine.sip.dialog.session import MAX_INTERVAL, Session
from engine.sip.dialog.session_timer import agree_as_client, read_min_se
from engine.sip.flow import Allows, Flow, TlsTerms
from engine.sip.message.grammar import ParseError
from engine.sip.message.message import BodyPart, Request, Response
from engine.sip.message.multipart import composed
from engine.sip.message.name_addr import NameAddr
from engine.sip.message.uri import SipUri
from engine.sip.request import OutgoingRequest
from engine.sip.sdp.origin import succeed
from engine.sip.transaction.branch import PLAIN, Mark
from engine.sip.transaction.server import ServerTransaction

MAX_BREADTH = 60  # RFC 5393 §5.3.3
MAX_FORKS = 12  # early dialogs of one INVITE that are kept; a fork beyond is still answered with ACK and BYE
MAX_REDIRECTIONS = 5
FOLLOWED = (300, 301, 302)
MAX_DISMISSED = 64  # unwanted answers to one INVITE that get a BYE: it is not to be made a source of packets


InviteFailure = Literal["refused", "unreachable", "no_reply", "no_progress", "ring_timeout", "cancelled", "no_media"]
"""Why no answer will come. `no_media`: nothing was sent, since the media cannot be anchored."""


@dataclass(slots=True, kw_only=True)
class Invitation:
    """The contents of an INVITE, and its timers."""

    request_uri: str
    destination: str  # the URI of the next hop
    flow: Flow | None = None  # given: it goes by this one, and `destination` is not looked up
    from_: str  # name-addr without tag
    to: str
    body: bytes = b""
    headers: str = ""  # further lines, each ended by CRLF
    parts: Sequence[BodyPart] = ()  # beside the session description `body`
    max_forwards: int = 70
    credentials: Credentials | None = None
    no_reply_timeout: float = 32.0  # s without any response
    no_progress_timeout: float = 60.0  # s with nothing but 100
    ring_timeout: float = 180.0  # s from the first 101 to 199
    reliable: bool = True  # offer 100rel
    contact_host: str = ""  # see `Flow.sent_by`
    tls: TlsTerms | None = None  # what is asked of the peer over TLS
    allows: Allows | None = None  # which flows it may go to
    redirects_to: Sequence[str] | None = None  # hosts and networks that a 3xx is followed to; None: it is a failure
    mark: Mark = PLAIN  # what is to be known of it should it come back
    max_breadth: int = MAX_BREADTH


class DialUser(Protocol):
    """The owner of an outgoing call, in addition to `SessionUser`."""

    def on_refused(
        self,
        session: "InviteClient",
        kind: InviteFailure,
        status: int,
        reason: str,
        response: Response | None,
        now: float,
    ) -> None:
        """No answer will come."""
        ...


class InviteClient(Session):
    """A session that we opened."""

    __slots__ = (
        "_authorization",
        "_cancel_reason",
        "_dial_timer",
        "_dismissed",
        "_early",
        "_held_prack",
        "_invite",
        "_least_interval",
        "_local_cseq",
        "_redirected",
        "_rseqs",
        "_to_tag",
        "call_id",
        "dialer",
        "first_reply",
        "flow",
        "invitation",
        "local_tag",
        "request_uri",
    )

    def __init__(self, endpoint: Core, invitation: Invitation, dialer: DialUser | None) -> None:
        super().__init__(endpoint)
        self.initiator = True
        self.invitation = invitation  # until the answer is acknowledged
        self.credentials = invitation.credentials
        self.request_uri = invitation.request_uri
        self.dialer = dialer
        self.call_id = endpoint.token() + endpoint.token()
        self.local_tag = endpoint.token()
        self.first_reply: float | None = None
        self.flow: Flow | None = None  # where the INVITE went that was last heard of
        self._local_cseq = 0
        self._authorization = ""  # the Authorization lines of the INVITE
        self._redirected: list[SipUri] | None = None  # where the INVITE has been sent already
        self._least_interval = 0  # s, that a 422 asked for
        self._invite: OutgoingRequest | None = None
        self._early: dict[str, Dialog] = {}
        self._rseqs: dict[str, int] | None = None  # the last reliable response taken, by To tag
        self._held_prack: tuple[Dialog, Response] | None = None  # it answers an offer: its body comes from the user
        self._to_tag = ""  # of the 2xx that was kept
        self._dismissed: set[str] | None = None  # To tags of answers that were hung up
        self._cancel_reason: str | None = None
        self._dial_timer = ""  # the dial timer that runs
        # A placeholder until a response brings a To tag.
        self.dialog = Dialog(
            call_id=self.call_id,
            local_tag=self.local_tag,
            remote_tag="",
            local=invitation.from_,
            remote=invitation.to,
            remote_target=invitation.request_uri,
            route_set=[],
            local_cseq=0,
            remote_cseq=0,
            state=EARLY,
        )
        self.dialog.allows = invitation.allows
        self.dialog.contact_host = invitation.contact_host

    @property
    def peer_host(self) -> str:
        """See `DialogUsage.peer_host`."""
        return self.flow.host if self.flow is not None else ""

    @property
    def party(self) -> str:
        """See `DialogUsage.party`."""
        return self.dialog.party or self.peer_host

    # ---- the INVITE

    def start(self, now: float) -> None:
        """Send the INVITE."""
        self._wait_for("no_reply", now + self.invitation.no_reply_timeout)
        self._send_invite(now)

    def _send_invite(self, now: float, flow: Flow | None = None) -> None:
        invitation, endpoint = self.invitation, self.endpoint
        policy = endpoint.policy
        self._local_cseq += 1
        head = (
            f"Max-Forwards: {invitation.max_forwards}\r\nMax-Breadth: {invitation.max_breadth}\r\n"
            f"From: {invitation.from_};tag={self.local_tag}\r\n"
            f"To: {invitation.to}\r\nCall-ID: {self.call_id}\r\nCSeq: {self._local_cseq} INVITE\r\n"
        )
        timer = ""
        if policy.session_expires or self._least_interval:
            interval = max(policy.session_expires, self._least_interval)
            least = max(policy.min_se, self._least_interval)
            timer = f"Session-Expires: {interval}\r\nMin-SE: {least}\r\n"
        invitation.body = self.last_body = succeed(b"", invitation.body, endpoint.random) if invitation.body else b""
        uri, body = invitation.request_uri, invitation.body
        content = SDP_TYPE if body else ""
        if invitation.parts:
            content, body = composed(body, invitation.parts, endpoint.token())
        digests = self._digests
        self._authorization = headers = digests.lines("INVITE", uri, body, endpoint.token) if digests else ""
        supported = "Supported: 100rel, timer\r\n" if invitation.reliable else "Supported: timer\r\n"
        allow = endpoint.methods.allow_line
        tail = f"{allow}{supported}{timer}{headers}{endpoint.agent_line}{invitation.headers}{content}"
        self._invite = OutgoingRequest(
            endpoint,
            self,
            method="INVITE",
            uri=uri,
            head=head,
            tail=tail,
            body=body,
            contact=True,
            contact_host=invitation.contact_host,
            tls=invitation.tls,
            allows=invitation.allows,
            mark=invitation.mark,
        )
        if flow is not None:
            self._invite.send_to([flow], now)  # the name is not resolved anew: another server might not know the nonce
        elif invitation.flow is not None:
            self._invite.located([invitation.flow])
        else:
            self._invite.send(invitation.destination, now)

    def _wait_for(self, name: str, when: float) -> None:
        if self._dial_timer:
            self._disarm(self._dial_timer)
        self._dial_timer = name
        if name:
            self.arm(name, when)

    def _alarm(self, name: str, now: float) -> None:
        if name == "no_reply":
            if self._invite is not None and self._invite.try_next(now):
                self._wait_for("no_reply", now + self.invitation.no_reply_timeout)
            else:
                self._give_up("no_reply", 408, "no reply", now)
        elif name == "no_progress":
            self._give_up("no_progress", 408, "no progress", now)
        elif name == "ring_timeout":
            self._give_up("ring_timeout", 408, "ring timeout", now)
        elif name == "cancelled":
            self._close(now)  # §9.1: no final response within 64*T1 of the CANCEL
        else:
            super()._alarm(name, now)

    def lose_flow(self, now: float) -> None:
        """The connection that the INVITE went by is gone, and there is no other way to its peer (RFC 5626 §5.3.1)."""
        self._give_up("unreachable", 430, "connection lost", now)

    def cancel(self, now: float, reason: str = "") -> None:
        """Cancel the INVITE. `reason`: a Reason value. A 2xx that crosses the CANCEL gets ACK and BYE."""
        self._cancel_reason = reason
        self._give_up("cancelled", 487, "cancelled", now)

    def _give_up(self, kind: InviteFailure, status: int, words: str, now: float) -> None:
        if self.dialer is None or self.ended:
            return
        self._report(kind, status, words, None, now)
        self._cancel_reason = self._cancel_reason or ""
        request = self._invite
        if request is None or request.transaction is None:
            self._close(now)
            return
        self.arm("cancelled", now + self.endpoint.policy.timers.timeout)
        if request.transaction.state == "proceeding":
            request.cancel(request.transaction, self._cancel_reason, now)
        else:
            # Nothing may be cancelled before a provisional response (§9.1). Nothing more is asked of a silent peer; one
            # that only its caller has left goes on being asked, so that what it then says can be answered by a CANCEL.
            request.flows = []
            if kind != "cancelled":
                request.transaction.quiet(now)

    def _report(self, kind: InviteFailure, status: int, reason: str, response: Response | None, now: float) -> None:
        """Report the failure to the owner, once."""
        dialer, self.dialer = self.dialer, None
        self._wait_for("", 0)
        self.user = None
        if dialer is not None:
            dialer.on_refused(self, kind, status, reason, response, now)

    def refuse_locally(self, status: int, reason: str, now: float, kind: InviteFailure = "refused") -> None:
        """The call cannot even be sent; `kind` is what `DialUser.on_refused` is told."""
        self.end_status = status
        self._report(kind, status, reason, None, now)
        self._close(now)

    def _close(self, now: float) -> None:
        """End a call that was not answered."""
        for dialog in self._early.values():
            self.endpoint.dialogs.pop(dialog.key, None)
        self._early = {}
        request, self._invite = self._invite, None
        if request is not None and request.transaction is None:
            request.abandon(now)  # its name is still looked up
        self.finish("local", self.end_status or 487, "", now)

    # ---- responses

    def on_response(self, request: OutgoingRequest, response: Response, now: float) -> None:
        if request.method != "INVITE" or response.cseq != self._local_cseq:
            super().on_response(request, response, now)
            return
        if request.transaction is not None:
            if response.branch != request.transaction.key:
                # A flow that had been given up answers after all, while the next one is asked (RFC 3263 §4.3).
                self._ack_and_bye(response, now)
                return
            self.flow = request.transaction.flow
            self.receives = True
        if response.status < 300:
            drop_unusable(response)
        if response.status < 200:
            self._take_provisional(response, now)
        elif response.status < 300:
            self._take_2xx(response, now)
        elif not self.ended:
            self._take_failure(response, now)

    def on_failure(self, request: OutgoingRequest, cause: str, now: float) -> None:
        if request is not self._invite:
            super().on_failure(request, cause, now)
        elif not self.ended and self.dialog.state != CONFIRMED:
            kind: InviteFailure = "no_reply" if cause == "timeout" else "unreachable"
            self._report(kind, 408 if cause == "timeout" else 503, cause, None, now)
            self._close(now)

    def _take_provisional(self, response: Response, now: float) -> None:
        if self.ended:
            return
        if self.first_reply is None and response.status != 100:  # which is hop by hop, and says nothing of the call
            self.first_reply = now
        if self.dialer is None:
            # Given up before the peer spoke: now it can be cancelled (§9.1).
            request = self._invite
            if request is not None and request.transaction is not None and not request.transaction.ack:
                request.cancel(request.transaction, self._cancel_reason or "", now)
            return
        if response.status == 100:
            if self._dial_timer == "no_reply":
                self._wait_for("no_progress", now + self.invitation.no_progress_timeout)
            return
        if self._dial_timer in ("no_reply", "no_progress"):
            self._wait_for("ring_timeout", now + self.invitation.ring_timeout)
        dialog = self._early_dialog(response)
        reliable = "RSeq" in response.first and "100rel" in response.tokens("Require")
        if reliable and dialog is not None and not self._take_reliable(response, dialog, now):
            return
        if dialog is not None and response.body:
            if dialog.renegotiated:
                response.body = b""  # it is older than what has been agreed on since
            else:
                self.dialog = dialog  # whose media is heard now
        if self.user is not None:
            self.user.on_progress(self, response, now)

    def _early_dialog(self, response: Response) -> Dialog | None:
        """§12.1.2: each To tag is a dialog of its own, as an INVITE may be forked on its way."""
        tag = response.to_tag
        if not tag:
            return None
        dialog = self._early.get(tag)
        if dialog is None and len(self._early) < MAX_FORKS:
            try:
                dialog = self._make_dialog(response, EARLY)
                dialog.described = self.invitation.body
            except ParseError:
                return None
            self._early[tag] = dialog
            self.endpoint.dialogs[dialog.key] = self
            if len(self._early) == 1:
                self.dialog = dialog
                self.peer_allows_update = allows_update(response)
        return dialog

    def _make_dialog(self, response: Response, state: str) -> Dialog:
        flow = self.flow
        if flow is None:
            raise ParseError("an answer to nothing")
        dialog = Dialog.as_caller(
            response, self.dialog.local, self.local_tag, self._local_cseq, state, self.request_uri, flow
        )
        dialog.allows, dialog.contact_host = self.dialog.allows, self.dialog.contact_host
        # Our INVITE may have led back to us: then the far end of the dialog is another dialog of our own.
        dialog.returned = (self.call_id, response.to_tag, self.local_tag) in self.endpoint.dialogs
        self.aim(dialog)
        return dialog

    def _take_reliable(self, response: Response, dialog: Dialog, now: float) -> bool:
        """PRACK a reliable provisional response (RFC 3262 §4); False for one that was seen, or is out of order."""
        text = response.get("RSeq")
        if not (text.isascii() and text.isdigit()) or len(text) > 10:
            return False
        rseqs = self._rseqs = self._rseqs or {}
        rseq, last = int(text), rseqs.get(response.to_tag)
        if last is not None and rseq != last + 1:
            return False
        rseqs[response.to_tag] = rseq
        if response.body and not self.invitation.body:
            self._held_prack = (dialog, response)  # an offer: the answer belongs into the PRACK
        else:
            self._send_prack(dialog, response, b"", now)
        return True

    @property
    def holds_prack(self) -> bool:
        """A reliable provisional response brought an offer, and `prack` is owed."""
        return self._held_prack is not None

    def prack(self, now: float, body: bytes) -> None:
        """Acknowledge the reliable response that brought an offer, with the answer."""
        if self._held_prack is not None:
            (dialog, response), self._held_prack = self._held_prack, None
            dialog.settled = bool(body)
            self._send_prack(dialog, response, body, now)

    def _send_prack(self, dialog: Dialog, response: Response, body: bytes, now: float) -> None:
        headers = f"RAck: {response.get('RSeq')} {response.cseq} INVITE\r\n{SDP_TYPE if body else ''}"
        body = self.describe(body, dialog)
        try:
            self.send(self.compose("PRACK", None, headers, body, dialog=dialog), now, dialog)
        except ParseError:
            return  # an unusable route set: the peer will find its response unacknowledged

    def _take_2xx(self, response: Response, now: float) -> None:
        if self.dialog.state == CONFIRMED and response.to_tag == self._to_tag and not self.ended:
            self._resend_ack(response)
            return
        if self.dialer is None or self.ended or self._to_tag:
            self._ack_and_bye(response, now)
            return
        self._to_tag = response.to_tag
        self._wait_for("", 0)
        if self.first_reply is None:
            self.first_reply = now
        dialog = self._early.pop(response.to_tag, None)
        try:
            if dialog is None:
                dialog = self._make_dialog(response, CONFIRMED)
                dialog.described = self.invitation.body
            else:
                dialog.confirm(response)
                self.aim(dialog)
            if leads_astray(self.endpoint, dialog):
                self._refuse_answer(dialog, now)
                return
        except ParseError:
            self._report("refused", 502, "malformed answer", response, now)
            self._close(now)
            return
        for other in self._early.values():
            self.endpoint.dialogs.pop(other.key, None)  # §13.2.2.4: what they still answer is dismissed
        self._early = {}
        self.dialer = None
        if self._invite is not None:
            self._invite.release()
        self._invite = None  # it knows this session: no circle may stay behind
        self.dialog = dialog
        self.endpoint.dialogs[dialog.key] = self
        if dialog.renegotiated or (dialog.settled and not self.invitation.body):
            response.body = b""  # RFC 6337 §2.2: what was agreed on is not said anew, and this is older
        self.peer_allows_update = allows_update(response)
        self._start_timer(agree_as_client(response), now)
        if self.user is not None:
            self.user.on_answered(self, response, now)

    def acknowledge(self, now: float, body: bytes = b"") -> None:
        """ACK the answer; `body` is our answer to an offer that came in it. From then on there is no `invitation`."""
        self._acknowledge(self._local_cseq, body, now)
        if self.dialog.state != EARLY and hasattr(self, "invitation"):
            del self.invitation
            self._rseqs = None
            self._authorization = ""

    def _ack_and_bye(self, response: Response, now: float) -> None:
        """An answer that is not wanted (another fork's, or one that crossed our CANCEL): ACK, then BYE (§13.2.2.4)."""
        try:
            dialog = self._make_dialog(response, CONFIRMED)
            ack = self.compose("ACK", None, cseq=self._local_cseq, dialog=dialog)
            self.send(ack, now, dialog)
            dismissed = self._dismissed = self._dismissed or set()
            if response.to_tag not in dismissed and len(dismissed) < MAX_DISMISSED:
                dismissed.add(response.to_tag)  # once; the ACK as often as it is asked for
                reason = f"Reason: {self._cancel_reason}\r\n" if self._cancel_reason else ""
                self.send(self.compose("BYE", None, f"{self.endpoint.agent_line}{reason}", dialog=dialog), now, dialog)
        except ParseError:
            return
        if self.dialer is None and not self.ended and self.dialog.state != CONFIRMED:
            self._close(now)

    def _refuse_answer(self, dialog: Dialog, now: float) -> None:
        """An answer by which requests to its sender would go to somebody else: ACK and BYE to where it came from."""
        self.endpoint.on_misled(dialog.peer, "200")
        self.endpoint.dialogs.pop(dialog.key, None)
        dialog.flow = dialog.source
        self.send(self.compose("ACK", None, cseq=self._local_cseq, dialog=dialog), now, dialog)
        self.send(self.compose("BYE", None, self.endpoint.agent_line, dialog=dialog), now, dialog)
        self._report("refused", 502, MISLEADING, None, now)
        self._close(now)

    def misled(self, doing: str, dialog: Dialog, now: float) -> None:
        if self.dialog.state == CONFIRMED or self.dialer is None:
            super().misled(doing, dialog, now)
            return
        self.endpoint.on_misled(dialog.peer, doing)
        self._give_up("refused", 502, MISLEADING, now)

    def _take_failure(self, response: Response, now: float) -> None:
        status = response.status
        request = self._invite
        if self.dialer is None:
            self._close(now)
            return
        if status in (401, 407) and self._authenticate(response, now):
            return
        if status in FOLLOWED and self._follow(response, now):
            return
        if status == 422:
            least = read_min_se(response)
            if max(self.endpoint.policy.min_se, self._least_interval) < least <= MAX_INTERVAL and self._local_cseq < 9:
                self._least_interval = least
                self._again(now)
                return
        if status == 503 and request is not None and request.flows:
            flow = request.transaction.flow if request.transaction is not None else None
            request.flows = [
                other for other in request.flows if flow is None or (other.host, other.port) != (flow.host, flow.port)
            ]
            if request.try_next(now):  # RFC 3263 §4.3
                self._wait_for("no_reply", now + self.invitation.no_reply_timeout)
                return
        self.end_status = status
        self._report("refused", status, response.reason, response, now)
        self._close(now)

    def _follow(self, response: Response, now: float) -> bool:
        """Send the INVITE to where a redirection leads (§8.1.3.4), whole URI, with the parameters of a number in it: to
        the first host by q that it may go to, nowhere twice, five times at most."""
        invitation = self.invitation
        if invitation.redirects_to is None:
            return False
        try:
            tried = self._redirected or [SipUri.parse(self.request_uri)]
            contacts = sorted(map(NameAddr.parse, response.values("Contact")), key=_preference)
        except ParseError:
            return False
        here = "" if self.flow is None else self.flow.host
        for contact in contacts if len(tried) <= MAX_REDIRECTIONS else ():
            uri = contact.uri
            if (
                not isinstance(uri, SipUri)
                or "maddr" in uri.params
                or not _leads_to(uri, invitation.redirects_to, here)
            ):
                continue
            if any(uri.equivalent(other) for other in tried):
                continue
            uri = replace(uri, headers="", params={name: text for name, text in uri.params.items() if name != "method"})
            self._redirected = [*tried, uri]
            self.request_uri = invitation.request_uri = invitation.destination = str(uri)
            invitation.flow = self._digests = None
            self._again(now, elsewhere=True)
            return True
        return False

    def _authenticate(self, response: Response, now: float) -> bool:
        """Answer a challenge with the credentials that the provider gave, unless they were refused already."""
        credentials = self.invitation.credentials
        if credentials is None:
            return False
        digests = self._digests or DigestSessions(credentials)
        if not digests.accept(response):
            return False
        self._digests = digests
        self._again(now)
        return True

    def _credentials(self, method: str, uri: str, cseq: int, body: bytes) -> str:
        if method == "ACK" and cseq == self._local_cseq:
            return self._authorization  # §22.1: an ACK repeats what its INVITE said
        return super()._credentials(method, uri, cseq, body)

    def _again(self, now: float, *, elsewhere: bool = False) -> None:
        """The same call, one CSeq higher (§8.1.3.5, §22.2), on the flow that answered; or `elsewhere`."""
        answered = None if elsewhere or self._invite is None else self._invite.transaction
        flow = None if answered is None else answered.flow
        for dialog in self._early.values():
            self.endpoint.dialogs.pop(dialog.key, None)
        self._early = {}
        self._rseqs = None
        self._wait_for("no_reply", now + self.invitation.no_reply_timeout)
        self._send_invite(now, flow)

    # ---- requests of the callee

    def receive_request(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        early = self._early.get(request.from_tag)
        if early is not None:
            self.dialog = early
        super().receive_request(transaction, request, now)

    def _take_bye(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        if self.dialog.state == CONFIRMED:
            super()._take_bye(transaction, request, now)
        else:
            transaction.respond(481, now)  # §15: a callee ends an early dialog by its final response

    def _send_bye(self, reason: str, now: float) -> None:
        if self._ack is None:
            self.acknowledge(now)  # §13.2.2.4: every 2xx gets its ACK, the BYE comes after it
        super()._send_bye(reason, now)

    def end_by_us(self, now: float, reason: str, status: int, words: str = "") -> None:
        if self.dialog.state == CONFIRMED or self.dialer is None:
            super().end_by_us(now, reason, status, words)
        else:
            self.cancel(now, reason)

    def _leave_dialogs(self) -> None:
        super()._leave_dialogs()
        for dialog in self._early.values():
            dialog.state = TERMINATED
            self.endpoint.dialogs.pop(dialog.key, None)
        self._early = {}


def _preference(contact: NameAddr) -> float:
    """What Contacts are sorted by: the highest q first (§20.10)."""
    try:
        return -float(contact.params.get("q") or 1.0)
    except ValueError:
        return 0.0


def _leads_to(uri: SipUri, hosts: Sequence[str], here: str) -> bool:
    """Whether a URI's host is the peer that has answered, `here`, or among these names, addresses and networks."""
    host = uri.host_address
    try:
        address = ip_address(host)
    except ValueError:
        return host in hosts
    return host == here or any(address in ip_network(text, strict=False) for text in hosts if _is_network(text))


def _is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True
