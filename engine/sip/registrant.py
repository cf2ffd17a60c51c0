"""A registration of ours at a carrier's registrar: kept, refreshed and left (RFC 3261 §10.2).

One machine for each, without a task: events go in, requests come out, and it waits in the endpoint's heap of deadlines.
It walks the targets of RFC 3263 itself, so that every REGISTER has the Contact of the flow that it goes by, and so that
the server which took it is known: there the calls go (`Registrant.server`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from engine.sip.auth.credentials import Answered, Credentials, DigestSessions
from engine.sip.core import Core
from engine.sip.flow import Flow, TlsTerms
from engine.sip.message.grammar import ParseError
from engine.sip.message.message import Response
from engine.sip.message.name_addr import NameAddr
from engine.sip.message.uri import SipUri, parse_uri
from engine.sip.request import OutgoingRequest
from engine.sip.transaction.table import Rows, absorbing
from engine.sip.transaction.timers import NEVER

REFRESHED_AT: Final = 0.8
"""Of the time that was granted, when it is asked for again."""
LONGEST: Final = 86_400
"""Seconds that are asked for and believed at most, whatever a 423 or a 200 says."""
SHORTEST_PAUSE: Final = 1.0
"""Seconds between two refreshes at least, whatever is granted."""
ANSWERS: Final = 3
"""Challenges that are answered in one attempt: a wrong password is not to be tried for ever."""
FIRST_WINDOW: Final = 60.0
FORBIDDEN_WINDOW: Final = 600.0
LAST_WINDOW: Final = 1800.0
"""After a failure it waits, by chance, for half of such a window to all of it (s), twice as long each time up to the
last (RFC 5626 §4.5); after a refusal that no waiting changes for longer at once. It is never given up."""
LONGEST_RETRY_AFTER: Final = 3600
SOON: Final = 2.0
"""Seconds at most until it registers again whose connection is lost: many may have gone at once."""
PING: Final = 30.0
"""Seconds between the keep-alives on a connection, which calls come in by (RFC 5626 §3.5.1)."""
LEAVES_WITHIN: Final = 2.0
LOCATES_WITHIN: Final = 10.0
MOST_ROUTES: Final = 8
LONGEST_ROUTE: Final = 512
_MOST_CONTACTS: Final = 64

_FORBIDDEN: Final = frozenset({401, 403, 404, 407, 410, 603, 604})
"""What trying again soon would not change."""
_NEXT_TARGET: Final = frozenset({408, 430})
"""With all of 5xx: another server may do better (RFC 3263 §4.3, RFC 5626 §4.4.1)."""

RegistrantState = Literal["off", "trying", "registered", "refreshing", "failed", "forbidden", "leaving"]
"""off: nothing is asked; trying: the first answer is waited for; refreshing: the same of a registration that stands;
failed, forbidden: it waits to try again, after a failure or a refusal; leaving: it is being undone."""

RegistrantEvent = Literal["begin", "due", "accepted", "failed", "forbidden", "lost", "leave"]
"""It is to register now; a deadline has passed; the answers of the registrar, and silence; the connection that
registered is gone; it is to be undone."""

RegistrantAction = Callable[["Registrant", float], None]


@dataclass(slots=True, frozen=True, kw_only=True)
class RegistrantSpec:
    """What is registered, and where.

    Attributes:
        registrar: The Request-URI: a domain (RFC 3261 §10.2).
        destination: The SIP URI whose targets are asked.
        aor: The address-of-record, a URI.
        contact_user: The user part of our Contact.
        credentials: What answers a challenge.
        expires: Seconds that are asked for.
        gin: The registrar delivers all numbers of a PBX to one Contact without a user (RFC 6140).
        patience: Seconds that a target may say nothing.
        contact_host: See `engine.sip.flow.Flow.sent_by`.
        tls: What is asked of the registrar over TLS; None: what is asked of anybody.
    """

    registrar: str
    destination: str
    aor: str
    contact_user: str
    credentials: Credentials | None = None
    expires: int = 3600
    gin: bool = False
    patience: float = 4.0
    contact_host: str = ""
    tls: TlsTerms | None = None


class Registrant:
    """One registration.

    Attributes:
        spec: What is registered.
        state: See `RegistrantState`.
        call_id: The same for all of its requests (§10.2.4), over a restart too where somebody keeps it.
        cseq: Of the last request.
        registered_until: When what was granted ends (s, on the endpoint's clock); 0 where nothing was.
        server: The flow of the server that accepted; None where there is none that calls should go to.
        service_route: Values of the Route fields of requests that go by it, in order (RFC 3608 §6.1).
        last_status, last_reason: What came of the last attempt; status 0 and the cause where nobody answered.
        next_attempt: When it is tried again (s); `NEVER` where nothing waits.
        attempts: How many ended, by what the table calls their end.
    """

    __slots__ = (
        "_asked",
        "_challenges",
        "_digests",
        "_endpoint",
        "_failures",
        "_flow",
        "_on_change",
        "_passed_over",
        "_request",
        "_retry_after",
        "_routes",
        "_serial",
        "_skipped",
        "_targets",
        "_until",
        "attempts",
        "call_id",
        "cseq",
        "deadline",
        "last_reason",
        "last_status",
        "next_attempt",
        "queued",
        "registered_until",
        "server",
        "service_route",
        "spec",
        "state",
    )

    def __init__(
        self,
        endpoint: Core,
        spec: RegistrantSpec,
        on_change: Callable[["Registrant"], None],
        *,
        call_id: str = "",
        cseq: int = 0,
    ) -> None:
        """`on_change` hears of every step. `call_id`, `cseq`: of an earlier life."""
        self.spec = spec
        self.state: RegistrantState = "off"
        self.call_id = call_id or endpoint.token() + endpoint.token()
        self.cseq = cseq
        self.registered_until = 0.0
        self.server: Flow | None = None
        self.service_route: tuple[str, ...] = ()
        self.last_status, self.last_reason = 0, ""
        self.next_attempt = NEVER
        self.attempts = {"accepted": 0, "failed": 0, "forbidden": 0}
        self.deadline = self.queued = NEVER
        self._endpoint = endpoint
        self._on_change = on_change
        self._asked = spec.expires
        self._failures = 0
        self._digests: DigestSessions | None = None
        self._request: OutgoingRequest | None = None
        self._flow: Flow | None = None  # where the last request went
        self._targets: list[Flow] = []  # those that have not been asked in this attempt
        self._skipped: list[Flow] = []  # those that have been, in vain
        self._passed_over: list[Flow] = []  # the better ones that did not do when the present server accepted
        self._challenges: list[Answered] = []
        self._retry_after = 0
        self._serial = 0  # of the look-up that is waited for
        self._until = 0.0  # of the answer that is being taken over
        self._routes: tuple[str, ...] = ()

    # ---- orders

    def register(self, now: float, after: float = 0.0) -> None:
        """Register now, or in `after` seconds where it has not begun; what waited for its time waits no longer."""
        if after and self.state == "off":
            self.next_attempt = now + after
            self._endpoint.deadlines.set(self, now + after)
            return
        self._failures = 0
        self._take("begin", now)

    def renewed(self, credentials: Credentials | None, now: float) -> None:
        """It has other credentials, and is refreshed with these."""
        self._digests = None
        if self.state in ("trying", "refreshing"):
            self._abandon(now)
            self.state = "failed"
        self.register(now)

    def lost(self, now: float) -> None:
        """The connection to `server` is gone."""
        self._take("lost", now)

    def leave(self, now: float) -> None:
        """Undo it, and stay off; at the latest in LEAVES_WITHIN seconds it is over."""
        self._take("leave", now)

    def close(self, now: float) -> None:
        """Stop at once, whatever is under way."""
        self._abandon(now)
        self._endpoint.deadlines.clear(self)
        self.state, self.server, self.next_attempt = "off", None, NEVER

    def contact(self, flow: Flow) -> str:
        """The URI that a request by this flow registers."""
        host, spec = flow.own_address(self.spec.contact_host), self.spec
        return f"sip:{host};bnc" if spec.gin else f"sip:{spec.contact_user}@{host}"

    # ---- the machine

    def _take(self, event: RegistrantEvent, now: float) -> None:
        self.state, actions = REGISTRANT[self.state][event]
        if event in self.attempts:
            self.attempts[event] += 1
        for action in actions:
            action(self, now)
        if actions:
            self._on_change(self)

    def on_deadline(self, now: float) -> None:
        """A refresh, a retry or a keep-alive is due, or a target has said nothing for too long."""
        if self.state == "registered" and now < self.next_attempt:
            self._ping(now)
        else:
            self._take("due", now)

    def _ask(self, now: float) -> None:
        """Begin an attempt: find out where it goes."""
        self._abandon(now)
        self._targets, self._skipped, self._challenges, self._retry_after = [], [], [], 0
        self.last_reason = "name does not resolve"
        self.last_status = 0
        self._endpoint.deadlines.set(self, now + LOCATES_WITHIN)
        self._endpoint.locate(self.spec.destination, partial(self._located, self._serial))

    def _located(self, serial: int, flows: list[Flow], cause: str = "") -> None:
        if serial != self._serial or self.state not in ("trying", "refreshing"):
            return
        now = self._endpoint.clock()
        self.last_reason = cause or "name does not resolve"
        self._targets = self._in_order([flow.under(self.spec.tls) for flow in flows], now)
        self._next_target(now)

    def _in_order(self, flows: list[Flow], now: float) -> list[Flow]:
        """The present server first, as long as it is one: registrars that do not share what they know would have two
        bindings. Before it the better ones that did not do last time, where there is time to wait for all of them."""
        server = self.server
        if server is None or server not in flows:
            return flows
        better = [flow for flow in flows if flow in self._passed_over]
        if now + self.spec.patience * (len(better) + 1) > self.registered_until:
            better = []
        return [*better, server, *(flow for flow in flows if flow != server and flow not in better)]

    def _next_target(self, now: float) -> None:
        if self._flow is not None and self._request is not None:
            self._skipped.append(self._flow)
        self._abandon(now)
        if not self._targets:
            self._take("failed", now)
            return
        self._flow = self._targets.pop(0)
        self.last_status, self.last_reason = 0, "no response"
        self._send(self._flow, self._asked, now)
        self._endpoint.deadlines.set(self, now + self.spec.patience)

    def _send(self, flow: Flow, expires: int, now: float) -> None:
        spec, endpoint = self.spec, self._endpoint
        self.cseq += 1
        digests = self._digests
        authorization = digests.lines("REGISTER", spec.registrar, b"", endpoint.token) if digests is not None else ""
        gin = "Require: gin\r\nProxy-Require: gin\r\nSupported: path\r\n" if spec.gin else ""  # RFC 6140 §5.1
        self._request = OutgoingRequest(
            endpoint,
            self,
            method="REGISTER",
            uri=spec.registrar,
            head=(
                f"Max-Forwards: 70\r\nFrom: <{spec.aor}>;tag={endpoint.token()}\r\nTo: <{spec.aor}>\r\n"
                f"Call-ID: {self.call_id}\r\nCSeq: {self.cseq} REGISTER\r\n"
                # Some registrars read the one, some the other.
                f"Contact: <{self.contact(flow)}>;expires={expires}\r\nExpires: {expires}\r\n"
            ),
            tail=gin + authorization + endpoint.agent_line,
            contact_host=spec.contact_host,
        )
        self._request.send_to([flow], now)

    def _abandon(self, now: float) -> None:
        """Wait for no answer any more (§10.2.4: one at a time)."""
        self._serial += 1
        request, self._request = self._request, None
        if request is not None:
            if request.transaction is not None:
                request.transaction.quiet(now)
            request.abandon(now)

    # ---- answers

    def on_response(self, request: OutgoingRequest, response: Response, now: float) -> None:
        """The response, provisional or final."""
        status = response.status
        if request is not self._request or self._flow is None:
            return
        if status < 200:
            if self.state != "leaving":  # somebody is at work: Timer F is the limit
                self._endpoint.deadlines.set(self, now + self._endpoint.policy.timers.timeout)
            return
        if self._goes_on(response, now):
            return
        self.last_status, self.last_reason = status, response.reason
        self._retry_after = max(self._retry_after, response.retry_after)
        if status < 300:
            self._accepted(response, now)
        elif status in _NEXT_TARGET or 500 <= status < 600:
            self._unanswered(now)
        else:
            self._take("forbidden" if status in _FORBIDDEN else "failed", now)

    def on_failure(self, request: OutgoingRequest, cause: str, now: float) -> None:
        """No response will come."""
        if request is self._request:
            self.last_status, self.last_reason = 0, cause
            self._unanswered(now)

    def _unanswered(self, now: float) -> None:
        """This target will not do."""
        if self.state == "leaving" or not self._targets:
            self._take("failed", now)
        else:
            self._next_target(now)

    def _goes_on(self, response: Response, now: float) -> bool:
        """Whether the request is sent once more to the same server: with credentials, or for a longer time."""
        status, flow, leaving = response.status, self._flow, self.state == "leaving"
        assert flow is not None  # it has answered
        if status in (401, 407):
            if self.spec.credentials is None or len(self._challenges) >= ANSWERS:
                return False
            if self._digests is None:
                self._digests = DigestSessions(self.spec.credentials)
            # A nonce of the last refresh may be too old by now, and not every registrar says so (`stale`).
            if not self._digests.accept_within(response, self._challenges):
                return False
        elif status == 423 and not leaving:
            least = _seconds(response.get("Min-Expires"))
            if not self._asked < least <= LONGEST:
                return False
            self._asked = least  # §10.3 step 7; the next refresh asks for as much
        else:
            return False
        self._send(flow, 0 if leaving else self._asked, now)
        if not leaving:
            self._endpoint.deadlines.set(self, now + self.spec.patience)
        return True

    def _accepted(self, response: Response, now: float) -> None:
        if self.state == "leaving":
            self._take("accepted", now)
            return
        granted = self._granted(response)
        if not granted:
            self.last_reason = "the answer does not list our Contact"
            self._take("failed", now)
            return
        self._until = now + granted
        self._routes = _routes(response)
        self._take("accepted", now)

    def _granted(self, response: Response) -> int:
        """What a 200 gives our Contact, in its `expires` or in the header for all; 0 where it is not bound (§10.2.4).
        Those of other devices are nobody's business here. One that something on the way has rewritten is known by its
        user part."""
        assert self._flow is not None  # it has answered
        general = _seconds(response.get("Expires")) if "Expires" in response.first else 0
        if "Contact" not in response.first:
            return min(general, LONGEST)
        ours, similar = parse_uri(self.contact(self._flow)), None
        for value in _values(response, "Contact")[:_MOST_CONTACTS]:
            try:
                contact = NameAddr.parse(value)
                uri = contact.uri
            except ParseError:
                continue
            if not isinstance(uri, SipUri) or not isinstance(ours, SipUri):
                continue
            if uri.equivalent(ours):
                return self._granted_by(contact, general)
            if similar is None and ("bnc" in uri.params if self.spec.gin else uri.user == ours.user):
                similar = contact
        return 0 if similar is None else self._granted_by(similar, general)

    def _granted_by(self, contact: NameAddr, general: int) -> int:
        if "expires" in contact.params:
            return min(_seconds(str(contact.params["expires"])), LONGEST)
        return min(general or self._asked, LONGEST)

    # ---- actions of the table

    def _bind(self, now: float) -> None:
        """It is registered: at this server, for so long."""
        self._request = None
        self._failures = 0
        self._passed_over = self._skipped
        self.server, self.service_route, self.registered_until = self._flow, self._routes, self._until
        pause = max((self._until - now) * REFRESHED_AT, SHORTEST_PAUSE)
        self.next_attempt = now + pause
        self._wait(now)

    def _wait(self, now: float) -> None:
        server = self.server
        stream = server is not None and server.transport.reliable
        self._endpoint.deadlines.set(self, min(self.next_attempt, now + PING) if stream else self.next_attempt)

    def _ping(self, now: float) -> None:
        """Keep the connection that calls come in by, and learn that it is gone."""
        if self.server is None or not self.server.connected:
            self._take("lost", now)
        else:
            self.server.send(b"\r\n\r\n")
            self._wait(now)

    def _back_off(self, now: float) -> None:
        self._pause(FIRST_WINDOW * 2 ** min(self._failures, 10), now)

    def _back_off_long(self, now: float) -> None:
        self._pause(FORBIDDEN_WINDOW * 2 ** min(self._failures, 10), now)

    def _pause(self, window: float, now: float) -> None:
        self._abandon(now)
        self._failures += 1
        if not self.last_status or now >= self.registered_until:
            self.server = None  # the calls find their own way
        chance = self._endpoint.random()
        pause = min(window, LAST_WINDOW) * (0.5 + 0.5 * chance)
        if self._retry_after:
            pause = min(self._retry_after, LONGEST_RETRY_AFTER) * (1 + 0.1 * chance)
        self._at(now + pause)

    def _soon(self, now: float) -> None:
        """The connection is gone, and with it the way of the calls to us."""
        self.last_status, self.last_reason = 0, "connection lost"
        self._at(now + SOON * self._endpoint.random())

    def _at(self, when: float) -> None:
        self.next_attempt = when
        self._endpoint.deadlines.set(self, when)

    def _undo(self, now: float) -> None:
        """Ask for 0 seconds, where there may be a binding; of ours alone, never `*` (§10.2.2)."""
        flow = self._flow if self._request is not None or now < self.registered_until else None
        self._abandon(now)
        self.next_attempt = NEVER
        if flow is None:
            self._take("accepted", now)
            return
        self._challenges, self._retry_after = [], 0
        self._send(flow, 0, now)
        self._endpoint.deadlines.set(self, now + LEAVES_WITHIN)

    def _end(self, now: float) -> None:
        self._abandon(now)
        self._endpoint.deadlines.clear(self)
        self.next_attempt, self.registered_until, self.server, self.service_route = NEVER, 0.0, None, ()


REGISTRANT: Final[Rows[RegistrantState, RegistrantEvent, RegistrantAction]] = absorbing(
    {
        "off": {
            "begin": ("trying", (Registrant._ask,)),
            "due": ("trying", (Registrant._ask,)),
            "leave": ("off", (Registrant._end,)),
        },
        "trying": {
            "due": ("trying", (Registrant._next_target,)),
            "accepted": ("registered", (Registrant._bind,)),
            "failed": ("failed", (Registrant._back_off,)),
            "forbidden": ("forbidden", (Registrant._back_off_long,)),
            "leave": ("leaving", (Registrant._undo,)),
        },
        "registered": {
            "begin": ("refreshing", (Registrant._ask,)),
            "due": ("refreshing", (Registrant._ask,)),
            "lost": ("failed", (Registrant._soon,)),
            "leave": ("leaving", (Registrant._undo,)),
        },
        "refreshing": {
            "due": ("refreshing", (Registrant._next_target,)),
            "accepted": ("registered", (Registrant._bind,)),
            "failed": ("failed", (Registrant._back_off,)),
            "forbidden": ("forbidden", (Registrant._back_off_long,)),
            "leave": ("leaving", (Registrant._undo,)),
        },
        "failed": {
            "begin": ("trying", (Registrant._ask,)),
            "due": ("trying", (Registrant._ask,)),
            "leave": ("leaving", (Registrant._undo,)),
        },
        "forbidden": {
            "begin": ("trying", (Registrant._ask,)),
            "due": ("trying", (Registrant._ask,)),
            "leave": ("leaving", (Registrant._undo,)),
        },
        "leaving": {
            "due": ("off", (Registrant._end,)),
            "accepted": ("off", (Registrant._end,)),
            "failed": ("off", (Registrant._end,)),
            "forbidden": ("off", (Registrant._end,)),
        },
    },
    {
        "off": ("lost",),
        "trying": ("begin", "lost"),
        "refreshing": ("begin", "lost"),
        "failed": ("lost",),
        "forbidden": ("lost",),
        "leaving": ("begin", "lost", "leave"),
    },
)


def _routes(response: Response) -> tuple[str, ...]:
    """The Service-Route of a 200, all of it or, where it is not fit for a Route, none (RFC 3608 §6.1)."""
    values = _values(response, "Service-Route")
    if len(values) > MOST_ROUTES:
        return ()
    for value in values:
        try:
            fit = len(value) <= LONGEST_ROUTE and isinstance(NameAddr.parse(value).uri, SipUri)
        except ParseError:
            fit = False
        if not fit:
            return ()
    return tuple(values)


def _values(response: Response, name: str) -> list[str]:
    try:
        return response.values(name)
    except ParseError:
        return []


def _seconds(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 11 else 0
