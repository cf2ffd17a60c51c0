"""Whatever is done to accounts, in whatever order: no money is made and none is lost."""

import asyncio
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from store import rows
from store.database.tables import billing_accounts, customers, ledger, reservations
from store.resources.billing import InsufficientBalance, adjust, open_account, purchase, top_up
from store.resources.reservations import Hold, Order, Posted, Reserve, Settle, paid_seconds, post, price
from store.store import Store, Transaction

amounts = st.integers(1, 5_000)
rates = st.sampled_from([1, 7, 60, 61, 1_000, 20_000])
accounts = st.integers(0, 1)
call_orders = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), accounts, rates, st.integers(1, 120)),
        st.tuples(st.just("hold"), st.integers(0, 9), st.just(0), st.integers(1, 300)),
        st.tuples(st.just("settle"), st.integers(0, 9), st.just(0), st.integers(0, 400)),
    ),
    min_size=1,
    max_size=8,
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("top_up"), accounts, amounts),
        st.tuples(st.just("adjust"), accounts, st.integers(-5_000, 5_000).filter(bool)),
        st.tuples(st.just("purchase"), accounts, amounts),
        st.tuples(st.just("calls"), accounts, call_orders),
    ),
    max_size=15,
)


@given(rate=st.integers(1, 10**9), amount=st.integers(0, 10**15), seconds=st.integers(0, 10**6))
def test_an_amount_pays_for_as_many_seconds_as_it_can(rate: int, amount: int, seconds: int) -> None:
    paid = paid_seconds(rate, amount)
    assert price(rate, paid) <= amount < price(rate, paid + 1)
    assert paid_seconds(rate, price(rate, seconds)) >= seconds


@pytest.mark.long
@given(steps=steps)
def test_the_ledger_is_the_balance_after_every_step(steps: list[tuple[str, int, object]]) -> None:
    asyncio.run(_Run().run(steps))


class _Run:
    def __init__(self) -> None:
        self.held: list[tuple[Reserve, Posted]] = []
        self.balances = [0, 0]

    async def run(self, steps: list[tuple[str, int, object]]) -> None:
        store = await Store.open(":memory:")
        try:
            async with store.write() as t:
                self.customers = [(await rows.insert(t, customers, {"name": str(n)}))["id"] for n in range(2)]
                self.accounts = [(await open_account(t, owner))["id"] for owner in self.customers]
            for what, who, value in steps:
                try:
                    async with store.write() as t:
                        await self.step(t, what, who, value)
                except InsufficientBalance as error:
                    assert error.amount > error.available
                await self.check(store)
        finally:
            await store.close()

    async def step(self, t: Transaction, what: str, who: int, value: object) -> None:
        account, owner = self.accounts[who], self.customers[who]
        if isinstance(value, list):
            await self.calls(t, value)
            return
        assert isinstance(value, int)
        if what == "top_up":
            await top_up(t, account, value)
        elif what == "adjust":
            await adjust(t, account, value)
        else:
            await purchase(t, owner, value, uuid4())
            value = -value
        self.balances[who] += value

    async def calls(self, t: Transaction, wanted: list[tuple[str, int, int, int]]) -> None:
        orders: list[Order] = []
        touched: set[UUID] = set()
        for what, which, rate, seconds in wanted:
            if what == "reserve":
                orders.append(
                    Reserve(id=uuid4(), customer_id=self.customers[which], call_id=uuid4(), rate=rate, seconds=seconds)
                )
            elif which < len(self.held) and (posted := self.held[which][1]).id not in touched:
                touched.add(posted.id)
                make = Hold if what == "hold" else Settle
                orders.append(make(posted.id, posted.account_id, seconds))
        before = {posted.id: (reserve, posted) for reserve, posted in self.held}
        for order, result in zip(orders, await post(t, orders), strict=True):
            if isinstance(order, Reserve):
                if result is not None:
                    assert result.seconds >= 1 and result.amount <= price(order.rate, order.seconds)
                    self.held.append((order, result))
                continue
            assert result is not None
            posted = result
            reserve, was = before[order.id]
            if isinstance(order, Hold):
                assert was.amount <= posted.amount <= max(was.amount, price(reserve.rate, order.seconds))
                self.held = [(r, posted if p.id == order.id else p) for r, p in self.held]
            else:
                assert posted.amount == min(price(reserve.rate, order.seconds), price(reserve.rate, was.seconds))
                self.held = [(r, p) for r, p in self.held if p.id != order.id]
                self.balances[self.accounts.index(posted.account_id)] -= posted.amount

    async def check(self, store: Store) -> None:
        async with store.read() as connection:
            for account_id, balance in zip(self.accounts, self.balances, strict=True):
                row = await rows.one(connection, billing_accounts, account_id)
                assert row is not None and row["balance"] == balance
                sums = sa.select(sa.func.coalesce(sa.func.sum(ledger.c.amount), 0)).where(
                    ledger.c.account_id == account_id
                )
                assert (await connection.execute(sums)).scalar_one() == balance
                query = sa.select(reservations.c.amount).where(reservations.c.account_id == account_id)
                amounts = (await connection.execute(query)).scalars().all()
                assert sum(amounts) == row["reserved"] <= balance
