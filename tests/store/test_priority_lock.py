"""Who writes next: in order, the urgent first, and a turn is never lost."""

import asyncio
from pathlib import Path

import pytest

from store.database import engines
from store.database.errors import StoreBusy
from store.database.priority_lock import PriorityLock
from store.store import Store
from tests.store.stored_calls import opened

BOUND = 30.0


async def settled(*tasks: "asyncio.Task[None]") -> None:
    """Until they wait for their turn."""
    for _ in range(10 * len(tasks)):
        await asyncio.sleep(0)


async def test_urgent_writes_go_before_those_that_wait(tmp_path: Path) -> None:
    order: list[str] = []

    async def write(store: Store, name: str, urgent: bool) -> None:
        async with store.write(urgent=urgent):
            order.append(name)

    async with opened(f"sqlite:///{tmp_path}/a.db") as store:
        async with store.write():
            waiting = []
            for name, urgent in (("a", False), ("b", False), ("first", True), ("c", False), ("second", True)):
                waiting.append(asyncio.create_task(write(store, name, urgent)))
                await settled(waiting[-1])
            assert order == []
        async with asyncio.timeout(BOUND):
            await asyncio.gather(*waiting)
    assert order == ["first", "second", "a", "b", "c"]


async def test_on_both_databases_urgent_is_no_more_than_that(store_url: str) -> None:
    async with opened(store_url) as store, asyncio.timeout(BOUND):
        for urgent in (True, False, True):
            async with store.write(urgent=urgent) as transaction:
                assert transaction.now


async def test_who_waits_too_long_gets_an_error_that_the_store_is_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "POOL_TIMEOUT", 0.01)
    async with opened(f"sqlite:///{tmp_path}/a.db") as store:
        async with store.write():
            with pytest.raises(StoreBusy, match=r"had no time to write within 0\.01 s"):
                async with store.write():
                    pass
        async with asyncio.timeout(BOUND), store.write():
            pass


@pytest.mark.parametrize("given_before", [True, False])
async def test_a_turn_of_one_who_gives_up_is_the_next_ones(given_before: bool) -> None:
    lock = PriorityLock()
    await lock.acquire(urgent=False, patience=BOUND)
    quitter, next_one = (asyncio.create_task(lock.acquire(urgent=False, patience=BOUND)) for _ in range(2))
    await settled(quitter, next_one)
    if given_before:
        lock.release()  # it has its turn, and does not know yet
    quitter.cancel()
    if not given_before:
        await asyncio.wait((quitter,))
        lock.release()
    async with asyncio.timeout(BOUND):
        await next_one
        lock.release()
        await lock.acquire(urgent=False, patience=BOUND)
    assert quitter.cancelled()
