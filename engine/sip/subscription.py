"""Subscriptions to events, the notifier's side (RFC 6665 §4.2): one machine for every event package.

A SUBSCRIBE makes a dialog of its own, whose one usage is a `Subscription`. The subscriber is told the whole state by a
NOTIFY after the 200 and after each change: one NOTIFY at a time, and what has changed meanwhile is told by the next one
as it is then. `Notifier` holds all of them. What there is to be told is a package's business (RFC 6665 §5.4), and
who may ask that of the host.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal, NamedTuple, Protocol

from engine.sip.core import Core
from engine.sip.dialog.dialog import CONFIRMED, TERMINATED, Dialog
from engine.sip.dialog.next_hop import MISLEADING, find_flows, way_back
from engine.sip.dialog.usage import request_head
from engine.sip.flow import Flow
from engine.sip.message.grammar import ParseError, parse_params
from engine.sip.message.message import Request, Response
from engine.sip.message.uri import SipUri
from engine.sip.peers import source_of
from engine.sip.request import OutgoingRequest
from engine.sip.stateless import Refusal
from engine.sip.transaction.server import ServerTransaction
from engine.sip.transaction.timers import NEVER

SHORTEST: Final = 60
LONGEST: Final = 3600
"""Seconds that a subscription lasts at least and at most, between two SUBSCRIBEs."""
PAUSE: Final = 30
"""Seconds until a NOTIFY is tried again that the subscriber could not take, where it does not say when."""
LONGEST_PAUSE: Final = 600
MOST_PAUSES: Final = 3
"""A subscriber that cannot take so many NOTIFY requests in a row has no subscription any more."""
_LONGEST_ID: Final = 128

SubscriptionState = Literal["told", "telling", "behind", "waiting", "closing", "leaving", "over"]
"""told: the subscriber knows the newest state; telling: a NOTIFY is under way; behind: the same, and there is newer
state; waiting: the subscriber could not take the last one, which is repeated later; closing: a NOTIFY is under way, and
another one is to end the subscription; leaving: that one is under way; over."""

SubscriptionEvent = Literal["subscribed", "changed", "vanished", "ends", "taken", "put off", "refused", "due", "lost"]
"""A SUBSCRIBE was accepted; the state has changed; there is no state any more; the subscription ends, whoever wants
that; the NOTIFY got a 2xx, was to be repeated later, or was refused for good or not answered; the pause is over; there
is no way to the subscriber."""

SubscriptionAction = Callable[["Subscription", float], None]

EndReason = Literal["timeout", "deactivated", "noresource", "probation"]
"""Why a subscription ends, as its last NOTIFY says it (RFC 6665 §4.1.3). `timeout` also for one that was given up."""


class Resource(NamedTuple):
    """What is subscribed to.

    Attributes:
        key: Tells it from every other of its package.
        uri: How the subscriber has named it: a SIP URI without parameters.
    """

    key: Hashable
    uri: str


class EventPackage(Protocol):
    """An event package: what state there is, and how it is written."""

    @property
    def content_type(self) -> str:
        """Of its documents."""

    def document(self, resource: Resource, version: int) -> bytes | None:
        """The whole state of a resource now. `version`: how many documents this subscriber has got before. None: there
        is no such resource any more."""


class EventPolicy(Protocol):
    """Who may subscribe, and to what."""

    def watcher(self, request: Request, source: Flow) -> str | Refusal:
        """Who sends a request, as it has shown; or the challenge or refusal that it gets."""

    def resource(self, watcher: str, package: str, uri: SipUri) -> Resource | None:
        """What this subscriber has named; None where there is no such thing for it."""


@dataclass(slots=True, frozen=True)
class NotifierLimits:
    """How many subscriptions there may be: of all subscribers, and of each."""

    all: int = 50_000
    each: int = 256


class Subscription:
    """One subscription, and the usage of its dialog.

    Attributes:
        package: Its name.
        resource: What it is to.
        watcher: Whose it is, as the policy names it.
        state: See `SubscriptionState`.
        expires_at: When it ends unless it is refreshed (s, on the endpoint's clock).
        sent: How many documents the subscriber was sent.
    """

    __slots__ = (
        "_again_at",
        "_event",
        "_notifier",
        "_pauses",
        "_reason",
        "_request",
        "deadline",
        "dialog",
        "expires_at",
        "package",
        "queued",
        "resource",
        "sent",
        "state",
        "watcher",
    )

    def __init__(
        self, notifier: "Notifier", dialog: Dialog, package: str, event: str, resource: Resource, watcher: str
    ) -> None:
        """`event`: the value of Event in its NOTIFY requests."""
        self._notifier = notifier
        self.dialog = dialog
        self.package = package
        self.resource = resource
        self.watcher = watcher
        self.state: SubscriptionState = "told"
        self.expires_at = 0.0
        self.sent = 0
        self.deadline = self.queued = self._again_at = NEVER
        self._event = event
        self._reason: EndReason = "timeout"
        self._pauses = 0
        self._request: OutgoingRequest | None = None

    # ---- a usage of its dialog (`DialogUser`)

    def came_from_peer(self, request: Request) -> bool:
        """Whether a request came from where the last SUBSCRIBE did."""
        source = request.source
        return source is None or source.party == self.dialog.peer

    def receive_ack(self, request: Request, now: float) -> None:
        """There is no INVITE in this dialog."""

    def receive_request(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """A request within the dialog: a SUBSCRIBE."""
        dialog = self.dialog
        newest, its_own = dialog.remote_cseq, self.came_from_peer(request)
        if not dialog.accepts(request):
            transaction.respond(500, now)  # RFC 3261 §12.2.2: out of order
        elif request.method != "SUBSCRIBE":
            transaction.respond(501, now, headers=self._notifier.endpoint.methods.allow_line)
        elif self._notifier.refresh(self, transaction, request, now):
            return
        if not its_own:
            dialog.remote_cseq = newest  # whoever knows the tags could make the subscriber's own request an old one

    # ---- the machine

    def fire(self, event: SubscriptionEvent, now: float) -> None:
        """Take one row of SUBSCRIPTION."""
        self.state, actions = SUBSCRIPTION[self.state, event]
        for action in actions:
            action(self, now)

    def subscribed(self, seconds: int, now: float) -> None:
        """A SUBSCRIBE was accepted for so long; 0 ends the subscription."""
        self.expires_at = now + seconds
        self._watch()
        if seconds:
            self.fire("subscribed", now)
        else:
            self.end("timeout", now)

    def end(self, reason: EndReason, now: float) -> None:
        """It ends, with a last NOTIFY."""
        if not self.ends:
            self._reason = reason
        if self.state != "over":
            self.fire("ends", now)

    @property
    def ends(self) -> bool:
        """It cannot be refreshed any more."""
        return self.state in ("closing", "leaving", "over")

    def _watch(self) -> None:
        """Be woken when something is due."""
        self._notifier.endpoint.deadlines.set(self, min(self.expires_at, self._again_at))

    def on_deadline(self, now: float) -> None:
        """It has expired, or a pause is over."""
        if now >= self.expires_at:
            self.end("timeout", now)
        elif now >= self._again_at:
            self._again_at = NEVER
            self._watch()
            if self.state == "waiting":
                self.fire("due", now)
        else:
            self._watch()

    # ---- its NOTIFY requests

    def notify(self, now: float, *, last: bool = False) -> None:
        """Send the state as it is now."""
        notifier = self._notifier
        package = notifier.packages[self.package]
        # One that has lost its right to know is told no more.
        document = package.document(self.resource, self.sent) if not last or self._reason == "timeout" else None
        if document is None and not last:
            self._reason = "noresource"
            self.fire("vanished", now)
            return
        state = f"active;expires={max(0, round(self.expires_at - now))}"
        if last:
            state = f"terminated;reason={self._reason}"
            if self._reason == "probation":
                state += f";retry-after={10 + round(notifier.endpoint.random() * 20)}"  # not all of them at once
        lines = f"Event: {self._event}\r\nSubscription-State: {state}\r\n"
        if document:
            lines += f"Content-Type: {package.content_type}\r\n"
            self.sent += 1
        self._send(lines + notifier.endpoint.agent_line, document or b"", now)

    def _send(self, lines: str, body: bytes, now: float) -> None:
        endpoint, dialog = self._notifier.endpoint, self.dialog
        flow = dialog.flow
        if flow is not None and not flow.connected:
            self.fire("lost", now)  # the phone is behind its connection, and its Contact leads nowhere
            return
        try:
            uri, routes, _ = dialog.route()
            head = request_head(dialog, "NOTIFY", dialog.next_cseq(), routes)
            request = OutgoingRequest(
                endpoint,
                self,
                method="NOTIFY",
                uri=uri,
                head=head,
                tail=lines,
                body=body,
                contact=True,
                contact_host=dialog.contact_host,
                sips=dialog.secure,
            )
            self._request = request
            find_flows(endpoint, dialog, partial(self._found, request))
        except ParseError:
            self.fire("lost", now)

    def _found(self, request: OutgoingRequest, flows: list[Flow], cause: str) -> None:
        if self._request is not request:
            return  # the subscription is over, and the name was looked up too late
        endpoint = self._notifier.endpoint
        if cause == MISLEADING:
            endpoint.on_misled(self.dialog.peer, "SUBSCRIBE")
            self.fire("lost", endpoint.clock())
        else:
            request.located(flows, cause)

    def on_response(self, request: OutgoingRequest, response: Response, now: float) -> None:
        """The response to a NOTIFY."""
        if response.status < 200:
            return
        self._request = None
        if response.status < 300:
            self._pauses = 0
            self.fire("taken", now)
        elif self._may_repeat(response):
            self._pauses += 1
            self._again_at = now + min(response.retry_after or PAUSE, LONGEST_PAUSE)
            self._watch()
            self.fire("put off", now)
        else:
            self.fire("refused", now)

    def on_failure(self, request: OutgoingRequest, cause: str, now: float) -> None:
        """Nobody has answered a NOTIFY: the subscription is over (RFC 6665 §4.2.2)."""
        self._request = None
        self.fire("refused", now)

    def _may_repeat(self, response: Response) -> bool:
        """Whether only this NOTIFY has failed (RFC 6665 §4.2.2: where the response says when to try again; RFC 5057
        §5.1: which responses end no usage)."""
        return self._pauses < MOST_PAUSES and (response.retry_after > 0 or response.status in (500, 503))

    def forget(self, now: float) -> None:
        """Nothing of it stays."""
        request, self._request = self._request, None
        if request is not None:
            request.abandon(now)
        self._notifier.forget(self)

    def aim(self) -> None:
        """Set where NOTIFY requests go: to where the SUBSCRIBE came from, where nobody stands in between, or who stands
        there is no machine of the operator's: one SUBSCRIBE sets off many NOTIFYs."""
        dialog, peers = self.dialog, self._notifier.endpoint.peers
        straight = (dialog.one_via and not dialog.route_set) or not peers.declared(dialog.peer)
        straight = straight and peers.nat(dialog.peer) != "never"
        dialog.flow = dialog.source if straight else way_back(dialog, peers)


def _notify(subscription: Subscription, now: float) -> None:
    subscription.notify(now)


def _notify_last(subscription: Subscription, now: float) -> None:
    subscription.notify(now, last=True)


def _forget(subscription: Subscription, now: float) -> None:
    subscription.forget(now)


SUBSCRIPTION: Final[
    dict[tuple[SubscriptionState, SubscriptionEvent], tuple[SubscriptionState, tuple[SubscriptionAction, ...]]]
] = {
    ("told", "subscribed"): ("telling", (_notify,)),
    ("told", "changed"): ("telling", (_notify,)),
    ("told", "ends"): ("leaving", (_notify_last,)),
    ("telling", "subscribed"): ("behind", ()),
    ("telling", "changed"): ("behind", ()),
    ("telling", "vanished"): ("leaving", (_notify_last,)),
    ("telling", "ends"): ("closing", ()),
    ("telling", "taken"): ("told", ()),
    ("telling", "put off"): ("waiting", ()),
    ("telling", "refused"): ("over", (_forget,)),
    ("telling", "lost"): ("over", (_forget,)),
    ("behind", "subscribed"): ("behind", ()),
    ("behind", "changed"): ("behind", ()),
    ("behind", "ends"): ("closing", ()),
    ("behind", "taken"): ("telling", (_notify,)),
    ("behind", "put off"): ("waiting", ()),
    ("behind", "refused"): ("over", (_forget,)),
    ("behind", "lost"): ("over", (_forget,)),
    # It asks: it can take an answer.
    ("waiting", "subscribed"): ("telling", (_notify,)),
    ("waiting", "changed"): ("waiting", ()),
    ("waiting", "ends"): ("leaving", (_notify_last,)),
    ("waiting", "due"): ("telling", (_notify,)),
    ("closing", "changed"): ("closing", ()),
    ("closing", "ends"): ("closing", ()),
    ("closing", "taken"): ("leaving", (_notify_last,)),
    ("closing", "put off"): ("over", (_forget,)),
    ("closing", "refused"): ("over", (_forget,)),
    ("closing", "lost"): ("over", (_forget,)),
    ("leaving", "changed"): ("leaving", ()),
    ("leaving", "ends"): ("leaving", ()),
    ("leaving", "taken"): ("over", (_forget,)),
    ("leaving", "put off"): ("over", (_forget,)),
    ("leaving", "refused"): ("over", (_forget,)),
    ("leaving", "lost"): ("over", (_forget,)),
}
"""(state, event) -> (state, actions). Nothing happens to one that is over: it has left every table."""


class Notifier:
    """All subscriptions of an endpoint.

    Attributes:
        packages: What can be subscribed to, by its name.
    """

    def __init__(
        self,
        endpoint: Core,
        packages: Mapping[str, EventPackage],
        policy: EventPolicy,
        limits: NotifierLimits | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.packages = packages
        self._policy = policy
        self._limits = limits or NotifierLimits()
        self._watched: dict[tuple[str, Hashable], dict[Subscription, None]] = {}
        self._of_each: dict[str, dict[Subscription, None]] = {}
        self._all = 0

    def __len__(self) -> int:
        """How many subscriptions there are."""
        return self._all

    def counts(self) -> dict[str, int]:
        """How many there are of each package."""
        found = dict.fromkeys(self.packages, 0)
        for (package, _), subscriptions in self._watched.items():
            found[package] += len(subscriptions)
        return found

    def watched(self, package: str, key: Hashable) -> bool:
        """Whether anybody is to be told of changes of this resource."""
        return (package, key) in self._watched

    def changed(self, package: str, key: Hashable) -> None:
        """The state of a resource has changed: tell everybody who has subscribed to it."""
        subscriptions = self._watched.get((package, key))
        if subscriptions:
            now = self.endpoint.clock()
            for subscription in tuple(subscriptions):
                if subscription.state != "over":
                    subscription.fire("changed", now)

    def review(self, watcher: str = "", key: Hashable = None) -> None:
        """Somebody may or is something else now: end those subscriptions of this subscriber, and to this resource, that
        would not be accepted any more; without both, of all."""
        found: Iterable[Subscription] = tuple(self)
        if watcher or key is not None:
            of_it = [self._watched.get((package, key), {}) for package in self.packages]
            found = {
                **self._of_each.get(watcher, {}),
                **{one: None for subscriptions in of_it for one in subscriptions},
            }
        now = self.endpoint.clock()
        for subscription in found:
            resource = subscription.resource
            uri = SipUri.parse(resource.uri)
            named = self._policy.resource(subscription.watcher, subscription.package, uri)
            if named is None or named.key != resource.key:
                subscription.end("noresource" if named is None else "deactivated", now)

    def end_all(self, reason: EndReason = "probation") -> None:
        """End every subscription: the node stops."""
        now = self.endpoint.clock()
        for subscription in tuple(self):
            subscription.end(reason, now)

    def __iter__(self) -> Iterator[Subscription]:
        return (subscription for subscriptions in self._watched.values() for subscription in subscriptions)

    # ---- SUBSCRIBE

    def subscribe(self, transaction: ServerTransaction, request: Request, source: Flow, now: float) -> None:
        """A SUBSCRIBE outside of any dialog (see `Endpoint.handle`)."""
        found = self._fault(request) or self._new(transaction, request, source)
        if isinstance(found, Refusal):
            self._refuse(transaction, found, now)
            return
        self._add(found)
        self._accept(found, transaction, request, now)

    def refresh(self, subscription: Subscription, transaction: ServerTransaction, request: Request, now: float) -> bool:
        """A SUBSCRIBE within a dialog. False where it is refused, and changes nothing."""
        refusal = self._fault(request) or self._foreign(subscription, request)
        if refusal is not None:
            self._refuse(transaction, refusal, now)
            return False
        source = request.source
        assert source is not None
        dialog = subscription.dialog
        dialog.refresh(request, source)
        dialog.peer = source.party
        dialog.party = source_of(request, source.party, self.endpoint.peers)
        subscription.aim()
        self._accept(subscription, transaction, request, now)
        return True

    def _refuse(self, transaction: ServerTransaction, refusal: Refusal, now: float) -> None:
        headers = refusal.headers + self.endpoint.server_line
        transaction.respond(refusal.status, now, refusal.reason, headers)

    def _fault(self, request: Request) -> Refusal | None:
        """Why a SUBSCRIBE cannot be served, whoever sends it (RFC 6665 §4.2.1.1)."""
        name = _event(request)[0]
        if name not in self.packages:
            return Refusal(status=489, headers=f"Allow-Events: {', '.join(self.packages)}\r\n")
        if not _accepts(request, self.packages[name].content_type):
            return Refusal(status=406, headers=f"Accept: {self.packages[name].content_type}\r\n")
        if 0 < _expires(request) < SHORTEST:
            return Refusal(status=423, headers=f"Min-Expires: {SHORTEST}\r\n")
        if "Contact" not in request.first:
            return Refusal(status=400, headers='Warning: 399 trunkline "a SUBSCRIBE needs a Contact"\r\n')
        return None

    def _new(self, transaction: ServerTransaction, request: Request, source: Flow) -> Subscription | Refusal:
        watcher = self._policy.watcher(request, source)
        if isinstance(watcher, Refusal):
            return watcher
        name, event = _event(request)
        uri = request.uri
        resource = self._policy.resource(watcher, name, uri) if isinstance(uri, SipUri) else None
        if resource is None:
            return Refusal(status=404)
        if self._all >= self._limits.all or len(self._of_each.get(watcher, ())) >= self._limits.each:
            return Refusal(status=503, headers=f"Retry-After: {SHORTEST}\r\n")
        try:
            dialog = Dialog.as_callee(request, transaction.tag, source)
        except ParseError as error:
            return Refusal(status=error.status)
        if dialog.key in self.endpoint.dialogs:
            return Refusal(status=482)
        dialog.state = CONFIRMED
        dialog.party = source_of(request, source.party, self.endpoint.peers)
        dialog.contact_host = self.endpoint.peers.contact_host(dialog.party)
        subscription = Subscription(self, dialog, name, event, resource, watcher)
        subscription.aim()
        return subscription

    def _foreign(self, subscription: Subscription, request: Request) -> Refusal | None:
        """Why a SUBSCRIBE does not refresh this subscription. Call-ID and tags are known to every hop, and prove
        nothing (RFC 3261 §26.1): who it is it shows again."""
        if subscription.ends:
            return Refusal(status=481)
        if _event(request)[1] != subscription._event:
            return Refusal(status=403, headers='Warning: 399 trunkline "one subscription a dialog"\r\n')
        source = request.source
        assert source is not None
        watcher = self._policy.watcher(request, source)
        if isinstance(watcher, Refusal):
            return watcher
        return None if watcher == subscription.watcher else Refusal(status=403)

    def _accept(self, subscription: Subscription, transaction: ServerTransaction, request: Request, now: float) -> None:
        """200, and then the NOTIFY."""
        seconds = min(_expires(request), LONGEST)
        endpoint = self.endpoint
        routes = "".join(f"Record-Route: {value}\r\n" for value in request.lines("Record-Route"))
        dialog = subscription.dialog
        contact = transaction.flow.contact(dialog.contact_host, sips=dialog.secure)
        transaction.respond(200, now, headers=f"{routes}Expires: {seconds}\r\n{contact}{endpoint.server_line}")
        subscription.subscribed(seconds, now)

    # ---- the tables

    def _add(self, subscription: Subscription) -> None:
        self.endpoint.dialogs[subscription.dialog.key] = subscription
        self._watched.setdefault((subscription.package, subscription.resource.key), {})[subscription] = None
        self._of_each.setdefault(subscription.watcher, {})[subscription] = None
        self._all += 1

    def forget(self, subscription: Subscription) -> None:
        """A subscription is over."""
        endpoint, dialog = self.endpoint, subscription.dialog
        if dialog.state == TERMINATED:
            return
        dialog.state = TERMINATED
        endpoint.dialogs.pop(dialog.key, None)
        endpoint.deadlines.clear(subscription)
        key = subscription.package, subscription.resource.key
        watched = self._watched[key]
        del watched[subscription]
        if not watched:
            del self._watched[key]
        mine = self._of_each[subscription.watcher]
        del mine[subscription]
        if not mine:
            del self._of_each[subscription.watcher]
        self._all -= 1


def _event(request: Request) -> tuple[str, str]:
    """The package that a SUBSCRIBE names, and Event as its NOTIFY requests have it (RFC 6665 §8.2.1): without
    parameters but `id`."""
    name, semicolon, rest = request.get("Event").partition(";")
    name = name.strip().lower()
    try:
        identifier = parse_params(semicolon + rest).get("id") or ""
    except ParseError:
        identifier = ""
    return name, f"{name};id={identifier[:_LONGEST_ID]}" if identifier else name


def _expires(request: Request) -> int:
    """Seconds that are asked for: digits, as parsing has seen to."""
    return int(request.get("Expires", str(LONGEST)))


def _accepts(request: Request, content_type: str) -> bool:
    """Whether a subscriber reads documents of this type (RFC 6665 §3.1.3); without Accept it is the package's own."""
    if "Accept" not in request.first:
        return True
    kinds = {value.split(";", 1)[0].strip() for value in request.tokens("Accept")}
    return not kinds or bool(kinds & {content_type, content_type.split("/")[0] + "/*", "*/*"})
