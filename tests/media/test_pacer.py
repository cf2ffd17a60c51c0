"""The turns of all streams, with a clock that the test moves."""

import pytest

from engine.media.pacer import FRAME, SLOTS, STEP, Pacer


class Clock:
    """A clock, and the one timer that waits for it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[Alarm] = []
        self.woken = 0

    def __call__(self) -> float:
        return self.now

    def call_at(self, when: float, callback: object) -> "Alarm":
        alarm = Alarm(when, callback)
        self.timers.append(alarm)
        return alarm

    @property
    def waiting(self) -> list["Alarm"]:
        return [alarm for alarm in self.timers if not alarm.done]

    def run(self, seconds: float, late: float = 0.0) -> None:
        """Let time pass; every timer goes off `late` seconds after its time."""
        end = self.now + seconds
        while self.waiting and self.waiting[0].when + late <= end:
            alarm = self.waiting[0]
            self.now = max(self.now, alarm.when + late)
            alarm.done = True
            self.woken += 1
            alarm.callback()
            assert len(self.waiting) <= 1
        self.now = end


class Alarm:
    def __init__(self, when: float, callback: object) -> None:
        self.when, self.callback, self.done = when, callback, False

    def cancel(self) -> None:
        self.done = True


class Stream:
    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.frames: list[int] = []
        self.times: list[float] = []
        self.then: object = None

    def tick(self, frame: int) -> None:
        self.frames.append(frame)
        self.times.append(self.clock.now)
        if self.then is not None:
            self.then()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pacer(clock: Clock) -> Pacer:
    return Pacer(clock, clock.call_at, clock.now)


def streams(clock: Clock, pacer: Pacer, count: int) -> list[Stream]:
    made = [Stream(clock) for _ in range(count)]
    for stream in made:
        pacer.add(stream)
    return made


def test_a_stream_has_a_turn_every_20_ms_and_frames_count_up(clock: Clock, pacer: Pacer) -> None:
    (stream,) = streams(clock, pacer, 1)
    clock.run(1.0)
    assert len(stream.frames) in (49, 50)
    assert stream.frames == list(range(stream.frames[0], stream.frames[0] + len(stream.frames)))
    assert stream.times[0] - 100.0 <= FRAME
    for at, when in enumerate(stream.times):
        assert when == pytest.approx(stream.times[0] + at * FRAME)


def test_lateness_does_not_add_up(clock: Clock, pacer: Pacer) -> None:
    (stream,) = streams(clock, pacer, 1)
    clock.run(60.0, late=0.0013)
    assert len(stream.frames) >= 2999
    assert stream.times[-1] == pytest.approx(stream.times[0] + (len(stream.times) - 1) * FRAME)
    assert pacer.latest == pytest.approx(0.0013)
    assert pacer.skipped == 0


def test_streams_are_spread_over_the_slots(clock: Clock, pacer: Pacer) -> None:
    many = streams(clock, pacer, 200)
    clock.run(FRAME)
    moments = sorted({round(stream.times[0], 6) for stream in many})
    assert len(moments) == SLOTS
    for moment in moments:
        assert sum(round(stream.times[0], 6) == moment for stream in many) == 200 // SLOTS


def test_who_comes_takes_the_place_of_who_left(clock: Clock, pacer: Pacer) -> None:
    many = streams(clock, pacer, 20)
    clock.run(0.1)
    gone = many[7]
    pacer.remove(gone)
    pacer.remove(gone)
    (new,) = streams(clock, pacer, 1)
    clock.run(0.1)
    assert (new.times[0] - gone.times[0]) / FRAME == pytest.approx(round((new.times[0] - gone.times[0]) / FRAME))
    assert len(pacer) == 20


def test_it_sleeps_when_nobody_plays(clock: Clock, pacer: Pacer) -> None:
    assert not clock.timers
    (stream,) = streams(clock, pacer, 1)
    clock.run(0.1)
    pacer.remove(stream)
    woken = clock.woken
    clock.run(10.0)
    assert (clock.woken, clock.waiting) == (woken, [])
    before = stream.frames[-1]
    pacer.add(stream)
    clock.run(FRAME)
    assert stream.frames[-1] == pytest.approx(before + 500, abs=2)  # frames are time, slept through or not


def test_one_stream_wakes_the_loop_once_a_frame(clock: Clock, pacer: Pacer) -> None:
    streams(clock, pacer, 1)
    clock.run(1.0)
    assert clock.woken <= 50


def test_a_short_stall_is_caught_up_with(clock: Clock, pacer: Pacer) -> None:
    (stream,) = streams(clock, pacer, 1)
    clock.run(0.1)
    seen = len(stream.frames)
    clock.run(FRAME, late=0.035)
    clock.run(0.1)
    assert stream.frames == list(range(stream.frames[0], stream.frames[0] + len(stream.frames)))
    assert len(stream.frames) - seen >= 5
    assert pacer.skipped == 0


def test_what_a_long_stall_made_too_old_is_skipped_and_counted(clock: Clock, pacer: Pacer) -> None:
    many = streams(clock, pacer, 3)
    clock.run(0.1)
    seen = [len(stream.frames) for stream in many]
    alarm = clock.waiting[0]
    clock.now = alarm.when + 1.0
    alarm.done = True
    alarm.callback()
    for stream, before in zip(many, seen, strict=True):
        assert len(stream.frames) - before <= 2 + 1
        assert stream.frames[-1] - stream.frames[before - 1] >= 49
    assert pacer.skipped >= 3 * 47
    assert pacer.latest == pytest.approx(1.0)
    before = pacer.skipped
    clock.run(1.0)
    assert pacer.skipped == before


def test_a_stream_may_leave_and_another_come_in_a_turn(clock: Clock, pacer: Pacer) -> None:
    first, second = streams(clock, pacer, 2)
    first.then = lambda: (pacer.remove(first), pacer.remove(second))
    clock.run(0.1)
    assert len(first.frames) + len(second.frames) <= 2
    assert not clock.waiting
    one, other = Stream(clock), Stream(clock)
    one.then = lambda: (pacer.remove(one), pacer.add(other))
    pacer.add(one)
    clock.run(0.1)
    assert len(one.frames) == 1
    assert len(other.frames) >= 3


def test_a_fault_costs_the_others_nothing(clock: Clock, pacer: Pacer) -> None:
    many = streams(clock, pacer, 20)

    def broken() -> None:
        raise ValueError("broken")

    many[0].then = broken
    faults: list[Exception] = []
    pacer.fault = faults.append
    clock.run(1.0)
    assert [str(fault) for fault in faults] == ["broken"]
    assert len(many[0].frames) == 1
    assert all(len(stream.frames) >= 49 for stream in many[1:])


def test_a_timer_that_goes_off_half_a_millisecond_early_is_in_time(clock: Clock, pacer: Pacer) -> None:
    (stream,) = streams(clock, pacer, 1)
    clock.run(0.1, late=-0.0004)
    assert stream.frames == list(range(stream.frames[0], stream.frames[0] + len(stream.frames)))
    assert clock.woken == len(stream.frames)
    assert STEP == 0.004
