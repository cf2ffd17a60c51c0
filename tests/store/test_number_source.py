"""Numbers that are not in memory: asked for once, many in one query, and never waited for longer than allowed."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from routing.directory.directory import Directory
from routing.directory.number_source import NumberUnavailable
from store.database.errors import StoreError
from store.directory import number_source
from store.directory.number_source import StoredNumbers
from store.store import Store
from tests.store.feeding import BOUND, add_number, until

NUMBER, OTHER, NOBODY = "+15551234567", "+15557654321", "+15550000000"


class Asked:
    """A store with two numbers, a directory that holds none of them, and what has been asked of the store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.directory = Directory(limit=1)
        for number in ("+15559999990", "+15559999991"):
            self.directory.put_number(_number(number))  # one more than fits: it is not complete
        assert not self.directory.complete
        self.numbers = StoredNumbers(store, self.directory)
        self.queries: list[list[str]] = []
        self.held: asyncio.Event | None = None
        self.failing: Exception | None = None
        read = self.numbers._read

        async def spy(asked: list[str]) -> Any:
            self.queries.append(list(asked))
            if self.held is not None:
                await self.held.wait()
            if self.failing is not None:
                raise self.failing
            return await read(asked)

        self.numbers._read = spy  # type: ignore[method-assign]


def _number(number: str) -> Any:
    from routing.models.number import Number

    return Number(number=number)


@pytest.fixture
async def asked(store_url: str) -> AsyncIterator[Asked]:
    store = await Store.open(store_url)
    async with store.write() as transaction:
        await add_number(transaction, NUMBER, name="one")
        await add_number(transaction, OTHER, status="suspended")
    made = Asked(store)
    yield made
    await made.numbers.close()
    await store.close()


async def test_a_number_is_fetched_and_then_in_memory(asked: Asked) -> None:
    row = await asked.numbers.fetch(NUMBER)
    assert row is not None
    assert (row.number, row.name, row.status) == (NUMBER, "one", "active")
    assert asked.directory.number(NUMBER) is row
    assert await asked.numbers.fetch(NUMBER) is row
    assert asked.queries == [[NUMBER]]


async def test_a_number_that_does_not_exist_is_asked_for_once(asked: Asked) -> None:
    assert await asked.numbers.fetch(NOBODY) is None
    assert await asked.numbers.fetch(NOBODY) is None
    assert asked.queries == [[NOBODY]]


async def test_calls_that_come_together_share_their_queries(asked: Asked) -> None:
    asked.directory.limit = 10
    asked.held = asyncio.Event()
    first = [asyncio.ensure_future(asked.numbers.fetch(NUMBER)) for _ in range(50)]
    await asyncio.sleep(0)
    later = [asyncio.ensure_future(asked.numbers.fetch(number)) for number in (OTHER, NOBODY, OTHER, NUMBER)]
    await asyncio.sleep(0)
    asked.held.set()
    async with asyncio.timeout(BOUND):
        assert {row.number for row in await asyncio.gather(*first) if row} == {NUMBER}
        assert [row and row.number for row in await asyncio.gather(*later)] == [OTHER, None, OTHER, NUMBER]
    # While the first query ran, the others gathered for the second.
    assert sorted(number for query in asked.queries for number in query) == sorted([NUMBER, OTHER, NOBODY])
    assert len(asked.queries) <= 2


async def test_one_more_than_may_wait_is_refused_at_once(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(number_source, "MOST_WAITING", 3)
    asked.held = asyncio.Event()
    waiting = [asyncio.ensure_future(asked.numbers.fetch(f"+1555000010{index}")) for index in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(NumberUnavailable):
        await asked.numbers.fetch(NUMBER)
    same = asyncio.ensure_future(asked.numbers.fetch("+15550000100"))  # who asks for one of the three may wait, too
    await asyncio.sleep(0)
    asked.held.set()
    async with asyncio.timeout(BOUND):
        assert await asyncio.gather(*waiting, same) == [None] * 4
        assert await asked.numbers.fetch(NUMBER) is not None  # there is room again
    assert asked.numbers.refused == 1


async def test_a_store_that_fails_or_is_slow_leaves_the_number_unknown(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked.failing = StoreError("the store is away")
    with pytest.raises(NumberUnavailable, match="away"):
        await asked.numbers.fetch(NUMBER)
    asked.failing = None
    monkeypatch.setattr(number_source, "PATIENCE", 0.01)
    asked.held = asyncio.Event()
    with pytest.raises(NumberUnavailable):
        await asked.numbers.fetch(NUMBER)
    asked.held = None
    monkeypatch.setattr(number_source, "PATIENCE", BOUND)
    await until(lambda: not asked.numbers._waiting)
    assert await asked.numbers.fetch(NUMBER) is not None  # it was never taken for absent


async def test_a_number_that_changes_on_its_way_is_asked_for_again(asked: Asked) -> None:
    asked.held = asyncio.Event()
    fetching = asyncio.ensure_future(asked.numbers.fetch(NUMBER))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asked.directory.remove_number(NUMBER)  # news of it: what the store said before is worth nothing
    asked.held.set()
    asked.held = None
    async with asyncio.timeout(BOUND):
        assert await fetching is not None
    assert asked.queries == [[NUMBER], [NUMBER]]


async def test_who_waits_at_the_end_is_let_go(asked: Asked) -> None:
    asked.held = asyncio.Event()
    waiting = asyncio.ensure_future(asked.numbers.fetch(NUMBER))
    await asyncio.sleep(0)
    await asked.numbers.close()
    with pytest.raises(NumberUnavailable):
        await waiting
