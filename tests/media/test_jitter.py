"""The jitter buffer: order, time, and bounds, against a simulated network and a listener that asks every 20 ms."""

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.media.rtp.jitter import CAPACITY, DEEP, JitterBuffer
from engine.media.rtp.packet import RtpPacket

FIRST_SEQUENCE, FIRST_TIMESTAMP = 65000, 0xFFFFFFFF - 50_000
"""So that both wrap within the first seconds."""


def packet(number: int, ptime: int = 20, *, ssrc: int = 7, jump: int = 0) -> RtpPacket:
    stamp = (FIRST_TIMESTAMP + number * ptime * 8 + jump) & 0xFFFFFFFF
    return RtpPacket(0, (FIRST_SEQUENCE + number) & 0xFFFF, stamp, ssrc, number.to_bytes(4))


@dataclass
class Heard:
    """What a listener got."""

    buffer: JitterBuffer = field(default_factory=lambda: JitterBuffer(8000))
    sent: int = 0
    numbers: list[int] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    silences: int = 0
    most: int = 0


def listen(
    seconds: float, *, jitter: float = 0, loss: float = 0, drift: float = 0, ptime: int = 20, repeat: float = 0
) -> Heard:
    """`drift` is how much slower the sender's clock is than ours, as a ratio."""
    chance = random.Random(1)
    heard = Heard()
    came = []
    for number in range(int(seconds * 1000 / ptime)):
        at = number * ptime / 1000 * (1 + drift)
        if chance.random() >= loss:
            heard.sent += 1
            came += [(at + chance.random() * jitter, number) for _ in range(1 + (chance.random() < repeat))]
    came.sort(reverse=True)
    rest = 0
    for tick in range(int(seconds * 50)):
        now = 0.0113 + tick * 0.02 + chance.uniform(-0.002, 0.002)
        while came and came[-1][0] <= now:
            at, number = came.pop()
            heard.buffer.put(packet(number, ptime), at)
        heard.most = max(heard.most, len(heard.buffer))
        while rest < 20:
            taken = heard.buffer.take(now)
            if taken is None:
                heard.silences += 1
                rest += 20
                continue
            number = int.from_bytes(taken.payload)
            heard.numbers.append(number)
            heard.delays.append(now - number * ptime / 1000 * (1 + drift))
            rest += ptime
        rest -= 20
    assert heard.numbers == sorted(set(heard.numbers))
    return heard


@pytest.mark.parametrize("ptime", [10, 20, 30, 40, 60])
def test_a_steady_stream_is_heard_whole_with_40_ms_of_delay_at_most(ptime: int) -> None:
    heard = listen(20, ptime=ptime)
    assert heard.silences <= 2  # before the first
    assert len(heard.numbers) >= heard.sent - 3
    assert max(heard.delays) < 0.045


@pytest.mark.parametrize("ptime", [10, 20, 30, 60])
def test_40_ms_of_jitter(ptime: int) -> None:
    heard = listen(60, jitter=0.04, ptime=ptime)
    assert len(heard.numbers) >= 0.995 * heard.sent
    assert heard.silences <= 5
    assert max(heard.delays) < 0.1


def test_ten_percent_of_loss_and_40_ms_of_jitter() -> None:
    heard = listen(60, jitter=0.04, loss=0.1)
    assert len(heard.numbers) >= 0.995 * heard.sent
    assert heard.silences <= 3000 - heard.sent + 5
    assert max(heard.delays) < 0.1


def test_the_depth_follows_the_jitter() -> None:
    heard = listen(30, jitter=0.15)
    assert len(heard.numbers) >= 0.98 * heard.sent
    assert 0.12 < heard.buffer.depth <= DEEP
    assert max(heard.delays) < DEEP + 0.04


def test_duplicates_are_left_out() -> None:
    heard = listen(20, jitter=0.04, repeat=0.3)
    assert len(heard.numbers) >= 0.995 * heard.sent
    assert heard.buffer.duplicates + heard.buffer.late > 200


@pytest.mark.parametrize("drift", [300e-6, -300e-6])
def test_clocks_that_drift_apart(drift: float) -> None:
    """Two minutes at 300 millionths are 36 ms: a packet more, or one less, and never more delay."""
    heard = listen(120, jitter=0.01, drift=drift)
    assert len(heard.numbers) >= heard.sent - 8
    assert heard.silences <= 8
    assert max(heard.delays[-500:]) < 0.08
    assert heard.most <= 5


def test_a_fast_sender_gives_up_a_packet_now_and_then_and_not_the_bound() -> None:
    heard = listen(120, drift=-0.002)
    assert heard.buffer.skipped >= 8
    assert max(heard.delays) < 0.1
    assert heard.most <= 6


def run(buffer: JitterBuffer, packets: list[RtpPacket], start: float, took: list[RtpPacket]) -> float:
    """Packets that come one at every tick; what is taken is added to `took`. Returns the time afterwards."""
    for at, one in enumerate(packets):
        now = start + at * 0.02
        buffer.put(one, now)
        taken = buffer.take(now)
        if taken is not None:
            took.append(taken)
    return start + len(packets) * 0.02


def test_a_new_source_takes_over() -> None:
    buffer, took = JitterBuffer(8000), list[RtpPacket]()
    now = run(buffer, [packet(number) for number in range(50)], 0.0, took)
    run(buffer, [packet(number + 9000, ssrc=8) for number in range(50)], now, took)
    assert [one.ssrc for one in took].count(7) >= 46
    assert [one.ssrc for one in took].count(8) >= 46
    assert buffer.resyncs == 1


