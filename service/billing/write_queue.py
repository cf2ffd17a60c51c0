"""The queue of orders about reservations, and the worker that writes them to the store, many in one transaction."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError

from engine.log import Log
from engine.worker import WOKEN, Worker
from store.database.engines import reason
from store.database.errors import StoreError
from store.resources.reservations import Order, Posted, post
from store.store import Store

MAX_DELAY = 0.2  # s that an order may wait for others, if nobody waits for it
# s between the beginnings of two transactions. A transaction costs the loop as much as a dozen orders in it do: under
# load this halves what a call costs, and nobody hears a fiftieth of a second before the ringing.
SPACING = 0.02
AT_ONCE = 500  # orders in one transaction
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0  # s between two tries while the store fails

# The store cannot be had just now: try again. What it refuses for good (REFUSED) would be refused again.
UNAVAILABLE = (StoreError, DBAPIError, OSError, TimeoutError)
REFUSED = (IntegrityError, DataError, ProgrammingError)


class Client(Protocol):
    """Whose orders are written. In the queue at most once: what it wants is asked when its turn has come."""

    in_queue: bool

    def order(self) -> Order | None:
        """What it wants now; None: nothing any more."""

    def posted(self, order: Order, posted: Posted | None) -> None:
        """That order is committed."""

    def failed(self, order: Order) -> None:
        """That order could not be carried out, or nobody knows whether it was. It will be asked for another."""

    def dropped(self, order: Order) -> None:
        """That order was refused for good."""


class ReservationWriter:
    """Writes orders in turn. The length of its queue is bounded: each reservation is in it once, and no new ones while
    the store fails (`failing`)."""

    def __init__(self, store: Store, log: Log, max_delay: float = MAX_DELAY) -> None:
        self._store = store
        self._log = log
        self._max_delay = max_delay
        self._spacing = min(SPACING, max_delay)
        self._queue: deque[Client] = deque()
        self._urgent = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._next = 0.0  # when the next transaction may begin
        self._pause = FIRST_PAUSE
        self._at_once = AT_ONCE
        self._worker = Worker("reservations", self._turn, first=WOKEN, failed=self._retry)
        self.failing = False
        """The last transaction failed, and none has succeeded since."""
        self.transactions = 0
        """Committed since the start."""

    def start(self) -> None:
        """Begin to carry orders."""
        self._worker.start()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._queue)

    def put(self, client: Client, *, urgent: bool = False) -> None:
        """Queue up. With `urgent` the transaction begins at once, and all that wait go with it."""
        if not client.in_queue:
            client.in_queue = True
            self._queue.append(client)
            self._idle.clear()
            self._worker.wake()
        if urgent:
            self._urgent.set()

    async def flush(self) -> None:
        """Until nothing waits."""
        self._urgent.set()
        await self._idle.wait()

    async def close(self, within: float) -> int:
        """Carry what waits, for at most so many seconds; how many orders are left."""
        self._urgent.set()
        await self._worker.close(within)
        return len(self._queue)

    async def _turn(self) -> None:
        await self._wait_for_others()
        if batch := self._take(self._at_once):
            await self._carry_and_tell(batch)
        if self._queue:
            self._worker.wake()
        else:
            self._urgent.clear()
            self._idle.set()

    async def _carry_and_tell(self, batch: Sequence[tuple[Client, Order]]) -> None:
        try:
            results = await self._carry(batch)
        except Exception as error:
            if isinstance(error, UNAVAILABLE) and not isinstance(error, REFUSED):
                self._failed(batch, error)
                raise
            self._at_once = self._refused(batch, error)
            return
        except asyncio.CancelledError:
            self._put_back(batch)
            raise
        for (client, order), posted in zip(batch, results, strict=True):
            client.posted(order, posted)
        if self.failing:
            self._log.info("reservations stored again", waiting=len(self._queue))
        self.failing = False
        self.transactions += 1
        self._pause = FIRST_PAUSE
        self._at_once = min(AT_ONCE, 2 * self._at_once)

    def _retry(self, error: Exception) -> float:
        if not isinstance(error, UNAVAILABLE):
            raise error
        pause, self._pause = self._pause, min(2 * self._pause, LONGEST_PAUSE)
        return pause

    async def _wait_for_others(self) -> None:
        # Only what is urgent begins a transaction at once, and takes along what is not.
        if not self._urgent.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._max_delay):
                    await self._urgent.wait()
        now = time.monotonic()
        if now < self._next:
            await asyncio.sleep(self._next - now)
        self._next = max(now, self._next) + self._spacing

    def _take(self, most: int) -> list[tuple[Client, Order]]:
        batch: list[tuple[Client, Order]] = []
        while self._queue and len(batch) < most:
            client = self._queue.popleft()
            client.in_queue = False
            if (order := client.order()) is not None:
                batch.append((client, order))
        if not self._queue:
            self._urgent.clear()
        return batch

    async def _carry(self, batch: Sequence[tuple[Client, Order]]) -> Sequence[Posted | None]:
        async with self._store.write() as transaction:
            return await post(transaction, [order for _, order in batch])

    def _failed(self, batch: Sequence[tuple[Client, Order]], error: Exception) -> None:
        if not self.failing:
            self._log.error(
                "reservations not stored: no paid call begins",
                error=f"{type(error).__name__}: {reason(error)}",
                waiting=len(batch) + len(self._queue),
            )
        self.failing = True
        for client, order in batch:
            client.failed(order)
        self._put_back(batch)

    def _refused(self, batch: Sequence[tuple[Client, Order]], error: Exception) -> int:
        """What makes a whole batch fail is found by taking smaller ones; how many the next one may have."""
        if len(batch) == 1:
            client, order = batch[0]
            self._log.error(
                "reservation refused by the store",
                order=str(order),
                error=f"{type(error).__name__}: {reason(error)}",
            )
            client.dropped(order)
            return 1
        self._put_back(batch)
        return max(1, len(batch) // 2)

    def _put_back(self, batch: Sequence[tuple[Client, Order]]) -> None:
        self._urgent.set()
        for client, _ in reversed(batch):
            if not client.in_queue:
                client.in_queue = True
                self._queue.appendleft(client)
