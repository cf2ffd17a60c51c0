"""A directory that holds some of the numbers, and asks for the others."""

import gc
import random
from collections.abc import Callable

from routing.directory.directory import Directory
from routing.directory.number_source import ABSENT_TTL, MAX_ABSENT
from routing.directory.rows import NumberRow
from routing.directory.snapshot import SnapshotBuilder
from routing.identifiers import NIL
from routing.models.number import Number
from routing.numbers.normalise import normalise_dialled, numbers_to_look_up
from routing.settings import RoutingSettings


def row(item: int, key: int = 1) -> NumberRow:
    return NumberRow(f"+1555{item:07}", "active", NIL, NIL, NIL, NIL, key)


def held(directory: Directory) -> list[str]:
    return list(directory.numbers)


FIRST, SECOND, THIRD, FOURTH = (row(item) for item in range(4))


def test_a_directory_is_complete_until_it_is_full() -> None:
    directory = Directory(limit=3)
    for one in (FIRST, SECOND, THIRD):
        directory.put_number(one)
    directory.put_number(row(0, key=9))
    assert directory.complete and len(directory.numbers) == 3
    directory.put_number(FOURTH)
    assert not directory.complete
    assert held(directory) == [SECOND.number, THIRD.number, FOURTH.number]
    directory.remove_number(SECOND.number)
    assert not directory.complete  # one that was dropped earlier still exists


def test_a_change_through_a_function_is_bounded_too() -> None:
    directory = Directory(limit=1)
    directory.put_number(FIRST)
    directory.change_number(SECOND.number, lambda _: SECOND)
    assert held(directory) == [SECOND.number] and not directory.complete


def test_many_that_are_too_many_go_in_batches_and_never_the_newest() -> None:
    directory = Directory(limit=5000)
    for item in range(20_000):
        newest = directory.put_number(row(item))
        assert len(directory.numbers) <= 5000
        assert directory.number(newest.number) is newest
    assert len(directory.numbers) >= 4990


def test_no_limit() -> None:
    directory = Directory(limit=0)
    for item in range(2000):
        directory.put_number(row(item))
    assert directory.complete and len(directory.numbers) == 2000


def test_the_limit_is_a_million_where_none_is_given() -> None:
    assert Directory().limit == 1_000_000


def test_content_that_is_put_in_place_says_whether_it_is_complete() -> None:
    directory = Directory(limit=2)
    builder = SnapshotBuilder()
    builder.numbers([FIRST, SECOND, THIRD])
    directory.swap(builder.finish())
    assert directory.complete and len(directory.numbers) == 3
    directory.put_number(FOURTH)
    assert not directory.complete and held(directory) == [THIRD.number, FOURTH.number]
    directory.replace([FIRST], [], [])
    assert directory.complete


def partial() -> Directory:
    directory = Directory(limit=2)
    for one in (FIRST, SECOND, THIRD):
        directory.put_number(one)
    assert not directory.complete
    return directory


def test_in_a_complete_directory_what_is_not_found_is_absent() -> None:
    directory = Directory()
    directory.put_number(FIRST)
    assert not directory.known_absent(FIRST.number, 1.0)
    assert directory.known_absent(SECOND.number, 1.0)


def test_absence_is_remembered_for_five_seconds() -> None:
    directory = partial()
    assert not directory.known_absent(FIRST.number, 100.0)
    directory.remember_absent(FIRST.number, 100.0)
    assert ABSENT_TTL == 5.0
    assert directory.known_absent(FIRST.number, 100.0) and directory.known_absent(FIRST.number, 104.999)
    assert not directory.known_absent(FIRST.number, 105.0)
    directory.remember_absent(FIRST.number, 105.0)
    assert directory.known_absent(FIRST.number, 109.0)


def test_absence_is_forgotten_when_the_number_comes_and_when_all_is_asked_anew() -> None:
    directory = partial()
    for forget in (
        lambda: directory.put_number(FIRST),
        lambda: directory.change_number(FIRST.number, lambda _: FIRST),
        directory.clear_misses,
        lambda: directory.swap(SnapshotBuilder().finish(complete=False)),
    ):
        directory.remove_number(FIRST.number)
        directory.remember_absent(FIRST.number, 100.0)
        assert directory.known_absent(FIRST.number, 100.0)
        forget()
        directory.remove_number(FIRST.number)
        assert not directory.known_absent(FIRST.number, 100.0)


def test_a_number_that_is_here_is_never_absent() -> None:
    directory = partial()
    directory.remember_absent(THIRD.number, 100.0)
    assert not directory.known_absent(THIRD.number, 100.0) and len(directory.misses) == 0


