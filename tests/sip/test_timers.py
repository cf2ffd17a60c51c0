"""Deadlines: one heap for everything that waits (order, postponing, lazy deletion, compaction, wake)."""

import random

import pytest

from engine.sip.transaction import timers
from engine.sip.transaction.timers import NEVER, Deadlines


class Sleeper:
    """Waits, and notes when it was woken."""

    def __init__(self, name: str = "", log: list[str] | None = None) -> None:
        self.deadline = self.queued = NEVER
        self.name = name
        self.log = log if log is not None else []
        self.woken: list[float] = []

    def on_deadline(self, now: float) -> None:
        self.woken.append(now)
        self.log.append(self.name)


def test_what_is_due_runs_in_order_and_nothing_else() -> None:
    deadlines, log = Deadlines(), []  # type: ignore[var-annotated]
    for name, when in (("c", 3.0), ("a", 1.0), ("d", 4.0), ("b", 2.0)):
        deadlines.set(Sleeper(name, log), when)
    assert deadlines.next() == 1.0
    deadlines.run(0.999)
    assert log == []
    deadlines.run(3.0)
    assert log == ["a", "b", "c"]
    assert (deadlines.next(), len(deadlines)) == (4.0, 1)
    deadlines.run(10.0)
    assert log == ["a", "b", "c", "d"]
    assert (deadlines.next(), len(deadlines)) == (NEVER, 0)


def test_equal_deadlines_run_in_the_order_they_were_set() -> None:
    deadlines, log = Deadlines(), []  # type: ignore[var-annotated]
    for name in "abcdef":
        deadlines.set(Sleeper(name, log), 1.0)
    deadlines.run(1.0)
    assert "".join(log) == "abcdef"


def test_a_deadline_runs_once() -> None:
    deadlines, sleeper = Deadlines(), Sleeper()
    deadlines.set(sleeper, 1.0)
    deadlines.run(1.0)
    deadlines.run(2.0)
    assert sleeper.woken == [1.0]
    assert (sleeper.deadline, sleeper.queued) == (NEVER, NEVER)


def test_the_last_setting_counts_later_or_earlier() -> None:
    deadlines, sleeper = Deadlines(), Sleeper()
    deadlines.set(sleeper, 5.0)
    deadlines.set(sleeper, 9.0)
    assert len(deadlines.heap) == 1  # postponing pushes nothing
    deadlines.run(8.0)
    assert sleeper.woken == []
    deadlines.set(sleeper, 8.5)
    assert len(deadlines) == 1
    deadlines.run(8.5)
    assert sleeper.woken == [8.5]
    deadlines.run(20.0)
    assert sleeper.woken == [8.5]


def test_a_deadline_set_from_within_its_own_run_counts() -> None:
    deadlines = Deadlines()

    class Repeater(Sleeper):
        def on_deadline(self, now: float) -> None:
            super().on_deadline(now)
            if len(self.woken) < 3:
                deadlines.set(self, now + 1.0)

    sleeper = Repeater()
    deadlines.set(sleeper, 1.0)
    for now in (1.0, 2.0, 3.0, 4.0, 5.0):
        deadlines.run(now)
    assert sleeper.woken == [1.0, 2.0, 3.0]


def test_cleared_is_never_woken_and_can_be_set_again() -> None:
    deadlines, sleeper = Deadlines(), Sleeper()
    deadlines.set(sleeper, 1.0)
    deadlines.clear(sleeper)
    assert len(deadlines) == 0
    deadlines.set(sleeper, 5.0)
    deadlines.run(2.0)
    assert (sleeper.woken, deadlines.next()) == ([], 5.0)
    deadlines.run(5.0)
    assert sleeper.woken == [5.0]
    deadlines.clear(sleeper)
    deadlines.set(sleeper, 6.0)
    deadlines.clear(sleeper)
    deadlines.run(100.0)
    assert sleeper.woken == [5.0]


def test_set_to_never_waits_for_nothing() -> None:
    deadlines, sleeper = Deadlines(), Sleeper()
    deadlines.set(sleeper, 1.0)
    deadlines.set(sleeper, NEVER)
    deadlines.run(100.0)
    assert (sleeper.woken, len(deadlines), deadlines.next()) == ([], 0, NEVER)


def test_who_is_over_does_not_stay_in_memory_until_it_would_have_been_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timers, "COMPACT_FROM", 10)
    deadlines, kept = Deadlines(), Sleeper()
    deadlines.set(kept, 7200.0)
    for _ in range(1000):
        sleeper = Sleeper()
        deadlines.set(sleeper, 3600.0)
        deadlines.clear(sleeper)
    assert len(deadlines.heap) <= 25
    deadlines.run(7200.0)
    assert kept.woken == [7200.0]


def test_compaction_changes_nothing_that_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a plain dictionary of deadlines, over thousands of random steps."""
    monkeypatch.setattr(timers, "COMPACT_FROM", 20)
    source = random.Random(4)
    deadlines, now = Deadlines(), 0.0
    sleepers = [Sleeper(str(number)) for number in range(60)]
    expected: dict[Sleeper, float] = {}
    for _ in range(5000):
        sleeper = source.choice(sleepers)
        step = source.random()
        if step < 0.45:
            when = now + source.choice([0.5, 1, 4, 32, 3600])
            deadlines.set(sleeper, when)
            expected[sleeper] = when
        elif step < 0.8:
            deadlines.clear(sleeper)
            expected.pop(sleeper, None)
        else:
            now += source.random()
            due = {one for one, when in expected.items() if when <= now}
            before = {one: len(one.woken) for one in sleepers}
            deadlines.run(now)
            assert {one for one in sleepers if len(one.woken) > before[one]} == due
            for one in due:
                del expected[one]
        assert len(deadlines) == len(expected)
        assert deadlines.next() <= min(expected.values(), default=NEVER)


def test_wake_is_called_for_what_is_due_earlier_than_everything_before() -> None:
    woken: list[float] = []
    deadlines = Deadlines(woken.append)
    first, second, third = Sleeper(), Sleeper(), Sleeper()
    deadlines.set(first, 5.0)
    deadlines.set(second, 9.0)
    deadlines.set(third, 2.0)
    deadlines.set(first, 1.0)
    deadlines.set(first, 8.0)
    assert woken == [5.0, 2.0, 1.0]


def test_a_storm_leaves_the_network_its_turn() -> None:
    deadlines, log = Deadlines(), []  # type: ignore[var-annotated]
    for number in range(50):
        deadlines.set(Sleeper(str(number), log), 1.0)
    deadlines.run(1.0, most=20)
    assert (len(log), deadlines.next()) == (20, 1.0)
    deadlines.run(1.0, most=100)
    assert len(log) == 50


def test_stopped_runs_nothing() -> None:
    deadlines, sleeper = Deadlines(), Sleeper()
    deadlines.set(sleeper, 1.0)
    deadlines.stop()
    deadlines.run(5.0)
    assert (sleeper.woken, deadlines.next()) == ([], NEVER)
