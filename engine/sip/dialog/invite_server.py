"""The server side of an INVITE: from the request to its final response (RFC 3261 §13.3; RFC 3262 §3 for reliable
provisional responses)."""

from collections.abc import Callable

from engine.sip.capabilities import SDP_TYPE, allows_update, refused_offer
from engine.sip.core import Core
from engine.sip.dialog.dialog import CONFIRMED, EARLY, Dialog
from engine.sip.dialog.far_ends import FarEnd, FarEnds, SilentDialog
from engine.sip.dialog.next_hop import Named, look_up
from engine.sip.dialog.renegotiation import IDLE, OPENING
from engine.sip.dialog.session import Session
from engine.sip.dialog.session_timer import too_small
from engine.sip.dialog.usage import NOT_ANSWERED
from engine.sip.flow import Flow
from engine.sip.message.grammar import ParseError
from engine.sip.message.message import Request
from engine.sip.peers import source_of
from engine.sip.sdp.fault import find_fault
from engine.sip.sdp.origin import declined
from engine.sip.transaction.branch import MAGIC_COOKIE
from engine.sip.transaction.server import ServerTransaction
from engine.sip.transaction.timers import NEVER

VETTING = 1.0  # s that a call waits at the most until the names in it are looked up
RELIABLE_QUEUE = 8  # reliable provisional responses that wait for the PRACK of one before
MAX_RSEQ = 2**31  # RFC 3262 §7.1
RINGS_AGAIN = 60.0  # s until an 18x is said once more: a proxy on the way gives up otherwise (§13.3.1.1, §16.6 item 11)
GOES_ON = 0.1  # s after which a call that is not over has gone on without a far end that failed
ASKED_AGAIN = 5.0  # s until it is looked again whether a call that may ring longer still does


