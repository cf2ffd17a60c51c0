"""What a stream sends where nothing plays: silence without a gap, or a packet now and then (RFC 6263)."""

import asyncio
from dataclasses import replace
from itertools import pairwise

import numpy
import pytest

from engine.media.codec.codec import Codec, Encoder
from engine.media.codec.registry import G722, PCMA, PCMU, by_name
from engine.media.periodic import WaitingLine
from engine.media.rtp.consent import TRIAL
from engine.media.rtp.packet import RtpPacket
from engine.media.rtp.session import PATIENCE
from engine.media.rtp.srtp import AES_80, Crypto, Keys, Srtp, new_key
from tests.media.fake_plane import EVENTS, PEER, Dialog, Line, Tape, Time, agreed

SILENT = {"PCMU": b"\xff" * 160, "PCMA": b"\xd5" * 160, "G722": b"\xfc" * 160}


def is_contiguous(packets: list[RtpPacket], step: int = 160) -> bool:
    return all(
        (after.sequence - before.sequence) & 0xFFFF == 1 and (after.timestamp - before.timestamp) & 0xFFFFFFFF == step
        for before, after in pairwise(packets)
    )


@pytest.mark.parametrize("codec", [PCMU, PCMA, G722])
def test_silence_is_the_codecs_zero_every_20_ms_in_one_talkspurt(codec: Codec) -> None:
    line = Line(agreed(codec))
    line.stream.fill(True)
    line.time.run(2.0)
    assert 99 <= len(line.sent) <= 101
    assert {packet.payload for packet in line.sent} == {SILENT[codec.name]}
    assert {packet.payload_type for packet in line.sent} == {codec.sdp.payload_type}
    assert is_contiguous(line.sent)
    assert [packet.marker for packet in line.sent] == [True] + [False] * (len(line.sent) - 1)
    line.stream.fill(False)
    line.time.run(0.02)
    sent = len(line.sent)
    line.time.run(1.0)
    assert len(line.sent) == sent and not len(line.plane.pacer)
    line.stream.close()


def test_silence_comes_in_packets_as_short_as_the_peer_takes() -> None:
    line = Line(agreed(packet=10))
    line.stream.fill(True)
    line.time.run(1.0)
    assert {packet.payload for packet in line.sent} == {b"\xff" * 80}
    assert 98 <= len(line.sent) <= 102 and is_contiguous(line.sent, 80)
    line.stream.close()


async def test_sound_goes_on_in_the_numbers_and_the_time_line_of_silence_rfc3550_5_1() -> None:
    line = Line()
    line.stream.fill(True)
    line.time.run(0.5)
    for _ in range(3):
        over = line.stream.play(Tape(10))
        line.time.run(0.5)
        await asyncio.sleep(0)
        assert over.done()
    assert is_contiguous(line.sent)
    assert [packet.marker for packet in line.sent].count(True) == 1 and line.sent[0].marker
    sound = [packet for packet in line.sent if packet.payload != SILENT["PCMU"]]
    assert len(sound) == 30
    line.stream.close()


async def test_a_frame_in_which_a_feed_has_nothing_is_silence_as_well() -> None:
    class Gaps:
        at = 0

        def next(self, codec: Codec) -> bytes | None:
            self.at += 1
            return b"" if self.at % 3 else b"x" * 160

    line = Line()
    line.stream.fill(True)
    line.stream.play(Gaps())
    line.time.run(1.0)
    assert is_contiguous(line.sent) and len(line.sent) >= 49
    line.stream.close()


