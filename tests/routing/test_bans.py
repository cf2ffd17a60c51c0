"""Who is banned: the score of an address, what counts for it and how often, and what is forgotten first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sip.peers import Misdeed
from routing.access.bans import BAN_SCORE, BAN_SECONDS, MAX_ADDRESSES, POINTS, SCORE_WINDOW, Ban, BanTable

THIEF = "203.0.113.9"


class Clock:
    def __init__(self) -> None:
        self.now = 5000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def table(clock: Clock) -> BanTable:
    return BanTable(clock)


@pytest.mark.parametrize(
    ("misdeeds", "score"),
    [
        (["credentials"] * 10, 10),
        (["not_sip"] * 4, 12),
        (["scanner"] * 4, 12),
        (["handshake"] * 4, 12),
        (["unacknowledged"] * 10, 10),
        (["credentials"] * 8 + ["scanner"], 11),
        (["not_sip", "unacknowledged", "scanner", "credentials", "credentials", "credentials"], 10),
    ],
)
def test_ten_points_are_enough_whatever_they_are_for(table: BanTable, misdeeds: list[Misdeed], score: int) -> None:
    for misdeed in misdeeds[:-1]:
        assert table.add(THIEF, misdeed) is None
        assert table.find(THIEF) is None
    ban = table.add(THIEF, misdeeds[-1])
    assert ban == Ban(THIEF, score, misdeeds[-1], 5000.0, 5000.0 + BAN_SECONDS)
    assert table.find(THIEF) == ban
    assert table.find("203.0.113.10") is None


def test_points_count_for_ten_minutes(table: BanTable, clock: Clock) -> None:
    for _ in range(BAN_SCORE - 1):
        table.add(THIEF, "credentials")
        clock.now += SCORE_WINDOW / BAN_SCORE
    clock.now = 5000.0 + SCORE_WINDOW  # the first is too old now
    assert table.add(THIEF, "credentials") is None
    clock.now += 0.001  # but the second is not
    assert table.add(THIEF, "credentials") is not None


def test_a_ban_is_over_after_an_hour_and_leaves_nothing(table: BanTable, clock: Clock) -> None:
    for _ in range(BAN_SCORE):
        table.add(THIEF, "credentials")
    clock.now += BAN_SECONDS - 0.001
    assert table.find(THIEF) is not None
    assert table.bans()
    clock.now += 0.001
    assert table.find(THIEF) is None
    assert not table.bans()
    assert len(table) == 0
    assert table.add(THIEF, "credentials") is None


def test_what_was_on_its_way_when_the_ban_fell_does_not_prolong_it(table: BanTable, clock: Clock) -> None:
    for _ in range(BAN_SCORE):
        table.add(THIEF, "credentials")
    clock.now += 1
    assert table.add(THIEF, "credentials") is None
    assert [ban.until for ban in table.bans()] == [5000.0 + BAN_SECONDS]


@pytest.mark.parametrize("other", ["2001:db8:1:2::99", "2001:DB8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2:0:0:0:1"])
def test_of_ipv6_the_64_is_counted_6177(table: BanTable, other: str) -> None:
    for number in range(BAN_SCORE):
        table.add(f"2001:db8:1:2::{number:x}", "credentials")
    assert table.find(other) is not None
    assert table.find("2001:db8:1:3::1") is None
    lifted = table.lift(other)
    assert lifted is not None
    assert lifted.score == BAN_SCORE
    assert table.find("2001:db8:1:2::1") is None


def test_the_same_mark_counts_once_and_none_each_time(table: BanTable) -> None:
    for _ in range(50):
        table.add(THIEF, "credentials", 7)
    assert table.find(THIEF) is None
    for mark in range(8, 8 + BAN_SCORE - 1):
        table.add(THIEF, "credentials", mark)
    assert table.find(THIEF) is not None


def test_who_logs_in_starts_anew(table: BanTable) -> None:
    for _ in range(BAN_SCORE - 1):
        table.add(THIEF, "credentials")
    table.clear(THIEF)
    assert len(table) == 0
    for _ in range(BAN_SCORE - 1):
        assert table.add(THIEF, "credentials") is None


def test_no_login_ends_a_ban(table: BanTable) -> None:
    for _ in range(BAN_SCORE):
        table.add(THIEF, "credentials")
    table.clear(THIEF)
    assert table.find(THIEF) is not None


def test_observers_hear_of_each_ban_once(table: BanTable) -> None:
    heard: list[str] = []
    table.observers.append(lambda ban: heard.append(ban.address))
    for address in (THIEF, "203.0.113.10"):
        for _ in range(3 * BAN_SCORE):
            table.add(address, "credentials")
    assert heard == [THIEF, "203.0.113.10"]
    assert [ban.address for ban in table.bans()] == ["203.0.113.10", THIEF]


def address(number: int) -> str:
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def test_a_flood_of_sources_pushes_no_banned_one_out_and_is_bounded(clock: Clock) -> None:
    table = BanTable(clock)
    for _ in range(BAN_SCORE):
        table.add(THIEF, "credentials")
    for number in range(MAX_ADDRESSES + 5000):
        table.add(address(number), "credentials")
        clock.now += 0.0001
    assert len(table) == MAX_ADDRESSES
    assert table.find(THIEF) is not None


def test_the_least_guilty_goes_first_and_of_them_the_oldest(clock: Clock) -> None:
    table = BanTable(clock, most=4)
    for guilty, points in (("192.0.2.1", 9), ("192.0.2.2", 1), ("192.0.2.3", 2), ("192.0.2.4", 1)):
        for _ in range(points):
            table.add(guilty, "credentials")
        clock.now += 1
    for stranger in range(100):
        table.add(address(stranger), "credentials")
    assert len(table) == 4
    assert table.add("192.0.2.1", "credentials") is not None  # nothing of it was forgotten
    for _ in range(BAN_SCORE - 3):
        assert table.add("192.0.2.3", "credentials") is None
    assert table.add("192.0.2.3", "credentials") is not None
    for _ in range(BAN_SCORE - 1):
        assert table.add("192.0.2.2", "credentials") is None  # it starts anew


def test_who_did_nothing_for_ten_minutes_goes_before_the_least_guilty(clock: Clock) -> None:
    table = BanTable(clock, most=2)
    for _ in range(BAN_SCORE - 1):
        table.add("192.0.2.1", "credentials")
    clock.now += SCORE_WINDOW
    table.add("192.0.2.2", "credentials")
    table.add("192.0.2.3", "credentials")
    for _ in range(BAN_SCORE - 2):
        table.add("192.0.2.2", "credentials")
    assert table.add("192.0.2.2", "credentials") is not None


def test_a_table_full_of_bans_takes_nobody_in_until_one_ends(clock: Clock) -> None:
    table = BanTable(clock, most=2)
    for banned in ("192.0.2.1", "192.0.2.2"):
        for _ in range(BAN_SCORE):
            table.add(banned, "credentials")
        clock.now += 10
    for _ in range(2 * BAN_SCORE):
        assert table.add(THIEF, "credentials") is None
    assert [ban.address for ban in table.bans()] == ["192.0.2.2", "192.0.2.1"]
    clock.now = 5000.0 + BAN_SECONDS
    for _ in range(BAN_SCORE):
        table.add(THIEF, "credentials")
    assert [ban.address for ban in table.bans()] == [THIEF, "192.0.2.2"]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 6),
            st.sampled_from([*POINTS, "clear", "lift"]),
            st.sampled_from([0.0, 1.0, 299.0, 600.0, 3600.0]),
        ),
        max_size=80,
    )
)
def test_any_history_keeps_to_the_bound_and_to_the_rule(history: list[tuple[int, str, float]]) -> None:
    clock = Clock()
    table = BanTable(clock, most=5)
    for number, act, pause in history:
        clock.now += pause
        host = f"192.0.2.{number}"
        if act == "clear":
            table.clear(host)
        elif act == "lift":
            table.lift(host)
        else:
            before = table.find(host)
            ban = table.add(host, act)  # type: ignore[arg-type]
            assert ban is None or (before is None and ban.score >= BAN_SCORE and table.find(host) == ban)
        assert len(table) <= 5
        assert all(ban.until > clock.now for ban in table.bans())
        assert sum(len(rank) for rank in table._ranks) == len(table._suspects)
