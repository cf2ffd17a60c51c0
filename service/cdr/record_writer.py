"""Call records in the store: what happens to calls is noted at once, and written many calls at a time.

A call that begins, rings, is answered or ends costs its own path a dictionary's entry. One task writes whatever has
been noted in one transaction, and while that is on its way the next one fills; a call that began and ended meanwhile is
one row. Events (`call_created` to `call_hangup`) are written with it, so that nothing is told that is not kept.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from uuid import UUID

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from engine.log import Log
from engine.rate_limit import RateLimit
from engine.worker import WOKEN, Worker
from flows.calls.record import CallRecord, attempt_rows, call_row
from flows.calls.registry import CallRegistry
from store.database.engines import reason
from store.database.errors import StoreError
from store.resources.calls import save, stage, stage_events, stages_told, tell
from store.rows import Row
from store.store import Store

PAUSE = 0.05
"""Seconds between two commits: under load each then has many calls, and an idle engine writes at once all the same."""
BATCH = 1_000
"""Calls in a transaction: SQLite has one writer, and others want their turn."""
STEP = 20
"""Calls whose rows are made without a break: a millisecond, in which no packet is read."""
MOST_ENDED = 100_000
"""Ended calls that wait for a store that does not write; beyond that the oldest are lost."""
FIRST_RETRY, LAST_RETRY = 0.1, 5.0
CLOSING = 10.0


@dataclass(slots=True)
class _Entry:
    """A call to be written. `told`: how many of its stages have become events."""

    record: CallRecord
    told: int
    over: bool


class CallRecordWriter:
    """An observer of calls that writes them. `start` attaches it, `close` writes what is left.

    Attributes:
        written: Rows of calls written so far; a call is written several times in its life.
        dropped: Ended calls that are lost, as the store did not take them.
        problem: Why the store does not take calls at this moment; "" where it does.
    """

    def __init__(self, store: Store, calls: CallRegistry, node_id: UUID, log: Log, clock: Callable[[], float]) -> None:
        self._store = store
        self._calls = calls
        self._clock = clock
        self._node_id = node_id
        self._log = log
        self.written = 0
        self.dropped = 0
        self.problem = ""
        # Running calls -> stages told. Those to be written are in `_changed` or, once over, in `_over`.
        self._running: dict[str, int] = {}
        self._changed: dict[str, CallRecord] = {}
        self._over: OrderedDict[str, _Entry] = OrderedDict()
        self.writing: dict[str, _Entry] = {}
        # Written, perhaps: the connection was lost before the word of the commit came.
        self.unsure: set[str] = set()
        self._waiters: dict[str, asyncio.Future[None]] = {}
        self._go = asyncio.Event()  # ends the pause before its time
        self._failures = 0
        self._drops = RateLimit(1.0, 1)
        self._closing = False
        self._worker = Worker("call records", self._turn, first=WOKEN)

    @property
    def waiting(self) -> int:
        """Calls with something that is not in the store yet."""
        return len(self._changed) + len(self._over) + sum(not entry.over for entry in self.writing.values())

    def start(self) -> None:
        """Observe the calls, and write."""
        self._calls.observers.append(self)
        self._worker.start()

    # ---- what calls tell; called in their own path

    def begun(self, record: CallRecord) -> None:
        """A call has begun."""
        self._running[record.id] = 0
        self._changed[record.id] = record
        self._worker.wake()

    def changed(self, record: CallRecord) -> None:
        """Something about a running call is otherwise now."""
        if record.id in self._running:
            self._changed[record.id] = record
            self._worker.wake()

    def ended(self, record: CallRecord) -> None:
        """A call is over. Later news of it are not taken."""
        told = self._running.pop(record.id, None)
        if told is None:
            return
        self._changed.pop(record.id, None)
        self._over[record.id] = _Entry(record, told, True)
        if len(self._over) > MOST_ENDED:
            self._drop(self._over.popitem(last=False)[1], "the store has not taken calls for long")
        self._worker.wake()

    # ---- what others want

    async def stored(self, record: CallRecord) -> None:
        """Returns when the call is in the store. Raises StoreError when it was lost."""
        call_id = record.id
        if call_id not in self._changed and call_id not in self._over and call_id not in self.writing:
            return
        waiter = self._waiters.get(call_id)
        if waiter is None:
            waiter = self._waiters[call_id] = asyncio.get_running_loop().create_future()
            waiter.add_done_callback(_seen)
        self._go.set()
        await asyncio.shield(waiter)

    async def close(self) -> None:
        """Write what is left, for at most `CLOSING` seconds, and stop observing."""
        if not self._worker.running:
            return
        self._closing = True
        self._go.set()
        await self._worker.close(CLOSING)
        self._calls.observers.remove(self)
        if left := self.waiting:
            self._log.error("calls not stored at the end", calls=left, cause="it did not write before the end")
        for waiter in self._waiters.values():
            waiter.set_exception(StoreError("the engine ended before the call was in the store"))
        self._waiters.clear()

    # ---- the writer

    async def _turn(self) -> None:
        pause = PAUSE
        try:
            if batch := self._take():
                await self._write(batch)
        except Exception as error:  # whatever it is, calls go on, and the store may come back
            self._put_back()
            pause = self._failed(error)
        else:
            self._recovered()
        if self._changed or self._over:
            self._worker.wake()
        elif self._closing:
            return
        await self._rest(pause)

    async def _rest(self, seconds: float) -> None:
        self._go.clear()
        if (self._waiters or self._closing) and not self._failures:
            return
        handle = asyncio.get_running_loop().call_later(seconds, self._go.set)
        await self._go.wait()
        handle.cancel()

    def _take(self) -> dict[str, _Entry]:
        """What is written next; ended calls first, which stay where they are until they are written."""
        batch = self.writing
        for call_id, entry in self._over.items():
            if len(batch) == BATCH:
                return batch
            batch[call_id] = entry
        for call_id in list(islice(self._changed, BATCH - len(batch))):
            batch[call_id] = _Entry(self._changed.pop(call_id), self._running[call_id], False)
        return batch

    async def _write(self, batch: dict[str, _Entry]) -> None:
        entries = list(batch.values())
        try:
            self._written(entries, await self._transact(entries))
        except Exception as error:
            if not _content(error):
                raise
            # One call that the database does not accept must not keep the others from it.
            for entry in entries:
                await self._write_alone(entry)

    async def _write_alone(self, entry: _Entry) -> None:
        try:
            self._written((entry,), await self._transact((entry,)))
        except Exception as error:
            if not _content(error):
                raise
            self.writing.pop(entry.record.id, None)
            self._running.pop(entry.record.id, None)
            self._changed.pop(entry.record.id, None)
            self._over.pop(entry.record.id, None)
            self._drop(entry, reason(error))

    async def _transact(self, entries: Sequence[_Entry]) -> list[int]:
        """Write these in one transaction; how many stages of each have been told then."""
        told = []
        rows: list[Row] = []
        attempts: list[Row] = []
        # Requests that write one after the other must not keep hundreds of calls from the disk.
        async with self._store.write(urgent=True) as transaction:
            unsure = [UUID(entry.record.id) for entry in entries if entry.record.id in self.unsure]
            known = await stages_told(transaction, unsure) if unsure else {}
            for number, entry in enumerate(entries):
                if number % STEP == 0:
                    await asyncio.sleep(0)
                row = call_row(entry.record, self._node_id, transaction.now)
                rows.append(row)
                told.append(stage(row) + 1)
                tell(transaction, row, stage_events(row, max(entry.told, known.get(row["id"], 0))))
                # One that was taken while it ran may have ended since, and is written as it is: never without them.
                if entry.over or row["tm_hangup"] is not None:
                    attempts += attempt_rows(entry.record)
            await save(transaction, rows, attempts)
        return told

    def _written(self, entries: Sequence[_Entry], told: list[int]) -> None:
        self.written += len(entries)
        for entry, stages in zip(entries, told, strict=True):
            call_id = entry.record.id
            self.writing.pop(call_id, None)
            self.unsure.discard(call_id)
            if entry.over:
                self._over.pop(call_id, None)
            elif call_id in self._running:
                self._running[call_id] = stages
            elif (ended := self._over.get(call_id)) is not None:
                ended.told = stages
            waiter = self._waiters.pop(call_id, None)
            if waiter is not None and not waiter.done():
                waiter.set_result(None)

    def _put_back(self) -> None:
        self.unsure.update(self.writing)
        for call_id, entry in self.writing.items():
            if not entry.over and call_id in self._running:
                self._changed.setdefault(call_id, entry.record)
        self.writing.clear()

    # ---- a store that does not write

    def _failed(self, error: Exception) -> float:
        """How long to wait before the next attempt."""
        self._failures += 1
        self.problem = reason(error)
        if self._failures == 1:
            self._log.error(
                "calls not stored yet: the store does not write", store=self._store.url, error=reason(error)
            )
        return min(FIRST_RETRY * 2.0 ** min(self._failures - 1, 10), LAST_RETRY)

    def _recovered(self) -> None:
        if self._failures:
            self._log.info("calls stored again", failures=self._failures, waiting=self.waiting)
        self._failures = 0
        self.problem = ""

    def _drop(self, entry: _Entry, cause: str) -> None:
        self.dropped += 1
        call_id = entry.record.id
        self.unsure.discard(call_id)
        if self._drops.allows("", self._clock()):
            self._log.error("call not stored", call_id=call_id, cause=cause, lost=self.dropped)
        waiter = self._waiters.pop(call_id, None)
        if waiter is not None and not waiter.done():
            waiter.set_exception(StoreError(f"the call {call_id} could not be stored: {cause}"))


def _content(error: Exception) -> bool:
    """Whether a row is at fault, and not the database: trying again would not mend it."""
    if isinstance(error, DBAPIError) and not isinstance(error, DataError | IntegrityError):
        # PostgreSQL's classes 22 and 23; what asyncpg finds wrong before it sends it is a ValueError.
        state = str(getattr(error.orig, "sqlstate", None) or "")
        return state[:2] in ("22", "23") or isinstance(getattr(error.orig, "__cause__", None), ValueError)
    return isinstance(error, DataError | IntegrityError | ValueError | TypeError | LookupError | AttributeError)


def _seen(waiter: asyncio.Future[None]) -> None:
    """Nobody may be left to look at what went wrong."""
    if not waiter.cancelled():
        waiter.exception()
