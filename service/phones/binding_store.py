"""Bindings in the store: read at the start, and written behind the REGISTERs, with the events of them.

A REGISTER is judged from memory, and its 200 waits until what came of it is written: nothing that was acknowledged is
lost. What changes is gathered, and written a few times a second for all: what a phone has done several times meanwhile,
once.
"""

import asyncio
import gc
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from sqlalchemy.exc import SQLAlchemyError

from engine.log import Log
from engine.sip.binding import Binding, uri_apart
from engine.sip.flow import Flow, Transport
from engine.worker import Worker
from routing.access.peers import KnownPeers
from routing.directory.directory import Directory
from routing.location import Location, LocationChange
from service.phones.returning import AFTER_A_START, ReturningPhones
from store.database.engines import reason
from store.database.errors import StoreError
from store.event_types import EventType
from store.resources import bindings as stored
from store.resources.bindings import BindingNews, Row
from store.store import Store

WRITE_EVERY: Final = 0.5  # s
ANSWERED_AFTER: Final = 0.2
"""Seconds after the first REGISTER that waits for it until what has changed is written: less than T1, so that none is
sent again (RFC 3261 §17.1.2.2)."""
PATIENCE: Final = 2.0
"""Seconds after which a REGISTER is answered whatever the store does."""
MOST_WAITING: Final = 20_000
"""REGISTERs that wait; more are answered at once."""
LAST_TURN_WITHIN: Final = 5.0  # s
RETRY_AFTER: Final = 2.0  # s after a write that failed
MOST_NEWS: Final = 10_000
"""Events that wait while the store cannot be written to; older ones are lost."""
MOST_GONE: Final = 100_000
"""Rows that wait to be deleted; with more, all are written anew."""
_EVENTS: Final[dict[str, EventType]] = {
    "registered": "extension_registered",
    "unregistered": "extension_unregistered",
    "expired": "extension_expired",
}


