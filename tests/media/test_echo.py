"""The echo of a stream without sockets: RFC 3550 §5.1 (own numbers), §8.2 (loops), RFC 4733 (events come back too)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.media.echo import EchoCounts, EchoStream
from engine.media.latch import Latch
from engine.media.rtp import RtpPacket, build

OURS = 0x0BADCAFE
THEIRS = 0x11111111
PEER = ("192.0.2.1", 4000)
STRANGER = ("203.0.113.9", 666)


def stream(sequence: int = 1000, timestamp: int = 5000) -> EchoStream:
    return EchoStream(OURS, sequence, timestamp, {0: 0, 8: 8, 101: 101}, Latch(PEER))


def back(echo: EchoStream, packet: RtpPacket) -> RtpPacket:
    data = echo.receive(bytes(packet), PEER)
    assert data is not None, echo.counts
    return RtpPacket.parse(data)


def test_what_arrives_comes_back_under_our_own_numbers() -> None:
    echo = stream()
    first = back(echo, RtpPacket(0, 7, 70, THEIRS, b"one", marker=True))
    assert first == RtpPacket(0, 1000, 5000, OURS, b"one", marker=True)
    assert back(echo, RtpPacket(0, 8, 230, THEIRS, b"two")) == RtpPacket(0, 1001, 5160, OURS, b"two")


def test_loss_and_reordering_on_the_way_in_look_the_same_on_the_way_out() -> None:
    echo = stream()
    numbers = [back(echo, RtpPacket(8, at, at * 160, THEIRS, b"")).sequence for at in (10, 13, 11, 14)]
    assert numbers == [1000, 1003, 1001, 1004]


def test_numbers_wrap_around() -> None:
    echo = stream(0xFFFF, 0xFFFFFFFF)
    assert back(echo, RtpPacket(0, 0xFFFF, 0xFFFFFFFF, THEIRS, b"")).sequence == 0xFFFF
    after = back(echo, RtpPacket(0, 0, 159, THEIRS, b""))
    assert (after.sequence, after.timestamp) == (0, 159)


def test_a_new_source_goes_on_with_our_numbers() -> None:
    echo = stream()
    back(echo, RtpPacket(0, 7, 70, THEIRS, b""))
    after = back(echo, RtpPacket(0, 40000, 123456, THEIRS + 1, b""))
    assert (after.sequence, after.timestamp, after.ssrc) == (1001, 5160, OURS)


def test_events_come_back_with_payload_type_and_marker() -> None:
    event = bytes.fromhex("05 8a 0320")
    assert back(stream(), RtpPacket(101, 1, 1, THEIRS, event, marker=True)).payload == event


def test_extension_sources_and_padding_stay_behind() -> None:
    echo = stream()
    padded = bytes.fromhex("b1 00 0001 00000001 11111111 0000000a bede0001 11223344") + b"abc" + b"\0\2"
    data = echo.receive(padded, PEER)
    assert data == build(0, False, 1000, 5000, OURS, b"abc")


def test_an_answer_that_renumbered_our_offer_gets_its_own_numbers() -> None:
    echo = EchoStream(OURS, 0, 0, {101: 96}, Latch())
    assert back(echo, RtpPacket(101, 1, 1, THEIRS, b"")).payload_type == 96


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (b"", "garbage"),
        (b"\x00" * 12, "garbage"),
        (b"INVITE sip:x SIP/2.0\r\n\r\n", "garbage"),
        (bytes.fromhex("80c80006") + b"\0" * 24, "unknown"),  # an RTCP sender report
        (bytes(RtpPacket(3, 1, 1, THEIRS, b"GSM")), "unknown"),
        (bytes(RtpPacket(0, 1, 1, OURS, b"x")), "looped"),
    ],
)
def test_what_is_not_echoed_is_counted(data: bytes, field: str) -> None:
    echo = stream()
    assert echo.receive(data, STRANGER) is None
    assert echo.counts == EchoCounts(**{field: 1})
    assert echo.latch.source is None  # nothing of it makes anybody the peer


def test_strangers_get_nothing_and_change_nothing() -> None:
    echo = stream()
    back(echo, RtpPacket(0, 7, 70, THEIRS, b""))
    assert echo.receive(bytes(RtpPacket(0, 1, 1, THEIRS + 1, b"")), STRANGER) is None
    assert echo.counts.strays == 1
    assert back(echo, RtpPacket(0, 8, 230, THEIRS, b"")).sequence == 1001


def test_a_peer_on_hold_hears_nothing_and_the_stream_goes_on_afterwards() -> None:
    echo = stream()
    back(echo, RtpPacket(0, 7, 70, THEIRS, b""))
    echo.listening = False
    assert echo.receive(bytes(RtpPacket(0, 8, 230, THEIRS, b"")), PEER) is None
    assert echo.counts.held == 1
    echo.listening = True
    assert back(echo, RtpPacket(0, 9, 390, THEIRS, b"")).sequence == 1002


@given(st.lists(st.binary(max_size=40) | st.binary(min_size=1, max_size=40).map(lambda b: b"\x80\x00" + b)))
def test_nothing_that_arrives_breaks_a_stream(datagrams: list[bytes]) -> None:
    echo = stream()
    sent = [data for data in (echo.receive(datagram, PEER) for datagram in datagrams) if data is not None]
    counts = echo.counts
    assert len(sent) + counts.garbage + counts.unknown + counts.looped == len(datagrams)
    assert all(RtpPacket.parse(data).ssrc == OURS for data in sent)
