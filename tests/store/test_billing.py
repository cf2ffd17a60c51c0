"""Accounts: what can be spent is spent once, and the ledger adds up."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from routing.identifiers import NIL
from store import rows
from store.database.errors import StoreBusy
from store.database.tables import billing_accounts, customers, ledger, nodes, reservations
from store.resources.billing import (
    MOST,
    BalanceLimit,
    InsufficientBalance,
    account_of,
    adjust,
    open_account,
    purchase,
    top_up,
)
from store.resources.reservations import (
    Hold,
    Order,
    Posted,
    Reserve,
    Settle,
    extend,
    post,
    price,
    reserve,
    settle,
    settle_dead,
)
from store.store import Store, Transaction

T = TypeVar("T")
T0 = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    opened = await Store.open(store_url)
    yield opened
    await opened.close()


async def customer(store: Store, balance: int = 0, *, suspended: bool = False) -> tuple[UUID, UUID]:
    """A customer with credit: its id and its account's."""
    async with store.write() as t:
        row = await rows.insert(t, customers, {"name": "somebody", "suspended": suspended})
        account = await open_account(t, row["id"])
        if balance:
            await top_up(t, account["id"], balance, "cash")
    return row["id"], account["id"]


async def money(store: Store, account_id: UUID) -> tuple[int, int]:
    """Balance and reserved, after making sure that they fit the ledger and the reservations."""
    async with store.read() as connection:
        account = await rows.one(connection, billing_accounts, account_id)
        assert account is not None
        query = sa.select(ledger).where(ledger.c.account_id == account_id).order_by(ledger.c.tm_create)
        entries = (await connection.execute(query)).all()
        held = sa.select(sa.func.sum(reservations.c.amount)).where(reservations.c.account_id == account_id)
        reserved = (await connection.execute(held)).scalar() or 0
    assert sum(entry.amount for entry in entries) == account["balance"]
    balance = 0
    for entry in entries:  # by time, and each balance follows from the one before
        balance += entry.amount
        assert entry.balance == balance >= 0
    assert account["reserved"] == reserved <= account["balance"]
    return account["balance"], account["reserved"]


async def test_money_is_added_spent_and_corrected_and_noted(store: Store) -> None:
    somebody, account = await customer(store, 1_000)
    bought = uuid4()
    async with store.write() as t:
        entry = await purchase(t, somebody, 300, bought, "+15551234567")
        assert entry is not None
        assert (entry["kind"], entry["amount"], entry["balance"], entry["reference_id"]) == (
            "purchase",
            -300,
            700,
            bought,
        )
        entry = await adjust(t, account, -50, "charged twice")
        assert entry is not None and (entry["kind"], entry["balance"]) == ("adjustment", 650)
    assert await money(store, account) == (650, 0)


async def test_what_an_account_cannot_pay_is_refused_and_changes_nothing(store: Store) -> None:
    somebody, account = await customer(store, 100)
    with pytest.raises(InsufficientBalance) as raised:
        async with store.write() as t:
            await purchase(t, somebody, 101, uuid4())
    assert (raised.value.amount, raised.value.available) == (101, 100)
    with pytest.raises(InsufficientBalance):
        async with store.write() as t:
            await adjust(t, account, -101)
    assert await money(store, account) == (100, 0)


async def test_what_calls_have_reserved_is_not_for_sale(store: Store) -> None:
    somebody, account = await customer(store, 100)
    async with store.write() as t:
        held = await reserve(t, somebody, uuid4(), 60, 60)
        assert held is not None and (held.amount, held.seconds) == (60, 60)
    with pytest.raises(InsufficientBalance) as raised:
        async with store.write() as t:
            await purchase(t, somebody, 41, uuid4())
    assert raised.value.available == 40
    assert await money(store, account) == (100, 60)


async def test_the_platform_and_what_is_free_pay_nothing(store: Store) -> None:
    async with store.write() as t:
        assert await purchase(t, NIL, 5_000, uuid4()) is None
        assert await purchase(t, uuid4(), 0, uuid4()) is None


async def test_who_has_no_account_or_is_suspended_buys_nothing_and_calls_nobody(store: Store) -> None:
    suspended, account = await customer(store, 1_000, suspended=True)
    for somebody in (suspended, uuid4()):
        with pytest.raises(InsufficientBalance):
            async with store.write() as t:
                await purchase(t, somebody, 1, uuid4())
        async with store.write() as t:
            assert await reserve(t, somebody, uuid4(), 60, 60) is None
    assert await money(store, account) == (1_000, 0)


