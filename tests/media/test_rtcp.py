"""RTCP, RFC 3550 §6: reports there and back, and every bound of a compound packet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.media.rtp import rtcp
from engine.media.rtp.rtcp import Bye, ReceiverReport, ReportBlock, RtcpError, Sdes, SenderReport

BLOCK = ReportBlock(7, 64, -3, 0x10005, 33, 0x12345678, 65536)
SENDER = SenderReport(1, 0x0123456789ABCDEF, 160, 50, 8000, (BLOCK,))


def test_a_sender_report_octet_by_octet_6_4_1() -> None:
    assert bytes(SENDER).hex(" ", 4) == (
        "81c8000c 00000001 01234567 89abcdef 000000a0 00000032 00001f40"
        " 00000007 40fffffd 00010005 00000021 12345678 00010000"
    )


def test_a_name_is_padded_with_zeros_and_ends_with_one_6_5() -> None:
    for name in ("", "a", "ab", "abc", "abcd@host"):
        data = bytes(Sdes(((1, name),)))
        assert len(data) % 4 == 0
        assert data.endswith(b"\0")
        assert rtcp.parse(bytes(ReceiverReport(1)) + data)[1] == Sdes(((1, name),))


def test_a_compound_packet_there_and_back() -> None:
    packets = [SENDER, Sdes(((1, "a@b"), (2, "c"))), Bye((1, 2), "over")]
    assert rtcp.parse(rtcp.compound(*packets)) == packets
    empty = [ReceiverReport(5), Bye(())]
    assert rtcp.parse(rtcp.compound(*empty)) == empty


def test_a_compound_packet_begins_with_a_report_6_1() -> None:
    with pytest.raises(ValueError, match="report"):
        rtcp.compound(Bye((1,)))
    with pytest.raises(ValueError, match="report"):
        rtcp.compound()
    with pytest.raises(ValueError, match="at most 31"):
        bytes(Bye((1,) * 32))


def test_numbers_that_do_not_fit_are_held_at_their_bounds() -> None:
    for lost, read in ((1 << 30, 0x7FFFFF), (-(1 << 30), -0x800000)):
        (report,) = rtcp.parse(bytes(ReceiverReport(1, (ReportBlock(2, 0, lost, 0, 0),))))
        assert isinstance(report, ReceiverReport)
        assert report.blocks[0].lost == read


def test_what_is_not_understood_is_stepped_over() -> None:
    report = bytes(ReceiverReport(1))
    application = bytes.fromhex("80cc0002 00000001 6e616d65")
    feedback = bytes.fromhex("81cd0003 00000001 00000002 00000000")
    assert rtcp.parse(report + application + feedback + bytes(Bye((1,)))) == [ReceiverReport(1), Bye((1,))]
    note = bytes.fromhex("81ca0004 00000001 0601 78 0102 6162 0000000000")
    assert rtcp.parse(report + note) == [ReceiverReport(1), Sdes(((1, "ab"),))]


def test_extensions_of_a_report_are_stepped_over_6_4_3() -> None:
    assert rtcp.parse(bytes.fromhex("80c90003 00000001 0badcafe 0badcafe")) == [ReceiverReport(1)]


def test_padding_of_the_last_packet() -> None:
    assert rtcp.parse(bytes.fromhex("a0c90002 00000001 00000004")) == [ReceiverReport(1)]


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ("", "empty"),
        ("80c900", "too few"),
        ("80c90001 00000001 80", "too few"),
        ("00c90001 00000001", "version 0"),
        ("c0c90001 00000001", "version 3"),
        ("80cb0000", "begins with"),
        ("80ca0000", "begins with"),
        ("80000001 00000001", "begins with"),
        ("80c90002 00000001", "past the end"),
        ("80c90000", "shorter"),
        ("81c90001 00000001", "shorter"),
        ("80c80001 00000001", "shorter"),
        ("80c90001 00000001 81cb0000", "shorter"),
        ("80c90001 00000001 81cb0002 00000001 05616161", "reason"),
        ("80c90001 00000001 81ca0000", "shorter"),
        ("80c90001 00000001 81ca0001 00000001", "shorter"),
        ("80c90001 00000001 81ca0002 00000001 01ff6161", "past the end"),
        ("80c90001 00000001 81ca0002 00000001 01026161", "shorter"),
        ("a0c90001 00000001 80c90001 00000001", "padding before"),
        ("a0c90001 00000000", "padding that"),
        ("a0c90001 00000003", "padding that"),
        ("a0c90001 00000008", "padding that"),
    ],
)
def test_a_broken_bound_is_refused_a_2(data: str, complaint: str) -> None:
    with pytest.raises(RtcpError, match=complaint):
        rtcp.parse(bytes.fromhex(data))


HEADS = st.sampled_from(
    [bytes.fromhex(f"{first}{kind}") for first in ("80", "81", "a1", "9f") for kind in ("c8", "c9", "ca", "cb")]
)


@given(st.binary(max_size=100), st.lists(st.tuples(HEADS, st.binary(max_size=60)), max_size=4))
def test_any_datagram_is_a_list_of_packets_or_an_rtcp_error(data: bytes, parts: list[tuple[bytes, bytes]]) -> None:
    whole = bytes(ReceiverReport(1))
    for head, body in parts:
        body += bytes(-len(body) % 4)
        whole += head + (len(body) // 4).to_bytes(2) + body
    for wrong in (data, whole, whole + data):
        try:
            packets = rtcp.parse(wrong)
        except RtcpError:
            continue
        assert rtcp.parse(rtcp.compound(*packets)) == packets


def test_which_datagrams_are_rtcp_5761_4() -> None:
    assert rtcp.is_rtcp(bytes(SENDER))
    assert rtcp.is_rtcp(bytes(Bye((1,))))
    assert not rtcp.is_rtcp(bytes.fromhex("80000001"))
    assert not rtcp.is_rtcp(bytes.fromhex("80e50001"))  # an event with its marker
    assert not rtcp.is_rtcp(b"\x80")


def test_times_and_the_way_there_and_back_6_4_1() -> None:
    assert rtcp.ntp(0) >> 32 == 2_208_988_800
    assert rtcp.ntp(0.5) & 0xFFFFFFFF == 1 << 31
    asked = 1_700_000_000.25
    block = ReportBlock(1, 0, 0, 0, 0, rtcp.ntp(asked) >> 16 & 0xFFFFFFFF, int(0.5 * 65536))
    assert rtcp.round_trip(block, asked + 0.58) == pytest.approx(0.08, abs=0.001)
    assert rtcp.round_trip(ReportBlock(1, 0, 0, 0, 0), asked) is None
    assert rtcp.round_trip(block, asked + 0.4) is None  # its delay is longer than all the time that has passed
