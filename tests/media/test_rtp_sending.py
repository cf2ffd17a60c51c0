"""What a stream sends: one run of sequence numbers and one time line, whatever plays."""

import asyncio
from itertools import pairwise

import pytest

from engine.media.codec.codec import Codec
from engine.media.codec.registry import G722, PCMA, PCMU
from engine.media.plane import KEEPALIVE
from engine.media.rtp.packet import RtpPacket
from engine.media.rtp.srtp import AES_80, Crypto, Keys, Srtp, new_key
from tests.media.fake_plane import EVENTS, PEER, Line, Tape, agreed, numbers

THEIRS = 0x11111111


async def settled(future: "asyncio.Future[None]") -> bool:
    await asyncio.sleep(0)
    return future.done()


async def test_a_feed_is_sent_a_frame_every_20_ms_and_ends() -> None:
    line = Line()
    over = line.stream.play(Tape(50))
    line.time.run(0.5)
    assert 24 <= len(line.sent) <= 26 and not over.done()
    line.time.run(0.6)
    assert await settled(over)
    assert numbers(line.sent) == list(range(1, 51))
    assert {target for _, target in line.port.sock.sent} == {PEER}
    for before, after in pairwise(line.sent):
        assert (after.sequence - before.sequence) & 0xFFFF == 1
        assert (after.timestamp - before.timestamp) & 0xFFFFFFFF == 160
    assert [packet.marker for packet in line.sent] == [True] + [False] * 49
    assert not len(line.plane.pacer)  # it has left the pacer
    line.stream.close()


async def test_the_time_line_goes_on_over_feeds_and_the_silence_between_them_rfc3550_5_1() -> None:
    line = Line()
    line.stream.play(Tape(3))
    line.time.run(1.0)
    line.stream.play(Tape(3))
    line.time.run(0.1)
    first, second = line.sent[2], line.sent[3]
    assert second.sequence == (first.sequence + 1) & 0xFFFF
    assert (second.timestamp - first.timestamp) & 0xFFFFFFFF == pytest.approx(160 * 48, abs=160)
    assert second.ssrc == first.ssrc
    assert second.marker
    line.stream.close()


async def test_a_frame_that_sends_nothing_is_a_silence_and_a_talkspurt_begins_behind_it() -> None:
    class Gap:
        at = 0

        def next(self, codec: Codec) -> bytes | None:
            self.at += 1
            return b"" if self.at == 3 else None if self.at == 6 else b"x" * 160

    line = Line()
    line.stream.play(Gap())
    line.time.run(0.2)
    assert [packet.marker for packet in line.sent] == [True, False, True, False]
    assert (line.sent[2].timestamp - line.sent[1].timestamp) & 0xFFFFFFFF == 320
    line.stream.close()


async def test_a_later_feed_takes_the_place_of_the_one_that_plays() -> None:
    line = Line()
    first = line.stream.play(Tape(100))
    line.time.run(0.05)
    second = line.stream.play(Tape(2))
    assert await settled(first)
    line.stream.stop(first)  # whose feed it is no more
    line.time.run(0.1)
    assert await settled(second)
    assert numbers(line.sent)[-2:] == [1, 2]
    line.stream.close()


async def test_a_stopped_feed_is_silent_at_once() -> None:
    line = Line()
    over = line.stream.play(Tape(100))
    line.time.run(0.1)
    line.stream.stop(over)
    sent = len(line.sent)
    line.time.run(1.0)
    assert len(line.sent) == sent
    assert await settled(over)
    line.stream.close()


async def test_what_a_source_raises_is_raised_by_play() -> None:
    class Broken:
        def next(self, codec: Codec) -> bytes | None:
            raise ValueError("broken")

    line = Line()
    over = line.stream.play(Broken())
    line.time.run(0.1)
    await asyncio.sleep(0)
    with pytest.raises(ValueError, match="broken"):
        over.result()
    assert not line.faults and not len(line.plane.pacer)
    line.stream.close()


async def test_a_held_feed_waits_and_goes_on_where_it_was() -> None:
    """RFC 3264 §8.4: nothing is sent to a peer that holds us; what plays is not lost on it."""
    line = Line()
    tape = Tape(20)
    over = line.stream.play(tape)
    line.time.run(0.1)
    line.stream.agree(agreed(listening=False))
    sent, at = len(line.sent), tape.at
    line.time.run(60.0)
    assert (len(line.sent), tape.at) == (sent, at)
    line.stream.agree(agreed())
    line.time.run(0.5)
    assert await settled(over)
    assert numbers(line.sent) == list(range(1, 21))
    resumed = line.sent[at]
    assert resumed.marker
    assert (resumed.timestamp - line.sent[at - 1].timestamp) & 0xFFFFFFFF == pytest.approx(8000 * 60, abs=320)
    line.stream.close()


