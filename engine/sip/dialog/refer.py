"""Transfer within a call: a REFER of ours with what the peer tells of it, and a REFER of the peer with what it is told
(RFC 3515; RFC 3420 for the fragments, RFC 4488 for a REFER without a subscription, RFC 6665 for NOTIFY).

Both are state machines, and both are tables. A leg has at the most one of each under way.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from engine.sip.message.grammar import ParseError, parse_params, unquote
from engine.sip.message.message import Request, Response
from engine.sip.message.name_addr import NameAddr
from engine.sip.message.status import reason_phrase
from engine.sip.message.uri import SipUri, TelUri
from engine.sip.request import OutgoingRequest
from engine.sip.transaction.server import ServerTransaction

if TYPE_CHECKING:
    from engine.sip.dialog.session import Session

FIRST_NOTIFY: Final = 32.0
"""Seconds after the 2xx in which the first NOTIFY has to come (RFC 6665 §4.1.2: Timer N, 64*T1)."""
LAST_NOTIFY: Final = 240.0
"""Seconds in which the peer has to tell how it ended; what it does after that is not waited for."""
SUBSCRIBED_FOR: Final = 240
"""Seconds that a peer is told its subscription lasts."""
MAX_FRAGMENT: Final = 8 * 1024
"""Octets of the longest fragment that is looked at."""

_STATUS_LINE = re.compile(rb"SIP/2\.0 ([1-6][0-9][0-9])(?: ([^\r\n\0]{0,256})[^\r\n]*)?(?:\r?\n|$)")
_STATE = re.compile(r"[ \t]*(active|pending|terminated)[ \t]*(;.*)?", re.IGNORECASE | re.DOTALL)
_WARNING = 'Warning: 399 trunkline "{}"\r\n'


# ---- what they say


class Reference(NamedTuple):
    """Who a REFER of the peer wants called.

    Attributes:
        uri: Without header fields.
        replaces: The value of Replaces in it, escapes undone; "" for a transfer that asks nobody before (RFC 3891).
        by: The URI in Referred-By, "" without one (RFC 3892). Nobody vouches for it.
        quiet: The peer wants to be told nothing (RFC 4488).
    """

    uri: SipUri | TelUri
    replaces: str
    by: str
    quiet: bool


def read_reference(request: Request) -> Reference:
    """What a REFER asks for. Raises ParseError: 400, or 501 for a request other than an INVITE."""
    values = request.values("Refer-To")
    if len(values) != 1:
        raise ParseError("a REFER needs exactly one Refer-To")  # RFC 3515 §2.4.2
    uri = NameAddr.parse(values[0]).uri
    if not isinstance(uri, SipUri | TelUri):
        raise ParseError("only sip, sips and tel URIs can be called", 501)
    replaces = ""
    if isinstance(uri, SipUri):
        if (uri.params.get("method") or "INVITE").upper() != "INVITE":
            raise ParseError("only calls can be transferred", 501)
        replaces = next((_unescaped(value) for name, value in _header_fields(uri) if name == "replaces"), "")
        uri = SipUri.parse(str(uri).partition("?")[0])
    by = ""
    if "Referred-By" in request.first:
        with suppress(ParseError):
            by = request.address("Referred-By").uri_text
    return Reference(uri, replaces, by, request.get("Refer-Sub").split(";", 1)[0].strip().lower() == "false")


def _header_fields(uri: SipUri) -> list[tuple[str, str]]:
    pairs = (field.partition("=") for field in str(uri).partition("?")[2].split("&"))
    return [(name.lower(), value) for name, _, value in pairs]


def _unescaped(text: str) -> str:
    found = re.sub("%([0-9A-Fa-f]{2})", lambda match: chr(int(match[1], 16)), text)
    if not found.isprintable():
        raise ParseError("Replaces holds what is no text")
    return found


def read_fragment(request: Request) -> tuple[int, str]:
    """The status and reason phrase that a NOTIFY tells of (RFC 3515 §2.4.5). Raises ParseError: 415, 400."""
    kind, semicolon, rest = request.get("Content-Type").partition(";")
    version = unquote(parse_params(semicolon + rest).get("version") or "2.0")
    if kind.strip().lower() != "message/sipfrag" or version != "2.0":
        raise ParseError("a NOTIFY of a transfer holds a message/sipfrag", 415)
    found = _STATUS_LINE.match(request.body) if len(request.body) <= MAX_FRAGMENT else None
    if found is None:
        raise ParseError("a fragment without a status line")
    words = (found[2] or b"").decode("utf-8", "replace").strip()
    return int(found[1]), "".join(letter for letter in words if letter.isprintable())


def read_state(request: Request) -> str:
    """active, pending or terminated. Raises ParseError (RFC 6665 §4.1.3: NOTIFY has to say it)."""
    found = _STATE.fullmatch(request.get("Subscription-State"))
    if found is None:
        raise ParseError("Subscription-State is missing, or none that is known")
    return found[1].lower()


# ---- a REFER of ours

ASKED: Final = "asked"
ACCEPTED: Final = "accepted"
HEARD: Final = "heard"  # as accepted, and a NOTIFY has come
OVER: Final = "over"

UNKNOWN: Final = "accepted"
"""How a referral ends that was accepted and of which nothing more will be heard."""
REFUSED: Final = "refused"
TOLD: Final = "told"
"""How a referral ends whose final status was told."""

# (state, event) -> (state, how it ended). What is not here changes nothing. A NOTIFY may overtake the 2xx (RFC 6665
# §4.1.2.4), and says as much as that.
REFERRAL: Final[dict[tuple[str, str], tuple[str, str]]] = {
    (ASKED, "accepted"): (ACCEPTED, ""),
    (ASKED, "accepted quietly"): (OVER, UNKNOWN),
    (ASKED, "refused"): (OVER, REFUSED),
    (ASKED, "progress"): (HEARD, ""),
    (ASKED, "final"): (OVER, TOLD),
    (ASKED, "unsubscribed"): (OVER, UNKNOWN),
    (ASKED, "gone"): (OVER, REFUSED),
    (ACCEPTED, "progress"): (HEARD, ""),
    (ACCEPTED, "final"): (OVER, TOLD),
    (ACCEPTED, "unsubscribed"): (OVER, UNKNOWN),
    (ACCEPTED, "late"): (OVER, UNKNOWN),
    (ACCEPTED, "gone"): (OVER, UNKNOWN),
    (HEARD, "accepted quietly"): (OVER, UNKNOWN),
    (HEARD, "refused"): (OVER, REFUSED),
    (HEARD, "final"): (OVER, TOLD),
    (HEARD, "unsubscribed"): (OVER, UNKNOWN),
    (HEARD, "late"): (OVER, UNKNOWN),
    (HEARD, "gone"): (OVER, UNKNOWN),
}


class Referral:
    """Our REFER on a leg, and what the peer tells of it. `tell` is called once, when it is over.

    Attributes:
        state: One of the states above.
        ended: UNKNOWN, REFUSED or TOLD once it is over.
        status: The last SIP status heard: of the REFER itself where it was refused (0: nobody answered it), else of
            the call that the peer makes.
        reason: Its phrase.
    """

    __slots__ = ("_session", "_tell", "cseq", "ended", "reason", "state", "status")

    def __init__(self, session: "Session", tell: Callable[["Referral"], None]) -> None:
        self._session = session
        self._tell = tell
        self.cseq = 0
        self.state = ASKED
        self.ended = ""
        self.status = 0
        self.reason = ""

    def send(self, refer_to: str, headers: str, now: float) -> None:
        """Send the REFER. `refer_to`: a URI; `headers`: further lines, each ended by CRLF."""
        session = self._session
        session.referral = self
        lines = f"Refer-To: <{refer_to}>\r\n{headers}Supported: norefersub\r\n{session.endpoint.agent_line}"
        self.cseq = session.dialog.local_cseq + 1  # RFC 3515 §2.4.6: NOTIFY may name it as the event's id
        session.request("REFER", now, lines, on_final=self._answered)

    def _answered(self, status: int, response: Response | None, now: float) -> None:
        if 200 <= status < 300:
            sub = "" if response is None else response.get("Refer-Sub").split(";", 1)[0].strip().lower()
            quietly = sub == "false"
            if self.state == ASKED and not quietly:
                self._session.await_notify(now + FIRST_NOTIFY)
            self.event("accepted quietly" if quietly else "accepted")
        elif self.state != OVER:
            self.status = status if response is not None else 0
            self.reason = response.reason if response is not None else "no answer"
            self.event("refused")

    def notified(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """A NOTIFY within the dialog."""
        if not self._is_ours(request):
            transaction.respond(481, now)
            return
        try:
            over = read_state(request) == "terminated"
            fragment = read_fragment(request) if request.body or not over else None
        except ParseError as error:
            lines = "Accept: message/sipfrag\r\n" if error.status == 415 else ""
            transaction.respond(error.status, now, headers=lines + _WARNING.format(error))
            return
        transaction.respond(200, now, headers=self._session.endpoint.server_line)
        first = self.state in (ASKED, ACCEPTED)
        if fragment is not None:
            self.status, self.reason = fragment
        if fragment is not None and fragment[0] >= 200:
            self.event("final")
        elif over:
            self.event("unsubscribed")
        else:
            if first:
                self._session.await_notify(now + LAST_NOTIFY)  # once: a peer that tells of no end is not waited for
            self.event("progress")

    def _is_ours(self, request: Request) -> bool:
        package, semicolon, rest = request.get("Event").partition(";")
        identifier = parse_params(semicolon + rest).get("id") or ""
        return package.strip().lower() == "refer" and identifier in ("", str(self.cseq))

    def event(self, name: str) -> None:
        """What REFERRAL has for it: `late` and `gone` come from the leg."""
        self.state, ended = REFERRAL.get((self.state, name), (self.state, ""))
        if ended:
            self.ended = ended
            self._session.referral = None
            self._session.await_notify(None)
            tell, self._tell = self._tell, _tell_nobody
            tell(self)


def _tell_nobody(_referral: Referral) -> None:
    """Everybody has been told."""


# ---- a REFER of the peer

OFFERED: Final = "offered"
ACTIVE: Final = "active"
QUIET: Final = "quiet"  # accepted, and the peer wants to hear nothing

# (state, event) -> (state, what is done).
SUBSCRIPTION: Final[dict[tuple[str, str], tuple[str, str]]] = {
    (OFFERED, "accept"): (ACTIVE, "202 NOTIFY"),
    (OFFERED, "accept quietly"): (QUIET, "202"),
    (OFFERED, "refuse"): (OVER, "refusal"),
    (OFFERED, "gone"): (OVER, "487"),
    (ACTIVE, "progress"): (ACTIVE, "NOTIFY"),
    (ACTIVE, "final"): (OVER, "last NOTIFY"),
    (ACTIVE, "unwanted"): (QUIET, ""),
    (ACTIVE, "gone"): (OVER, ""),
    (QUIET, "final"): (OVER, ""),
    (QUIET, "gone"): (OVER, ""),
}


class Subscription:
    """The peer's REFER: answered once, and from then on the peer is told how it goes. One NOTIFY at a time is under
    way, and of those that wait only the newest is worth sending; the last one is always sent."""

    __slots__ = ("_said", "_sending", "_session", "_transaction", "_waiting", "reference", "state")

    def __init__(self, session: "Session", transaction: ServerTransaction, reference: Reference) -> None:
        self._session = session
        self._transaction = transaction
        self.reference = reference
        self.state = OFFERED
        self._said = 0
        self._sending: OutgoingRequest | None = None
        self._waiting: tuple[int, str, bool] | None = None

    def accept(self, now: float) -> None:
        """202; the transfer is under way."""
        quiet = self.reference.quiet
        if self._turn("accept quietly" if quiet else "accept"):
            endpoint = self._session.endpoint
            lines = "Refer-Sub: false\r\nSupported: norefersub\r\n" if quiet else ""
            lines += endpoint.contact_line(self._transaction.hop) + endpoint.server_line
            self._transaction.respond(202, now, headers=lines)
            if not quiet:
                self._notify(100, "", False, now)

    def refuse(self, status: int, now: float, reason: str = "", headers: str = "") -> None:
        """A final response other than 2xx."""
        if self._turn("refuse"):
            self._transaction.respond(status, now, reason, headers + self._session.endpoint.server_line)

    def progress(self, status: int, now: float) -> None:
        """The call to the target rings."""
        if status != self._said and self._turn("progress") == "NOTIFY":
            self._notify(status, "", False, now)

    def final(self, status: int, reason: str, now: float) -> None:
        """How the call to the target ended, or that it was answered."""
        if self._turn("final"):
            self._notify(status, reason, True, now)

    def gone(self, now: float) -> None:
        """The leg is over."""
        self._waiting = None
        if self._turn("gone"):
            self._transaction.respond(487, now)

    def _turn(self, event: str) -> str:
        state, action = SUBSCRIPTION.get((self.state, event), ("", ""))
        if state:
            self.state = state
            if state == OVER and self._session.subscription is self:
                self._session.subscription = None
        return action

    def _notify(self, status: int, reason: str, last: bool, now: float) -> None:
        self._waiting = (status, reason or reason_phrase(status), last)
        if self._sending is None:
            self._send(now)

    def _send(self, now: float) -> None:
        session = self._session
        if self._waiting is None or session.ended:
            return
        (status, reason, last), self._waiting = self._waiting, None
        self._said = status
        state = "terminated;reason=noresource" if last else f"active;expires={SUBSCRIBED_FOR}"
        lines = (
            f"Event: refer;id={self._transaction.cseq}\r\nSubscription-State: {state}\r\n"
            f"Content-Type: message/sipfrag;version=2.0\r\n{session.endpoint.agent_line}"
        )
        with suppress(ParseError):  # a route set that is not usable: the peer is told nothing
            text = f"SIP/2.0 {status} {reason}\r\n".encode("utf-8", "surrogateescape")
            self._sending = session.compose("NOTIFY", self, lines, text)
            session.send(self._sending, now)

    def on_response(self, request: OutgoingRequest, response: Response, now: float) -> None:
        """The answer to a NOTIFY. A refusal ends what is told, not the transfer and not the call (RFC 5057 §5)."""
        if response.status >= 200:
            self._answered(response.status < 300, now)

    def on_failure(self, request: OutgoingRequest, cause: str, now: float) -> None:
        """Nobody answered a NOTIFY."""
        self._answered(False, now)

    def _answered(self, wanted: bool, now: float) -> None:
        self._sending = None
        if wanted:
            self._send(now)
        else:
            self._waiting = None
            self._turn("unwanted")


# ---- where they meet a leg


def take_refer(session: "Session", transaction: ServerTransaction, request: Request, now: float) -> bool:
    """A REFER within the dialog. True when it waits in `session.subscription` for the owner's word."""
    fault: tuple[int, str] | None = None
    if session.subscription is not None:
        fault = (491, "another transfer of this call is under way")
    elif not session.confirmed:
        fault = (603, "only an answered call can be transferred")
    else:
        try:
            reference = read_reference(request)
        except ParseError as error:
            fault = (error.status, str(error))
    if fault is not None:
        text = fault[1].replace("\\", "").replace('"', "'")
        lines = _WARNING.format(text) + session.endpoint.server_line
        transaction.respond(fault[0], now, headers=lines)
        return False
    session.subscription = Subscription(session, transaction, reference)
    return True


def take_notify(session: "Session", transaction: ServerTransaction, request: Request, now: float) -> None:
    """A NOTIFY within the dialog; 481 where nothing was subscribed to (RFC 6665 §4.1.3)."""
    if session.referral is None:
        transaction.respond(481, now)
    else:
        session.referral.notified(transaction, request, now)
