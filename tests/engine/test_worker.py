"""A background loop: when its turns come, what it outlives, and how it ends."""

import asyncio

import pytest

from engine.worker import WOKEN, Worker

MOMENT = 0.01


class Work:
    """Counts its turns; raises what it is told to, and wakes its worker again while it has `more` to do."""

    def __init__(self, error: Exception | None = None, more: int = 0) -> None:
        self.turns = 0
        self.error = error
        self.more = more
        self.turned = asyncio.Event()
        self.worker: Worker | None = None

    async def __call__(self) -> None:
        self.turns += 1
        self.turned.set()
        if self.more and self.worker is not None:
            self.more -= 1
            self.worker.wake()
            await asyncio.sleep(0)
        if self.error is not None:
            raise self.error

    async def turn(self) -> None:
        self.turned.clear()
        async with asyncio.timeout(5):
            await self.turned.wait()


async def test_turns_come_by_the_clock_and_when_it_is_woken() -> None:
    work = Work()
    worker = Worker("test", work, every=MOMENT)
    worker.start()
    await work.turn()
    await work.turn()
    await worker.close()
    assert not worker.running

    work = Work()
    worker = Worker("test", work, first=WOKEN)
    worker.start()
    await asyncio.sleep(MOMENT)
    assert work.turns == 0
    worker.wake()
    await work.turn()
    assert not worker.woken
    await worker.close()
    assert work.turns == 1


async def test_what_it_outlives_delays_the_next_turn_and_no_wake_shortens_that() -> None:
    work, seen = Work(OSError("gone")), []

    def failed(error: Exception) -> float:
        seen.append(error)
        return MOMENT

    worker = Worker("test", work, failed=failed)
    worker.start()
    await work.turn()
    worker.wake()
    await asyncio.sleep(0)
    assert work.turns == 1
    work.error = None
    await work.turn()
    await worker.close()
    assert [str(error) for error in seen] == ["gone"]


async def test_a_fault_without_a_handler_ends_the_worker() -> None:
    worker = Worker("test", Work(ValueError("ours")))
    worker.start()
    task = worker._task
    assert task is not None
    with pytest.raises(ValueError, match="ours"):
        await task
    await worker.close()


@pytest.mark.parametrize(("more", "within", "turns"), [(3, 5.0, 4), (1_000_000, MOMENT, None)])
async def test_closing_lets_the_work_come_to_its_end_for_so_long(more: int, within: float, turns: int | None) -> None:
    work = Work(more=more)
    worker = work.worker = Worker("test", work)
    worker.start()
    await worker.close(within)
    assert work.turns == turns if turns is not None else work.more > 0