async def test_another_address_and_another_codec_by_reinvite() -> None:
    line = Line()
    tape = Tape(50)
    line.stream.play(tape)
    line.time.run(0.1)
    sent = len(line.sent)
    line.stream.agree(agreed(PCMA, remote=("192.0.2.7", 5004)))
    line.time.run(0.1)
    assert tape.codecs == {"PCMU", "PCMA"}
    assert {target for _, target in line.port.sock.sent[sent:]} == {("192.0.2.7", 5004)}
    assert {packet.payload_type for packet in line.sent[sent:]} == {8}
    for before, after in pairwise(line.sent):
        assert (after.sequence - before.sequence) & 0xFFFF == 1
        assert (after.timestamp - before.timestamp) & 0xFFFFFFFF == 160
    line.stream.close()


async def test_a_codec_of_another_clock_goes_on_without_a_jump() -> None:
    wide = Codec("wide", 48000, 48000, PCMU.sdp, PCMU.encoder, PCMU.decoder)
    line = Line()
    line.stream.play(Tape(100))
    line.time.run(0.1)
    sent = len(line.sent)
    line.stream.agree(agreed(wide, number=96))
    line.time.run(0.1)
    steps = [(after.timestamp - before.timestamp) & 0xFFFFFFFF for before, after in pairwise(line.sent)]
    assert steps[: sent - 1] == [160] * (sent - 1)
    assert steps[sent:] == [960] * (len(steps) - sent)
    assert 0 < steps[sent - 1] <= 960
    line.stream.close()


async def test_packets_of_10_ms_where_the_peer_takes_no_longer() -> None:
    line = Line(agreed(packet=10))
    line.stream.play(Tape(2))
    line.time.run(0.1)
    assert [len(packet.payload) for packet in line.sent] == [80] * 4
    assert [packet.marker for packet in line.sent] == [True, False, False, False]
    for before, after in pairwise(line.sent):
        assert (after.timestamp - before.timestamp) & 0xFFFFFFFF == 80
    line.stream.close()


async def test_keys_take_the_place_of_sound_rfc4733() -> None:
    line = Line()
    line.stream.play(Tape(100))
    line.time.run(0.1)
    begun = line.sent[-1].timestamp
    pressed = line.stream.press("15", 0.1, 0.1)
    line.time.run(1.0)
    assert await settled(pressed)
    events = [packet for packet in line.sent if packet.payload_type == EVENTS]
    assert [packet.payload[0] for packet in events if packet.marker] == [1, 5]
    assert len({packet.timestamp for packet in events}) == 2
    assert events[0].timestamp == (begun + 160) & 0xFFFFFFFF
    for before, after in pairwise(line.sent):
        assert (after.sequence - before.sequence) & 0xFFFF == 1
    voice = [packet for packet in line.sent if packet.payload_type == 0]
    within = [packet for packet in voice if 0 < (packet.timestamp - begun - 160) & 0xFFFFFFFF < 160 * 8]
    assert not within
    taken = {int.from_bytes(packet.payload[:2]) for packet in voice}
    assert max(taken) - len(taken) == 17  # frames of sound that two keys of 100 ms and what lies between them took
    after = next(packet for packet in voice if (packet.timestamp - begun) & 0xFFFFFFFF < 0x8000 and packet.marker)
    assert (after.timestamp - events[-1].timestamp) & 0xFFFFFFFF < 8000
    line.stream.close()


async def test_keys_need_a_peer_that_takes_them() -> None:
    line = Line(agreed(events=None))
    assert not line.stream.takes_events
    with pytest.raises(RuntimeError, match="telephone-event"):
        line.stream.press("1", 0.1, 0.1)
    line.stream.close()


async def test_nothing_goes_to_a_name_a_group_or_nowhere() -> None:
    for remote in (("media.example", 4000), ("224.0.0.1", 4000), ("0.0.0.0", 4000), ("192.0.2.1", 0), ("::1", 4000)):
        line = Line(agreed(remote=remote))
        line.stream.play(Tape(10))
        line.time.run(0.1)
        assert not line.port.sock.sent
        line.hear(RtpPacket(0, 1, 1, THEIRS, b"x" * 160))  # but where it comes from is known now (RFC 4961)
        line.time.run(0.1)
        assert {target for _, target in line.port.sock.sent} == {PEER}
        line.stream.close()


