"""Charging: credit is reserved before a provider is dialled, extended while the call runs, and settled after it.

    reservation = await charging.reserve(customer_id, call_id, rate)  # None: the customer cannot pay
    reservation.answered(exhausted=call.hangup)                        # from here on every second counts
    reservation.close()                                                # over, or never answered

A call begins with a block of credit (BLOCK seconds, or what the customer has left, a second at least). LEAD seconds
before it is used up the next block is asked for; where the credit does not give a whole one the call gets what there
is, and asks again as the end comes nearer, because other calls may end or somebody may top up the account. `exhausted`
is called at the end of the paid time and no later.

If the store fails while a call runs, the call goes on for what it has paid and GRACE seconds more, in which the store
is asked again and again; that much may be given away, and not more.

What is written for one call: a row when it is dialled, the time of the answer, one change for each further block, and
the settlement (which deletes the row). Orders of many calls travel in one transaction (`service.billing.write_queue`).
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from math import ceil
from uuid import UUID, uuid4

from engine.log import Log
from engine.sip.transaction.timers import NEVER, Deadlines
from routing.identifiers import NIL
from service.billing.write_queue import MAX_DELAY, ReservationWriter
from store.database.errors import StoreBusy
from store.resources.reservations import Hold, Order, Posted, Reserve, Settle
from store.store import Store

BLOCK = 60  # s that a call reserves at once
LEAD = 10.0  # s before the end of the paid time at which more is asked for
LAST_TRY = 1.0  # s before it: later than this nobody asks any more
GRACE = 10.0  # s that a call may go on unpaid while the store does not answer
ANSWER_WITHIN = 5.0  # s that a new call waits for the store
CLOSE_WITHIN = 10.0  # s that the end of the program waits for it


class Reservation:
    """The credit of one call. Nothing here waits: what the store has to be told waits in the writer's queue.

    Attributes:
        paid: Seconds from the answer on that are reserved so far.
    """

    __slots__ = (
        "_account_id",
        "_answer_noted",
        "_answered_at",
        "_block",
        "_charging",
        "_exhausted",
        "_kind",
        "_lasted",
        "_late",
        "_opening",
        "_tm_answer",
        "_uncertain",
        "_wanted",
        "call_id",
        "customer_id",
        "deadline",
        "id",
        "in_queue",
        "paid",
        "queued",
        "rate",
    )

    def __init__(
        self,
        charging: "Charging",
        customer_id: UUID,
        call_id: UUID,
        rate: int,
        *,
        block: int = BLOCK,
        kind: str = "call",
    ) -> None:
        self._block = block
        self._kind = kind
        self.id = uuid4()
        self.customer_id = customer_id
        self.call_id = call_id
        self.rate = rate
        self.paid = 0
        self.in_queue = False  # of the writer
        self.deadline = self.queued = NEVER  # in the heap of deadlines
        self._charging = charging
        self._account_id: UUID | None = None  # known once the reservation is made
        self._opening: asyncio.Future[bool] | None = None
        self._uncertain = False  # nobody knows whether the store has made it
        self._answered_at: float | None = None
        self._tm_answer: datetime | None = None
        self._answer_noted = False
        self._wanted = 0  # seconds altogether that the store has been asked for; 0: no answer is awaited
        self._late = False  # the paid time is over, and the store has not answered
        self._lasted: int | None = None  # seconds of the call that is over
        self._exhausted: Callable[[], None] | None = None

    # ---- what a call says

    def answered(self, exhausted: Callable[[], None]) -> None:
        """The far end has answered: every second counts from now on. `exhausted` is called in the loop when the credit
        is used up, at most once, and not after `close`."""
        if self._account_id is None or self._answered_at is not None or self._lasted is not None:
            return
        charging = self._charging
        self._answered_at = now = charging.clock()
        self._tm_answer = charging.store.clock()
        self._exhausted = exhausted
        self._look_again(now)
        charging.writer.put(self)

    def close(self) -> None:
        """The call is over, or was never answered. To close twice is to close once."""
        if self._lasted is not None:
            return
        self._lasted = 0
        if self._answered_at is not None:
            # In milliseconds: what a float adds to a whole second is no second that has begun.
            self._lasted = max(0, ceil(round(self._charging.clock() - self._answered_at, 3)))
        self._exhausted = None
        self._charging.over(self)

    def charge(self) -> None:
        """Of a message: it was taken, and is paid for."""
        if self._lasted is None:
            self._lasted = self._block
            self._charging.over(self)

    # ---- the clock

    @property
    def _paid_until(self) -> float:
        assert self._answered_at is not None
        return self._answered_at + self.paid

    def _look_again(self, now: float) -> None:
        """Wait for the next moment to ask for more, or for the end."""
        end = self._paid_until
        left = end - now
        if left > LEAD:
            when = end - LEAD
        elif left > 2 * LAST_TRY:
            when = now + left / 2
        else:
            when = end
        self._charging.deadlines.set(self, when)

    def on_deadline(self, now: float) -> None:
        """More is to be asked for, or the credit is used up."""
        end = self._paid_until
        if now < end:
            self._charging.deadlines.set(self, end)
            if not self._wanted:
                self._wanted = self.paid + BLOCK
                self._charging.writer.put(self)
        elif self._wanted and now < end + GRACE:
            if not self._late:
                self._charging.log.warning(
                    "the store does not answer: a call goes on unpaid for a while", call_id=str(self.call_id), s=GRACE
                )
            self._late = True
            self._charging.deadlines.set(self, end + GRACE)
        else:
            self._end_call()

    def _end_call(self) -> None:
        exhausted, self._exhausted = self._exhausted, None
        self._charging.deadlines.clear(self)
        if exhausted is None:
            return
        self._charging.log.info(
            "credit used up", call_id=str(self.call_id), customer_id=str(self.customer_id), paid=self.paid
        )
        try:
            exhausted()
        except Exception as error:  # one call's trouble must not stop the clock of the others
            self._charging.log.error("call not ended", call_id=str(self.call_id), error=repr(error))

    # ---- the writer

    def opening(self) -> asyncio.Future[bool]:
        """True when the store has said what it gives (`paid` is 0 where that is nothing), False when it does not."""
        self._opening = asyncio.get_running_loop().create_future()
        self._charging.writer.put(self, urgent=True)
        return self._opening

    def order(self) -> Order | None:
        """What the store has to be told; None: nothing."""
        if self._account_id is None:
            if self._lasted is None:
                node_id = self._charging.node_id
                return Reserve(
                    id=self.id,
                    customer_id=self.customer_id,
                    call_id=self.call_id,
                    rate=self.rate,
                    seconds=self._block,
                    node_id=node_id,
                    kind=self._kind,
                )
            return Settle(self.id, NIL, 0) if self._uncertain else None
        if self._lasted is not None:
            return Settle(self.id, self._account_id, self._lasted)
        answer = None if self._answer_noted else self._tm_answer
        return Hold(self.id, self._account_id, self._wanted, answer) if self._wanted or answer else None

    def posted(self, order: Order, posted: Posted | None) -> None:
        """The store has done it."""
        if isinstance(order, Reserve):
            if posted is not None:
                self._account_id, self.paid = posted.account_id, posted.seconds
            self._opened(True)
        elif isinstance(order, Settle):
            if posted is not None:
                self._charging.log.debug("settled", call_id=str(self.call_id), cost=posted.amount, s=posted.seconds)
        else:
            self._answer_noted = self._answer_noted or order.tm_answer is not None
            if order.seconds and self._lasted is None:
                self._extended(posted)

    def _extended(self, posted: Posted | None) -> None:
        self._wanted = 0
        now = self._charging.clock()
        if posted is not None:
            self.paid = posted.seconds
            self._late = False
        if self._paid_until <= now:
            self._end_call()
        elif posted is None:  # settled by somebody else: there will be no more
            self._charging.deadlines.set(self, self._paid_until)
        else:
            self._look_again(now)

    def failed(self, order: Order) -> None:
        """The store could not be had. A call that was to begin does not."""
        if isinstance(order, Reserve):
            self._uncertain = True
            self.close()
            self._opened(False)

    def dropped(self, order: Order) -> None:
        """The store never will."""
        if isinstance(order, Reserve):
            self.close()
            self._opened(False)
        elif isinstance(order, Hold):
            self._answer_noted = True
            if self._lasted is None and order.seconds:
                self._extended(None)

    def _opened(self, answered: bool) -> None:
        if self._opening is not None and not self._opening.done():
            self._opening.set_result(answered)
        self._opening = None


class Charging:
    """Who pays for calls, and until when. One timer serves all calls.

    `clock` gives seconds that never go back; `max_delay` is how long what is not urgent waits for company on its way to
    the store.
    """

    def __init__(
        self,
        store: Store,
        node_id: UUID,
        log: Log,
        clock: Callable[[], float] = time.monotonic,
        max_delay: float = MAX_DELAY,
    ) -> None:
        self.store = store
        self.node_id = node_id
        self.log = log
        self.clock = clock
        self.writer = ReservationWriter(store, log, max_delay)
        self.deadlines = Deadlines(self._arm)
        self._open: dict[UUID, Reservation] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False

    def start(self) -> None:
        """From now on reservations are made."""
        self.writer.start()

    def __len__(self) -> int:
        """The reservations of running calls."""
        return len(self._open)

    def rated(self, customer_id: UUID) -> bool:
        """Whether this customer pays at all: everybody but the platform does."""
        return customer_id != NIL

    async def reserve(self, customer_id: UUID, call_id: UUID, rate: int) -> Reservation | None:
        """Credit for a call at `rate` micro-units a minute. None where the customer cannot pay for a second of it, is
        suspended or has no account. A rate of 0 costs nothing and is given to everybody. Raises StoreError where the
        store cannot be had or the engine is stopping: no paid call begins then.

        Whoever gets a reservation has to close it.
        """
        return await self._begin(Reservation(self, customer_id, call_id, rate))

    async def reserve_message(self, customer_id: UUID, message_id: UUID, price: int) -> Reservation | None:
        """As `reserve`, for a text message that costs `price` micro-units: `charge` it when it was taken, `close` it
        when not. It stands in the store as a call of one second."""
        return await self._begin(Reservation(self, customer_id, message_id, 60 * price, block=1, kind="message"))

    async def _begin(self, reservation: Reservation) -> Reservation | None:
        rate, customer_id = reservation.rate, reservation.customer_id
        if rate <= 0 or not self.rated(customer_id):
            return reservation
        if self._closing or self.writer.failing:
            raise StoreBusy("the engine is stopping" if self._closing else "the store does not take reservations")
        self._open[reservation.id] = reservation
        answered = False
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_WITHIN):
                    answered = await reservation.opening()
        except BaseException:  # the caller waits no more
            reservation.close()
            raise
        if reservation.paid:
            return reservation
        reservation.close()
        if not answered:
            raise StoreBusy(f"the store has reserved nothing within {ANSWER_WITHIN:g} s, or has failed")
        return None

    def over(self, reservation: Reservation) -> None:
        """A reservation was closed: it waits for nothing, and is settled."""
        self.deadlines.clear(reservation)
        if self._open.pop(reservation.id, None) is not None:
            self.writer.put(reservation)

    async def close(self) -> None:
        """Settle everything. What the store does not take within CLOSE_WITHIN seconds is settled at the next start."""
        self._closing = True
        for reservation in list(self._open.values()):
            reservation.close()
        self.deadlines.stop()
        if self._timer is not None:
            self._timer.cancel()
        if left := await self.writer.close(CLOSE_WITHIN):
            self.log.error("calls not settled: the next start does it", calls=left)

    # ---- the timer

    def tick(self) -> None:
        """Do what is due by the clock, and wait for the next moment."""
        self._timer = None
        self.deadlines.run(self.clock())
        if (when := self.deadlines.next()) < NEVER:
            self._arm(when)

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(max(0.0, when - self.clock()), self.tick)
