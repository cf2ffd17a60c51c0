"""Readings of the providers' state."""

from uuid import UUID

import pytest

from routing.hunt.health import MAX_MISSES, HealthBoard, TrunkReading, TrunkState


def after(what: str) -> TrunkState:
    """A provider after probes that were answered (`a`) and missed (`m`), and responses to calls (`r`)."""
    state = TrunkState()
    for letter in what:
        {"a": state.probe_answered, "m": state.probe_missed, "r": state.responded}[letter]()
    return state


@pytest.mark.parametrize(
    ("what", "status", "skipped", "last"),
    [
        ("", "unknown", False, False),
        ("m", "unknown", False, False),
        ("mm", "unknown", False, False),
        ("mmm", "unhealthy", False, True),  # never answered a probe: after the others
        ("mmmmmm", "unhealthy", False, True),
        ("mrmrm", "unhealthy", False, False),  # its calls are answered: it keeps its place, and is no healthier for it
        ("mmmr", "unhealthy", False, False),
        ("mmmrmm", "unhealthy", False, False),
        ("mmmrmmm", "unhealthy", False, True),
        ("mmmrmmrmm", "unhealthy", False, False),
        ("mmma", "healthy", False, False),
        ("a", "healthy", False, False),
        ("amm", "healthy", False, False),
        ("ammm", "unhealthy", True, False),  # once answered a probe: skipped
        ("ammrmm", "healthy", False, False),  # a response to any request meanwhile
        ("ammrmmm", "unhealthy", True, False),
        ("ammmr", "healthy", False, False),
        ("ammma", "healthy", False, False),
        ("mmmammm", "unhealthy", True, False),
        ("r", "unknown", False, False),
        ("rmmm", "unhealthy", False, True),
    ],
)
def test_what_probes_and_calls_make_of_a_provider(what: str, status: str, skipped: bool, last: bool) -> None:
    state = after(what)
    assert (state.status, state.skipped, state.last) == (status, skipped, last)
    again = TrunkState()
    again.restore(state.status, state.answered, state.missed, state.silent)
    assert (again.status, again.skipped, again.last) == (status, skipped, last)


def test_a_change_is_reported_once_and_a_response_to_an_invite_of_one_that_never_answered_a_probe_is_none() -> None:
    state = TrunkState()
    assert [state.probe_missed() for _ in range(MAX_MISSES + 1)] == [False, False, True, False]
    assert not state.responded()
    assert [state.probe_missed() for _ in range(MAX_MISSES)] == [False, False, False]
    assert [state.probe_answered(), state.probe_answered()] == [True, False]
    assert [state.probe_missed() for _ in range(MAX_MISSES)] == [False, False, True]
    assert [state.responded(), state.responded()] == [True, False]


def sick(board: HealthBoard, key: int) -> None:
    board.state(key).probe_answered()
    for _ in range(MAX_MISSES):
        board.state(key).probe_missed()


def test_a_snapshot_tells_what_is_in_use_and_who_rests() -> None:
    board = HealthBoard()
    assert board.snapshot(100.0) == []
    busy, resting = UUID(int=1), UUID(int=2)
    board.state(busy.int).channels += 2
    board.cooldown(resting, 130.0)
    sick(board, 3)
    assert board.snapshot(100.0) == [
        TrunkReading(1, "unknown", 2, 0.0),
        TrunkReading(2, "unknown", 0, 30.0),
        TrunkReading(3, "unhealthy", 0, 0.0),
    ]
    assert board.snapshot(130.5)[1].cooldown == 0.0
    board.keep({2})
    assert [reading.key for reading in board.snapshot(100.0)] == [1, 2]
    assert (board.status(UUID(int=3)), board.status(busy)) == ("unknown", "unknown")
