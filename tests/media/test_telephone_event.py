"""Keys in RTP, RFC 4733: each press once and in order, whatever the network does to its packets."""

import random
import struct
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.media.rtp.packet import RtpPacket
from engine.media.rtp.telephone_event import KEYS, PAUSE, DigitReceiver, DigitSender, EventPacket

END = 0x80


def event(
    sequence: int, timestamp: int, code: int, duration: int, *, end: bool = False, marker: bool = False, ssrc: int = 7
) -> RtpPacket:
    payload = struct.pack("!BBH", code, END * end | 10, duration)
    return RtpPacket(101, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc, payload, marker)


def sent(
    digits: str,
    *,
    clock: int = 8000,
    duration: float = 0.1,
    interval: float = 0.1,
    sequence: int = 0,
    timestamp: int = 0,
) -> list[RtpPacket]:
    """What a sender of ours puts on the wire: sound goes on between the presses and takes sequence numbers too."""
    packets = []
    for at, made in enumerate(ticks(DigitSender(digits, clock, duration, interval))):
        if made is not None:
            stamp = (timestamp + made.timestamp) & 0xFFFFFFFF
            packets.append(RtpPacket(101, (sequence + at) & 0xFFFF, stamp, 7, made.payload, made.marker))
    return packets


def ticks(sender: DigitSender) -> list[EventPacket | None]:
    made = []
    while True:
        try:
            made.append(sender.next())
        except StopIteration:
            return made


def heard(packets: Iterable[RtpPacket]) -> str:
    receiver = DigitReceiver()
    return "".join(key for packet in packets if (key := receiver.receive(packet)) is not None)


class TestReceiver:
    def test_every_key_once_3_2(self) -> None:
        assert heard(sent(KEYS)) == KEYS

    def test_a_press_is_known_by_its_first_packet_2_5_2_1(self) -> None:
        receiver = DigitReceiver()
        assert [receiver.receive(packet) for packet in sent("5")] == ["5"] + [None] * 6

    def test_any_one_packet_of_a_press_is_enough_2_5_1_4(self) -> None:
        for packet in sent("5"):
            assert heard([packet]) == "5"

    def test_the_same_key_twice_in_a_row_is_two_presses(self) -> None:
        assert heard(sent("55555")) == "55555"

    def test_all_three_last_packets_lost(self) -> None:
        packets = [packet for packet in sent("1155") if not packet.payload[1] & END]
        assert heard(packets) == "1155"

    def test_the_first_packets_and_their_markers_lost(self) -> None:
        packets = [packet for packet in sent("1155") if not packet.marker]
        assert heard(packets) == "1155"

    def test_ends_and_markers_lost(self) -> None:
        packets = [packet for packet in sent("1155") if not packet.marker and not packet.payload[1] & END]
        assert heard(packets) == "1155"

    def test_duplicates(self) -> None:
        assert heard(packet for packet in sent("1155") for _ in range(3)) == "1155"

    def test_late_packets_of_the_press_before(self) -> None:
        first, second = sent("12")[:7], sent("12")[7:]
        assert heard([*first[:3], second[0], *first[3:], *second[1:]]) == "12"

    def test_a_press_of_which_only_a_late_packet_comes_would_be_out_of_order(self) -> None:
        assert heard([event(10, 2000, 1, 160), event(5, 1000, 2, 160), event(11, 2000, 1, 320)]) == "1"

    def test_a_marker_is_a_new_press_even_where_the_one_before_has_not_ended(self) -> None:
        assert heard([event(0, 0, 3, 160, marker=True), event(1, 160, 3, 160, marker=True)]) == "33"

    def test_numbers_wrap(self) -> None:
        for sequence in range(65510, 65536, 3):
            assert heard(sent("1155*", sequence=sequence, timestamp=0xFFFFFFFF - 1500)) == "1155*"

    def test_ten_percent_of_loss_and_40_ms_of_jitter(self) -> None:
        """Of five thousand presses of 100 ms none is lost but for those of which nothing arrives: 7 packets each."""
        keys = random.Random(4733)
        for round_ in range(25):
            digits = "".join(keys.choices(KEYS, k=200))
            packets = [
                (at * 0.02 + keys.random() * 0.04, packet)
                for at, packet in ((packet.sequence, packet) for packet in sent(digits, sequence=0))
                if keys.random() >= 0.1
                for _ in range(1 + (keys.random() < 0.05))
            ]
            packets.sort(key=lambda timed: timed[0])
            assert heard(packet for _, packet in packets) == digits, round_

    def test_a_key_held_for_a_minute_is_one_press_2_5_1_3(self) -> None:
        assert heard(sent("9", duration=60)) == "9"
        assert heard(sent("99", duration=20, clock=48000)) == "99"

    def test_a_key_held_for_a_minute_under_loss(self) -> None:
        keys = random.Random(1)
        for _ in range(6):
            packets = [packet for packet in sent("98", duration=60) if keys.random() >= 0.1]
            assert heard(packets) == "98"

    def test_a_duration_that_stays_at_its_largest_2_5_1_3(self) -> None:
        packets = [event(at, 0, 3, min(160 * (at + 1), 0xFFFF)) for at in range(600)]
        assert heard(packets) == "3"

    def test_a_sender_whose_timestamp_moves_within_a_press(self) -> None:
        packets = [event(at, 1000 + 160 * at, 3, 160 * (at + 1), marker=not at) for at in range(8)]
        packets += [event(8 + at, 1000 + 160 * 7, 3, 1280, end=True) for at in range(3)]
        assert heard(packets) == "3"

    @pytest.mark.parametrize(
        ("of_the_first", "of_the_second"),
        [(range(13), range(1, 13)), (range(13), range(9, 10)), (range(12, 13), range(3, 13)), (range(9), range(2, 13))],
    )
    def test_a_sender_that_counts_timestamps_in_milliseconds(self, of_the_first: range, of_the_second: range) -> None:
        """SIPp 3.6: durations of 8 kHz and timestamps of 1 kHz, so that a press seems to begin while the one before
        lasts. The marker of the second is lost, and more."""
        packets = [
            event(13 * at + tick, 24400 + 400 * at, 4, 160 * min(tick, 10), end=tick >= 10, marker=tick == 0)
            for at, left in enumerate((of_the_first, of_the_second))
            for tick in left
        ]
        assert heard(packets) == "44"

    def test_a_new_source_begins_anew(self) -> None:
        assert heard([event(5, 100, 1, 160), event(4, 100, 1, 160, ssrc=8)]) == "11"

    def test_a_source_whose_numbers_jump(self) -> None:
        assert heard([event(5, 100, 1, 160), event(5 - 2000, 90, 2, 160), event(5 - 1999, 90, 2, 320)]) == "12"

    def test_events_that_are_no_keys(self) -> None:
        assert heard([event(at, 1000 * at, code, 160) for at, code in enumerate((16, 1, 32, 255, 2))]) == "12"

    @pytest.mark.parametrize("payload", [b"", b"\1", b"\1\x0a\0"])
    def test_a_payload_that_is_too_short(self, payload: bytes) -> None:
        assert DigitReceiver().receive(RtpPacket(101, 1, 1, 1, payload)) is None

    def test_more_octets_than_one_event_are_not_looked_at(self) -> None:
        packet = event(1, 1, 5, 160)
        packet.payload += bytes(1400)
        assert heard([packet]) == "5"

    @given(
        st.lists(
            st.builds(
                RtpPacket,
                st.just(101),
                st.integers(0, 0xFFFF),
                st.integers(0, 0xFFFFFFFF) | st.integers(0, 2000),
                st.integers(0, 2),
                st.binary(max_size=8),
                st.booleans(),
            ),
            max_size=50,
        )
    )
    def test_anything_at_all(self, packets: list[RtpPacket]) -> None:
        assert len(heard(packets)) <= len(packets)
        assert set(heard(packets)) <= set(KEYS)


