"""Calls that cost, on a clock that the test moves."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
import structlog
from sqlalchemy.exc import IntegrityError, OperationalError
from structlog.testing import capture_logs

from routing.identifiers import NIL
from service.billing import charging as charging_module
from service.billing import write_queue
from service.billing.charging import Charging, Reservation
from store import rows
from store.database.errors import StoreBusy
from store.database.tables import billing_accounts, customers, ledger, nodes, reservations
from store.resources.billing import open_account, top_up
from store.resources.reservations import post, settle_dead
from store.store import Store

A_SECOND = 100  # what one costs at RATE
RATE = 60 * A_SECOND
NODE = uuid4()


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A store, charging on it, and time."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = Clock()
        self.charging = Charging(store, NODE, structlog.get_logger(), self.clock, max_delay=0)
        self.ended: list[tuple[str, float]] = []

    async def customer(self, balance: int) -> UUID:
        async with self.store.write() as t:
            row = await rows.insert(t, customers, {"name": "somebody"})
            account = await open_account(t, row["id"])
            if balance:
                await top_up(t, account["id"], balance)
        identifier: UUID = row["id"]
        return identifier

    async def call(self, customer_id: UUID, name: str = "call", rate: int = RATE) -> Reservation:
        """A call that is answered now, and hangs up when the credit is used up."""
        reservation = await self.charging.reserve(customer_id, uuid4(), rate)
        assert reservation is not None

        def exhausted() -> None:
            self.ended.append((name, self.clock.now - 1_000))
            reservation.close()

        reservation.answered(exhausted)
        return reservation

    async def until(self, second: float) -> None:
        """Let time go on, stopping wherever something is due; the store has done everything by then."""
        end = 1_000 + second
        await self.charging.writer.flush()
        while (due := self.charging.deadlines.next()) <= end:
            self.clock.now = max(self.clock.now, due)
            self.charging.tick()
            await self.charging.writer.flush()
        self.clock.now = end

    async def money(self, customer_id: UUID) -> tuple[int, int]:
        async with self.store.read() as connection:
            query = sa.select(billing_accounts).where(billing_accounts.c.customer_id == customer_id)
            account = (await connection.execute(query)).mappings().one()
            sums = sa.select(sa.func.coalesce(sa.func.sum(ledger.c.amount), 0))
            total = (await connection.execute(sums.where(ledger.c.account_id == account["id"]))).scalar_one()
        assert total == account["balance"]
        return account["balance"], account["reserved"]

    async def held(self) -> list[Any]:
        async with self.store.read() as connection:
            return list((await connection.execute(sa.select(reservations))).all())


@pytest.fixture
async def bench(store_url: str) -> AsyncIterator[Bench]:
    store = await Store.open(store_url)
    made = Bench(store)
    made.charging.start()
    yield made
    await made.charging.close()
    await store.close()


async def test_a_call_pays_for_the_seconds_that_have_begun(bench: Bench) -> None:
    somebody = await bench.customer(1_000_000)
    reservation = await bench.call(somebody)
    assert await bench.money(somebody) == (1_000_000, 60 * A_SECOND)
    await bench.until(37.2)
    reservation.close()
    await bench.charging.writer.flush()
    assert await bench.money(somebody) == (1_000_000 - 38 * A_SECOND, 0)
    assert not await bench.held() and not len(bench.charging) and not bench.ended


async def test_a_whole_second_is_not_made_two_by_the_clocks_fractions(bench: Bench) -> None:
    somebody = await bench.customer(1_000_000)
    bench.clock.now = 1.4
    reservation = await bench.call(somebody)
    bench.clock.now = 4.4
    assert bench.clock.now - 1.4 > 3
    reservation.close()
    await bench.charging.writer.flush()
    assert await bench.money(somebody) == (1_000_000 - 3 * A_SECOND, 0)


async def test_a_call_that_is_not_answered_costs_nothing(bench: Bench) -> None:
    somebody = await bench.customer(1_000_000)
    reservation = await bench.charging.reserve(somebody, uuid4(), RATE)
    assert reservation is not None
    await bench.until(500)
    reservation.close()
    reservation.close()
    await bench.charging.writer.flush()
    assert await bench.money(somebody) == (1_000_000, 0)
    assert not await bench.held()


async def test_a_long_call_is_extended_before_its_block_is_used_up(bench: Bench) -> None:
    somebody = await bench.customer(1_000_000)
    reservation = await bench.call(somebody)
    await bench.until(49.9)
    assert reservation.paid == 60
    await bench.until(50)
    assert reservation.paid == 120
    await bench.until(3_600)
    reservation.close()
    await bench.charging.writer.flush()
    assert await bench.money(somebody) == (1_000_000 - 3_600 * A_SECOND, 0)
    assert not bench.ended


@pytest.mark.parametrize("seconds", [1, 9, 60, 61, 95, 123])
async def test_the_call_ends_in_the_second_in_which_the_credit_ends(bench: Bench, seconds: int) -> None:
    somebody = await bench.customer(seconds * A_SECOND + A_SECOND - 1)
    await bench.call(somebody)
    await bench.until(seconds - 0.001)
    assert not bench.ended
    await bench.until(10_000)
    assert bench.ended == [("call", float(seconds))]
    assert await bench.money(somebody) == (A_SECOND - 1, 0)


async def test_a_top_up_saves_a_call_whose_credit_is_ending(bench: Bench) -> None:
    somebody = await bench.customer(60 * A_SECOND)
    await bench.call(somebody)
    await bench.until(56)
    async with bench.store.write() as t:
        account = (await t.execute(sa.select(billing_accounts.c.id))).scalar_one()
        await top_up(t, account, 40 * A_SECOND)
    await bench.until(1_000)
    assert bench.ended == [("call", 100.0)]


async def test_calls_on_one_account_share_it(bench: Bench) -> None:
    somebody = await bench.customer(400 * A_SECOND)
    for number in range(4):
        await bench.call(somebody, str(number))
    await bench.until(1_000)
    assert sorted(name for name, _ in bench.ended) == ["0", "1", "2", "3"]
    assert {at for _, at in bench.ended} == {100.0}
    assert await bench.money(somebody) == (0, 0)


async def test_what_one_call_leaves_another_uses(bench: Bench) -> None:
    somebody = await bench.customer(120 * A_SECOND)
    first = await bench.call(somebody, "first")
    await bench.call(somebody, "second")
    await bench.until(55)
    first.close()
    await bench.until(1_000)
    assert bench.ended == [("second", 65.0)]
    assert await bench.money(somebody) == (0, 0)


async def test_who_cannot_pay_calls_nobody(bench: Bench) -> None:
    poor = await bench.customer(A_SECOND - 1)
    assert await bench.charging.reserve(poor, uuid4(), RATE) is None
    assert await bench.charging.reserve(uuid4(), uuid4(), RATE) is None  # no account
    suspended = await bench.customer(1_000_000)
    async with bench.store.write() as t:
        await rows.update(t, customers, suspended, {"suspended": True})
    assert await bench.charging.reserve(suspended, uuid4(), RATE) is None
    assert not len(bench.charging)


async def test_the_platform_and_free_routes_cost_nothing(bench: Bench) -> None:
    assert not bench.charging.rated(NIL) and bench.charging.rated(uuid4())
    for customer_id, rate in ((NIL, RATE), (uuid4(), 0)):
        reservation = await bench.charging.reserve(customer_id, uuid4(), rate)
        assert reservation is not None
        reservation.answered(lambda: bench.ended.append(("free", 0.0)))
        await bench.until(100_000)
        reservation.close()
    assert bench.charging.writer.transactions == 0 and not bench.ended


async def test_a_caller_that_gives_up_while_credit_is_reserved_gets_it_back(bench: Bench) -> None:
    somebody = await bench.customer(1_000_000)
    async with bench.store.write() as t:  # the writer is busy
        waiting = asyncio.create_task(bench.charging.reserve(somebody, uuid4(), RATE))
        await asyncio.sleep(0)
        queued = asyncio.create_task(bench.charging.reserve(somebody, uuid4(), RATE))
        await t.execute(sa.select(1))
        waiting.cancel()
        queued.cancel()
    await asyncio.wait((waiting, queued))
    await bench.charging.writer.flush()
    assert waiting.cancelled() and queued.cancelled()
    assert await bench.money(somebody) == (1_000_000, 0)
    assert not await bench.held() and not len(bench.charging)


async def test_calls_at_once_share_their_transactions(bench: Bench) -> None:
    somebody = await bench.customer(10**9)
    calls = await asyncio.gather(*(bench.call(somebody, str(number)) for number in range(300)))
    await bench.until(30)
    for reservation in calls:
        reservation.close()
    await bench.charging.writer.flush()
    assert await bench.money(somebody) == (10**9 - 300 * 30 * A_SECOND, 0)
    assert bench.charging.writer.transactions < 30  # 900 orders


async def test_closing_settles_the_calls_that_still_run(bench: Bench) -> None:
    somebody = await bench.customer(1_000_000)
    await bench.call(somebody)
    await bench.charging.reserve(somebody, uuid4(), RATE)
    await bench.until(12)
    await bench.charging.close()
    assert await bench.money(somebody) == (1_000_000 - 12 * A_SECOND, 0)
    with pytest.raises(StoreBusy):
        await bench.charging.reserve(somebody, uuid4(), RATE)


async def test_what_a_crash_leaves_is_settled_at_the_next_start(bench: Bench) -> None:
    somebody = await bench.customer(1_000_000)
    await bench.call(somebody)
    await bench.charging.reserve(somebody, uuid4(), RATE)
    await bench.charging.writer.flush()
    (answered,) = [row for row in await bench.held() if row.tm_answer is not None]
    async with bench.store.write() as t:  # its last heartbeat came 0 s after the answer: the clock of a dead process
        values = {"id": NODE, "name": "n", "tm_create": answered.tm_answer, "tm_seen": answered.tm_answer}
        await t.execute(sa.insert(nodes), values)
        assert await settle_dead(t, [NODE]) == 2
    assert await bench.money(somebody) == (1_000_000, 0)
    await bench.until(1_000)  # and where the process lives after all, the call ends with what it had paid
    assert bench.ended == [("call", 60.0)]
    assert await bench.money(somebody) == (1_000_000, 0)


# ---- a store that fails


class Failing:
    """The writer's way to the store, cut or not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.error: Exception | None = None
        self.failures = 0
        self.again = asyncio.Event()

        async def failing(transaction: Any, orders: Any) -> Any:
            if self.error is not None:
                self.failures += 1
                if self.failures > 1:
                    self.again.set()
                raise self.error
            return await post(transaction, orders)

        monkeypatch.setattr("service.billing.write_queue.post", failing)
        monkeypatch.setattr(write_queue, "FIRST_PAUSE", 0.001)
        monkeypatch.setattr(write_queue, "LONGEST_PAUSE", 0.001)

    async def is_noticed(self) -> None:
        """Until the store has failed and is tried again."""
        async with asyncio.timeout(30):
            await self.again.wait()


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Failing:
    return Failing(monkeypatch)


