"""Publications of event state: the event state compositor's side of PUBLISH (RFC 3903 §6)."""

from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

from engine.sip.core import Core
from engine.sip.flow import Flow
from engine.sip.message.grammar import ParseError
from engine.sip.message.message import Request
from engine.sip.message.uri import SipUri
from engine.sip.stateless import Refusal
from engine.sip.transaction.server import ServerTransaction
from engine.sip.transaction.timers import NEVER

SHORTEST: Final = 60
LONGEST: Final = 3600
"""Seconds that a publication lasts at least and at most, unless it is refreshed."""
MAX_BODY: Final = 16 * 1024
"""Octets of the longest document."""
MOST_OF_ONE: Final = 8
"""Publications of one publisher at once: one for each of its devices."""
MOST: Final = 50_000

T = TypeVar("T")


class PublicationPolicy(Protocol):
    """Who may publish, and what about."""

    def watcher(self, request: Request, source: Flow) -> str | Refusal:
        """Who sends a request, as it has shown; or the challenge or refusal that it gets."""

    def publishes(self, publisher: str, uri: SipUri) -> bool:
        """Whether this is what the publisher may tell the state of."""


class Publication(Generic[T]):
    """One publication: what one device has said of itself.

    Attributes:
        etag: Names it, and its version (SIP-ETag).
        publisher: Whose it is.
        state: What was read from its document.
    """

    __slots__ = ("_publications", "deadline", "etag", "publisher", "queued", "state")

    def __init__(self, publications: "Publications[T]", publisher: str, state: T) -> None:
        self._publications = publications
        self.publisher = publisher
        self.state = state
        self.etag = ""
        self.deadline = self.queued = NEVER

    def on_deadline(self, now: float) -> None:
        """It was not refreshed in time."""
        self._publications.remove(self)


class Publications(Generic[T]):
    """The publications of one event package, by their publisher."""

    def __init__(
        self,
        endpoint: Core,
        policy: PublicationPolicy,
        *,
        event: str,
        content_type: str,
        read: Callable[[bytes], T],
        changed: Callable[[str], None],
    ) -> None:
        """`read` gives the state in a document, and raises ParseError where it is none; `changed` is told whose state
        has changed."""
        self._endpoint = endpoint
        self._policy = policy
        self._event = event
        self._content_type = content_type
        self._read = read
        self._changed = changed
        self._by_etag: dict[str, Publication[T]] = {}
        self._of_one: dict[str, list[Publication[T]]] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._by_etag)

    def states(self, publisher: str) -> list[T]:
        """What the devices of a publisher say, the one that spoke last at the end."""
        return [publication.state for publication in self._of_one.get(publisher, ())]

    def publish(self, transaction: ServerTransaction, request: Request, source: Flow, now: float) -> None:
        """A PUBLISH outside of any dialog (see `Endpoint.handle`)."""
        refusal = self._fault(request)
        if refusal is None:
            found = self._publisher(request, source)
            refusal = found if isinstance(found, Refusal) else self._take(transaction, request, found, now)
        if refusal is not None:
            transaction.respond(refusal.status, now, refusal.reason, refusal.headers + self._endpoint.server_line)

    def _fault(self, request: Request) -> Refusal | None:
        """Why a PUBLISH cannot be served, whoever sends it (RFC 3903 §6 steps 2 to 5)."""
        if request.get("Event").split(";", 1)[0].strip().lower() != self._event:
            return Refusal(status=489, headers=f"Allow-Events: {self._event}\r\n")
        if 0 < _expires(request) < SHORTEST:
            return Refusal(status=423, headers=f"Min-Expires: {SHORTEST}\r\n")
        if len(request.body) > MAX_BODY:
            return Refusal(status=413)
        if request.body and request.get("Content-Type").split(";", 1)[0].strip().lower() != self._content_type:
            return Refusal(status=415, headers=f"Accept: {self._content_type}\r\n")
        return None

    def _publisher(self, request: Request, source: Flow) -> str | Refusal:
        publisher = self._policy.watcher(request, source)
        if isinstance(publisher, Refusal):
            return publisher
        uri = request.uri
        if not isinstance(uri, SipUri) or not self._policy.publishes(publisher, uri):
            return Refusal(status=403)  # nobody speaks for others
        return publisher

    def _take(self, transaction: ServerTransaction, request: Request, publisher: str, now: float) -> Refusal | None:
        """Initial, refreshed, modified or removed (RFC 3903 §4.1, table 1)."""
        publication, body = None, request.body
        if "SIP-If-Match" in request.first:
            publication = self._by_etag.get(request.get("SIP-If-Match").strip())
            if publication is None or publication.publisher != publisher:
                return Refusal(status=412)
        seconds = min(_expires(request), LONGEST)
        try:
            state = self._read(body) if body else None
        except ParseError as error:
            return Refusal(status=error.status, headers='Warning: 399 trunkline "the document cannot be read"\r\n')
        if publication is None and seconds:
            if state is None:
                return Refusal(status=400, headers='Warning: 399 trunkline "there is no document"\r\n')
            refusal = self._add(publication := Publication(self, publisher, state))
            if refusal is not None:
                return refusal
        etag = self._endpoint.token()
        transaction.respond(200, now, headers=f"SIP-ETag: {etag}\r\nExpires: {seconds}\r\n{self._endpoint.server_line}")
        if publication is not None and not seconds:
            self.remove(publication)
        elif publication is not None:
            self._by_etag.pop(publication.etag, None)
            publication.etag = etag
            self._by_etag[etag] = publication
            self._endpoint.deadlines.set(publication, now + seconds)
            if state is not None:
                publication.state = state
                self._newest(publication)
                self._changed(publisher)
        return None

    def _add(self, publication: Publication[T]) -> Refusal | None:
        if len(self._by_etag) >= MOST:
            return Refusal(status=503, headers=f"Retry-After: {SHORTEST}\r\n")
        mine = self._of_one.setdefault(publication.publisher, [])
        if len(mine) >= MOST_OF_ONE:
            self._drop(mine[0])  # of a device that has lost its tag, and published anew
        self._of_one.setdefault(publication.publisher, []).append(publication)
        return None

    def _newest(self, publication: Publication[T]) -> None:
        mine = self._of_one[publication.publisher]
        mine.remove(publication)
        mine.append(publication)

    def remove(self, publication: Publication[T]) -> None:
        """It has expired, or was taken back."""
        self._drop(publication)
        self._changed(publication.publisher)

    def _drop(self, publication: Publication[T]) -> None:
        self._by_etag.pop(publication.etag, None)
        self._endpoint.deadlines.clear(publication)
        mine = self._of_one.get(publication.publisher, [])
        if publication in mine:
            mine.remove(publication)
            if not mine:
                del self._of_one[publication.publisher]


def _expires(request: Request) -> int:
    """Seconds that are asked for: digits, as parsing has seen to."""
    return int(request.get("Expires", str(LONGEST)))
