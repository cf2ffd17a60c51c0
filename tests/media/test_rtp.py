"""RTP packets, RFC 3550 §5.1: every bound, and everything that is built reads back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.media.rtp.packet import RtpError, RtpPacket, build

PLAIN = bytes.fromhex("80 00 0001 000000a0 deadbeef") + b"\xff" * 160


def test_fixed_header_and_payload() -> None:
    packet = RtpPacket.parse(PLAIN)
    assert (packet.payload_type, packet.sequence, packet.timestamp, packet.ssrc) == (0, 1, 160, 0xDEADBEEF)
    assert packet.payload == b"\xff" * 160
    assert not packet.marker
    assert bytes(packet) == PLAIN == build(0, False, 1, 160, 0xDEADBEEF, b"\xff" * 160)


def test_marker_and_payload_type_share_an_octet() -> None:
    packet = RtpPacket.parse(bytes.fromhex("80 e5 ffff ffffffff 00000000"))
    assert packet.marker
    assert packet.payload_type == 101
    assert packet.payload == b""


def test_sources_extension_and_padding_are_taken_off_the_payload() -> None:
    data = bytes.fromhex("b2 08 0002 00000003 00000004  0000000a 0000000b  bede 0001 11223344") + b"abc" + b"\0\2"
    packet = RtpPacket.parse(data)
    assert packet.csrcs == (10, 11)
    assert packet.extension == (0xBEDE, bytes.fromhex("11223344"))
    assert packet.payload == b"abc"
    assert RtpPacket.parse(bytes(packet)) == packet


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ("", "too few"),
        ("80 00 0001 000000a0 deadbe", "too few"),
        ("00 00 0001 000000a0 deadbeef", "version 0"),
        ("40 00 0001 000000a0 deadbeef", "version 1"),
        ("c0 00 0001 000000a0 deadbeef", "version 3"),
        ("81 00 0001 000000a0 deadbeef 000000", "contributing"),
        ("8f 00 0001 000000a0 deadbeef" + "00" * 59, "contributing"),
        ("90 00 0001 000000a0 deadbeef", "extension"),
        ("90 00 0001 000000a0 deadbeef bede00", "extension"),
        ("90 00 0001 000000a0 deadbeef bedeffff 00000000", "extension"),
        ("a0 00 0001 000000a0 deadbeef", "padding of 239"),
        ("a0 00 0001 000000a0 deadbeef 00", "padding of 0"),
        ("a0 00 0001 000000a0 deadbeef 0003", "padding of 3"),
        ("b1 00 0001 000000a0 deadbeef 00000001 bede0001 00000009", "padding of 9"),
    ],
)
def test_a_broken_bound_is_refused(data: str, complaint: str) -> None:
    with pytest.raises(RtpError, match=complaint):
        RtpPacket.parse(bytes.fromhex(data))


def test_padding_may_be_all_there_is() -> None:
    assert RtpPacket.parse(bytes.fromhex("a0 00 0001 000000a0 deadbeef 00000004")).payload == b""


@given(st.binary(max_size=120))
def test_any_datagram_is_a_packet_or_an_rtp_error(data: bytes) -> None:
    try:
        packet = RtpPacket.parse(data)
    except RtpError:
        return
    assert RtpPacket.parse(bytes(packet)) == packet
    assert len(bytes(packet)) <= len(data)


@given(st.binary(min_size=12, max_size=120), st.integers(0x80, 0xBF))
def test_any_datagram_of_the_right_version_too(data: bytes, first: int) -> None:
    test_any_datagram_is_a_packet_or_an_rtp_error.hypothesis.inner_test(bytes([first]) + data[1:])  # type: ignore[attr-defined]


@given(
    st.builds(
        RtpPacket,
        st.integers(0, 127),
        st.integers(0, 0xFFFF),
        st.integers(0, 0xFFFFFFFF),
        st.integers(0, 0xFFFFFFFF),
        st.binary(max_size=400),
        st.booleans(),
        st.lists(st.integers(0, 0xFFFFFFFF), max_size=15).map(tuple),
        st.none() | st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=10).map(lambda octets: octets * 4)),
    )
)
def test_what_is_built_reads_back(packet: RtpPacket) -> None:
    assert RtpPacket.parse(bytes(packet)) == packet


@pytest.mark.parametrize(
    "packet",
    [
        RtpPacket(128, 0, 0, 0, b""),
        RtpPacket(-1, 0, 0, 0, b""),
        RtpPacket(0, 0x10000, 0, 0, b""),
        RtpPacket(0, 0, -1, 0, b""),
        RtpPacket(0, 0, 0, 1 << 32, b""),
        RtpPacket(0, 0, 0, 0, b"", csrcs=(1,) * 16),
        RtpPacket(0, 0, 0, 0, b"", csrcs=(-1,)),
        RtpPacket(0, 0, 0, 0, b"", extension=(0, b"abc")),
        RtpPacket(0, 0, 0, 0, b"", extension=(0, b"abcd" * 65536)),
    ],
)
def test_a_field_that_does_not_fit_is_refused(packet: RtpPacket) -> None:
    with pytest.raises(RtpError):
        bytes(packet)