def cut() -> OperationalError:
    return OperationalError("SELECT 1", {}, Exception("disk I/O error"))


async def move(bench: Bench, second: float) -> None:
    bench.clock.now = 1_000 + second
    bench.charging.tick()


async def test_a_call_goes_on_while_the_store_is_away_for_a_moment(bench: Bench, failing: Failing) -> None:
    somebody = await bench.customer(1_000_000)
    reservation = await bench.call(somebody)
    await bench.charging.writer.flush()
    failing.error = cut()
    with capture_logs() as logs:
        await move(bench, 50)
        await failing.is_noticed()
        await move(bench, 60)  # paid time is over
        await move(bench, 69)
        assert not bench.ended
        failing.error = None
        await bench.charging.writer.flush()
    assert reservation.paid == 120
    assert [line["event"] for line in logs if line["log_level"] in ("warning", "error")] == [
        "reservations not stored: no paid call begins",
        "the store does not answer: a call goes on unpaid for a while",
    ]
    await bench.until(75)
    reservation.close()
    await bench.charging.writer.flush()
    assert not bench.ended
    assert await bench.money(somebody) == (1_000_000 - 75 * A_SECOND, 0)


async def test_a_call_ends_when_the_store_stays_away(bench: Bench, failing: Failing) -> None:
    somebody = await bench.customer(1_000_000)
    await bench.call(somebody)
    await bench.charging.writer.flush()
    failing.error = cut()
    await move(bench, 50)
    await move(bench, 60)
    await move(bench, 69.9)
    assert not bench.ended
    await move(bench, 70)
    assert bench.ended == [("call", 70.0)]
    failing.error = None
    await bench.charging.writer.flush()
    # What it had reserved, and no more: the grace is given away. Nobody has told whether the next block was made.
    assert await bench.money(somebody) == (1_000_000 - 60 * A_SECOND, 0)