class InviteServer(Session):
    """A session that the peer opened."""

    __slots__ = (
        "_accepting",
        "_again",
        "_ends",
        "_expires",
        "_far_ends",
        "_prack",
        "_reliable",
        "_reliable_queue",
        "_rseq",
        "_speaker",
        "_speaker_gone",
        "_vetting",
        "invite",
        "invite_cseq",
        "requires_100rel",
        "screened",
        "source",
        "supports_100rel",
        "transaction",
    )

    def __init__(
        self,
        endpoint: Core,
        transaction: ServerTransaction,
        invite: Request,
        source: Flow,
        screened: object = None,
    ) -> None:
        """`screened`: what `Hooks.screen` said of the INVITE, where it was asked."""
        super().__init__(endpoint)
        self.transaction = transaction  # both until the answer is acknowledged
        self.invite = invite
        self.invite_cseq = invite.cseq
        self.source = source
        self.screened = screened
        self.receives = source.transport.reliable  # a connection has been opened both ways
        if invite.body:
            self._negotiation = OPENING
        self.requires_100rel = "Require" in invite.first and "100rel" in invite.tokens("Require")
        self.supports_100rel = self.requires_100rel or "100rel" in invite.tokens("Supported")
        self._rseq = 0
        self._again = self._ends = self._expires = NEVER  # when an 18x is said once more, and when nobody waits longer
        self._vetting = False  # nobody has been told of the call yet
        self._reliable: tuple[int, bytes, bool] | None = None  # RSeq, the response, whether it has a body
        self._reliable_queue: list[tuple[int, bytes, str]] | None = None
        self._accepting: tuple[bytes, str] | None = None  # a 200 that waits for a PRACK
        self._prack: ServerTransaction | None = None  # with a description, not answered yet
        self._speaker: object = None  # the far end whose media has been described in the dialog
        self._speaker_gone = False
        self._far_ends: FarEnds | None = None  # made for the second one

    @staticmethod
    def fault(
        invite: Request, min_se: int, carried: Callable[[str], bool], urgent: Callable[[], bool]
    ) -> tuple[int, str] | None:
        """Why an INVITE that opens a call is refused before anybody is asked: status and header lines. `carried`: see
        `unreadable`. `urgent`: whether somebody calls for help, whose bodies are not gone into."""
        headers = invite.first
        if refused := refused_offer(invite, carried, urgent):
            return refused
        if "Accept" in headers:
            kinds = {value.split(";", 1)[0].strip().lower() for value in invite.tokens("Accept")}
            if kinds and not kinds & {"application/sdp", "application/*", "*/*"}:
                return (406, "")  # RFC 4475 §3.3.15: it could not read an answer
        if "Contact" not in headers and invite.branch.startswith(MAGIC_COOKIE):
            return (400, 'Warning: 399 trunkline "an INVITE needs a Contact"\r\n')
        if "Session-Expires" in headers and too_small(invite, min_se):
            return (422, f"Min-SE: {min_se}\r\n")
        return None

    def start(self, now: float, names: list[Named]) -> None:
        """Take the call in: dialog, 100, and hand it to its owner. First `names`, of which it is not known yet whether
        the caller may name them (`misleading`), are looked up."""
        endpoint, invite, transaction = self.endpoint, self.invite, self.transaction
        try:
            self.dialog = self._early_dialog(transaction.tag)
        except ParseError as error:
            endpoint.sessions.discard(self)
            endpoint.counters.refused += 1
            transaction.respond(error.status, now, headers=endpoint.server_line)
            return
        endpoint.dialogs[self.dialog.key] = self
        endpoint.dialogs[(invite.call_id, "", invite.from_tag)] = self
        self.peer_allows_update = allows_update(invite)
        transaction.user = self
        self._arm_unanswered(now)
        if transaction.kept:
            self._say_trying(now)
        if not names:
            self._invited(now)
            return
        self._vetting = True
        endpoint.vetting += 1
        self.arm("vetted", now + VETTING)
        look_up(endpoint, names, self.dialog.party, self._looked_up)

    def _early_dialog(self, tag: str) -> Dialog:
        """A dialog that a response with this tag makes (§12.1.1). Raises ParseError without a usable Contact."""
        peers = self.endpoint.peers
        dialog = Dialog.as_callee(self.invite, tag, self.source)
        dialog.returned = self.marks is not None
        dialog.party = source_of(self.invite, self.source.party, peers)
        dialog.contact_host = peers.contact_host(dialog.party)
        dialog.domain, dialog.tls = peers.tls(dialog.party)
        self.aim(dialog)
        return dialog

    # ---- far ends

    def speak_for(self, far_end: object, now: float) -> None:
        """What is described from now on is the media of this far end; see `engine.sip.dialog.far_ends`. The first one
        has the dialog in which it rang."""
        if self.answered or self.ended:
            return
        if self._speaker is None:
            self._speaker = far_end
        elif self._speaker != far_end:
            self._change_speaker(far_end, now)

    @property
    def speaker(self) -> object:
        """The far end whose dialog it is now; None where nobody has described anything in it."""
        return self._speaker

    def far_end_gone(self, far_end: object) -> None:
        """This one will say nothing more; its dialog ends when another one speaks, or when the call goes on without."""
        if self._speaker is not None and self._speaker == far_end and not self.answered and not self.ended:
            self._speaker_gone = True
            self.arm("far end gone", self.endpoint.clock() + GOES_ON)

    def _change_speaker(self, far_end: object, now: float) -> None:
        ends = self._far_ends = self._far_ends or FarEnds()
        before, rack, described = FarEnd(self.dialog, self.last_body, self._negotiation), "", False
        if self._reliable is not None:
            rack, described = f"{self._reliable[0]} {self.invite_cseq} INVITE", self._reliable[2]
            self._stop_reliable()
            self._disarm("reliable", "no prack")
        if self._speaker_gone and "199" in self.invite.tokens("Supported") and not self.requires_100rel:
            # RFC 6228 §4: the caller need not keep what belongs to that dialog.
            lines = self.contact_line(self.transaction.flow) + self.endpoint.server_line
            self.transaction.respond(199, now, headers=self._lines(lines))
        name = None if self._speaker_gone else self._speaker
        ends.silence(name, before, SilentDialog(self, self.dialog, name, rack, described=described))
        known = ends.take(far_end) if far_end is not None else None
        if known is not None:
            self.dialog, self.last_body, self._negotiation = known
        else:
            self.dialog, self.last_body = self._early_dialog(self.endpoint.token()), b""
            self._negotiation = OPENING if self.invite.body else IDLE
        self._speaker, self._speaker_gone = far_end, False
        self.endpoint.dialogs[self.dialog.key] = self
        self.transaction.retag(self.dialog.local_tag)

    def _arm_unanswered(self, now: float) -> None:
        """Limit how long the call may stay unanswered: by Expires (§13.3.1), and by `max_ringing`."""
        endpoint, first = self.endpoint, self.invite.first
        if "Expires" in first:
            self._expires = now + int(first["Expires"])
        if endpoint.policy.max_ringing and not self.source.transport.internal:  # our own calls have timers
            self._ends = now + endpoint.policy.max_ringing
        self._again = now + RINGS_AGAIN
        self.arm("unanswered", min(self._again, self._expires, self._ends))

    def _still_unanswered(self, now: float) -> None:
        if self.answered:
            return
        if now >= self._expires:
            self._not_answered(487, "", now)
            return
        if now >= self._ends:
            if self.user is None or not self.user.may_ring_on(self):
                self._not_answered(480, 'Reason: Q.850;cause=19;text="No answer from user"\r\n', now)
                return
            self._ends = now + ASKED_AGAIN
        if now >= self._again:
            self._again = now + RINGS_AGAIN
            transaction = self.transaction
            if b"\r\nRSeq: " in transaction.response:
                if self._reliable is None:  # it was heard, yet proxies wait for another one all the same
                    self.provisional(transaction.status, now, reliable=True)
            elif transaction.status > 100:
                transaction.flow.send(transaction.response)
        self.arm("unanswered", min(self._again, self._expires, self._ends))

    def _invited(self, now: float) -> None:
        self.endpoint.on_invite(self)
        self.keep(now)

    def keep(self, now: float) -> None:
        """A stranger's call has been accepted for processing: from now on its final response is sent reliably."""
        if not self.answered and not self.transaction.kept:
            self.transaction.kept = True
            self._say_trying(now)

    def _say_trying(self, now: float) -> None:
        endpoint = self.endpoint
        if endpoint.policy.trying_after:
            self.transaction.trying_at(now + endpoint.policy.trying_after)
        else:
            self.transaction.respond(100, now)

    def _looked_up(self, misled: bool) -> None:
        """The names in the INVITE have been looked up; meanwhile the call may have ended, or gone on."""
        self.endpoint.vetting -= 1
        now = self.endpoint.clock()
        if self.ended:
            return
        if misled:
            self._vetting = False
            self.misled("INVITE", self.dialog, now)
        else:
            self._vetted(now)

    def _vetted(self, now: float) -> None:
        if self._vetting:
            self._vetting = False
            self._disarm("vetted")
            self._invited(now)

    @property
    def answered(self) -> bool:
        """The INVITE has its final response, or will have it after a PRACK."""
        return self.dialog.state != EARLY or self._accepting is not None

    def _lines(self, headers: str) -> str:
        """What every response that makes a dialog carries (§12.1.1)."""
        if "Record-Route" not in self.invite.first:
            return headers
        return "".join(f"Record-Route: {value}\r\n" for value in self.invite.lines("Record-Route")) + headers

    def provisional(
        self, status: int, now: float, body: bytes = b"", headers: str = "", reliable: bool = False
    ) -> None:
        """Send 101 to 199, reliably where asked for and possible, or where the caller requires it (RFC 3262 §3)."""
        if self.answered or self.ended:
            return
        if self._speaker_gone and not body:
            self._change_speaker(None, now)
        endpoint = self.endpoint
        headers = self._lines(headers) + self.contact_line(self.transaction.flow) + endpoint.server_line
        if body:
            self._turn("answer sent")
            body = self.last_body = self.describe(body)
            headers += SDP_TYPE
        if not (self.requires_100rel or (reliable and self.supports_100rel)):
            self.transaction.respond(status, now, headers=headers, body=body)
        elif self._reliable is None:
            self._send_reliable(status, body, headers, now)
        else:
            queue = self._reliable_queue = self._reliable_queue or []
            if len(queue) < RELIABLE_QUEUE:
                queue.append((status, body, headers))

    def _send_reliable(self, status: int, body: bytes, headers: str, now: float) -> None:
        # §3: the first RSeq is chosen at random, so that a stray PRACK of another dialog does not fit.
        self._rseq = self._rseq + 1 if self._rseq else 1 + int(self.endpoint.random() * (MAX_RSEQ - 2**16))
        headers += f"Require: 100rel\r\nRSeq: {self._rseq}\r\n{self.endpoint.methods.allow_line}"
        self.transaction.respond(status, now, headers=headers, body=body)
        self._reliable = (self._rseq, self.transaction.response, bool(body))
        timers = self.endpoint.policy.timers
        self._interval = timers.t1
        self.arm("reliable", now + timers.t1)
        self.arm("no prack", now + timers.timeout)

    def _alarm(self, name: str, now: float) -> None:
        if name == "reliable" and self._reliable is not None:
            flow = self.transaction.flow
            flow.send(self._reliable[1])
            self.transaction.transactions.retransmissions += 1
            self._interval *= 2
            self.arm("reliable", now + self._interval)
        elif name == "vetted":
            self._vetted(now)  # every send looks at it again
        elif name == "unanswered":
            self._still_unanswered(now)
        elif name == "far end gone":
            if self._speaker_gone and not self.answered:
                self._change_speaker(None, now)
        elif name == "no prack":
            self.reject(504, now, 'Warning: 399 trunkline "no PRACK came"\r\n')  # RFC 3262 §3
        else:
            super()._alarm(name, now)

    def _take_prack(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        parts = request.get("RAck").split()
        waiting = self._reliable
        number = f"{waiting[0]}" if waiting else ""
        if waiting is None or parts != [number, str(self.invite_cseq), "INVITE"]:
            transaction.respond(481, now)
            return
        self._reliable = None
        self.receives = True
        self._disarm("reliable", "no prack")
        self.acknowledged(transaction, request, waiting[2], now)

    def acknowledged(self, transaction: ServerTransaction, request: Request, described: bool, now: float) -> None:
        """A PRACK that fits: whatever its body is, it gets a 2xx (RFC 3262 §3). `described`: so was our response."""
        if described and self.invite.body:
            self.dialog.settled = True
        if not request.body:
            transaction.respond(200, now, headers=self.endpoint.server_line)
            self._go_on(now)
            return
        self._prack = transaction
        if self.user is None or self._speaker_gone or find_fault(request.body) is not None:
            self.reply(transaction, 488, now)
        else:
            self.user.on_request(self, transaction, request, now)

    def reply(
        self, transaction: ServerTransaction, status: int, now: float, headers: str = "", body: bytes = b""
    ) -> None:
        """See `Session`. A PRACK is not refused: an offer in it that is not taken is declined, and where it brings an
        answer that is of no use, there is no call."""
        if transaction is not self._prack:
            super().reply(transaction, status, now, headers, body)
            return
        self._prack = None
        answers = self.dialog.state == EARLY and not self.invite.body and not self.dialog.settled
        if answers:
            super().reply(transaction, 200, now, self.endpoint.server_line)
            self.dialog.settled = status < 300
            if status >= 300:
                self._accepting = None
                self.reject(status, now, headers)
                return
        else:
            offer = transaction.request.body
            taken = status < 300 and body
            body = body if taken else declined(offer, self.dialog.described)
            super().reply(transaction, 200, now, self.endpoint.server_line, body)
        self._go_on(now)

    def _go_on(self, now: float) -> None:
        """What has waited for a PRACK."""
        if self.ended:
            return
        if self._accepting is not None:
            body, headers = self._accepting
            self._accepting = None
            self.accept(now, body, headers)
        elif self._reliable_queue:
            status, body, headers = self._reliable_queue.pop(0)
            self._send_reliable(status, body, headers, now)

    def accept(self, now: float, body: bytes = b"", headers: str = "") -> None:
        """200 OK. It waits for the PRACK of a session description that is under way (RFC 3262 §3), and for the answer
        to an offer in one. `body`: what the far end has said with its answer; see `_last_word`."""
        if self.answered or self.ended:
            return
        if self._prack is not None or (self._reliable is not None and self._reliable[2]):
            self._accepting = (body, headers)
            return
        self._quiet()
        if self._far_ends is not None:
            self._far_ends.forget(self.endpoint, self.dialog)
            self._far_ends = None
        self._speaker = None
        self.dialog.state = CONFIRMED
        self.send_2xx(self.transaction, self._last_word(body), now, self._lines(headers))

    def _last_word(self, body: bytes) -> bytes:
        """The description of the 200 (RFC 6337 §2.2): where the peer has the answer for certain, none, unless it is
        another; else the latest that it was sent, where there is nothing newer."""
        dialog = self.dialog
        if dialog.settled:
            return b"" if dialog.renegotiated or not body or self.has_described(body) else body
        return self.last_body if dialog.renegotiated or not body else body

    def reject(self, status: int, now: float, headers: str = "", reason: str = "") -> None:
        """A final response other than 2xx; the session ends."""
        if self.dialog.state != EARLY or self.ended:
            return
        self._stop_reliable()
        self.transaction.respond(status, now, reason, headers + self.endpoint.server_line)
        self.finish("local", status, reason, now)

    def _not_answered(self, status: int, headers: str, now: float) -> None:
        if not self.answered:
            self.end_reason = NOT_ANSWERED
            self.reject(status, now, headers)

    def receive_ack(self, request: Request, now: float) -> None:
        """See `DialogUsage.receive_ack`. The first one is the last that needs the INVITE."""
        opening = self.opening
        super().receive_ack(request, now)
        if opening and not self.opening:
            del self.invite, self.transaction
            self.screened = None

    def _stop_reliable(self) -> None:
        self._reliable = None
        self._quiet()

    def _quiet(self) -> None:
        """Nothing reliable is sent again; a PRACK that is under way still fits (RFC 3262 §3)."""
        self._reliable_queue = None
        if self._reliable is not None:
            self._reliable = (self._reliable[0], b"", self._reliable[2])
        self._disarm("reliable", "no prack", "unanswered")

    def receive_request(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        if self._vetting and request.method != "BYE":
            self._try_later(transaction, now)  # its owner does not know of it yet
        elif self._speaker_gone and not self.answered and request.method not in ("PRACK", "BYE"):
            transaction.respond(481, now, headers=self.endpoint.server_line)
        else:
            super().receive_request(transaction, request, now)

    def on_cancel(self, transaction: ServerTransaction, cancel: Request, now: float) -> None:
        if self.dialog.state != EARLY:
            super().on_cancel(transaction, cancel, now)
        elif not transaction.answered:
            self._stop_reliable()
            transaction.respond(487, now, headers=self.endpoint.server_line)
            self.finish("remote", 487, cancel.reasons, now)

    def _take_bye(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        if self.dialog.state != EARLY:
            super()._take_bye(transaction, request, now)
            return
        # A caller may end an early dialog by BYE (§15); the INVITE then still needs its end (§15.1.2).
        transaction.respond(200, now, headers=self.endpoint.server_line)
        self._stop_reliable()
        self.transaction.respond(487, now, headers=self.endpoint.server_line)
        self.finish("remote", 487, request.reasons, now)

    def bye(self, now: float, reason: str = "") -> None:
        if self.dialog.state != EARLY:
            super().bye(now, reason)
        else:
            # The 200 still waits for a PRACK: a callee ends an early dialog by its final response (§15).
            self.reject(480, now, f"Reason: {reason}\r\n" if reason else "")

    def end_by_us(self, now: float, reason: str, status: int, words: str = "") -> None:
        if self.dialog.state != EARLY:
            super().end_by_us(now, reason, status, words)
        else:
            self._accepting = None
            self.reject(status if status >= 300 else 480, now)

    def finish(self, by: str, status: int, reason: str, now: float) -> None:
        if not self.ended:
            self.endpoint.dialogs.pop((self.dialog.call_id, "", self.dialog.remote_tag), None)
            if self._far_ends is not None:
                self._far_ends.forget(self.endpoint, self.dialog)
                self._far_ends = None
            self._speaker = None
            if self._prack is not None:
                self._prack.respond(200, now, headers=self.endpoint.server_line)
                self._prack = None
        super().finish(by, status, reason, now)
