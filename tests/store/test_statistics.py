"""A provider's figures: by hand, at the edges, and against a slow and plain reckoning of random attempts."""

import random
from collections import Counter
from typing import Any
from uuid import UUID

import pytest

from store.resources.calls import save
from store.resources.statistics import ProviderStatistics, percentile, provider_statistics
from store.store import Store
from tests.store.stored_calls import NOW, attempt, opened, seconds

OURS, OTHER = UUID(int=21), UUID(int=22)


async def figures(store: Store, *tries: dict[str, Any], **window: Any) -> ProviderStatistics:
    async with store.write() as transaction:
        await save(transaction, [], tries)
    return await provider_statistics(store, OURS, **{"until": NOW + seconds(1)} | window)


def ended(kind: str, status: int = 0, rang: int | None = None, **values: Any) -> dict[str, Any]:
    return attempt(OURS, kind=kind, status=status, first_reply_ms=rang, talk_ms=None, **values)


async def test_figures_of_a_few_attempts(store_url: str) -> None:
    async with opened(store_url) as store:
        found = await figures(
            store,
            attempt(OURS, first_reply_ms=700, start_ms=200, talk_ms=60_000),
            attempt(OURS, first_reply_ms=900, talk_ms=30_500),
            ended("refused", 486, 1_000),
            ended("refused", 503),
            ended("no_reply"),
            ended("skipped", start_ms=None, skipped="max_channels"),
            ended("skipped", start_ms=None, skipped="max_channels"),
            ended("skipped", start_ms=None, skipped="unhealthy"),
            attempt(OTHER),
        )
    assert found == ProviderStatistics(
        provider_id=OURS,
        since=NOW - seconds(24 * 3600 - 1),
        until=NOW + seconds(1),
        attempts=5,
        answered=2,
        answer_seizure_ratio=0.4,
        network_effectiveness_ratio=0.6,  # two answers and one who was busy
        average_call_duration=45.25,
        post_dial_delay={"p50": 900, "p95": 1_000, "p99": 1_000},
        codes={"200": 2, "486": 1, "503": 1},
        outcomes={"answered": 2, "no_reply": 1, "refused": 2},
        skipped={"max_channels": 2, "unhealthy": 1},
    )


async def test_a_provider_without_attempts_has_no_ratios(store_url: str) -> None:
    async with opened(store_url) as store:
        found = await figures(store, attempt(OTHER))
        assert (found.attempts, found.answer_seizure_ratio, found.network_effectiveness_ratio) == (0, None, None)
        assert found.average_call_duration is None
        assert found.post_dial_delay == {"p50": None, "p95": None, "p99": None}
        found = await figures(store, ended("unreachable"))
        assert (found.attempts, found.answer_seizure_ratio, found.average_call_duration) == (1, 0.0, None)


@pytest.mark.parametrize(
    ("kind", "status", "rang", "effective"),
    [
        ("answered", 200, 300, True),
        ("refused", 486, None, True),  # user busy
        ("refused", 600, None, True),
        ("refused", 480, None, True),  # no answer
        ("refused", 408, None, True),
        ("refused", 603, None, True),  # rejected by who was called
        ("refused", 607, None, True),
        ("ring_timeout", 0, 300, True),
        ("ring_timeout", 480, 300, True),
        ("cancelled", 487, 300, True),  # it rang, and the caller had enough
        ("cancelled", 0, None, False),
        ("refused", 404, None, False),  # no such number
        ("refused", 403, None, False),
        ("refused", 500, 300, False),
        ("refused", 503, None, False),
        ("no_reply", 408, None, False),  # the status is ours, for want of any
        ("no_progress", 408, None, False),
        ("unreachable", 0, None, False),
    ],
)
async def test_what_counts_as_effective(
    tmp_path: Any, kind: str, status: int, rang: int | None, effective: bool
) -> None:
    async with opened(f"sqlite:///{tmp_path}/a.db") as store:
        found = await figures(store, ended(kind, status, rang))
    assert found.network_effectiveness_ratio == float(effective)


async def test_the_window_begins_with_its_first_moment_and_ends_before_its_last(store_url: str) -> None:
    async with opened(store_url) as store:
        tries = [attempt(OURS, tm_create=NOW + seconds(number)) for number in range(5)]
        found = await figures(store, *tries, since=NOW + seconds(1), until=NOW + seconds(4))
        assert found.attempts == 3
        found = await provider_statistics(store, OURS)  # until now
        assert (found.attempts, found.since, found.until) == (0, NOW - seconds(24 * 3600), NOW)
        found = await provider_statistics(store, OURS, since=NOW, until=NOW + seconds(1))
        assert found.attempts == 1


async def test_random_attempts_are_counted_as_plain_python_counts_them(store_url: str) -> None:
    chance = random.Random(5)
    tries = []
    for _ in range(3_000):
        kind = chance.choice(["answered", "answered", "refused", "no_reply", "cancelled", "ring_timeout"])
        status = {"answered": 200, "refused": chance.choice([404, 486, 500, 503, 603])}.get(kind, 0)
        rang = None if kind == "no_reply" else chance.randrange(5_000)
        talked = chance.randrange(300_000) if kind == "answered" else None
        values = {"kind": kind, "status": status, "start_ms": 0, "first_reply_ms": rang, "talk_ms": talked}
        tries.append(attempt(chance.choice([OURS, OURS, OTHER]), **values))
    async with opened(store_url) as store:
        found = await figures(store, *tries)
    ours = [row for row in tries if row["provider_id"] == OURS]
    answered = [row for row in ours if row["kind"] == "answered"]
    delays = sorted(row["first_reply_ms"] for row in ours if row["first_reply_ms"] is not None)
    effective = [
        row
        for row in ours
        if row["kind"] in ("answered", "ring_timeout", "cancelled") or row["status"] in (486, 603)
    ]  # fmt: skip
    assert found.attempts == len(ours)
    assert found.answered == len(answered)
    assert found.answer_seizure_ratio == len(answered) / len(ours)
    assert found.network_effectiveness_ratio == len(effective) / len(ours)
    assert found.average_call_duration == sum(row["talk_ms"] for row in answered) / len(answered) / 1000
    assert found.outcomes == Counter(row["kind"] for row in ours)
    assert found.codes == Counter(str(row["status"]) for row in ours if row["status"])
    for percent in (50, 95, 99):
        below = [delay for delay in delays if delay <= (found.post_dial_delay[f"p{percent}"] or 0)]
        assert len(below) >= len(delays) * percent / 100 > len(below) - below.count(below[-1])


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([], 50, None),
        ([7], 50, 7),
        ([7], 99, 7),
        ([1, 2], 50, 1),
        ([1, 2, 3], 50, 2),
        (range(1, 101), 95, 95),
        (range(1, 101), 99, 99),
        (range(1, 201), 99, 198),
        ([5] * 99 + [9], 99, 5),
        ([5] * 98 + [9] * 2, 99, 9),
    ],
)
def test_percentiles_are_of_the_nearest_rank(values: Any, percent: int, expected: int | None) -> None:
    assert percentile(Counter(values), percent) == expected
