"""Longest prefix, priority, owner, weight: the order in which routes serve a number."""

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from routing.directory.route_table import RouteTable
from routing.directory.rows import RouteRow


def table_of(*rows: RouteRow) -> RouteTable:
    table = RouteTable()
    for row in rows:
        table.put(row)
    return table


def keys(table: RouteTable, number: str, customer: int = 0, seed: int = 1) -> list[int]:
    return [row.key for row in table.order(number, customer, random.Random(seed))]


def test_longest_prefix_then_priority_then_owner() -> None:
    table = table_of(
        RouteRow("", 1, key=1),
        RouteRow("+1", 2, key=2),
        RouteRow("+44", 3, priority=2, key=3),
        RouteRow("+44", 4, priority=1, key=4),
        RouteRow("+44", 5, priority=1, customer=7, key=5),
        RouteRow("+44", 6, priority=0, customer=8, key=6),
        RouteRow("+4420", 7, priority=99, key=7),
        RouteRow("+4420", 8, priority=1, enabled=False, key=8),
        RouteRow("+4420794", 9, enabled=False, key=9),
    )
    assert keys(table, "+442079460123") == [7, 4, 3, 1]
    assert keys(table, "+442079460123", customer=7) == [7, 5, 4, 3, 1]
    assert keys(table, "+442079460123", customer=8) == [7, 6, 4, 3, 1]
    assert keys(table, "+15551234567") == [2, 1]
    assert keys(table, "+821012345678") == [1]
    assert len(table) == 9 and {row.key for row in table} == set(range(1, 10))


def test_matches_hold_what_is_disabled_too() -> None:
    table = table_of(
        RouteRow("+44", 1, key=1), RouteRow("+4420", 2, enabled=False, key=2), RouteRow("+44", 3, customer=9, key=3)
    )
    assert [[row.key for row in rows] for rows in table.matches("+442079460123")] == [[2], [1]]
    assert [[row.key for row in rows] for rows in table.matches("+442079460123", 9)] == [[2], [3, 1]]
    assert table.matches("+15551234567") == []


def test_equals_are_drawn_by_weight() -> None:
    table = table_of(
        RouteRow("+1", 1, weight=3, key=1), RouteRow("+1", 2, weight=1, key=2), RouteRow("+1", 3, weight=0, key=3)
    )
    rng = random.Random(4)
    orders = Counter(tuple(row.key for row in table.order("+15551234567", 0, rng)) for _ in range(4000))
    assert set(orders) == {(1, 2, 3), (2, 1, 3)}
    assert 0.72 < orders[1, 2, 3] / 4000 < 0.78


def test_equals_without_any_weight_are_drawn_evenly() -> None:
    table = table_of(RouteRow("+1", 1, weight=0, key=1), RouteRow("+1", 2, weight=0, key=2))
    rng = random.Random(4)
    first = Counter(next(table.order("+15551234567", 0, rng)).key for _ in range(2000))
    assert 900 < first[1] < 1100


def test_the_draw_is_the_generators() -> None:
    table = table_of(*(RouteRow("+1", item, key=item) for item in range(1, 9)))
    assert keys(table, "+15551234567", seed=5) == keys(table, "+15551234567", seed=5)
    assert keys(table, "+15551234567", seed=5) != keys(table, "+15551234567", seed=6)
    assert sorted(keys(table, "+15551234567")) == list(range(1, 9))


def test_a_draw_at_the_very_end_of_the_scale_still_picks_somebody() -> None:
    class Edge(random.Random):
        def random(self) -> float:
            return 1.0

    table = table_of(RouteRow("+1", 1, weight=1, key=1), RouteRow("+1", 2, weight=0, key=2))
    assert [row.key for row in table.order("+15551234567", 0, Edge())] == [1, 2]


def test_changes_and_removals() -> None:
    table = table_of(RouteRow("+1", 1, key=1), RouteRow("+1", 2, key=2, priority=1), RouteRow("+44", 3, key=3))
    table.put(RouteRow("+44", 4, key=1))
    assert keys(table, "+15551234567") == [2]
    assert sorted(keys(table, "+442079460123")) == [1, 3]
    assert table.remove(2) and not table.remove(2)
    assert table.remove(1) and table.remove(3)
    assert len(table) == 0 and keys(table, "+442079460123") == []


def test_a_route_for_a_whole_number_serves_it_once_beside_longer_prefixes() -> None:
    table = table_of(
        *(RouteRow(prefix, 1, key=key) for key, prefix in enumerate(["+1555", "+15551", "+155512", "+1555123"]))
    )
    assert keys(table, "+1555") == [0]
    assert keys(table, "+15551") == [1, 0]
    assert [len(rows) for rows in table.matches("+15551")] == [1, 1]


def test_a_call_keeps_the_routes_it_started_with() -> None:
    table = table_of(RouteRow("+1", 1, key=1), RouteRow("", 2, key=2))
    walk = table.order("+15551234567", 0, random.Random(1))
    assert next(walk).key == 1
    assert table.discard(10) is False
    assert next(walk).key == 2


def test_throwing_away_goes_in_steps() -> None:
    table = table_of(*(RouteRow(f"+1{item}", 1, key=item) for item in range(1, 31)), RouteRow("+15551234", 2, key=99))
    steps = 1
    while table.discard(10):
        steps += 1
    assert steps == 4 and len(table) == 0 and list(table) == []
    table.put(RouteRow("+1555", 3, key=5))
    assert keys(table, "+15551234567") == [5]


ROWS = st.lists(
    st.tuples(
        st.sampled_from(
            ["", "+1", "+15", "+155", "+1555", "+15551", "+1555123", "+15551234567", "+155512345678", "+15552", "+44"]
        ),
        st.integers(0, 3),
        st.integers(-1, 2),
        st.integers(0, 3),
        st.integers(0, 2),
        st.booleans(),
        st.integers(0, 12),
    ),
    max_size=25,
)


@given(ROWS, st.integers(0, 2), st.integers(0, 12))
def test_the_order_is_that_of_a_plain_sort(
    items: list[tuple[str, int, int, int, int, bool, int]], customer: int, removed: int
) -> None:
    table = RouteTable()
    model: dict[int, RouteRow] = {}
    for prefix, trunk, priority, weight, owner, enabled, key in items:
        row = RouteRow(prefix, trunk, priority, weight, owner, enabled, None, key)
        table.put(row)
        model[key] = row
    assert table.remove(removed) == (model.pop(removed, None) is not None)
    number = "+15551234567"

    def rank(row: RouteRow) -> tuple[int, int, bool]:
        return -len(row.prefix), row.priority, row.customer == 0

    expected = sorted(
        (
            row
            for row in model.values()
            if number.startswith(row.prefix) and row.enabled and row.customer in (0, customer)
        ),
        key=rank,
    )
    found = list(table.order(number, customer, random.Random(0)))
    assert [rank(row) for row in found] == [rank(row) for row in expected]
    assert sorted(row.key for row in found) == sorted(row.key for row in expected)
    assert {row.key for row in table} == set(model)