async def test_a_customer_has_one_living_account(store: Store) -> None:
    somebody, account = await customer(store)
    with pytest.raises(rows.IntegrityError):
        async with store.write() as t:
            await open_account(t, somebody)
    async with store.write() as t:
        await rows.soft_delete(t, billing_accounts, account)
        await open_account(t, somebody, "basic")
    async with store.read() as connection:
        found = await account_of(connection, somebody)
    assert found is not None and (found["tier"], found["balance"]) == ("basic", 0)
    async with store.write() as t:
        assert await top_up(t, account, 1) is None  # the deleted one


async def test_a_balance_stays_within_its_column(store: Store) -> None:
    _, account = await customer(store, MOST)
    with pytest.raises(BalanceLimit):
        async with store.write() as t:
            await top_up(t, account, 1)
    assert await money(store, account) == (MOST, 0)


async def test_entries_are_in_order_though_the_clock_stands_still_or_goes_back(store: Store) -> None:
    somebody, account = await customer(store, 100)
    for moment in (T0, T0, T0 - timedelta(days=1)):
        store.clock = lambda moment=moment: moment  # type: ignore[misc]
        async with store.write() as t:
            await purchase(t, somebody, 1, uuid4())
            await purchase(t, somebody, 2, uuid4())
    assert await money(store, account) == (91, 0)  # which reads them by time


# ---- calls


@pytest.mark.parametrize(
    ("rate", "seconds", "cost"),
    [
        (60, 1, 1),
        (60, 61, 61),
        (100, 1, 2),  # 1.67
        (100, 60, 100),
        (1, 1, 1),  # the smallest rate: a minute for one micro-unit, begun is paid
        (1, 60, 1),
        (1, 61, 2),
        (20_000, 37, 12_334),  # 12333.3
        (60, 0, 0),
    ],
)
def test_a_call_costs_its_seconds_rounded_up(rate: int, seconds: int, cost: int) -> None:
    assert price(rate, seconds) == cost


@pytest.mark.parametrize(("lasted", "cost"), [(0, 0), (0.2, 2), (1, 2), (1.001, 4), (59.5, 100), (60, 100), (75, 100)])
async def test_a_call_is_settled_by_begun_seconds_and_never_above_what_it_held(
    store: Store, lasted: float, cost: int
) -> None:
    somebody, account = await customer(store, 1_000)
    call = uuid4()
    async with store.write() as t:
        held = await reserve(t, somebody, call, 100, 60)
    assert held is not None
    async with store.write() as t:
        posted = await settle(t, held, lasted)
    assert posted is not None and posted.amount == cost
    assert await money(store, account) == (1_000 - cost, 0)
    async with store.read() as connection:
        query = sa.select(ledger).where(ledger.c.kind == "call")
        entries = (await connection.execute(query)).all()
    assert [(entry.amount, entry.reference_id) for entry in entries] == ([(-cost, call)] if cost else [])


async def test_a_call_is_settled_once(store: Store) -> None:
    somebody, account = await customer(store, 1_000)
    async with store.write() as t:
        held = await reserve(t, somebody, uuid4(), 60, 60)
        assert held is not None
        assert await settle(t, held, 10) is not None
    async with store.write() as t:
        assert await settle(t, held, 10) is None
        assert await extend(t, held, 60) is None
    assert await money(store, account) == (990, 0)


async def test_the_last_credit_pays_for_what_it_can_and_the_rest_is_left(store: Store) -> None:
    somebody, account = await customer(store, 100)
    async with store.write() as t:
        held = await reserve(t, somebody, uuid4(), 70, 60)
        assert held is not None and (held.amount, held.seconds) == (70, 60)
        more = await extend(t, held, 60)
        # 30 more pay for 25 s: 85 s cost 99.17, rounded up all there is.
        assert more is not None and (more.amount, more.seconds) == (100, 85)
        assert await reserve(t, somebody, uuid4(), 70, 60) is None
        assert await settle(t, more, 85) is not None
    assert await money(store, account) == (0, 0)


async def test_a_call_that_is_extended_twice_by_one_order_holds_it_once(store: Store) -> None:
    somebody, account = await customer(store, 1_000)
    async with store.write() as t:
        held = await reserve(t, somebody, uuid4(), 60, 60)
    assert held is not None
    for _ in range(2):  # as after a lost connection, when nobody knows whether the first was committed
        async with store.write() as t:
            assert (await post(t, [Hold(held.id, account, 120, T0)]))[0] == Posted(held.id, account, 120, 120)
    assert await money(store, account) == (1_000, 120)


async def test_a_suspended_customers_calls_get_no_more_and_are_settled(store: Store) -> None:
    somebody, account = await customer(store, 1_000)
    async with store.write() as t:
        held = await reserve(t, somebody, uuid4(), 60, 60)
        assert held is not None
        await rows.update(t, customers, somebody, {"suspended": True})
    async with store.write() as t:
        more = await extend(t, held, 60)
        assert more is not None and more.seconds == 60
        await settle(t, more, 60)
    assert await money(store, account) == (940, 0)