class TestSender:
    def test_a_press_of_100_ms_2_5_1(self) -> None:
        made = ticks(DigitSender("5", 8000))
        parts = [(*struct.unpack("!BBH", packet.payload), packet.marker, packet.timestamp) for packet in made if packet]
        assert parts == [
            (5, 10, 160, True, 0),
            (5, 10, 320, False, 0),
            (5, 10, 480, False, 0),
            (5, 10, 640, False, 0),
            *[(5, END | 10, 800, False, 0)] * 3,
        ]

    def test_a_press_after_the_other(self) -> None:
        """100 ms of the key and 100 ms of silence: the next one begins 200 ms after the first, on its own timestamp."""
        made = ticks(DigitSender("1#", 8000))
        starts = [at for at, packet in enumerate(made) if packet is not None and packet.marker]
        assert starts == [0, 10]
        assert [made[at].timestamp for at in starts if made[at] is not None] == [0, 1600]  # type: ignore[union-attr]
        assert [packet is None for packet in made[7:10]] == [True] * 3

    def test_a_comma_is_a_pause(self) -> None:
        made = ticks(DigitSender(",1", 48000))
        assert made[: int(PAUSE * 50)] == [None] * int(PAUSE * 50)
        first = made[int(PAUSE * 50)]
        assert first is not None
        assert first.timestamp == PAUSE * 48000

    def test_the_clock_is_that_of_the_sound_2_5_1_2(self) -> None:
        first = DigitSender("1", 48000).next()
        assert first is not None
        assert struct.unpack("!BBH", first.payload)[2] == 960

    def test_a_long_press_is_made_of_segments_2_5_1_3(self) -> None:
        made = [packet for packet in ticks(DigitSender("1", 48000, duration=5.0)) if packet is not None]
        assert len(made) == 250 + 2
        stamps = list(dict.fromkeys(packet.timestamp for packet in made))
        assert stamps == [0, 0xFFFF, 0xFFFF * 2, 0xFFFF * 3]
        for stamp in stamps[:-1]:
            last = [packet for packet in made if packet.timestamp == stamp][-1]
            assert struct.unpack("!BBH", last.payload)[1:] == (10, 0xFFFF)  # no end
        assert [packet.marker for packet in made].count(True) == 1
        code, flags, duration = struct.unpack("!BBH", made[-1].payload)
        assert (code, flags, made[-1].timestamp + duration) == (1, END | 10, 5 * 48000)

    def test_presses_and_silences_are_long_enough_to_be_heard(self) -> None:
        made = ticks(DigitSender("12", 8000, duration=0, interval=0))
        assert [packet is not None and packet.marker for packet in made].index(True, 1) == 4

    @pytest.mark.parametrize("digits", ["x", "1 2", "1\n", "E", "é"])
    def test_what_is_no_key(self, digits: str) -> None:
        with pytest.raises(ValueError, match="is no key"):
            DigitSender(digits, 8000)

    def test_letters_in_either_case_and_nothing_at_all(self) -> None:
        assert heard(sent("aBcD")) == "ABCD"
        assert ticks(DigitSender("", 8000)) == []
