"""What a stream hears: keys, taps, statistics, silence, and everything that is not the peer's."""

import struct
from itertools import pairwise

import numpy
import pytest

from engine.media.codec.codec import Codec, Samples
from engine.media.codec.registry import PCMA, PCMU
from engine.media.rtp.packet import RtpPacket
from engine.media.rtp.rtcp import Bye, ReceiverReport, ReportBlock, Sdes, SenderReport, compound, ntp, parse
from engine.media.rtp.session import RtpSession
from engine.media.rtp.srtp import AES_80, Crypto, Keys, Srtp, new_key
from tests.media.fake_plane import EVENTS, PEER, STRANGER, Dialog, Line, agreed

THEIRS = 0x11111111
NAT, INSIDE = ("198.51.100.7", 31000), ("10.9.8.7", 4000)
LOUD = PCMU.encoder().encode(numpy.full(160, 1000, dtype=numpy.int16))


class Tape:
    """A tap that keeps what it hears."""

    def __init__(self) -> None:
        self.frames: list[Samples] = []
        self.rates: set[int] = set()

    def hear(self, samples: Samples, rate: int) -> None:
        self.frames.append(samples)
        self.rates.add(rate)

    @property
    def loud(self) -> list[bool]:
        return [bool(abs(int(frame[80])) > 900) for frame in self.frames]


def behind_nat(*, mux: bool = False) -> Line:
    """A peer that describes itself by its private address, and whose packets come from `NAT`."""
    return Line(agreed(remote=INSIDE, mux=mux), dialog=Dialog(NAT[0], receives=True))


def voice(at: int, payload: bytes = LOUD, ssrc: int = THEIRS, payload_type: int = 0) -> RtpPacket:
    return RtpPacket(payload_type, at & 0xFFFF, at * 160, ssrc, payload)


def event(sequence: int, key: int, duration: int, *, end: bool = False, timestamp: int = 160) -> RtpPacket:
    return RtpPacket(EVENTS, sequence, timestamp, THEIRS, struct.pack("!BBH", key, end << 7 | 10, duration))


def test_a_key_is_reported_once_however_many_packets_it_has() -> None:
    line = Line()
    keys: list[str] = []
    line.stream.on_key = keys.append
    for at, duration in enumerate((160, 320, 480, 800, 800, 800)):
        line.hear(event(10 + at, 5, duration, end=at > 2))
    assert keys == ["5"]
    line.hear(event(9, 4, 100, timestamp=8000), STRANGER)
    assert keys == ["5"] and line.stream.counts.strays == 1


def test_a_stranger_that_was_first_gets_nothing_and_its_keys_are_nobodys() -> None:
    line = behind_nat()
    keys: list[str] = []
    line.stream.on_key = keys.append
    line.hear(event(1, 4, 400), STRANGER)
    assert line.stream.sender.target != STRANGER
    for at in range(5):
        line.hear(voice(at), NAT)
    assert line.stream.sender.target == NAT
    line.hear(event(2, 4, 800, end=True), STRANGER)
    assert keys == []
    line.hear(event(6, 5, 160, timestamp=900), NAT)
    assert keys == ["5"]
    assert (line.stream.counts.strays, line.stream.counts.taken) == (2, 6)


def test_a_key_behind_a_nat_counts_where_nothing_else_was_sent_before() -> None:
    line = behind_nat()
    keys: list[str] = []
    line.stream.on_key = keys.append
    for at, duration in enumerate((160, 320, 320, 320, 320)):  # the shortest press
        line.hear(event(10 + at, 5, duration, end=at > 1), NAT)
    assert keys == ["5"]


def test_reports_come_from_a_peer_behind_a_nat_and_from_no_stranger() -> None:
    line = behind_nat(mux=True)
    report = compound(ReceiverReport(THEIRS), Sdes(((THEIRS, "x"),)))
    line.hear(voice(1), STRANGER)
    line.hear(report, STRANGER)
    for at in range(5):
        line.hear(voice(at), NAT)
    line.hear(report, NAT)
    line.hear(report, STRANGER)
    assert (line.stream.control.received, line.stream.control.refused) == (1, 2)


def test_a_tap_hears_20_ms_at_every_tick_and_silence_where_nothing_came() -> None:
    line, tape = Line(), Tape()
    line.stream.attach(tape)
    for at in range(50):
        line.hear(voice(at))
        line.time.run(0.02)
    line.time.run(0.5)
    assert {len(frame) for frame in tape.frames} == {160} and tape.rates == {8000}
    assert len(tape.frames) == pytest.approx(75, abs=1)
    first = tape.loud.index(True)
    assert first <= 5
    assert all(tape.loud[first : first + 50])
    assert not any(abs(int(frame.max())) > 10 for frame in tape.frames[-10:])