async def test_keys_have_silence_around_and_between_them_and_one_time_line_rfc4733_2_5() -> None:
    line = Line()
    line.stream.fill(True)
    line.time.run(0.2)
    pressed = line.stream.press("12", 0.1, 0.1)
    line.time.run(1.0)
    await asyncio.sleep(0)
    assert pressed.done()
    assert all((after.sequence - before.sequence) & 0xFFFF == 1 for before, after in pairwise(line.sent))
    first = line.sent[0].timestamp
    voice = [(packet.timestamp - first) & 0xFFFFFFFF for packet in line.sent if packet.payload_type == 0]
    keys = [packet for packet in line.sent if packet.payload_type == EVENTS]
    begun = sorted({(packet.timestamp - first) & 0xFFFFFFFF for packet in keys})
    assert len(begun) == 2 and [packet.payload[0] for packet in keys if packet.marker] == [1, 2]
    assert voice == sorted(voice) and all(stamp % 160 == 0 for stamp in (*voice, *begun))
    for key in begun:  # nothing else sounds in the time of a key
        assert not any(key < stamp < key + 800 for stamp in voice)
    assert any(begun[0] < stamp < begun[1] for stamp in voice) and voice[-1] > begun[1]
    line.stream.close()


def test_nothing_goes_to_a_peer_that_holds_us_and_silence_goes_on_after_it_rfc3264_8_4() -> None:
    line = Line()
    line.stream.fill(True)
    line.time.run(1.0)
    line.stream.agree(agreed(listening=False))
    sent = len(line.sent)
    line.time.run(100.0)
    assert len(line.sent) == sent
    assert not len(line.plane.pacer)  # and it costs no turns
    line.stream.agree(agreed(PCMA))
    line.time.run(1.0)
    more = line.sent[sent:]
    assert {packet.payload for packet in more} == {SILENT["PCMA"]} and is_contiguous(more)
    assert [packet.marker for packet in more].count(True) == 1 and more[0].marker
    assert (more[0].sequence - line.sent[sent - 1].sequence) & 0xFFFF == 1
    assert (more[0].timestamp - line.sent[sent - 1].timestamp) & 0xFFFFFFFF == pytest.approx(800_000, abs=320)
    line.stream.close()


def test_an_echo_is_not_mixed_with_silence() -> None:
    line = Line()
    line.stream.fill(True)
    line.time.run(0.2)
    line.stream.echo(True)
    sent = len(line.sent)
    line.time.run(1.0)
    assert len(line.sent) == sent
    line.hear(RtpPacket(0, 1, 160, 7, b"a" * 160))
    assert line.sent[-1].payload == b"a" * 160
    line.stream.echo(False)
    line.time.run(0.2)
    assert line.sent[-1].payload == SILENT["PCMU"]
    assert all((after.sequence - before.sequence) & 0xFFFF == 1 for before, after in pairwise(line.sent))
    assert all((after.timestamp - before.timestamp) & 0xFFFFFFFF < 0x80000000 for before, after in pairwise(line.sent))
    line.stream.close()


# ---- a peer that may be sent nothing yet


def stranger() -> Line:
    return Line(dialog=Dialog(), awake=True)


async def test_silence_leaves_a_strangers_second_and_the_wait_for_it_to_the_first_sound() -> None:
    line = stranger()
    line.stream.fill(True)
    line.time.run(60.0)
    assert not line.sent  # no ACK: not even silence
    over = line.stream.play(Tape(20))
    line.time.run(TRIAL / 2)
    await asyncio.sleep(0)
    assert over.done() and [packet.payload[1] for packet in line.sent] == list(range(1, 21))
    line.stream.close()


async def test_what_plays_waits_for_the_ack_after_silence_was_to_be_sent() -> None:
    line = Line(agreed(remote=("203.0.113.9", 4000)), dialog=Dialog(), awake=True)
    line.stream.fill(True)
    line.time.run(PATIENCE * 0.02 * 2)
    over = line.stream.play(Tape(20))
    line.time.run(0.5)
    assert not over.done() and not line.sent
    line.dialog.acknowledge()
    line.time.run(0.5)
    await asyncio.sleep(0)
    assert over.done() and [packet.payload[1] for packet in line.sent[:20]] == list(range(1, 21))
    assert {packet.payload for packet in line.sent[20:]} == {SILENT["PCMU"]} and is_contiguous(line.sent)
    line.stream.close()


def test_silence_begins_with_the_ack() -> None:
    line = stranger()
    line.stream.fill(True)
    line.time.run(5.0)
    assert not line.sent
    line.dialog.acknowledge()
    line.time.run(1.0)
    assert 49 <= len(line.sent) <= 51
    line.stream.close()


