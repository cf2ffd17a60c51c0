"""Statistics of a source, RFC 3550 A.1, A.3 and A.8."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.media.rtp.reception import Reception
from engine.media.rtp.rtcp import SenderReport, ntp


def receive(reception: Reception, numbers: range | list[int], ssrc: int = 7, start: float = 0.0) -> None:
    for at, number in enumerate(numbers):
        reception.receive(ssrc, number & 0xFFFF, number * 160 & 0xFFFFFFFF, start + at * 0.02)


def test_nothing_yet() -> None:
    reception = Reception(8000)
    assert (reception.expected, reception.received, reception.lost) == (0, 0, 0)
    assert reception.report(1.0) is None


def test_counts_over_the_wrap_a_1() -> None:
    reception = Reception(8000)
    receive(reception, range(65500, 65600))
    assert (reception.expected, reception.received, reception.lost) == (100, 100, 0)
    block = reception.report(2.0)
    assert block is not None
    assert (block.ssrc, block.fraction, block.lost, block.highest) == (7, 0, 0, 0x10000 + 63)


def test_losses_and_the_fraction_since_the_last_report_a_3() -> None:
    reception = Reception(8000)
    receive(reception, [number for number in range(100) if number % 4])
    first = reception.report(2.0)
    assert first is not None
    assert (first.lost, first.fraction) == (24, 24 * 256 // 99)  # the first, 0, was lost before anything was known
    receive(reception, range(100, 200))
    second = reception.report(4.0)
    assert second is not None
    assert (second.lost, second.fraction) == (24, 0)
    assert reception.lost == 24


def test_duplicates_and_reordering() -> None:
    reception = Reception(8000)
    receive(reception, [10, 12, 11, 13, 13, 13, 9])
    assert (reception.expected, reception.received, reception.lost) == (5, 7, -2)
    block = reception.report(1.0)
    assert block is not None
    assert (block.lost, block.fraction) == (-2, 0)


def test_a_single_packet_from_far_away_is_not_counted_and_a_second_begins_anew_a_1() -> None:
    reception = Reception(8000)
    receive(reception, range(100))
    assert not reception.receive(7, 30000, 0, 2.0)
    assert reception.receive(7, 100, 16000, 2.0)
    assert not reception.receive(7, 40000, 0, 2.02)
    assert reception.receive(7, 40001, 160, 2.04)
    receive(reception, range(40002, 40011))
    assert (reception.expected, reception.received) == (101 + 10, 101 + 10)


def test_another_source_is_counted_for_itself() -> None:
    reception = Reception(8000)
    receive(reception, [1, 2, 4])
    receive(reception, [60000, 60001], ssrc=8)
    assert (reception.expected, reception.received, reception.lost) == (6, 5, 1)
    block = reception.report(1.0)
    assert block is not None
    assert (block.ssrc, block.lost, block.highest) == (8, 0, 60001)


def test_jitter_a_8() -> None:
    """The estimator of A.8 over a few packets, reckoned by hand: J += (|D| - J) / 16."""
    reception = Reception(8000)
    for number, late in enumerate([0.0, 0.004, 0.0, 0.0]):
        reception.receive(7, number, number * 160, number * 0.02 + late)
    by_hand = 0.0
    for change in (0.004, 0.004, 0.0):
        by_hand += (change - by_hand) / 16
    assert reception.jitter == pytest.approx(by_hand)
    block = reception.report(1.0)
    assert block is not None
    assert block.jitter == int(by_hand * 8000)


def test_jitter_of_a_random_delay_and_over_the_wrap_of_timestamps() -> None:
    delays = random.Random(3550)
    reception = Reception(8000)
    for number in range(2000):
        stamp = (0xFFFFFFFF - 160_000 + number * 160) & 0xFFFFFFFF
        reception.receive(7, number, stamp, number * 0.02 + delays.random() * 0.04)
    assert 0.010 < reception.jitter < 0.017  # the mean distance of two such delays is a third of 40 ms
    assert reception.largest_jitter < 0.03


def test_another_source_is_no_jitter() -> None:
    reception = Reception(8000)
    receive(reception, range(10))
    for number in range(10):
        reception.receive(8, number, 4000 + number * 160, 0.2 + number * 0.02)
    assert reception.jitter == pytest.approx(0)


def test_silence_is_no_jitter() -> None:
    reception = Reception(8000)
    receive(reception, range(10))
    reception.receive(7, 10, 1600, 60.0)
    assert reception.jitter == pytest.approx(0)


def test_the_last_sender_report_is_referred_to_6_4_1() -> None:
    reception = Reception(8000)
    receive(reception, range(10))
    reception.on_sender_report(SenderReport(8, ntp(1.0), 0, 0, 0), 0.5)  # of somebody else
    block = reception.report(1.0)
    assert block is not None
    assert (block.last_report, block.delay) == (0, 0)
    reception.on_sender_report(SenderReport(7, 0x1111222233334444, 0, 0, 0), 1.5)
    block = reception.report(2.25)
    assert block is not None
    assert (block.last_report, block.delay) == (0x22223333, int(0.75 * 65536))
    receive(reception, range(3), ssrc=8)
    block = reception.report(2.5)
    assert block is not None
    assert (block.ssrc, block.last_report, block.delay) == (8, 0, 0)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)), max_size=60))
def test_any_packets_make_a_report_that_fits(packets: list[tuple[int, int, int]]) -> None:
    reception = Reception(8000)
    for at, (ssrc, sequence, timestamp) in enumerate(packets):
        reception.receive(ssrc, sequence, timestamp, at * 0.02)
        block = reception.report(at * 0.02)
        assert block is not None
        assert len(bytes(block)) == 24
    assert reception.received <= len(packets)
