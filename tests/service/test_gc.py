"""Python's cycle collector stands still under load and runs while nobody is on the phone."""

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from service.workers import gc as module
from service.workers.gc import GarbageCollection


class Silent:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def debug(self, event: str, **values: object) -> None:
        self.lines.append(event)

    info = warning = error = debug


class Circle:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """What the test run has imported is frozen (tests/conftest.py), and has to be again: every `gc.collect` of the
    hundreds of tests that come after would take a quarter of a second."""
    yield
    gc.enable()
    gc.freeze()


def circle() -> "weakref.ref[Circle]":
    return weakref.ref(Circle())


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def run(calls: set[int], monkeypatch: pytest.MonkeyPatch, most: int = 10**9) -> tuple[bool, list[str]]:
    """Whether a circle is gone after the collector has had its turn, and what was logged."""
    monkeypatch.setattr(module, "EVERY", 0.0)
    monkeypatch.setattr(module, "MOST", most)
    log = Silent()

    async def scene() -> bool:
        collector = GarbageCollection(calls, log)
        collector.start()
        assert not gc.isenabled()
        left = circle()
        await turns()
        await collector.close()
        assert gc.isenabled() and not gc.get_freeze_count()
        return left() is None

    return asyncio.run(scene()), log.lines


def test_circles_are_found_while_nobody_is_on_the_phone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(set(), monkeypatch) == (True, [])


def test_nothing_is_looked_for_while_calls_are_up(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run({1}, monkeypatch) == (False, [])


def test_an_engine_that_is_never_idle_does_not_grow_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    gone, lines = run({1}, monkeypatch, most=-1)
    assert gone and "expect a pause" in lines[0]


def test_what_is_kept_is_not_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        collector = GarbageCollection(set(), Silent())
        frozen = gc.get_freeze_count()
        collector.keep()
        assert gc.get_freeze_count() == frozen  # it has not begun
        collector.start()
        before = gc.get_freeze_count()
        directory = [[number] for number in range(1_000)]
        collector.keep()
        assert gc.get_freeze_count() >= before + len(directory)
        await collector.close()
        assert not gc.get_freeze_count()

    asyncio.run(scene())
