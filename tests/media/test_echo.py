"""The echo of a stream: RFC 3550 §5.1 (own numbers), §8.2 (loops), RFC 4733 (events come back too)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.media.codec.registry import PCMA, PCMU
from engine.media.rtp.counters import Counts
from engine.media.rtp.packet import RtpPacket, build
from engine.media.rtp.srtp import AES_80, Crypto, Keys, Srtp, new_key
from tests.media.fake_plane import PEER, STRANGER, Line, Tape, agreed

THEIRS = 0x11111111


def echoing() -> Line:
    line = Line(agreed(PCMU, more={8: PCMA}))
    line.stream.echo(True)
    return line


def back(line: Line, packet: RtpPacket) -> RtpPacket:
    before = len(line.sent)
    line.hear(packet)
    assert len(line.sent) == before + 1, line.stream.counts
    return line.sent[-1]


def behind(first: RtpPacket, later: RtpPacket) -> tuple[int, int]:
    """How far `later` lies behind `first`, in packets and in timestamp units."""
    return (later.sequence - first.sequence) & 0xFFFF, (later.timestamp - first.timestamp) & 0xFFFFFFFF


def test_what_arrives_comes_back_under_our_own_numbers() -> None:
    line = echoing()
    first = back(line, RtpPacket(0, 7, 70, THEIRS, b"one", marker=True))
    assert (first.payload, first.marker, first.payload_type) == (b"one", True, 0)
    assert first.ssrc == line.stream.sender.ssrc != THEIRS
    assert (first.sequence, first.timestamp) != (7, 70)
    second = back(line, RtpPacket(0, 8, 230, THEIRS, b"two"))
    assert (second.payload, second.marker, behind(first, second)) == (b"two", False, (1, 160))


def test_loss_and_reordering_on_the_way_in_look_the_same_on_the_way_out() -> None:
    line = echoing()
    packets = [back(line, RtpPacket(8, at, at * 160, THEIRS, b"")) for at in (10, 13, 11, 14)]
    assert [behind(packets[0], each) for each in packets] == [(0, 0), (3, 480), (1, 160), (4, 640)]
    assert {each.payload_type for each in packets} == {8}


def test_numbers_wrap_around() -> None:
    line = echoing()
    first = back(line, RtpPacket(0, 0xFFFF, 0xFFFFFFFF, THEIRS, b""))
    assert behind(first, back(line, RtpPacket(0, 0, 159, THEIRS, b""))) == (1, 160)


def test_a_new_source_goes_on_with_our_numbers() -> None:
    line = echoing()
    first = back(line, RtpPacket(0, 7, 70, THEIRS, b""))
    after = back(line, RtpPacket(0, 40000, 123456, THEIRS + 1, b""))
    assert behind(first, after) == (1, 160)
    assert after.ssrc == first.ssrc


async def test_what_plays_after_an_echo_goes_on_behind_it() -> None:
    line = echoing()
    for at in (10, 12, 11):
        back(line, RtpPacket(0, at, at * 160, THEIRS, b""))
    highest = line.sent[1]
    line.stream.echo(False)
    line.stream.play(Tape(3))
    line.time.run(0.1)
    assert [behind(highest, each) for each in line.sent[3:]] == [(1, 160), (2, 320), (3, 480)]
    line.stream.close()


def test_events_come_back_with_payload_type_and_marker_and_are_keys() -> None:
    line = echoing()
    keys: list[str] = []
    line.stream.on_key = keys.append
    packet = back(line, RtpPacket(101, 9, 400, THEIRS, b"\x05\x8a\x03\x20", marker=True))
    assert (packet.payload_type, packet.marker, packet.payload) == (101, True, b"\x05\x8a\x03\x20")
    assert keys == ["5"]


def test_extension_sources_and_padding_stay_behind() -> None:
    line = echoing()
    data = bytes(RtpPacket(0, 7, 70, THEIRS, b"voice", False, (1, 2), (0xBEDE, b"\x10\xff\0\0")))
    padded = bytes((data[0] | 0x20,)) + data[1:] + b"\0\0\0\4"
    line.hear(padded)
    out, _ = line.port.sock.sent[-1]
    sender = line.stream.sender
    packet = RtpPacket.parse(out)
    assert out == build(0, False, packet.sequence, packet.timestamp, sender.ssrc, b"voice")


def test_an_answer_that_renumbered_our_offer_gets_its_own_numbers() -> None:
    line = Line(agreed(PCMU)._replace(payload_types={101: 96, 0: 0}))
    line.stream.echo(True)
    line.hear(RtpPacket(101, 1, 1, THEIRS, b"e"))
    assert line.sent[0].payload_type == 96


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (b"", "garbage"),
        (b"\x80", "garbage"),
        (b"INVITE sip:x SIP/2.0\r\n\r\n", "garbage"),
        (b"\x80" * 1600, "garbage"),
        (bytes(RtpPacket(18, 1, 1, THEIRS, b"g729")), "unknown"),
        (bytes(RtpPacket(13, 1, 1, THEIRS, b"\x40")), "unknown"),
        (b"\x80\xc8\x00\x06" + b"\0" * 24, "unknown"),  # RTCP on the port of RTP, though nobody agreed to that
    ],
)
def test_what_is_not_echoed_is_counted(data: bytes, field: str) -> None:
    line = echoing()
    line.hear(data)
    assert not line.sent
    assert line.stream.counts == Counts(**{field: 1})


def test_our_own_packets_are_not_echoed_rfc3550_8_2() -> None:
    line = echoing()
    first = back(line, RtpPacket(0, 1, 1, THEIRS, b"x"))
    line.hear(first)
    assert len(line.sent) == 1
    assert (line.stream.counts.looped, line.stream.counts.taken) == (1, 1)


def test_strangers_get_nothing_and_change_nothing() -> None:
    line = echoing()
    back(line, RtpPacket(0, 1, 160, THEIRS, b""))
    line.hear(RtpPacket(0, 2, 320, THEIRS, b""), STRANGER)
    assert line.stream.counts.strays == 1
    back(line, RtpPacket(0, 2, 320, THEIRS, b""))
    assert {target for _, target in line.port.sock.sent} == {PEER}


def test_a_peer_on_hold_hears_nothing_and_the_stream_goes_on_afterwards() -> None:
    line = echoing()
    first = back(line, RtpPacket(0, 1, 160, THEIRS, b""))
    line.stream.agree(agreed(PCMU, listening=False))
    line.hear(RtpPacket(0, 2, 320, THEIRS, b""))
    assert len(line.sent) == 1
    assert (line.stream.counts.held, line.stream.counts.returned) == (1, 1)
    line.stream.agree(agreed(PCMU))
    assert behind(first, back(line, RtpPacket(0, 3, 480, THEIRS, b""))) == (2, 320)


def test_srtp_is_echoed_and_what_comes_twice_is_not() -> None:
    keys = Keys(Crypto(1, AES_80, new_key()), Crypto(1, AES_80, new_key()))
    peer = Srtp(Keys(keys.theirs, keys.ours))
    line = Line(agreed(PCMU, crypto=keys))
    line.stream.echo(True)
    first, second = (peer.protect(bytes(RtpPacket(0, at, at * 160, THEIRS, b"voice"))) for at in (1, 2))
    for data in (second, first, first, second, b"\x80" + b"x" * 40):
        line.hear(data)
    back = [RtpPacket.parse(peer.unprotect(data)) for data, _ in line.port.sock.sent]
    assert [behind(back[0], each) for each in back] == [(0, 0), (0xFFFF, (1 << 32) - 160)]
    assert (line.stream.counts.taken, line.stream.counts.unverified) == (2, 3)


@given(st.lists(st.binary(max_size=40)))
def test_nothing_that_arrives_breaks_a_stream(datagrams: list[bytes]) -> None:
    line = echoing()
    for data in datagrams:
        line.hear(data)
    counts = line.stream.counts
    told = counts.taken + counts.garbage + counts.strays + counts.unknown + counts.noise + counts.looped
    assert told + counts.control == len(datagrams)
    assert len(line.sent) == counts.returned
