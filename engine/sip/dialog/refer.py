"""Call transfer within a dialog: REFER and the NOTIFY requests that report its progress, both ways (RFC 3515; RFC 3420
for message/sipfrag, RFC 4488 for a REFER without a subscription, RFC 6665 for NOTIFY).

`Referral` is a REFER that we sent, `Subscription` one that we received. Each is a state machine with a table; a dialog
has at most one of each at a time, and `ReferUsage` holds them.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Final, Literal

from engine.sip.core import Core
from engine.sip.dialog.dialog import CONFIRMED
from engine.sip.dialog.reference import Reference, read_fragment, read_reference, read_state
from engine.sip.dialog.server import DialogServer
from engine.sip.message.grammar import ParseError, parse_params
from engine.sip.message.message import Request, Response
from engine.sip.message.status import reason_phrase
from engine.sip.request import OutgoingRequest
from engine.sip.transaction.server import ServerTransaction

FIRST_NOTIFY: Final = 32.0
"""Seconds after the 2xx in which the first NOTIFY has to come (RFC 6665 §4.1.2: Timer N, 64*T1)."""
LAST_NOTIFY: Final = 240.0
"""Seconds after the first NOTIFY in which the peer has to report the outcome; later ones are not waited for."""
SUBSCRIBED_FOR: Final = 240
"""Seconds that a subscription of the peer lasts, as our NOTIFY states it."""

_WARNING = 'Warning: 399 trunkline "{}"\r\n'


# ---- a REFER that we sent

ReferralState = Literal["asked", "accepted", "heard", "over"]
"""asked: no response yet; accepted: 2xx; heard: a NOTIFY has come; over: the outcome is known."""

ReferralEvent = Literal["accepted", "accepted quietly", "refused", "progress", "final", "unsubscribed", "late", "gone"]
"""Responses to the REFER; NOTIFY requests with a provisional or final status, or only the end of the subscription; no
NOTIFY in time; the end of the dialog."""

ReferralEnd = Literal["", "accepted", "refused", "told"]
"""How a referral ended: accepted, and nothing more is known; refused; told: the peer reported a final status."""

OVER: Final = "over"
UNKNOWN: Final = "accepted"
REFUSED: Final = "refused"

REFERRAL: Final[dict[tuple[ReferralState, ReferralEvent], tuple[ReferralState, ReferralEnd]]] = {
    ("asked", "accepted"): ("accepted", ""),
    ("asked", "accepted quietly"): ("over", "accepted"),
    ("asked", "refused"): ("over", "refused"),
    # A NOTIFY may arrive before the 2xx, and implies it (RFC 6665 §4.1.2.4).
    ("asked", "progress"): ("heard", ""),
    ("asked", "final"): ("over", "told"),
    ("asked", "unsubscribed"): ("over", "accepted"),
    ("asked", "gone"): ("over", "refused"),
    ("accepted", "progress"): ("heard", ""),
    ("accepted", "final"): ("over", "told"),
    ("accepted", "unsubscribed"): ("over", "accepted"),
    ("accepted", "late"): ("over", "accepted"),
    ("accepted", "gone"): ("over", "accepted"),
    ("heard", "accepted"): ("heard", ""),
    ("heard", "accepted quietly"): ("over", "accepted"),
    ("heard", "refused"): ("over", "refused"),
    ("heard", "progress"): ("heard", ""),
    ("heard", "final"): ("over", "told"),
    ("heard", "unsubscribed"): ("over", "accepted"),
    ("heard", "late"): ("over", "accepted"),
    ("heard", "gone"): ("over", "accepted"),
}
"""(state, event) -> (state, end)."""


class Referral:
    """A REFER that we sent, and what the peer reports about it.

    Attributes:
        state: See `ReferralState`.
        ended: See `ReferralEnd`; "" until it is over.
        status: The last SIP status: of the REFER itself where it was refused (0: no response), else of the call that
            the peer makes.
        reason: The reason phrase of that status.
    """

    __slots__ = ("_on_end", "_usage", "cseq", "ended", "reason", "state", "status")

    def __init__(self, usage: "ReferUsage", on_end: Callable[["Referral"], None]) -> None:
        """`on_end` is called once, when the referral is over."""
        self._usage = usage
        self._on_end = on_end
        self.cseq = 0
        self.state: ReferralState = "asked"
        self.ended: ReferralEnd = ""
        self.status = 0
        self.reason = ""

    def send(self, refer_to: str, headers: str, now: float) -> None:
        """Send the REFER. `refer_to`: a URI; `headers`: further lines, each ended by CRLF."""
        usage = self._usage
        usage.referral = self
        lines = f"Refer-To: <{refer_to}>\r\n{headers}Supported: norefersub\r\n{usage.endpoint.agent_line}"
        self.cseq = usage.dialog.local_cseq + 1  # RFC 3515 §2.4.6: NOTIFY may name it as the event's id
        usage.request("REFER", now, lines, on_final=self._answered)

    def _answered(self, status: int, response: Response | None, now: float) -> None:
        if 200 <= status < 300:
            sub = "" if response is None else response.get("Refer-Sub").split(";", 1)[0].strip().lower()
            quietly = sub == "false"
            if self.state == "asked" and not quietly:
                self._usage.await_notify(now + FIRST_NOTIFY)
            self.event("accepted quietly" if quietly else "accepted")
        elif self.state != "over":
            self.status = status if response is not None else 0
            self.reason = response.reason if response is not None else "no answer"
            self.event("refused")

    def notified(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """A NOTIFY within the dialog."""
        if not self._matches(request):
            transaction.respond(481, now)
            return
        try:
            over = read_state(request) == "terminated"
            fragment = read_fragment(request) if request.body or not over else None
        except ParseError as error:
            lines = "Accept: message/sipfrag\r\n" if error.status == 415 else ""
            transaction.respond(error.status, now, headers=lines + _WARNING.format(error))
            return
        transaction.respond(200, now, headers=self._usage.endpoint.server_line)
        first = self.state in ("asked", "accepted")
        if fragment is not None:
            self.status, self.reason = fragment
        if fragment is not None and fragment[0] >= 200:
            self.event("final")
        elif over:
            self.event("unsubscribed")
        else:
            if first:
                self._usage.await_notify(now + LAST_NOTIFY)  # once: progress without an end is not waited for
            self.event("progress")

    def _matches(self, request: Request) -> bool:
        package, semicolon, rest = request.get("Event").partition(";")
        identifier = parse_params(semicolon + rest).get("id") or ""
        return package.strip().lower() == "refer" and identifier in ("", str(self.cseq))

    def event(self, name: ReferralEvent) -> None:
        """Take one row of REFERRAL. "late" and "gone" come from the dialog."""
        if self.state == "over":
            return  # the response to a REFER whose NOTIFY requests have said everything
        self.state, ended = REFERRAL[self.state, name]
        if ended:
            self.ended = ended
            self._usage.referral = None
            self._usage.await_notify(None)
            self._on_end(self)


# ---- a REFER that we received

SubscriptionState = Literal["offered", "active", "quiet", "over"]
"""offered: not answered yet; active: the peer gets NOTIFY requests; quiet: accepted, without NOTIFY; over."""

SubscriptionEvent = Literal["accept", "accept quietly", "refuse", "progress", "final", "unwanted", "gone"]
"""What the owner of the call decides and reports; the peer refused a NOTIFY; the end of the dialog."""

SubscriptionAction = Literal["", "202 NOTIFY", "202", "refusal", "487", "NOTIFY", "last NOTIFY"]

SUBSCRIPTION: Final[dict[tuple[SubscriptionState, SubscriptionEvent], tuple[SubscriptionState, SubscriptionAction]]] = {
    ("offered", "accept"): ("active", "202 NOTIFY"),
    ("offered", "accept quietly"): ("quiet", "202"),
    ("offered", "refuse"): ("over", "refusal"),
    ("offered", "progress"): ("offered", ""),
    ("offered", "final"): ("offered", ""),
    ("offered", "gone"): ("over", "487"),
    ("active", "accept"): ("active", ""),
    ("active", "refuse"): ("active", ""),
    ("active", "progress"): ("active", "NOTIFY"),
    ("active", "final"): ("over", "last NOTIFY"),
    ("active", "unwanted"): ("quiet", ""),
    ("active", "gone"): ("over", ""),
    ("quiet", "accept"): ("quiet", ""),
    ("quiet", "accept quietly"): ("quiet", ""),
    ("quiet", "refuse"): ("quiet", ""),
    ("quiet", "progress"): ("quiet", ""),
    ("quiet", "final"): ("over", ""),
    ("quiet", "unwanted"): ("quiet", ""),
    ("quiet", "gone"): ("over", ""),
}
"""(state, event) -> (state, action)."""


class Subscription:
    """A REFER that we received. It is answered once; after a 202 the peer gets NOTIFY requests, one at a time. Of those
    that wait only the newest is sent; the final one is always sent.

    Attributes:
        reference: What the REFER asks for.
        state: See `SubscriptionState`.
    """

    __slots__ = ("_last_status", "_pending", "_sending", "_transaction", "_usage", "reference", "state")

    def __init__(self, usage: "ReferUsage", transaction: ServerTransaction, reference: Reference) -> None:
        self._usage = usage
        self._transaction = transaction
        self.reference = reference
        self.state: SubscriptionState = "offered"
        self._last_status = 0
        self._sending: OutgoingRequest | None = None
        self._pending: tuple[int, str, bool] | None = None  # status, reason phrase, final

    def accept(self, now: float) -> None:
        """Answer 202: the transfer is under way."""
        quiet = self.reference.quiet
        if self._turn("accept quietly" if quiet else "accept"):
            endpoint = self._usage.endpoint
            lines = "Refer-Sub: false\r\nSupported: norefersub\r\n" if quiet else ""
            lines += self._usage.contact_line(self._transaction.flow) + endpoint.server_line
            self._transaction.respond(202, now, headers=lines)
            if not quiet:
                self._notify(100, "", False, now)

    def refuse(self, status: int, now: float, reason: str = "", headers: str = "") -> None:
        """A final response other than 2xx."""
        if self._turn("refuse"):
            self._transaction.respond(status, now, reason, headers + self._usage.endpoint.server_line)

    def progress(self, status: int, now: float) -> None:
        """Report that the call to the target rings (a provisional status)."""
        if status != self._last_status and self._turn("progress") == "NOTIFY":
            self._notify(status, "", False, now)

    def final(self, status: int, reason: str, now: float) -> None:
        """Report the final status of the call to the target; the subscription ends."""
        if self._turn("final"):
            self._notify(status, reason, True, now)

    def gone(self, now: float) -> None:
        """The dialog has ended."""
        self._pending = None
        if self._turn("gone"):
            self._transaction.respond(487, now)

    def _turn(self, event: SubscriptionEvent) -> SubscriptionAction:
        if self.state == "over":
            return ""  # the peer may hang up before the owner has decided
        self.state, action = SUBSCRIPTION[self.state, event]
        if self.state == "over" and self._usage.subscription is self:
            self._usage.subscription = None
        return action

    def _notify(self, status: int, reason: str, last: bool, now: float) -> None:
        self._pending = (status, reason or reason_phrase(status), last)
        if self._sending is None:
            self._send(now)

    def _send(self, now: float) -> None:
        usage = self._usage
        if self._pending is None or usage.ended:
            return
        (status, reason, last), self._pending = self._pending, None
        self._last_status = status
        state = "terminated;reason=noresource" if last else f"active;expires={SUBSCRIBED_FOR}"
        lines = (
            f"Event: refer;id={self._transaction.cseq}\r\nSubscription-State: {state}\r\n"
            f"Content-Type: message/sipfrag;version=2.0\r\n{usage.endpoint.agent_line}"
        )
        with suppress(ParseError):  # an unusable route set: no NOTIFY can be sent
            text = f"SIP/2.0 {status} {reason}\r\n".encode("utf-8", "surrogateescape")
            self._sending = usage.compose("NOTIFY", self, lines, text)
            usage.send(self._sending, now)

    def on_response(self, request: OutgoingRequest, response: Response, now: float) -> None:
        """The response to a NOTIFY. A refusal ends the subscription, not the transfer or the call (RFC 5057 §5)."""
        if response.status >= 200:
            self._answered(response.status < 300, now)

    def on_failure(self, request: OutgoingRequest, cause: str, now: float) -> None:
        """A NOTIFY got no response."""
        self._answered(False, now)

    def _answered(self, wanted: bool, now: float) -> None:
        self._sending = None
        if wanted:
            self._send(now)
        else:
            self._pending = None
            self._turn("unwanted")


# ---- the dialog they belong to


class ReferUsage(DialogServer):
    """A dialog usage that can be transferred.

    Attributes:
        referral: The REFER that we sent, until its outcome is known.
        subscription: The REFER that we received, until the peer has got its last NOTIFY.
    """

    __slots__ = ("referral", "subscription")

    def __init__(self, endpoint: Core) -> None:
        super().__init__(endpoint)
        self.referral: Referral | None = None
        self.subscription: Subscription | None = None

    @property
    def confirmed(self) -> bool:
        """The dialog has been confirmed by a 2xx, and has not ended."""
        return self.dialog.state == CONFIRMED

    def refer(self, refer_to: str, headers: str, now: float, on_end: Callable[[Referral], None]) -> Referral | None:
        """Ask the peer to call `refer_to`, a URI (RFC 3515); `on_end` is called when the outcome is known. Returns None
        while another REFER is under way, and on a dialog that is not confirmed."""
        if self.referral is not None or not self.confirmed:
            return None
        referral = Referral(self, on_end)
        referral.send(refer_to, headers, now)
        return referral

    def await_notify(self, until: float | None) -> None:
        """How long the peer has to send the next NOTIFY; None: no longer waited for."""
        if until is None:
            self._disarm("notify")
        else:
            self.arm("notify", until)

    def transferred(self, by: float) -> None:
        """The peer has been transferred away: it hangs up, or we do at `by`."""
        self.arm("transferred", by)

    def _alarm(self, name: str, now: float) -> None:
        if name == "notify":
            if self.referral is not None:
                self.referral.event("late")
        elif name == "transferred":
            self.end_by_us(now, 'SIP;cause=200;text="transferred"', 200)
        else:
            super()._alarm(name, now)

    def _end_transfers(self, now: float) -> None:
        if self.referral is not None:
            self.referral.event("gone")
        if self.subscription is not None:
            self.subscription.gone(now)

    def _receive_refer(self, transaction: ServerTransaction, request: Request, now: float) -> bool:
        """A REFER within the dialog. True when it waits in `subscription` for the owner's decision."""
        fault: tuple[int, str] | None = None
        if self.subscription is not None:
            fault = (491, "another transfer of this call is under way")
        elif not self.confirmed:
            fault = (603, "only an answered call can be transferred")
        else:
            try:
                reference = read_reference(request)
            except ParseError as error:
                fault = (error.status, str(error))
        if fault is not None:
            text = fault[1].replace("\\", "").replace('"', "'")
            transaction.respond(fault[0], now, headers=_WARNING.format(text) + self.endpoint.server_line)
            return False
        self.subscription = Subscription(self, transaction, reference)
        return True

    def _take_notify(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """A NOTIFY within the dialog; 481 where there is no subscription (RFC 6665 §4.1.3)."""
        if self.referral is None:
            transaction.respond(481, now)
        else:
            self.referral.notified(transaction, request, now)