@pytest.mark.parametrize("jump", [8000 * 60, -8000 * 60, 1 << 31])
def test_a_source_whose_timestamps_jump(jump: int) -> None:
    buffer, took = JitterBuffer(8000), list[RtpPacket]()
    now = run(buffer, [packet(number) for number in range(50)], 0.0, took)
    run(buffer, [packet(number, jump=jump) for number in range(50, 100)], now, took)
    assert len(took) >= 94
    assert took[-1].payload >= (97).to_bytes(4)


def test_a_source_whose_sequence_jumps() -> None:
    buffer, took = JitterBuffer(8000), list[RtpPacket]()
    now = run(buffer, [packet(number) for number in range(50)], 0.0, took)
    strange = [packet(number + 30000) for number in range(50)]
    for one in strange:
        one.timestamp = (one.timestamp - 29950 * 160) & 0xFFFFFFFF
    run(buffer, strange, now, took)
    assert len(took) >= 93


def test_one_stray_packet_changes_nothing() -> None:
    buffer, took = JitterBuffer(8000), list[RtpPacket]()
    packets = [packet(number) for number in range(100)]
    packets.insert(50, packet(40000))
    run(buffer, packets, 0.0, took)
    assert len(took) >= 96
    assert buffer.resyncs == 0


def test_silence_in_which_nothing_is_sent() -> None:
    """Timestamps go on over it, sequence numbers do not; what comes after is heard as quickly as what came before."""
    buffer, took = JitterBuffer(8000), list[RtpPacket]()
    now = run(buffer, [packet(number) for number in range(50)], 0.0, took)
    for _ in range(100):
        assert buffer.take(now) is None or now < 1.1
        now += 0.02
    took.clear()
    run(buffer, [packet(number, jump=100 * 160) for number in range(50, 100)], now, took)
    assert len(took) >= 48


def test_after_a_silence_the_delay_is_chosen_anew() -> None:
    """Clocks drift apart while nothing is sent: here by 300 ms, as much as in an hour of hold."""
    buffer, took = JitterBuffer(8000), list[RtpPacket]()
    now = run(buffer, [packet(number) for number in range(50)], 0.0, took)
    for _ in range(250):
        buffer.take(now)
        now += 0.02
    took.clear()
    run(buffer, [packet(number, jump=250 * 160 + 2400) for number in range(50, 56)], now, took)
    assert len(took) >= 4


def test_a_packet_that_comes_a_second_late_does_not_make_the_others_wait() -> None:
    buffer, took = JitterBuffer(8000), list[RtpPacket]()
    packets = [packet(number) for number in range(150)]
    packets.insert(99, packets.pop(60))
    run(buffer, packets, 0.0, took)
    assert buffer.late == 1
    assert buffer.depth < 0.05
    assert len(took) >= 146


def test_a_way_that_becomes_longer_is_heard_again() -> None:
    """By 240 ms, more than any packet is held: those that come late at first are lost, and then the delay is new."""
    buffer, took = JitterBuffer(8000), list[RtpPacket]()
    now = run(buffer, [packet(number) for number in range(100)], 0.0, took)
    for _ in range(12):
        buffer.take(now)
        now += 0.02
    took.clear()
    now = run(buffer, [packet(number) for number in range(100, 200)], now, took)
    assert len(took) >= 85
    assert took[-1].payload >= (196).to_bytes(4)


def test_after_a_stall_the_delay_is_bounded() -> None:
    """Nothing comes for 0.9 s and then all of it at once: what is too old is left out, and the delay is small again."""
    buffer, took = JitterBuffer(8000), list[RtpPacket]()
    now = run(buffer, [packet(number) for number in range(100)], 0.0, took)
    for _ in range(45):
        buffer.take(now)
        now += 0.02
    for number in range(100, 145):
        buffer.put(packet(number), now)
    took.clear()
    run(buffer, [packet(number) for number in range(145, 245)], now, took)
    assert took[20].payload >= (145 + 20 - 13).to_bytes(4)
    assert took[-1].payload >= (245 - 13).to_bytes(4)


def test_a_burst_is_played_at_once_and_not_when_its_timestamps_say() -> None:
    buffer, took = JitterBuffer(8000), list[RtpPacket]()
    now = run(buffer, [packet(number, 5) for number in range(10)], 0.0, took)
    for number in range(10, 10 + 2 * CAPACITY):
        buffer.put(packet(number, 5), now)
    assert buffer.take(now) is not None


def test_another_clock_begins_anew() -> None:
    buffer, took = JitterBuffer(8000), list[RtpPacket]()
    now = run(buffer, [packet(number) for number in range(50)], 0.0, took)
    buffer.retime(8000)
    assert len(buffer) > 0
    buffer.retime(48000)
    run(buffer, [RtpPacket(111, 65050 + number & 0xFFFF, number * 960, 7, b"") for number in range(50)], now, took)
    assert len(took) >= 94


def test_a_flood_is_bounded() -> None:
    buffer = JitterBuffer(8000)
    for number in range(5000):
        buffer.put(packet(number), number * 0.0001)
        assert len(buffer) <= CAPACITY
    took = 0
    while buffer.take(1.0) is not None:
        took += 1
    assert took <= CAPACITY


@given(
    st.lists(
        st.tuples(
            st.integers(0, 0xFFFF) | st.integers(0, 50),
            st.integers(0, 0xFFFFFFFF) | st.integers(0, 10_000),
            st.integers(0, 1),
            st.floats(0, 0.5),
        ),
        max_size=150,
    )
)
def test_any_packets_at_any_time(packets: list[tuple[int, int, int, float]]) -> None:
    buffer, now, took = JitterBuffer(8000), 0.0, 0
    for sequence, timestamp, ssrc, pause in packets:
        buffer.put(RtpPacket(0, sequence, timestamp, ssrc, b""), now)
        now += pause
        while buffer.take(now) is not None:
            took += 1
        assert len(buffer) <= CAPACITY
    assert took <= len(packets)