def test_what_came_out_of_order_is_heard_in_order() -> None:
    line, tape = Line(), Tape()
    line.stream.attach(tape)
    sounds = [PCMU.encoder().encode(numpy.full(160, int(100 * 1.15**level), dtype=numpy.int16)) for level in range(30)]
    order = list(range(30))
    order[10], order[11] = order[11], order[10]
    for at in order:
        line.hear(voice(at, sounds[at]))
        line.time.run(0.02)
    line.time.run(0.1)
    levels = [int(frame[80]) for frame in tape.frames if abs(int(frame[80])) > 50]
    assert levels[:28] == sorted(levels[:28])
    assert len(set(levels[:28])) == 28


def test_packets_of_30_ms_are_heard_without_a_gap() -> None:
    line, tape = Line(), Tape()
    line.stream.attach(tape)
    sound = PCMU.encoder()
    for at in range(40):
        payload = b"".join(sound.encode(numpy.full(160, 1000, dtype=numpy.int16)) for _ in range(2))[:240]
        line.hear(RtpPacket(0, at, at * 240, THEIRS, payload))
        line.time.run(0.03)
    first = tape.loud.index(True)
    assert all(tape.loud[first : first + 50])


def test_a_peer_may_change_its_codec_between_two_packets_rfc3264_5_1() -> None:
    line, tape = Line(agreed(PCMU, more={8: PCMA})), Tape()
    line.stream.attach(tape)
    other = PCMA.encoder().encode(numpy.full(160, 1000, dtype=numpy.int16))
    for at in range(40):
        line.hear(voice(at) if at < 20 else voice(at, other, payload_type=8))
        line.time.run(0.02)
    first = tape.loud.index(True)
    assert all(tape.loud[first : first + 36])


def test_nobody_listens_nothing_is_decoded_and_nothing_has_turns() -> None:
    line, tape = Line(), Tape()
    line.hear(voice(0))
    assert not len(line.plane.pacer)
    line.stream.attach(tape)
    line.stream.attach(tape)
    line.time.run(0.1)
    assert len(tape.frames) in (4, 5)
    line.stream.detach(tape)
    line.stream.detach(tape)
    line.time.run(0.1)
    assert len(tape.frames) in (4, 5) and not len(line.plane.pacer)
    line.stream.close()


def test_a_tap_that_raises_is_sent_away_and_the_others_hear_on() -> None:
    class Broken:
        def hear(self, samples: Samples, rate: int) -> None:
            raise ValueError("broken")

    line, tape = Line(), Tape()
    line.stream.attach(tape)
    line.stream.attach(Broken())
    line.time.run(0.5)
    assert [str(fault) for fault in line.faults] == ["broken"]
    assert len(tape.frames) >= 24


def test_a_payload_that_cannot_be_decoded_is_a_lost_one() -> None:
    line, tape = Line(), Tape()
    line.stream.attach(tape)
    for at in range(20):
        line.hear(voice(at, b"" if at == 10 else LOUD))
        line.time.run(0.02)
    assert {len(frame) for frame in tape.frames} == {160}


def test_comfort_noise_is_ignored() -> None:
    line = Line()
    line.hear(voice(0))
    line.hear(RtpPacket(13, 1, 160, THEIRS, b"\x40"))
    line.hear(RtpPacket(13, 1, 160, THEIRS, b"\x40"), STRANGER)
    assert (line.stream.counts.noise, line.stream.counts.unknown) == (1, 1)


def test_the_record_says_what_came_and_what_was_lost() -> None:
    line = Line()
    for at in range(100):
        if at % 10 != 3:
            line.hear(voice(at))
        line.time.run(0.02)
    report = line.stream.report()
    assert (report["codec"], report["received"], report["lost"], report["sent"]) == ("PCMU", 90, 10, 0)
    assert report["jitter_ms"] == 0.0
    assert "rtt_ms" not in report


def test_the_record_says_how_much_was_refused_where_anything_was() -> None:
    line = Line()
    line.hear(voice(0))
    assert "refused" not in line.stream.report()
    line.hear(voice(1), STRANGER)  # not the peer's
    line.hear(b"no RTP at all")
    line.hear(RtpPacket(77, 1, 160, THEIRS, b"x" * 160))  # not agreed on
    line.hear(RtpPacket(0, 1, 160, line.stream.sender.ssrc, b"x" * 160))  # our own
    line.hear(RtpPacket(13, 2, 160, THEIRS, b"\x40"))  # comfort noise is no fault
    report = line.stream.report()
    assert (report["refused"], report["received"]) == (4, 1)


