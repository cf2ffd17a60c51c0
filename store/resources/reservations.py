"""What running calls may use of their customers' credit: reserved, extended, and settled when the call is over.

The rule of the price: a call costs `ceil(rate * seconds / 60)` micro-units, where `rate` is micro-units a minute and
`seconds` the time from the answer to the end, a second that has begun counting as a whole one. It never costs more
than was reserved for it, and nothing when it was not answered.

Orders are taken many at a time (`post`): the same few statements serve one call and five hundred.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from uuid import UUID, uuid4

import sqlalchemy as sa

from routing.identifiers import NIL
from store.database.bulk import BulkWrite
from store.database.tables import nodes, reservations
from store.resources.billing import Account, Book
from store.rows import Row
from store.store import Transaction

_AT_ONCE = 500  # reservations of a dead node that are settled together
_ROWS = BulkWrite(reservations, upsert=True)


def price(rate: int, seconds: int) -> int:
    """What so many seconds cost at so many micro-units a minute."""
    return -(-rate * seconds // 60)


def paid_seconds(rate: int, amount: int) -> int:
    """The seconds that an amount pays for: the most whose price is not above it. `rate` is more than 0."""
    return amount * 60 // rate


@dataclass(kw_only=True, slots=True, frozen=True)
class Reserve:
    """Take `seconds` at `rate` from what a customer can spend, or what there is of it, a second at least."""

    id: UUID
    customer_id: UUID
    call_id: UUID
    rate: int
    seconds: int
    node_id: UUID = NIL
    kind: str = "call"


@dataclass(slots=True, frozen=True)
class Hold:
    """Make a reservation last for `seconds` altogether, or as far as the credit goes; and note when the call was
    answered. To give the same order twice is to give it once."""

    id: UUID
    account_id: UUID
    seconds: int = 0
    tm_answer: datetime | None = None


@dataclass(slots=True, frozen=True)
class Settle:
    """The call is over and lasted so many seconds: it is paid, and the rest is free again. `account_id` is nil where
    nobody knows whether the reservation was made at all."""

    id: UUID
    account_id: UUID
    seconds: int


Order = Reserve | Hold | Settle


@dataclass(slots=True, frozen=True)
class Posted:
    """What became of an order: the amount that the call holds now and the seconds that it pays for; of a Settle, what
    was charged and the seconds that were charged for."""

    id: UUID
    account_id: UUID
    amount: int
    seconds: int


@dataclass(kw_only=True, slots=True)
class _Want:
    """More seconds for a call, to be met as far as the account can."""

    place: int
    account: Account
    rate: int
    have: int
    missing: int


async def post(transaction: Transaction, orders: Sequence[Order]) -> list[Posted | None]:
    """Carry out orders, no two of them about the same reservation; what became of each, in their order. None: there is
    no such reservation (any more), or nothing could be reserved, as there is no credit, no account, or the customer is
    suspended.

    Calls are settled first. What is left in an account is shared by the orders that want more of it: none gets less
    because it stands further back, except where there is not a second for each.
    """
    return await _Posting(transaction, orders).run()


class _Posting:
    def __init__(self, transaction: Transaction, orders: Sequence[Order]) -> None:
        self._transaction = transaction
        self._orders = orders
        self._results: list[Posted | None] = [None] * len(orders)

    async def run(self) -> list[Posted | None]:
        orders = self._orders
        self._book = await Book.open(
            self._transaction,
            account_ids=await self._accounts(),
            customer_ids={order.customer_id for order in orders if isinstance(order, Reserve)},
        )
        self._rows = await self._held([order.id for order in orders if not isinstance(order, Reserve)])
        self._settle()
        granted = _shared(self._wants())
        self._hold(granted)
        new = self._reserve(granted)
        await self._write(new)
        return self._results

    async def _accounts(self) -> set[UUID]:
        known = {order.account_id for order in self._orders if not isinstance(order, Reserve)}
        if NIL not in known:
            return known
        unknown = [order.id for order in self._orders if isinstance(order, Settle) and order.account_id == NIL]
        query = sa.select(reservations.c.account_id).where(reservations.c.id.in_(unknown))
        return known.union((await self._transaction.execute(query)).scalars())

    async def _held(self, ids: Sequence[UUID]) -> dict[UUID, Row]:
        if not ids:
            return {}
        query = sa.select(reservations).where(reservations.c.id.in_(ids))
        return {row["id"]: dict(row) for row in (await self._transaction.execute(query)).mappings()}

    def _settle(self) -> None:
        for place, order in enumerate(self._orders):
            if not isinstance(order, Settle) or (row := self._rows.get(order.id)) is None:
                continue
            account = self._book.accounts[row["account_id"]]
            seconds = max(0, min(order.seconds, paid_seconds(row["rate"], row["amount"])))
            cost = price(row["rate"], seconds)
            account.reserved -= row["amount"]
            if cost:
                message = row["kind"] == "message"
                detail = "a text message" if message else f"{seconds} s at {row['rate']} a minute"
                self._book.enter(account, row["kind"], -cost, row["call_id"], detail)
            self._results[place] = Posted(order.id, account.id, cost, seconds)

    def _wants(self) -> list[_Want]:
        wants = []
        for place, order in enumerate(self._orders):
            if isinstance(order, Reserve):
                account = self._book.of_customer.get(order.customer_id)
                rate, have = order.rate, 0
            elif isinstance(order, Hold) and (row := self._rows.get(order.id)) is not None:
                account = self._book.accounts[row["account_id"]]
                rate, have = row["rate"], row["amount"]
            else:
                continue
            missing = price(rate, order.seconds) - have
            # Whoever is suspended begins no call and extends none: the calls that run end with what they have.
            if missing > 0 and account is not None and account.may_spend:
                wants.append(_Want(place=place, account=account, rate=rate, have=have, missing=missing))
        return wants

    def _hold(self, granted: dict[int, int]) -> None:
        now = self._transaction.now
        for place, order in enumerate(self._orders):
            if not isinstance(order, Hold) or (row := self._rows.get(order.id)) is None:
                continue
            more = granted.get(place, 0)
            row["amount"] += more
            row["tm_answer"] = order.tm_answer or row["tm_answer"]
            row["tm_update"] = now
            self._book.accounts[row["account_id"]].reserved += more
            seconds = paid_seconds(row["rate"], row["amount"])
            self._results[place] = Posted(order.id, row["account_id"], row["amount"], seconds)

    def _reserve(self, granted: dict[int, int]) -> list[Row]:
        new = []
        now = self._transaction.now
        for place, order in enumerate(self._orders):
            if not isinstance(order, Reserve) or not (amount := granted.get(place, 0)):
                continue
            account = self._book.of_customer[order.customer_id]
            account.reserved += amount
            new.append(
                {
                    "id": order.id,
                    "customer_id": order.customer_id,
                    "account_id": account.id,
                    "node_id": order.node_id,
                    "call_id": order.call_id,
                    "kind": order.kind,
                    "rate": order.rate,
                    "amount": amount,
                    "tm_answer": None,
                    "tm_create": now,
                    "tm_update": now,
                }
            )
            self._results[place] = Posted(order.id, account.id, amount, paid_seconds(order.rate, amount))
        return new

    async def _write(self, new: Sequence[Row]) -> None:
        await self._book.write()
        over = [order.id for order in self._orders if isinstance(order, Settle) and order.id in self._rows]
        if over:
            await self._transaction.execute(sa.delete(reservations).where(reservations.c.id.in_(over)))
        held = {order.id for order in self._orders if isinstance(order, Hold)} & self._rows.keys()
        await _ROWS.write(self._transaction.connection, [*new, *(self._rows[identifier] for identifier in held)])


def _shared(wants: Iterable[_Want]) -> dict[int, int]:
    """How much each of them gets, by its place."""
    by_account: dict[UUID, list[_Want]] = {}
    for want in wants:
        by_account.setdefault(want.account.id, []).append(want)
    granted: dict[int, int] = {}
    for waiting in by_account.values():
        left = waiting[0].account.available
        # The modest ones first: what they leave of their share goes to the others.
        waiting.sort(key=lambda want: want.missing)
        for number, want in enumerate(waiting):
            share = left // (len(waiting) - number)
            seconds_held = paid_seconds(want.rate, want.have)
            one_second = price(want.rate, seconds_held + 1) - want.have
            amount = min(want.missing, max(share, one_second))
            if amount > left:
                continue
            # Whole seconds: a rest that pays for nothing stays with the account.
            amount = price(want.rate, paid_seconds(want.rate, want.have + amount)) - want.have
            if amount > 0:
                granted[want.place] = amount
                left -= amount
    return granted


async def reserve(
    transaction: Transaction, customer_id: UUID, call_id: UUID, rate: int, seconds: int, node_id: UUID = NIL
) -> Posted | None:
    """Take credit for the first seconds of one call; None where there is none. `post` with one order."""
    order = Reserve(id=uuid4(), customer_id=customer_id, call_id=call_id, rate=rate, seconds=seconds, node_id=node_id)
    return (await post(transaction, [order]))[0]


async def extend(transaction: Transaction, reservation: Posted, seconds: int) -> Posted | None:
    """Let a call have `seconds` more than this reservation pays for, or as many as the credit allows."""
    order = Hold(reservation.id, reservation.account_id, reservation.seconds + seconds)
    return (await post(transaction, [order]))[0]


async def settle(transaction: Transaction, reservation: Posted, seconds: float) -> Posted | None:
    """Charge a call that lasted so long; None where it has been settled before."""
    order = Settle(reservation.id, reservation.account_id, ceil(seconds))
    return (await post(transaction, [order]))[0]


async def settle_dead(transaction: Transaction, node_ids: Iterable[UUID]) -> int:
    """Settle what processes that are no more have left; how many reservations that were.

    An answered call is charged up to its node's last sign of life, one that was not answered is free.
    """
    columns = reservations.c
    query = (
        sa.select(columns.id, columns.account_id, columns.tm_answer, nodes.c.tm_seen)
        .select_from(reservations.outerjoin(nodes, nodes.c.id == columns.node_id))
        .where(columns.node_id.in_(set(node_ids)))
    )
    orders = []
    for row in await transaction.execute(query):
        answered = row.tm_answer is not None and row.tm_seen is not None
        seconds = ceil((row.tm_seen - row.tm_answer).total_seconds()) if answered else 0
        orders.append(Settle(row.id, row.account_id, seconds))
    for first in range(0, len(orders), _AT_ONCE):
        await post(transaction, orders[first : first + _AT_ONCE])
    return len(orders)