async def test_calls_that_ask_together_share_what_is_there(store: Store) -> None:
    somebody, account = await customer(store, 100)
    orders = [Reserve(id=uuid4(), customer_id=somebody, call_id=uuid4(), rate=60, seconds=60) for _ in range(4)]
    async with store.write() as t:
        posted = await post(t, orders)
    assert [found and found.seconds for found in posted] == [25, 25, 25, 25]
    async with store.write() as t:  # one settles: what it leaves goes to those that stand in the same queue
        first, *others = (found for found in posted if found is not None)
        holds: list[Order] = [Hold(found.id, account, 85) for found in others]
        *held, settled = await post(t, [*holds, Settle(first.id, account, 4)])
    assert settled is not None and settled.amount == 4
    assert [found and found.seconds for found in held] == [32, 32, 32]
    assert await money(store, account) == (96, 96)


async def test_where_there_is_not_a_second_for_each_some_get_one(store: Store) -> None:
    somebody, account = await customer(store, 250)
    orders = [
        Reserve(id=uuid4(), customer_id=somebody, call_id=uuid4(), rate=6_000, seconds=60) for _ in range(4)
    ]  # 100 a second
    async with store.write() as t:
        posted = await post(t, orders)
    assert sorted(found.seconds if found else 0 for found in posted) == [0, 0, 1, 1]
    assert await money(store, account) == (250, 200)


async def test_an_order_whose_reservation_nobody_is_sure_of_is_settled_all_the_same(store: Store) -> None:
    somebody, account = await customer(store, 100)
    async with store.write() as t:
        held = await reserve(t, somebody, uuid4(), 60, 60)
        assert held is not None
        assert await post(t, [Settle(held.id, NIL, 0), Settle(uuid4(), NIL, 0)]) == [
            Posted(held.id, account, 0, 0),
            None,
        ]
    assert await money(store, account) == (100, 0)


async def test_what_dead_nodes_left_is_charged_up_to_their_last_sign_of_life(store: Store) -> None:
    somebody, account = await customer(store, 10_000)
    dead, alive = uuid4(), uuid4()
    async with store.write() as t:
        for node in (dead, alive):
            seen = T0 + timedelta(seconds=30.5)
            await t.execute(sa.insert(nodes), {"id": node, "name": "n", "tm_create": T0, "tm_seen": seen})
        talking, late, ringing, running = [
            Reserve(id=uuid4(), customer_id=somebody, call_id=uuid4(), rate=60, seconds=60, node_id=node)
            for node in (dead, dead, dead, alive)
        ]
        await post(t, [talking, late, ringing, running])
        await post(
            t,
            [
                Hold(talking.id, account, tm_answer=T0),  # 30.5 s
                Hold(late.id, account, tm_answer=T0 - timedelta(hours=1)),  # more than it held: all of it
                Hold(running.id, account, tm_answer=T0),
            ],
        )
    async with store.write() as t:
        assert await settle_dead(t, [dead]) == 3
    assert await money(store, account) == (10_000 - 31 - 60, 60)
    async with store.write() as t:
        assert await settle_dead(t, [dead]) == 0
    async with store.read() as connection:
        left = (await connection.execute(sa.select(reservations.c.id))).scalars().all()
    assert list(left) == [running.id]


# ---- all at once


@pytest.mark.long
async def test_500_calls_and_purchases_at_once_never_spend_what_is_not_there(store: Store) -> None:
    somebody, account = await customer(store, 10_000)
    enough, refused = 0, 0

    async def write(work: Callable[[Transaction], Awaitable[T]]) -> T:
        # 500 wait for ten connections, and all for one row: a slow machine may take longer than a request waits. Who
        # is told that the store is busy has changed nothing, and asks again.
        while True:
            with suppress(StoreBusy):
                async with store.write() as t:
                    return await work(t)

    async def buy(number: int) -> None:
        nonlocal enough, refused
        try:
            await write(lambda t: purchase(t, somebody, 30 + number % 7, uuid4()))
            enough += 1
        except InsufficientBalance:
            refused += 1

    async def call(number: int) -> None:
        nonlocal enough, refused
        held = await write(lambda t: reserve(t, somebody, uuid4(), 60 + number % 11, 60))
        if held is None:
            refused += 1
            return
        enough += 1
        more = await write(lambda t: extend(t, held, 60))
        assert more is not None
        assert await write(lambda t: settle(t, more, number % 120)) is not None

    await asyncio.gather(*(call(number) if number % 2 else buy(number) for number in range(500)))
    assert enough + refused == 500
    assert refused, "the balance was larger than all that was asked of it: nothing was tried"
    while (await money(store, account))[0] >= 200:
        await buy(0)  # what the last calls gave back, when nobody asked for it any more
    balance, reserved = await money(store, account)
    assert reserved == 0 and 0 <= balance < 200