def test_who_dials_at_random_does_not_grow_memory() -> None:
    directory = partial()
    for item in range(10, MAX_ABSENT + 1010):
        directory.remember_absent(row(item).number, 100.0)
    assert len(directory.misses) == MAX_ABSENT == 10_000
    assert not directory.known_absent(row(10).number, 100.0)
    assert directory.known_absent(row(MAX_ABSENT + 1009).number, 100.0)


# Fetching


def test_what_the_store_had_is_put_in_and_what_it_had_not_is_remembered() -> None:
    directory = partial()
    assert directory.end_fetch(directory.begin_fetch(FIRST.number), FIRST, 100.0)
    assert directory.number(FIRST.number) is FIRST and len(directory.numbers) == 2
    assert directory.end_fetch(directory.begin_fetch(FOURTH.number), None, 100.0)
    assert directory.known_absent(FOURTH.number, 104.0)


def test_an_answer_that_news_overtook_is_not_taken() -> None:
    newer = row(0, key=2)
    cases: tuple[tuple[Callable[[Directory], object], NumberRow | None], ...] = (
        (lambda directory: directory.put_number(newer), newer),
        (lambda directory: directory.change_number(newer.number, lambda _: newer), newer),
        (lambda directory: directory.remove_number(newer.number), None),
        (lambda directory: directory.swap(SnapshotBuilder().finish(complete=False)), None),
    )
    for news, left in cases:
        for answer in (FIRST, None):
            directory = partial()
            fetch = directory.begin_fetch(FIRST.number)
            news(directory)
            assert not directory.end_fetch(fetch, answer, 100.0)
            assert directory.number(FIRST.number) is left
            assert not directory.known_absent(FIRST.number, 100.0)
            # Asked once more, the store is believed again.
            assert directory.end_fetch(directory.begin_fetch(FIRST.number), answer, 100.0)
            assert directory.number(FIRST.number) is (left or answer)


def test_news_of_other_numbers_does_not_matter() -> None:
    directory = partial()
    fetch = directory.begin_fetch(FIRST.number)
    directory.put_number(FOURTH)
    directory.remove_number(SECOND.number)
    assert directory.end_fetch(fetch, FIRST, 100.0)


def test_several_may_fetch_the_same_number() -> None:
    directory = partial()
    one, other = directory.begin_fetch(FIRST.number), directory.begin_fetch(FIRST.number)
    assert directory.end_fetch(one, FIRST, 100.0) and directory.end_fetch(other, row(0, key=1), 100.0)
    assert directory.number(FIRST.number) is FIRST
    directory.put_number(row(0, key=2))
    assert not directory.end_fetch(other, FIRST, 100.0)


def test_a_fetch_that_failed_leaves_nothing() -> None:
    directory = partial()
    for item in range(100):
        directory.begin_fetch(row(item).number)
    gc.collect()
    assert len(directory._fetches) == 0


# What to fetch


SETTINGS = RoutingSettings(default_country="DE")


def test_every_form_that_could_be_ours_is_asked_for() -> None:
    for written, asked in {
        "+15551234567": ["+15551234567"],
        "sip:+15551234567@pbx.example": ["+15551234567"],
        "0015551234567": ["+15551234567"],
        "tel:+1-555-123-4567": ["+15551234567"],
        # With + before them, or as a national number: the first goes before the second where it is ours.
        "30123456": ["+30123456", "+4930123456"],
        "899100000001": ["+899100000001"],
        "alice": [],
        "sip:pbx.example": [],
        "12": [],
    }.items():
        assert numbers_to_look_up(written, SETTINGS) == asked, written


def test_once_they_are_here_the_reading_is_that_of_a_complete_directory() -> None:
    rng = random.Random(5)
    everything = {row.number: row for row in map(row, range(50))} | {
        f"+{digits}": NumberRow(f"+{digits}", "active", NIL, NIL, NIL, NIL) for digits in (30123456, 4930123457)
    }
    for written in (
        "30123456",
        "30123457",
        "15550000007",
        "15550000077",
        "030123457",
        *rng.sample(list(everything), 9),
    ):
        part = {number: everything[number] for number in numbers_to_look_up(written, SETTINGS) if number in everything}
        assert normalise_dialled(written, SETTINGS, part) == normalise_dialled(written, SETTINGS, everything)


def test_a_model_is_bounded_like_a_row() -> None:
    directory = Directory(limit=1)
    directory.put_number(Number(number="+15551234567"))
    directory.put_number(Number(number="+15551234568"))
    assert held(directory) == ["+15551234568"]
