"""The ruler of the media bench: what it makes of packets whose places are known."""

import socket
import struct
import time

import pytest

from benchmarks.media_sink import Sink, timed
from engine.media.rtp.packet import build

MS = 1_000_000  # ns
Packets = list[tuple[int, int, int]]


def stream(late: dict[int, int], left_out: int | None = None) -> Packets:
    """Fifty packets; `late` has by how many ns some are off. Sequence numbers and timestamps wrap on the way."""
    return [
        ((65_530 + n) & 0xFFFF, (0xFFFFFF00 + 160 * n) & 0xFFFFFFFF, 10**18 + 20 * MS * n + late.get(n, 0))
        for n in range(50)
        if n != left_out
    ]


def test_packets_in_their_places_are_all_within() -> None:
    timing = timed({1: stream({}), 2: stream({})}, 8000)
    assert (timing.streams, timing.packets, timing.lost, timing.within) == (2, 100, 0, 1.0)
    assert timing.largest == pytest.approx(0, abs=1)


def test_the_zero_is_the_streams_own_median() -> None:
    """One that began late is not late for ever: not even where it is the first packet that is off."""
    timing = timed({1: stream({0: 7 * MS})}, 8000)
    assert timing.largest == pytest.approx(7000, abs=1)
    assert timing.p50 == pytest.approx(0, abs=1)


def test_early_and_late_both_count() -> None:
    timing = timed({1: stream({10: 3 * MS, 20: -3 * MS, 30: MS})}, 8000)
    assert timing.within == pytest.approx(48 / 50)
    assert timing.largest == pytest.approx(3000, abs=1)


def test_a_missing_packet_is_lost_and_moves_no_other() -> None:
    timing = timed({1: stream({}, left_out=25)}, 8000)
    assert (timing.lost, timing.packets) == (1, 49)
    assert timing.largest == pytest.approx(0, abs=1)


def test_nothing_that_arrived_is_no_error() -> None:
    timing = timed({}, 8000)
    assert (timing.streams, timing.packets, timing.within) == (0, 0, 0.0)


def stamps_are_on(sink: Sink, sender: socket.socket) -> None:
    """The kernel begins to stamp at arrival a moment after it is asked; until then it stamps when a packet is read."""
    for _ in range(2_000):  # 10 s: the kernel does it when it has time
        sender.sendto(b"x", ("127.0.0.72", sink.port))
        time.sleep(0.005)
        read_at = time.time_ns()
        seconds, nanoseconds = struct.unpack("qq", sink.rtp.recvmsg(16, socket.CMSG_SPACE(16))[1][0][2])
        if seconds * 1_000_000_000 + nanoseconds < read_at:
            return
    raise AssertionError("this kernel does not stamp packets when they arrive")


def test_what_came_before_is_not_of_this_time() -> None:
    with Sink("127.0.0.72") as sink, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        stamps_are_on(sink, sender)
        sender.sendto(build(0, False, 1, 160, 7, bytes(160)), ("127.0.0.72", sink.port))
        assert sink.listen(0.01) == {}
        assert sink.sources == set()


def test_what_came_in_time_counts_though_it_is_read_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline is over before anything is read: all that was stamped before is taken nevertheless."""
    with Sink("127.0.0.72") as sink, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:

        def late() -> float:
            for number in range(3):
                sender.sendto(build(0, False, number, 160 * number, 7, bytes(160)), ("127.0.0.72", sink.port))
            monkeypatch.setattr("benchmarks.media_sink.time.monotonic", lambda: 99.0)
            return 0.0

        monkeypatch.setattr("benchmarks.media_sink.time.monotonic", late)
        # time_ns is read before monotonic: what `late` sends lies within.
        found = sink.listen(5.0)
    assert [sequence for sequence, _, _ in found[7]] == [0, 1, 2]
    assert {host for host, _ in sink.sources} == {"127.0.0.1"}
