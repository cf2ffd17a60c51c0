"""The change feed: every committed change of the store, by whichever process, in the order of the commits.

`changes` has a row for each change, and its ids become visible in their order, so that a reader who remembers the last
one it has seen misses nothing. Commits of this process, notifications from others (`store.cluster.notifications`)
and a clock wake the one task that reads on; what it finds it hands to the `Applier`, who reads the resources again, and
then to subscribers.

Old rows are deleted. A reader whose last row is no longer there has missed something and starts over: the applier
builds everything anew beside the old, which goes on being served and kept up meanwhile.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final, Protocol

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from engine.log import Log
from engine.worker import Worker
from routing.identifiers import NIL
from store.database.engines import reason
from store.database.errors import StoreError
from store.database.tables import changes as table
from store.store import Change, Store

POLL: Final = 1.0
"""Seconds after which the feed looks by itself: a notice may have been lost."""
STALE: Final = 5.0
"""Seconds without a look at the store after which the feed is not healthy."""
RETRY: Final = 0.5
"""Seconds between attempts while the store cannot be reached."""
FAULT_RETRY: Final = 0.5
"""Seconds before the next attempt after a fault of ours."""
PATIENCE: Final = 4.0
"""Seconds that one portion may take; a connection that is dead without knowing takes for ever."""
SETTLED_WITHIN: Final = 2.0
BATCH: Final = 1_000
KEPT_FOR: Final = timedelta(days=1)
KEPT: Final = 100_000
"""Rows that are kept at most."""
PRUNE_EVERY: Final = 600.0

EVERYTHING: Final = Change("all", NIL)
"""What a writer reports in place of thousands of changes: all is to be read again."""

StoreFailure: Final = (StoreError, SQLAlchemyError, OSError, TimeoutError)

Subscriber = Callable[[Change | None], None]
"""Told of each change of its kind, in order, after the directory has it; None: any of them may have changed. Must be
quick; what it raises is logged."""


class Applier(Protocol):
    """Keeps what this process has in memory like the store."""

    async def load(self) -> None:
        """Build everything anew from the store, aside."""

    async def put_in_place(self, since: Sequence[Change]) -> None:
        """Bring what was built up to date with `since` and let it replace the old."""

    async def apply(self, changes: Sequence[Change]) -> None:
        """Read these resources again and put them in place, or take them out when they are gone."""


class ChangeFeed:
    """Follows a store's changes until `close`.

    Attributes:
        resynchronisations: How often everything was read again, the start not counted; for metrics.
        applied: Changes taken over, for metrics.
    """

    def __init__(self, store: Store, applier: Applier, log: Log, *, poll: float = POLL) -> None:
        self._store = store
        self._applier = applier
        self._log = log
        self._poll = poll
        self._clock = asyncio.get_running_loop().time
        self._subscribers: dict[str, list[Subscriber]] = {}
        self._worker = Worker("change feed", self._follow, every=poll, failed=self._retry)
        self._position = 0
        self._looked = self._clock()
        self._pruned = self._clock()
        self._failing = False
        # Everything being built anew, and what has changed since that began.
        self._loading: asyncio.Task[None] | None = None
        self._since: dict[Change, None] = {}
        self._start_over = False
        # Whether what is served lacks something that only reading everything brings.
        self._incomplete = False
        # Own commits: how many there were, and up to which the directory is known to be.
        self._committed = 0
        self._settled = 0
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self.resynchronisations = 0
        self.applied = 0

    # ---- for others

    @property
    def healthy(self) -> bool:
        """Whether what is served is that of the store, as of the last few seconds."""
        return self.lag < STALE

    @property
    def lag(self) -> float:
        """Seconds since all changes were known to be taken over: what is served can be so old at most."""
        return self._clock() - self._looked

    @property
    def position(self) -> int:
        """The id of the last change that was taken over."""
        return self._position

    def subscribe(self, kind: str, told: Subscriber) -> None:
        """Have `told` called for changes of this kind (`Change.kind`)."""
        self._subscribers.setdefault(kind, []).append(told)

    def look(self) -> None:
        """There may be changes: look for them now."""
        self._worker.wake()

    def start_over(self) -> None:
        """Read everything again, beside what is served."""
        self._start_over = True
        self._worker.wake()

    async def settled(self, within: float = SETTLED_WITHIN) -> None:
        """Wait until every change that this process has committed so far is in the directory; not longer than `within`
        seconds, as the store may go away between a commit and the look at it."""
        if not self._worker.running or self._settled >= self._committed:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append((self._committed, waiter))
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await waiter

    async def start(self) -> None:
        """Fill the directory from the store, and begin to follow. Raises StoreError when the store fails."""
        try:
            self._position = await self._newest()
            await self._applier.load()
            await self._applier.put_in_place(())
        except SQLAlchemyError as error:
            raise StoreError(f"{self._store.url} cannot be read: {reason(error)}") from error
        self._looked = self._clock()
        self._store.hooks.changes.append(self._committed_here)
        self._worker.start()

    async def close(self) -> None:
        """End. Who waits for changes to be taken over is let go."""
        if self._committed_here in self._store.hooks.changes:
            self._store.hooks.changes.remove(self._committed_here)
        await self._worker.close()
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.wait((self._loading,))
            self._loading = None
        self._let_go(self._committed)

    # ---- the task

    def _committed_here(self, _changes: Sequence[Change]) -> None:
        self._committed += 1
        self._worker.wake()

    async def _follow(self) -> None:
        committed = self._committed
        await self._catch_up()
        await self._finish_loading()
        await self._prune_now_and_then()
        if self._failing:
            self._failing = False
            self._log.info("the store can be reached again", store=self._store.url)
        if not self._incomplete:
            self._looked = self._clock()
            self._let_go(committed)

    def _retry(self, error: Exception) -> float:
        if not isinstance(error, StoreFailure):  # a fault of ours must not end the feed
            self._fault(error)
            return max(self._poll, FAULT_RETRY)
        if not self._failing:
            self._failing = True
            self._log.warning("the store cannot be reached: what is in memory is served", error=reason(error))
        return min(RETRY, self._poll)

    def _fault(self, error: Exception) -> None:
        self._log.error("change feed", fault=f"{type(error).__name__}: {error}", exc_info=True)

    def _let_go(self, committed: int) -> None:
        self._settled = max(self._settled, committed)
        waiting, self._waiting = self._waiting, []
        for wanted, waiter in waiting:
            if wanted > self._settled:
                self._waiting.append((wanted, waiter))
            elif not waiter.done():
                waiter.set_result(None)

    # ---- reading on

    async def _newest(self) -> int:
        async with self._store.read() as connection:
            newest = (await connection.execute(sa.select(sa.func.max(table.c.id)))).scalar_one()
        return newest or 0

    async def _catch_up(self) -> None:
        """Take over what has come since the last look."""
        while True:
            if self._start_over and self._loading is None:
                self._begin_loading()
            async with self._patience():
                rows = await self._read_on()
                if self._position and (not rows or rows[0].id != self._position):
                    self._log.warning("changes have been missed: everything is read again")
                    self._start_over = self._incomplete = True
                    self._position = await self._newest()
                    continue
                news = rows[1:] if self._position else rows
                if news:
                    await self._take_over(news)
            if len(rows) <= BATCH and not (self._start_over and self._loading is None):
                return

    def _patience(self) -> asyncio.Timeout:
        # A database in memory has one connection: who writes much has it for long, and nobody is away.
        return asyncio.timeout(PATIENCE if self._store.shared else None)

    async def _read_on(self) -> Sequence[Any]:
        """The row of the last look, as long as it is there, and those after it."""
        columns = (table.c.id, table.c.kind, table.c.resource_id, table.c.key)
        query = sa.select(*columns).where(table.c.id >= self._position).order_by(table.c.id).limit(BATCH + 1)
        async with self._store.read() as connection:
            return (await connection.execute(query)).all()

    async def _take_over(self, rows: Sequence[Any]) -> None:
        # Two changes of one resource are one: it is read again as it is now.
        news = list(dict.fromkeys(Change(row.kind, row.resource_id, row.key) for row in rows))
        if EVERYTHING in news:
            self._start_over = self._incomplete = True
            news.remove(EVERYTHING)
        try:
            await self._applier.apply(news)
        except StoreFailure:
            raise
        except Exception as error:  # a fault of ours: what it was about comes with everything else
            self._fault(error)
            self._start_over = self._incomplete = True
        else:
            if self._loading is not None:
                self._since.update(dict.fromkeys(news))
        self._position = rows[-1].id
        self.applied += len(news)
        for change in news:
            self._tell(change.kind, change)

    def _tell(self, kind: str, change: Change | None) -> None:
        for told in self._subscribers.get(kind, ()):
            try:
                told(change)
            except Exception as error:  # one subscriber's fault is not the others'
                self._fault(error)

    # ---- starting over

    def _begin_loading(self) -> None:
        self._start_over = False
        self._since = {}
        self._loading = asyncio.get_running_loop().create_task(self._applier.load(), name="resynchronisation")
        self._loading.add_done_callback(lambda _: self._worker.wake())

    async def _finish_loading(self) -> None:
        loading = self._loading
        if loading is None or not loading.done():
            return
        self._loading = None
        try:
            loading.result()
            await self._applier.put_in_place(list(self._since))
        except BaseException:
            self._start_over = True
            raise
        self._incomplete = self._start_over
        self.resynchronisations += 1
        self._log.info("everything was read again from the store", store=self._store.url)
        for kind in self._subscribers:
            self._tell(kind, None)
        self._worker.wake()

    async def _prune_now_and_then(self) -> None:
        if self._clock() - self._pruned >= PRUNE_EVERY:
            self._pruned = self._clock()
            await prune(self._store)


async def prune(store: Store, *, kept_for: timedelta = KEPT_FOR, kept: int = KEPT) -> int:
    """Delete changes that nobody waits for any more, but never the newest: it marks where readers are. Returns how many
    there were."""
    newest = sa.select(sa.func.max(table.c.id)).scalar_subquery()
    async with store.write() as transaction:
        old = sa.or_(table.c.tm_create < transaction.now - kept_for, table.c.id <= newest - kept)
        result = await transaction.execute(sa.delete(table).where(table.c.id < newest, old))
    return result.rowcount