def test_a_peer_with_another_key_is_silent_and_the_record_says_why() -> None:
    keys = Keys(Crypto(1, AES_80, new_key()), Crypto(1, AES_80, new_key()))
    other = Srtp(Keys(Crypto(1, AES_80, new_key()), keys.ours))
    line, tape = Line(agreed(crypto=keys)), Tape()
    line.stream.attach(tape)
    for at in range(10):
        line.hear(other.protect(bytes(voice(at))))
        line.time.run(0.02)
    line.time.run(0.2)
    assert len(tape.frames) >= 10 and not any(frame.any() for frame in tape.frames)
    report = line.stream.report()
    assert (report["received"], report["refused"], report["unverified"]) == (0, 10, 10)
    line.stream.close()
    assert line.plane.refused == {"unverified": 10}


def test_the_plane_knows_while_it_lasts_what_all_streams_refused_and_why() -> None:
    line = Line()
    line.hear(voice(0))
    for at in range(3):
        line.hear(voice(at), STRANGER)
    line.time.run(0.5)
    assert line.plane.refused == {"strays": 3}
    line.time.run(5)
    line.hear(b"no RTP at all")
    line.hear(voice(9), STRANGER)
    line.hear(RtpPacket(77, 1, 160, THEIRS, b"x" * 160))
    line.hear(RtpPacket(0, 1, 160, line.stream.sender.ssrc, b"x" * 160))
    line.stream.close()
    assert line.plane.refused == {"strays": 4, "garbage": 1, "unknown": 1, "looped": 1}


def test_a_peer_that_begins_anew_loses_nothing_by_that() -> None:
    line = Line()
    for at in range(10):
        line.hear(voice(at))
    for at in range(10):
        line.hear(voice(40000 + at, ssrc=THEIRS + 1))
    assert (line.stream.report()["received"], line.stream.report()["lost"]) == (20, 0)


def test_figures_go_on_over_a_codec_of_another_clock() -> None:
    wide = Codec("wide", 48000, 48000, PCMU.sdp, PCMU.encoder, PCMU.decoder)
    line = Line()
    for at in (0, 1, 3):
        line.hear(voice(at))
    line.stream.agree(agreed(wide, number=96))
    for at in (4, 6):
        line.hear(voice(at, payload_type=96))
    report = line.stream.report()
    assert (report["codec"], report["received"], report["lost"]) == ("wide", 5, 2)


def test_a_hold_of_rfc2543_does_not_forget_where_the_peer_is() -> None:
    """A peer behind a NAT is not where its description says: it is there again after c=0.0.0.0."""
    line = behind_nat()
    line.hear(voice(0), NAT)
    assert line.stream.sender.target == NAT
    line.stream.agree(agreed(remote=("0.0.0.0", 4000), listening=False))
    line.stream.agree(agreed(remote=INSIDE))
    assert line.stream.sender.target == NAT


# ---- silence


def test_a_peer_that_falls_silent_is_reported_once() -> None:
    line = Line(rtp_timeout=10.0)
    told: list[float] = []
    line.stream.on_silence = lambda: told.append(line.time.now)
    for at in range(5):
        line.hear(voice(at))
        line.time.run(1.0)
    line.time.run(30.0)
    assert told == [pytest.approx(114.5, abs=1.0)]


def test_a_peer_that_never_spoke_is_silent_too() -> None:
    line = Line(rtp_timeout=10.0)
    told: list[float] = []
    line.stream.on_silence = lambda: told.append(line.time.now)
    line.hear(voice(0), STRANGER)
    line.hear(voice(1), ("203.0.113.10", 1))
    line.time.run(30.0)
    assert len(told) == 1


def test_a_peer_that_holds_us_or_may_not_speak_is_not_silent() -> None:
    line = Line(agreed(talking=False, listening=False), rtp_timeout=10.0)
    told: list[float] = []
    line.stream.on_silence = lambda: told.append(line.time.now)
    line.time.run(60.0)
    assert not told
    line.stream.agree(agreed())  # back, and silent: its time begins now
    line.time.run(9.0)
    assert not told
    line.time.run(2.0)
    assert len(told) == 1


def test_rtcp_is_a_sign_of_life() -> None:
    line = Line(agreed(mux=True), rtp_timeout=10.0)
    told: list[float] = []
    line.stream.on_silence = lambda: told.append(line.time.now)
    for _ in range(10):
        line.hear(compound(ReceiverReport(THEIRS), Sdes(((THEIRS, "x"),))))
        line.time.run(5.0)
    assert not told
    line.time.run(11.0)
    assert len(told) == 1


