"""FairQueue: whatever is slow is shared out among sources; the queue of one source delays that source."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from api.http.passwords import MOST_WAITING, FairQueue, TooBusy


class Slow:
    """Work that ends when it is told to."""

    def __init__(self, queue: FairQueue) -> None:
        self.queue = queue
        self.began: list[str] = []
        self.tasks: dict[str, asyncio.Task[str]] = {}
        self._ends: dict[str, asyncio.Event] = {}

    def ask(self, label: str, source: str, name: str) -> None:
        self._ends[label] = asyncio.Event()
        taking = self.queue.run(self.work(label), source=source, name=name)
        self.tasks[label] = asyncio.ensure_future(taking)

    def work(self, label: str) -> Callable[[], Coroutine[Any, Any, str]]:
        async def work() -> str:
            self.began.append(label)
            await self._ends[label].wait()
            return label

        return work

    async def end(self, label: str) -> None:
        self._ends[label].set()
        assert await self.tasks[label] == label
        await asyncio.sleep(0)

    async def one_after_the_other(self, count: int) -> list[str]:
        """The labels in the order in which they have their queue, `count` of them."""
        place = 0
        while len(self.began) < count or place < count:
            await asyncio.sleep(0)
            if place < len(self.began):
                await self.end(self.began[place])
                place += 1
        return self.began


async def test_one_address_with_many_guesses_keeps_nobody_else_waiting() -> None:
    slow = Slow(FairQueue(at_once=1))
    for number in range(20):
        slow.ask(f"wrong {number}", "192.0.2.66", "ben")
    await asyncio.sleep(0)
    slow.ask("right", "192.0.2.7", "ben")
    order = await slow.one_after_the_other(21)
    assert order.index("right") <= 1


async def test_many_addresses_that_guess_at_one_user_keep_no_other_user_waiting() -> None:
    slow = Slow(FairQueue(at_once=1))
    for number in range(200):
        slow.ask(f"wrong {number}", f"198.51.100.{number}", "ben")
    for _ in range(5):  # some have been served already
        await asyncio.sleep(0)
        await slow.end(slow.began[-1])
    slow.ask("right", "192.0.2.7", "anna")
    await slow.end(slow.began[-1])
    assert slow.began[-1] == "right"
    for task in slow.tasks.values():
        task.cancel()


async def test_sources_take_turns() -> None:
    slow = Slow(FairQueue(at_once=1))
    for source in "abc":
        for number in range(3):
            slow.ask(f"{source}{number}", source, f"user of {source}")
    order = await slow.one_after_the_other(9)
    for round_ in range(3):
        assert {label[0] for label in order[3 * round_ : 3 * round_ + 3]} == {"a", "b", "c"}


async def test_one_source_never_has_all_of_it() -> None:
    slow = Slow(FairQueue(at_once=2))
    for number in range(5):
        slow.ask(f"wrong {number}", "192.0.2.66", f"name {number}")
    await asyncio.sleep(0)
    assert slow.began == ["wrong 0"]
    slow.ask("right", "192.0.2.7", "ben")
    await asyncio.sleep(0)
    assert slow.began == ["wrong 0", "right"]
    for label in ("right", "wrong 0", "wrong 1", "wrong 2", "wrong 3", "wrong 4"):
        await slow.end(label)


async def test_so_many_at_once_and_no_more() -> None:
    slow = Slow(FairQueue(at_once=2))
    for number in range(5):
        slow.ask(str(number), f"source {number}", f"name {number}")
    await asyncio.sleep(0)
    assert slow.began == ["0", "1"]
    await slow.end("1")
    assert slow.began == ["0", "1", "2"]
    for label in ("0", "2", "3", "4"):
        await slow.end(label)


async def test_who_has_too_many_waiting_is_refused_at_once() -> None:
    slow = Slow(FairQueue(at_once=1))
    for number in range(MOST_WAITING + 1):
        slow.ask(str(number), "192.0.2.66", "ben")
    await asyncio.sleep(0)
    with pytest.raises(TooBusy) as refused:
        await slow.queue.run(slow.work("too many"), source="192.0.2.66", name="anna")
    assert refused.value.retry_after > 0
    slow.ask("another", "192.0.2.7", "ben")
    await asyncio.sleep(0)
    assert not slow.tasks["another"].done()
    await slow.one_after_the_other(MOST_WAITING + 2)


async def test_what_waits_too_long_is_refused_and_leaves_nothing_behind() -> None:
    queue = FairQueue(at_once=1, patience=0.0)
    slow = Slow(queue)
    slow.ask("first", "a", "x")
    await asyncio.sleep(0)
    with pytest.raises(TooBusy):
        await queue.run(slow.work("late"), source="b", name="y")
    await slow.end("first")
    assert queue.idle
    slow.ask("next", "b", "y")
    await asyncio.sleep(0)
    await slow.end("next")


@pytest.mark.parametrize("served", [False, True])
async def test_who_gives_up_gives_its_turn_back(served: bool) -> None:
    queue = FairQueue(at_once=1)
    slow = Slow(queue)
    slow.ask("first", "a", "x")
    slow.ask("second", "b", "y")
    slow.ask("third", "c", "z")
    await asyncio.sleep(0)
    if served:  # its turn comes in the same moment
        queue._free += 1
        queue._next()
    slow.tasks["second"].cancel()
    await asyncio.wait([slow.tasks["second"]])
    if not served:
        await slow.end("first")
    await asyncio.sleep(0)
    assert slow.began == ["first", "third"]
    await slow.end("third")
    assert queue.idle


async def test_work_that_fails_gives_its_turn_back() -> None:
    queue = FairQueue(at_once=1)

    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await queue.run(fail, source="a", name="x")
    assert queue.idle