async def test_no_paid_call_begins_while_the_store_is_away(bench: Bench, failing: Failing) -> None:
    somebody = await bench.customer(1_000_000)
    failing.error = cut()
    for _ in range(2):  # the second is not even asked for
        with pytest.raises(StoreBusy):
            await bench.charging.reserve(somebody, uuid4(), RATE)
        assert bench.charging.writer.failing
    assert not len(bench.charging)
    assert len(bench.charging.writer) <= 1
    failing.error = None
    await bench.charging.writer.flush()
    assert (await bench.call(somebody)).paid == 60
    assert len(bench.charging) == 1


async def test_a_reservation_that_was_made_though_nobody_said_so_is_given_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    somebody = await bench.customer(1_000_000)
    carried = bench.charging.writer._carry
    lost = True

    async def carry(batch: Any) -> Any:
        nonlocal lost
        posted = await carried(batch)
        if lost:
            lost = False
            raise ConnectionResetError("after the commit")
        return posted

    monkeypatch.setattr(bench.charging.writer, "_carry", carry)
    with pytest.raises(StoreBusy):
        await bench.charging.reserve(somebody, uuid4(), RATE)
    await bench.charging.writer.flush()
    assert await bench.money(somebody) == (1_000_000, 0)
    assert not await bench.held()