def test_without_a_timeout_nobody_is_silent() -> None:
    line = Line(rtp_timeout=0.0)
    told: list[float] = []
    line.stream.on_silence = lambda: told.append(line.time.now)
    line.time.run(3600.0)
    assert not told


# ---- RTCP on the same port (RFC 5761), where no second socket is needed


def reports(line: Line) -> list[list[object]]:
    return [list(parse(data)) for data, _ in line.port.sock.sent if 192 <= data[1] < 224]


def test_reports_go_out_every_five_seconds_or_so_rfc3550_6_2() -> None:
    line = Line(agreed(mux=True))
    for at in range(3000):
        line.hear(voice(at))
        line.time.run(0.02)
    found = reports(line)
    assert 8 <= len(found) <= 24
    first = found[0][0]
    assert isinstance(first, ReceiverReport)  # nothing has been sent yet
    (block,) = first.blocks
    assert (block.ssrc, block.lost) == (THEIRS, 0)
    assert isinstance(found[-1][1], Sdes)
    names = {packet.names for each in found for packet in each if isinstance(packet, Sdes)}
    assert len(names) == 1


async def test_who_sends_reports_as_a_sender_and_says_goodbye_rfc3550_6_6() -> None:
    class Endless:
        def next(self, codec: object) -> bytes:
            return b"x" * 160

    line = Line(agreed(mux=True))
    line.stream.close()
    line.time.run(0.0199)  # reports fall due between two packets
    consent = line.dialog.consent(line.time)
    line.stream = RtpSession(line.port, agreed(mux=True), line.plane, consent)  # type: ignore[arg-type]
    line.stream.wake()
    line.stream.play(Endless())
    line.time.run(20.0)
    line.stream.close()
    steps = {(after.timestamp - before.timestamp) & 0xFFFFFFFF for before, after in pairwise(line.sent)}
    assert steps == {160}  # to be asked what time it is moves no clock
    found = reports(line)
    assert all(isinstance(each[0], SenderReport) for each in found[:-1])
    last = found[-2][0]
    assert isinstance(last, SenderReport)
    assert last.packets <= line.stream.sender.packets and last.octets == last.packets * 160
    assert found[-1][-1] == Bye((line.stream.sender.ssrc,))


def test_nothing_was_said_so_there_is_no_goodbye() -> None:
    line = Line(agreed(mux=True))
    line.stream.close()
    assert not line.port.sock.sent


def test_the_round_trip_is_known_from_the_peers_report_rfc3550_6_4_1() -> None:
    line = Line(agreed(mux=True))
    line.plane.wall = lambda: 1_000_000.0 + line.time.now
    line.hear(voice(0))
    sent = ntp(line.plane.wall()) >> 16 & 0xFFFFFFFF
    line.time.run(1.25)
    block = ReportBlock(line.stream.sender.ssrc, 0, 0, 0, 0, sent, 65536)  # held it for a second
    line.hear(compound(ReceiverReport(THEIRS, (block,))))
    assert line.stream.report()["rtt_ms"] == pytest.approx(250, abs=1)


def test_a_sender_report_comes_back_in_ours() -> None:
    line = Line(agreed(mux=True))
    line.hear(voice(0))
    line.hear(compound(SenderReport(THEIRS, ntp(5000.0), 0, 1, 160)))
    line.time.run(8.0)
    report = reports(line)[-1][0]
    assert isinstance(report, ReceiverReport | SenderReport)
    assert report.blocks[0].last_report == ntp(5000.0) >> 16 & 0xFFFFFFFF
    assert 0 < report.blocks[0].delay <= 8 * 65536


@pytest.mark.parametrize("data", [b"\x80\xc8", b"\x81\xc9\x00\x01\0\0\0\1", b"\x80\xc8\xff\xff" + b"\0" * 40])
def test_broken_reports_are_refused(data: bytes) -> None:
    line = Line(agreed(mux=True))
    line.hear(voice(0))
    line.hear(data)
    assert line.stream.control.refused == 1 and line.stream.control.received == 0


def test_reports_of_strangers_are_refused() -> None:
    line = Line(agreed(mux=True))
    line.hear(voice(0))
    line.hear(compound(ReceiverReport(THEIRS)), STRANGER)
    assert line.stream.control.refused == 1
    line.hear(compound(ReceiverReport(THEIRS)), PEER)
    assert line.stream.control.received == 1