def test_a_stranger_is_kept_alive_only_when_it_has_shown_that_it_receives() -> None:
    line = stranger()
    line.time.run(100.0)
    assert not line.sent
    line.dialog.acknowledge()
    line.time.run(31.0)
    assert len(line.sent) == 2
    line.stream.close()


# ---- a packet now and then


async def test_packets_that_keep_a_way_open_are_no_talkspurt_and_the_sound_behind_one_is_rfc3551_4_1() -> None:
    line = Line(keepalive=5.0)
    line.time.run(26.0)
    assert 4 <= len(line.sent) <= 5
    assert not any(packet.marker for packet in line.sent)
    for before, after in pairwise(line.sent):
        assert (after.sequence - before.sequence) & 0xFFFF == 1
        assert (after.timestamp - before.timestamp) & 0xFFFFFFFF == pytest.approx(40_000, abs=5_000)
    sent = len(line.sent)
    line.stream.keep_alive()
    line.stream.play(Tape(3))
    line.time.run(0.1)
    assert [packet.marker for packet in line.sent[sent:]] == [False, True, False, False]
    line.stream.close()


def test_it_is_one_packet_also_where_a_frame_is_two() -> None:
    line = Line(agreed(packet=10), keepalive=15.0)
    line.time.run(16.0)
    assert [packet.payload for packet in line.sent] == [b"\xff" * 80]
    line.stream.close()


def test_none_where_it_is_switched_off_held_or_nowhere() -> None:
    for what, keepalive in (
        (agreed(), 0.0),
        (agreed(listening=False), 15.0),
        (agreed(remote=("0.0.0.0", 4000)), 15.0),
        (agreed(remote=("192.0.2.1", 0)), 15.0),
    ):
        for awake in (True, False):
            line = Line(what, keepalive=keepalive, awake=awake)
            if not awake and keepalive:
                line.stream.keep_alive()
            line.time.run(100.0)
            assert not line.sent
            line.stream.close()


def test_a_stream_that_sleeps_reads_nothing_and_its_numbers_go_on_when_it_wakes() -> None:
    line = Line(awake=False)
    assert not line.time.readers and not line.plane.streams
    line.stream.keep_alive()
    line.time.run(15.0)
    line.stream.keep_alive()
    line.time.run(5.0)
    line.stream.wake()
    line.stream.wake()
    assert len(line.time.readers) == 1 and line.plane.streams == 1
    line.stream.fill(True)
    line.time.run(0.1)
    assert [packet.marker for packet in line.sent[:4]] == [False, False, True, False]
    assert len({packet.ssrc for packet in line.sent}) == 1
    stamps = [(packet.timestamp - line.sent[0].timestamp) & 0xFFFFFFFF for packet in line.sent]
    assert stamps[1:3] == [pytest.approx(120_000, abs=320), pytest.approx(160_000, abs=320)]
    assert all((after.sequence - before.sequence) & 0xFFFF == 1 for before, after in pairwise(line.sent))
    line.stream.close()
    line.time.run(60.0)
    assert not line.time.readers


def test_a_stream_that_sleeps_follows_a_peer_behind_a_nat_and_counts_nothing() -> None:
    line = Line(agreed(remote=("192.168.1.2", 4000)), dialog=Dialog(receives=True, opening=False), awake=False)
    line.hear(RtpPacket(0, 1, 160, 7, b"a" * 160), (PEER[0], 31000))
    line.stream.keep_alive()
    assert [target for _, target in line.port.sock.sent] == [(PEER[0], 31000)]
    assert line.stream.report()["received"] == 0
    line.stream.close()