async def test_what_the_kernel_does_not_take_is_counted_and_not_repeated() -> None:
    line = Line()
    line.stream.play(Tape(10))
    line.port.sock.refuses = BlockingIOError()
    line.time.run(0.1)
    unsent = line.stream.sender.unsent
    assert unsent >= 4 and line.stream.sender.packets == 0
    line.port.sock.refuses = None
    line.time.run(0.5)
    assert len(line.sent) == 10 - unsent == line.stream.sender.packets
    line.stream.close()


async def test_srtp_where_it_was_agreed_on() -> None:
    keys = Keys(Crypto(1, AES_80, new_key()), Crypto(1, AES_80, new_key()))
    peer = Srtp(Keys(keys.theirs, keys.ours))
    line = Line(agreed(crypto=keys))
    line.stream.play(Tape(3))
    line.time.run(0.2)
    assert [len(data) for data, _ in line.port.sock.sent] == [12 + 160 + 10] * 3
    plain = [RtpPacket.parse(peer.unprotect(data)) for data, _ in line.port.sock.sent]
    assert numbers(plain) == [1, 2, 3]
    line.hear(peer.protect(bytes(RtpPacket(0, 1, 1, THEIRS, b"x" * 160))))
    line.hear(RtpPacket(0, 2, 161, THEIRS, b"x" * 160), ("192.0.2.9", 4000))  # nobody without the key is latched
    assert (line.stream.counts.taken, line.stream.counts.unverified) == (1, 1)
    line.stream.agree(agreed(crypto=keys, listening=False))  # hold: the same keys go on with the same counters
    line.stream.agree(agreed(crypto=keys))
    line.stream.play(Tape(1))
    line.time.run(0.1)
    assert numbers([RtpPacket.parse(peer.unprotect(line.port.sock.sent[-1][0]))]) == [1]
    line.stream.close()


async def test_srtp_goes_on_counting_where_the_peer_alone_changes_its_key_rfc3711_3_3_1() -> None:
    keys = Keys(Crypto(1, AES_80, new_key()), Crypto(1, AES_80, new_key()))
    line = Line(agreed(crypto=keys))
    peer = Srtp(Keys(keys.theirs, keys.ours))
    sender = line.stream.sender
    for sequence in (0xFFFE, 0xFFFF, 0):  # past the end of the numbers: their rollover counts, and no packet tells it
        sender.forward(0, sequence, sequence * 160, b"x" * 160, 160)
        peer.unprotect(line.port.sock.sent[-1][0])
    theirs = Crypto(2, AES_80, new_key())
    line.stream.agree(agreed(crypto=Keys(keys.ours._replace(tag=2), theirs)))
    sender.forward(0, 1, 160, b"x" * 160, 160)
    assert RtpPacket.parse(peer.unprotect(line.port.sock.sent[-1][0])).sequence == 1
    anew = Srtp(Keys(theirs, keys.ours))
    line.hear(anew.protect(bytes(RtpPacket(0, 1, 1, THEIRS, b"x" * 160))))
    assert line.stream.counts.taken == 1
    line.stream.close()


@pytest.mark.parametrize("codec", [PCMU, G722])
async def test_a_sign_of_life_where_nothing_plays(codec: Codec) -> None:
    line = Line(agreed(codec))
    line.time.run(KEEPALIVE * 3 + 2)
    assert len(line.sent) == 3
    assert {len(packet.payload) for packet in line.sent} == {160}
    line.stream.agree(agreed(codec, listening=False))
    line.time.run(KEEPALIVE * 3)
    assert len(line.sent) == 3
    line.stream.close()


async def test_a_closed_stream_leaves_nothing() -> None:
    line = Line()
    over, pressed = line.stream.play(Tape(1000)), line.stream.press("1", 0.1, 0.1)
    line.time.run(0.1)
    line.stream.close()
    line.stream.close()
    assert await settled(over) and await settled(pressed)
    sent = len(line.port.sock.sent)
    line.time.run(60.0)
    assert len(line.port.sock.sent) == sent
    assert not line.time.readers and not line.time.waiting
    assert (len(line.plane.pacer), line.plane.streams) == (0, 0)
