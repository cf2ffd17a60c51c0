"""Where orders about reservations wait for the store, and one task that carries them there, many in one transaction."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError

from flows.calls.ports import Log
from store.database.engines import reason
from store.database.errors import StoreError
from store.resources.reservations import Order, Posted, post
from store.store import Store

LAG = 0.2  # s that an order may wait for others, if nobody waits for it
# s between the beginnings of two transactions. A transaction costs the loop as much as a dozen orders in it do: under
# load this halves what a call costs, and nobody hears a fiftieth of a second before the ringing.
SPACING = 0.02
AT_ONCE = 500  # orders in one transaction
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0  # s between two tries while the store fails

# The store cannot be had just now: try again. What it refuses for good (REFUSED) would be refused again.
UNAVAILABLE = (StoreError, DBAPIError, OSError, TimeoutError)
REFUSED = (IntegrityError, DataError, ProgrammingError)


class Customer(Protocol):
    """Who stands at the till. At most once: what it wants is asked when its turn has come."""

    standing: bool

    def order(self) -> Order | None:
        """What it wants now; None: nothing any more."""

    def posted(self, order: Order, posted: Posted | None) -> None:
        """That order is committed."""

    def failed(self, order: Order) -> None:
        """That order could not be carried out, or nobody knows whether it was. It will be asked for another."""

    def dropped(self, order: Order) -> None:
        """That order was refused for good."""


class Till:
    """A queue to the store. Its length is bounded by who may stand there: each reservation once, and no new ones while
    the store fails (`failing`)."""

    def __init__(self, store: Store, log: Log, lag: float = LAG) -> None:
        self._store = store
        self._log = log
        self._lag = lag
        self._spacing = min(SPACING, lag)
        self._queue: deque[Customer] = deque()
        self._filled = asyncio.Event()
        self._hurry = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closing = False
        self._next = 0.0  # when the next transaction may begin
        self._task: asyncio.Task[None] | None = None
        self.failing = False
        """The last transaction failed, and none has succeeded since."""
        self.transactions = 0
        """Committed since the start."""

    def start(self) -> None:
        """Begin to carry orders."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def __len__(self) -> int:
        """How many wait."""
        return len(self._queue)

    def put(self, customer: Customer, *, hurry: bool = False) -> None:
        """Queue up. With `hurry` the transaction begins at once, and all that wait go with it."""
        if not customer.standing:
            customer.standing = True
            self._queue.append(customer)
            self._idle.clear()
            self._filled.set()
        if hurry:
            self._hurry.set()

    async def flush(self) -> None:
        """Until nothing waits."""
        self._hurry.set()
        await self._idle.wait()

    async def close(self, within: float) -> int:
        """Carry what waits, for at most so many seconds; how many orders are left."""
        if self._task is None:
            return len(self._queue)
        self._closing = True
        self._hurry.set()
        self._filled.set()
        await asyncio.wait((self._task,), timeout=within)
        self._task.cancel()
        await asyncio.wait((self._task,))
        return len(self._queue)

    async def _run(self) -> None:
        pause = FIRST_PAUSE
        at_once = AT_ONCE
        while self._queue or not self._closing:
            await self._filled.wait()
            await self._wait_for_others()
            batch = self._take(at_once)
            if not batch:
                self._rest()
                continue
            try:
                results = await self._carry(batch)
            except Exception as error:
                if isinstance(error, UNAVAILABLE) and not isinstance(error, REFUSED):
                    self._failed(batch, error)
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LONGEST_PAUSE)
                else:
                    at_once = self._refused(batch, error)
                continue
            except asyncio.CancelledError:
                self._put_back(batch)
                raise
            for (customer, order), posted in zip(batch, results, strict=True):
                customer.posted(order, posted)
            if self.failing:
                self._log.info("the store takes reservations again", waiting=len(self._queue))
            self.failing = False
            self.transactions += 1
            pause = FIRST_PAUSE
            at_once = min(AT_ONCE, 2 * at_once)
            if not self._queue:
                self._rest()

    def _rest(self) -> None:
        if not self._queue:
            self._hurry.clear()
            self._idle.set()
            if not self._closing:
                self._filled.clear()

    async def _wait_for_others(self) -> None:
        # Only what is urgent begins a transaction at once, and takes along what is not.
        if not self._hurry.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._lag):
                    await self._hurry.wait()
        now = time.monotonic()
        if now < self._next:
            await asyncio.sleep(self._next - now)
        self._next = max(now, self._next) + self._spacing

    def _take(self, most: int) -> list[tuple[Customer, Order]]:
        batch: list[tuple[Customer, Order]] = []
        while self._queue and len(batch) < most:
            customer = self._queue.popleft()
            customer.standing = False
            if (order := customer.order()) is not None:
                batch.append((customer, order))
        if not self._queue:
            self._hurry.clear()
        return batch

    async def _carry(self, batch: Sequence[tuple[Customer, Order]]) -> Sequence[Posted | None]:
        async with self._store.write() as transaction:
            return await post(transaction, [order for _, order in batch])

    def _failed(self, batch: Sequence[tuple[Customer, Order]], error: Exception) -> None:
        if not self.failing:
            self._log.error(
                "the store does not take reservations; calls go on for what they have paid, no paid call begins",
                error=f"{type(error).__name__}: {reason(error)}",
                waiting=len(batch) + len(self._queue),
            )
        self.failing = True
        for customer, order in batch:
            customer.failed(order)
        self._put_back(batch)

    def _refused(self, batch: Sequence[tuple[Customer, Order]], error: Exception) -> int:
        """What makes a whole batch fail is found by taking smaller ones; how many the next one may have."""
        if len(batch) == 1:
            customer, order = batch[0]
            self._log.error(
                "the store refuses an order about a reservation",
                order=str(order),
                error=f"{type(error).__name__}: {reason(error)}",
            )
            customer.dropped(order)
            return 1
        self._put_back(batch)
        return max(1, len(batch) // 2)

    def _put_back(self, batch: Sequence[tuple[Customer, Order]]) -> None:
        self._hurry.set()
        for customer, _ in reversed(batch):
            if not customer.standing:
                customer.standing = True
                self._queue.appendleft(customer)
        self._filled.set()