def test_srtp_goes_on_in_one_index_from_sleep_to_sound_rfc3711_3_3_1() -> None:
    ours, theirs = Crypto(1, AES_80, new_key()), Crypto(1, AES_80, new_key())
    line = Line(agreed(crypto=Keys(ours, theirs)), awake=False)
    peer = Srtp(Keys(theirs, ours))
    line.stream.keep_alive()
    line.stream.wake()
    line.stream.fill(True)
    line.time.run(0.2)
    packets = [RtpPacket.parse(peer.unprotect(data)) for data, _ in line.port.sock.sent if not 192 <= data[1] < 224]
    assert len(packets) >= 9 and {packet.payload for packet in packets} == {SILENT["PCMU"]}
    line.stream.close()


# ---- how it sounds


def peaks(codec: Codec, payloads: list[bytes], after: list[bytes]) -> list[int]:
    """How far the sound of each payload swings, decoded behind those of `after`."""
    decoder = codec.decoder()
    for payload in after:
        decoder.decode(payload)
    return [int(numpy.ptp(decoder.decode(payload).astype(int))) for payload in payloads]


@pytest.mark.parametrize("name", ["PCMU", "PCMA", "G722", "opus"])
@pytest.mark.parametrize("loud", [0, 300, 8000, 30000])
def test_silence_is_silent_in_a_real_decoder_behind_any_sound(name: str, loud: int) -> None:
    codec = by_name(name)
    if codec is None:
        pytest.skip(f"no library for {name}")
    at = numpy.arange(codec.frame * 50)
    tone = (loud * numpy.sin(2 * numpy.pi * 440 * at / codec.rate)).astype(numpy.int16)
    encoder = codec.encoder()
    sound = [encoder.encode(frame) for frame in numpy.split(tone, 50)]
    silence = Line(agreed(codec, number=96)).plane.silence(codec)
    swings = peaks(codec, [silence] * 500, sound)
    # The first frames hold what the decoder still owes of the sound (Opus overlaps, G.722 has filters); G.722 is left
    # with a whisper at 8 kHz, 57 dB below full scale.
    assert max(swings[5:]) <= 48, swings[:10]
    assert max(peaks(codec, [silence] * 100, [])[1:]) <= 4


def test_no_encoder_is_needed_for_the_codecs_of_telephones() -> None:
    def refuse() -> Encoder:
        raise AssertionError("an encoder was made")

    for codec in (PCMU, PCMA, G722):
        assert len(Line().plane.silence(replace(codec, encoder=refuse))) == 160


# ---- the line of those who wait


class One:
    def __init__(self, time: Time, line: WaitingLine, times: int = 1) -> None:
        self.time, self.line, self.times = time, line, times
        self.at: list[float] = []
        self.raises = False

    def due(self, now: float) -> None:
        self.at.append(now)
        if self.raises:
            raise ValueError("broken")
        if len(self.at) < self.times:
            self.line.add(self)


def test_each_is_due_after_its_time_with_one_timer_for_all() -> None:
    time, faults = Time(), list[Exception]()
    line = WaitingLine(15.0, time, time.call_at, faults.append)
    ones = []
    for _ in range(100):
        ones.append(One(time, line, 3))
        line.add(ones[-1])
        line.add(ones[-1])
        time.run(0.1)
    assert len(time.waiting) == 1 and len(line) == 100
    line.remove(ones[7])
    line.remove(ones[7])
    ones[9].raises = True
    assert ones[7] not in line and ones[8] in line
    time.run(60.0)
    assert not len(line) and not time.waiting
    for number, one in enumerate(ones):
        times = {7: (), 9: (1,)}.get(number, (1, 2, 3))
        wanted = [100 + number * 0.1 + 15 * each for each in times]
        assert one.at == [pytest.approx(each, abs=0.01) for each in wanted]
    assert [str(fault) for fault in faults] == ["broken"]


def test_a_line_without_a_delay_keeps_nobody_and_a_stopped_one_neither() -> None:
    time = Time()
    line = WaitingLine(0.0, time, time.call_at, print)
    line.add(One(time, line))
    assert not len(line) and not time.waiting
    line = WaitingLine(5.0, time, time.call_at, print)
    one = One(time, line)
    line.add(one)
    line.stop()
    line.stop()
    time.run(20.0)
    assert not one.at and not time.waiting