async def test_a_store_that_is_too_slow_lets_no_paid_call_begin(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    somebody = await bench.customer(1_000_000)
    monkeypatch.setattr(charging_module, "ANSWER_WITHIN", 0.05)
    async with bench.store.write() as t:
        await t.execute(sa.select(billing_accounts).with_for_update())
        with pytest.raises(StoreBusy):
            await bench.charging.reserve(somebody, uuid4(), RATE)
    await bench.charging.writer.flush()
    assert await bench.money(somebody) == (1_000_000, 0)
    assert not await bench.held()


async def test_an_order_that_is_refused_for_good_does_not_hold_up_the_others(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    somebody = await bench.customer(1_000_000)
    poison = uuid4()

    async def refusing(transaction: Any, orders: Any) -> Any:
        if any(getattr(order, "call_id", None) == poison for order in orders):
            raise IntegrityError("INSERT", {}, Exception("a CHECK"))
        return await post(transaction, orders)

    monkeypatch.setattr("service.billing.write_queue.post", refusing)
    with capture_logs() as logs:
        found = await asyncio.gather(
            *(bench.charging.reserve(somebody, poison if number == 7 else uuid4(), RATE) for number in range(20)),
            return_exceptions=True,
        )
    assert [number for number, made in enumerate(found) if not isinstance(made, Reservation)] == [7]
    assert isinstance(found[7], StoreBusy)
    assert [line["event"] for line in logs] == ["reservation refused by the store"]
    assert not bench.charging.writer.failing


async def test_what_cannot_be_settled_before_the_end_is_said(
    bench: Bench, failing: Failing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(charging_module, "CLOSE_WITHIN", 0.05)
    somebody = await bench.customer(1_000_000)
    await bench.call(somebody)
    await bench.charging.writer.flush()
    failing.error = cut()
    with capture_logs() as logs:
        await bench.charging.close()
    assert logs[-1] == {
        "event": "calls not settled: the next start does it",
        "log_level": "error",
        "calls": 1,
    }
    assert len(await bench.held()) == 1


# ---- all at once


async def test_500_calls_on_one_account_end_with_the_credit_and_not_a_second_before(bench: Bench) -> None:
    credit = 500 * 90 * A_SECOND
    somebody = await bench.customer(credit)
    await asyncio.gather(*(bench.call(somebody, str(number)) for number in range(500)))
    await bench.until(10_000)
    assert len(bench.ended) == 500
    assert sum(at for _, at in bench.ended) == 500 * 90  # every second that was paid was talked, and no other
    assert {at for _, at in bench.ended} == {90.0}
    assert await bench.money(somebody) == (0, 0)
    assert not await bench.held()