class BindingStore:
    """Keeps a location in the store.

    Attributes:
        lost_news: Events that were given up.
    """

    def __init__(
        self,
        store: Store,
        node: str,
        location: Location,
        directory: Directory,
        peers: KnownPeers,
        log: Log,
        clock: Callable[[], float],
        returning: ReturningPhones | None = None,
    ) -> None:
        """`node`: this node's name, the same at every start; `clock`: that of the bindings, monotonic seconds;
        `returning`: told whose phones were there, so that calls to them wait until they have come back."""
        self._returning = returning
        self.lost_news = 0
        self._store = store
        self._node = node
        self._location = location
        self._directory = directory
        self._peers = peers
        self._log = log
        self._clock = clock
        self._changed: dict[str, tuple[str, Binding]] = {}
        self._gone: dict[str, None] = {}
        self._anew = False
        self._news: deque[BindingNews] = deque()
        self._failing = False
        self._loaded: list[tuple[str, str, int, Binding]] = []  # the listener of each, the phone's host and port
        self._texts: dict[str, str] = {}
        self._waiting: list[Callable[[float], None]] = []  # answers to what has not been written yet
        self._timers: set[asyncio.TimerHandle] = set()
        self._worker = Worker("bindings", self.write, first=WRITE_EVERY, every=WRITE_EVERY, failed=self._failed)
        location.observers.append(self._observe)

    # ---- the start

    async def load(self) -> None:
        """Read what was there at the last stop. Before the listeners are open; `restore` comes after. Raises
        StoreError."""
        with _uncollected():
            try:
                await stored.load(self._store, self._node, self._take)
            except SQLAlchemyError as error:
                raise StoreError(f"{self._store.url} cannot be read: {reason(error)}") from error

    def restore(self, listeners: Iterable[Transport]) -> int:
        """Take over what was read, on the flows of these listeners; how many there are.

        The connections of a former process are gone, and what was reached by them with them; but the addresses where
        phones were are known from the start, or they would be strangers when all of them come back at once.
        """
        with _uncollected():
            return self._restore(listeners)

    def _restore(self, listeners: Iterable[Transport]) -> int:
        loaded, self._loaded, self._texts = self._loaded, [], {}
        places = {_listener(listener): listener for listener in listeners}
        back = _Contacts(self._location)
        away: dict[str, float] = {}  # extensions whose phones are not reached now, and until when they were registered
        for listener, host, port, binding in loaded:
            transport = places.get(listener)
            lost = transport is None or (transport.reliable and not binding.path)
            if transport is None or lost or back.has(binding.extension, binding):
                self._gone[binding.id] = None
                away[binding.extension] = max(binding.expires_at, away.get(binding.extension, 0.0))
                continue
            binding.flow = Flow(transport, host, port)
            self._location.restore(binding.extension, binding)
        now = self._clock()
        for name, ends in away.items():
            if self._returning is not None and ends > now and not self._location.bindings(name):
                self._returning.expect(name, min(ends - now, AFTER_A_START))
        return len(self._location)

    def _take(self, rows: Sequence[Any]) -> None:
        now, wall = self._clock(), time.time()
        shared = self._texts
        share = shared.setdefault
        for row in rows:
            id_, name, contact, place, uri, q, instance, reg_id, call_id, cseq, path = row[:11]
            listener, host, port, source, user_agent, natted, made, ends, outlived = row[11:]
            left = ends.timestamp() - wall
            source = share(source, source)
            self._peers.phone_at(source, left)
            extension = self._directory.extension(name)
            if extension is None or not extension.active or outlived:
                self._gone[id_] = None
                continue
            host = share(host, host)
            binding = Binding(
                id=id_,
                contact=contact,
                uri_apart=uri_apart(contact, uri),
                expires_place=place,
                q=1.0 if q == 1.0 else q,
                instance=instance,
                reg_id=reg_id,
                call_id=call_id,
                cseq=cseq,
                expires_at=now + left,
                path=tuple(path.split()) if path else (),
                source=source,
                user_agent=share(user_agent, user_agent),
                registered_at=now - (wall - made.timestamp()),
                natted=natted,
                extension=extension.name,
            )
            self._loaded.append((share(listener, listener), host, port, binding))

    def start(self) -> None:
        """Write from now on."""
        self._worker.start()

    async def close(self) -> None:
        """Write what is left."""
        self._waiting = []
        for timer in self._timers:
            timer.cancel()
        await self._worker.close(LAST_TURN_WITHIN)
        try:
            await self.write()
        except (StoreError, SQLAlchemyError, OSError) as error:
            self._log.error("registrations not stored", error=reason(error))

    # ---- what changes

    def _observe(self, change: LocationChange) -> None:
        binding = change.binding
        if change.event in ("registered", "refreshed"):
            self._changed[binding.id] = (change.name, binding)
            if change.replaced is not None:
                self._forget(change.replaced)
        else:
            self._forget(binding)
        kind = _EVENTS.get(change.event)
        if kind is not None:
            self._tell(kind, change)

    def _forget(self, binding: Binding) -> None:
        self._changed.pop(binding.id, None)
        self._gone[binding.id] = None
        if len(self._gone) > MOST_GONE:
            self._gone.clear()
            self._anew = True

    def _tell(self, kind: EventType, change: LocationChange) -> None:
        extension = self._directory.extension(change.name)
        if extension is None:
            return
        if len(self._news) >= MOST_NEWS:
            self._news.popleft()
            self.lost_news += 1
        binding, now = change.binding, self._store.clock()
        ends = datetime.fromtimestamp(now.timestamp() + binding.expires_at - self._clock(), UTC)
        contact = {
            "id": binding.id,
            "contact": binding.contact,
            "source": binding.source,
            "transport": binding.transport,
            "user_agent": binding.user_agent,
            "expires_at": ends.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "node": self._node,
        }
        data = {"id": str(extension.id), "name": extension.name, "contact": contact, "cause": change.cause}
        self._news.append(BindingNews(kind, extension.customer_id, data, now))

    # ---- answers

    def after(self, say: Callable[[float], None]) -> None:
        """Call this, with the time, once all is written that has changed until now; or after a while, for phones go on
        where the store cannot be written to."""
        if self._failing or not self._worker.running or len(self._waiting) >= MOST_WAITING:
            say(self._clock())
            return
        self._waiting.append(say)
        if len(self._waiting) == 1:
            self._later(ANSWERED_AFTER, self._worker.wake)
            self._later(PATIENCE, partial(self._say, self._waiting))

    def _say(self, waiting: list[Callable[[float], None]]) -> None:
        said = waiting[:]
        waiting.clear()
        for say in said:
            say(self._clock())

    def _later(self, seconds: float, work: Callable[[], object]) -> None:
        def run() -> None:
            self._timers.discard(timer)
            work()

        timer = asyncio.get_running_loop().call_later(seconds, run)
        self._timers.add(timer)

    # ---- the worker

    async def write(self) -> None:
        """Write what has changed since the last time. What cannot be written is written next time."""
        waiting, self._waiting = self._waiting, []
        try:
            await self._write()
        finally:
            self._say(waiting)

    async def _write(self) -> None:
        if not (self._changed or self._gone or self._news or self._anew):
            return
        if self._anew:
            await stored.clear(self._store, self._node)
            self._anew = False
            for name in self._location.names():
                self._changed |= {binding.id: (name, binding) for binding in self._location.bindings(name)}
        changed, gone, news = self._changed, self._gone, self._news
        self._changed, self._gone, self._news = {}, {}, deque()
        try:
            ahead = self._store.clock().timestamp() - self._clock()
            rows = [self._row(name, binding, ahead) for name, binding in changed.values()]
            await stored.write(self._store, rows, list(gone), list(news))
        except BaseException:
            # What has come since goes before it.
            self._changed = {
                known: value for known, value in changed.items() if known not in self._gone
            } | self._changed
            self._gone = gone | self._gone
            self._news = deque([*news, *self._news][-MOST_NEWS:])
            raise
        if self._failing:
            self._failing = False
            self._log.info("registrations stored again")

    def _failed(self, error: Exception) -> float:
        if not isinstance(error, StoreError | SQLAlchemyError | OSError):
            raise error
        if not self._failing:
            self._failing = True
            self._log.warning("registrations not stored", error=reason(error))
        return RETRY_AFTER

    def _row(self, name: str, binding: Binding, ahead: float) -> Row:
        flow = binding.flow
        assert flow is not None
        return {
            "id": binding.id,
            "node": self._node,
            "extension": name,
            "contact": _storable(binding.contact),
            "expires_place": binding.expires_place,
            "uri": _storable(binding.uri),
            "q": binding.q,
            "instance": _storable(binding.instance),
            "reg_id": binding.reg_id,
            "call_id": _storable(binding.call_id),
            "cseq": binding.cseq,
            "path": _storable(" ".join(binding.path)),
            "listener": _listener(flow.transport),
            "host": flow.host,
            "port": flow.port,
            "source": binding.source,
            "user_agent": _storable(binding.user_agent),
            "natted": binding.natted,
            "tm_create": datetime.fromtimestamp(binding.registered_at + ahead, UTC),
            "tm_expire": datetime.fromtimestamp(binding.expires_at + ahead, UTC),
        }


@contextmanager
def _uncollected() -> Iterator[None]:
    """No collection of garbage while so much is made that stays: each would look through more than the last, and find
    nothing; it was most of the time of a start."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class _Contacts:
    """What has been registered before a restore."""

    def __init__(self, location: Location) -> None:
        self._known = {name: list(location.bindings(name)) for name in location.names()}

    def has(self, name: str, binding: Binding) -> bool:
        """Whether this device has come back already."""
        return any(
            known.contact == binding.contact
            or (known.instance and (known.instance, known.reg_id) == (binding.instance, binding.reg_id))
            for known in self._known.get(name, ())
        )


def _listener(transport: Transport) -> str:
    host, port = transport.local
    return f"{transport.name}/{host}:{port}"


def _storable(text: str) -> str:
    """Bytes that are no UTF-8, and NULs, which PostgreSQL takes in no text, become question marks: what a Contact of
    them is worth is lost at a restart, and no more."""
    return text if text.isascii() and "\0" not in text else text.encode("utf-8", "replace").decode().replace("\0", "?")
