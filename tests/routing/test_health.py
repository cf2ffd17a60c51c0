"""Readings of the providers' state."""

from uuid import UUID

from routing.health import HealthBoard, TrunkReading


def test_a_snapshot_tells_what_is_in_use_and_who_rests() -> None:
    board = HealthBoard()
    assert board.snapshot(100.0) == []
    busy, resting, sick = UUID(int=1), UUID(int=2), UUID(int=3)
    board.state(busy.int).channels += 2
    board.cooldown(resting, 130.0)
    board.set_healthy(sick, False)
    assert board.snapshot(100.0) == [
        TrunkReading(1, True, 2, 0.0),
        TrunkReading(2, True, 0, 30.0),
        TrunkReading(3, False, 0, 0.0),
    ]
    assert board.snapshot(130.5)[1].cooldown == 0.0
    board.keep({2})
    assert [reading.key for reading in board.snapshot(100.0)] == [1, 2]
