"""In which order calls try providers that health probes have found silent."""

from uuid import UUID

import pytest

from routing.hunt.health import MAX_MISSES
from routing.hunt.hunt import Hunt
from tests.routing.test_hunts import Network, fail, name


def network(line: str, pinned: bool = False) -> Network:
    """Providers p1, p2, ...: `h` answered their last probe, `u` were never probed, `n` never answered one, `i` did once
    and do no longer; of those, `c` rests after a 503, `f` is full, `d` is switched off."""
    made = Network(*({"enabled": letter != "d", "max_channels": int(letter == "f")} for letter in line))
    for letter, provider in zip(line, made.providers, strict=True):
        state = made.board.state(provider.id.int)
        if letter in "hicfd":
            state.probe_answered()
        if letter in "nicfd":
            for _ in range(MAX_MISSES):
                state.probe_missed()
        state.channels += letter == "f"
        if letter == "c":
            made.board.cooldown(provider.id, 200.0)
    return made


def tried(hunt: Hunt) -> list[int]:
    """The providers' numbers in the order in which a call tries them, where each of them fails."""
    found = []
    while (attempt := hunt.next(100.0)) is not None:
        found.append(int(name(attempt)[1:]))
        hunt.outcome(attempt, "no_reply", now=100.0)
    return found


@pytest.mark.parametrize(
    ("line", "order", "skipped"),
    [
        ("hh", [1, 2], []),
        ("nh", [2, 1], []),
        ("nunh", [2, 4, 1, 3], []),
        ("nn", [1, 2], []),
        ("ih", [2, 1], []),
        ("inh", [3, 2, 1], []),
        ("ii", [1, 2], []),
        ("idcf", [1], ["disabled", "cooldown", "max_channels"]),
        ("cfd", [], ["cooldown", "max_channels", "disabled"]),
        ("nicu", [4, 1, 2], ["cooldown"]),
    ],
)
@pytest.mark.parametrize("pinned", [False, True])
def test_the_silent_come_after_the_others_and_the_ill_when_nobody_else_is_left(
    line: str, order: list[int], skipped: list[str], pinned: bool
) -> None:
    made = network(line)
    hunt = made.hunt(pinned=[provider.id for provider in made.providers] if pinned else [])
    assert tried(hunt) == order
    # Each provider stands in the record once.
    assert len({record.provider_id for record in hunt.records}) == len(hunt.records) == len(line)
    assert [record.skipped for record in hunt.records if record.skipped] == skipped


def test_who_is_passed_over_is_recorded_where_the_call_ends_before_its_turn() -> None:
    made = network("inh")
    hunt = made.hunt()
    attempt = hunt.next(100.0)
    assert attempt is not None and name(attempt) == "p3"
    hunt.outcome(attempt, "answered", 200, "OK", retry_after=0, first_reply=100.0, now=100.0)
    assert hunt.next(100.0) is None
    assert [(record.provider_name, record.skipped) for record in hunt.records] == [("p1", "unhealthy"), ("p3", "")]


def test_who_rests_or_fills_up_meanwhile_is_not_tried_when_its_turn_comes() -> None:
    made = network("inh")
    hunt = made.hunt()
    fail(hunt)
    for provider in made.providers[:2]:
        made.board.cooldown(provider.id, 300.0)
    assert hunt.next(100.0) is None
    assert [record.skipped for record in hunt.records] == ["", "cooldown", "cooldown"]


@pytest.mark.parametrize(
    ("kind", "status", "first_reply", "spoke"),
    [
        ("answered", 200, 100.0, True),
        ("refused", 486, None, True),
        ("refused", 500, None, True),
        ("refused", 503, None, False),  # out of service, as it may say to a probe
        ("refused", 503, 100.0, False),
        ("no_progress", 0, None, True),  # a 100
        ("ring_timeout", 0, 100.0, True),
        ("cancelled", 0, 100.0, True),
        ("cancelled", 0, None, False),
        ("no_reply", 0, None, False),
        ("unreachable", 0, None, False),
    ],
)
def test_a_response_to_a_call_counts_as_one_to_a_probe(
    kind: str, status: int, first_reply: float | None, spoke: bool
) -> None:
    told: list[UUID] = []
    made = network("n")
    made.board.recovered = told.append
    hunt = made.hunt()
    attempt = hunt.next(100.0)
    assert attempt is not None
    hunt.outcome(attempt, kind, status, "", retry_after=0, first_reply=first_reply, now=101.0)
    state = made.board.state(made.providers[0].id.int)
    # It never answered a probe: it gets its place back, without a word.
    assert (state.last, state.status, told) == (not spoke, "unhealthy", [])
    made = network("i")
    made.board.recovered = told.append
    hunt = made.hunt()
    attempt = hunt.next(100.0)
    assert attempt is not None
    hunt.outcome(attempt, kind, status, "", retry_after=0, first_reply=first_reply, now=101.0)
    assert told == ([made.providers[0].id] if spoke else [])
    assert made.board.status(made.providers[0].id) == ("healthy" if spoke else "unhealthy")


def test_ten_attempts_are_all_there_are_however_many_are_silent() -> None:
    made = network("nihnihnihnihnih")
    order = tried(made.hunt())
    assert order == [3, 6, 9, 12, 15, 1, 4, 7, 10, 13]
