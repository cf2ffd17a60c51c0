"""Codecs: sound that comes back as it went in, payloads of any length, and nothing but CodecError for all others."""

import subprocess
import sys

import av
import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.media.codec import g711, registry
from engine.media.codec.codec import Codec, CodecError, Samples
from engine.media.codec.registry import G722, PCMA, PCMU

OPUS = registry.by_name("opus")
assert OPUS is not None
ALL = (PCMU, PCMA, G722, OPUS)
every_codec = pytest.mark.parametrize("codec", ALL, ids=lambda codec: codec.name)


def sine(codec: Codec, seconds: float = 1.0, amplitude: int = 8000, frequency: float = 1000.0) -> Samples:
    at = numpy.arange(int(codec.rate * seconds)) / codec.rate
    return (amplitude * numpy.sin(2 * numpy.pi * frequency * at)).astype(numpy.int16)


def encoded(codec: Codec, samples: Samples) -> list[bytes]:
    encoder = codec.encoder()
    return [encoder.encode(frame) for frame in samples.reshape(-1, codec.frame)]


def decoded(codec: Codec, payloads: list[bytes]) -> Samples:
    decoder = codec.decoder()
    return numpy.concatenate([decoder.decode(payload) for payload in payloads])


def level(samples: Samples) -> float:
    return float(20 * numpy.log10(numpy.sqrt(numpy.mean(samples.astype(float) ** 2))))


def pitch(samples: Samples, rate: int) -> float:
    """The frequency of a sine in Hz: the loudest line of the spectrum, placed between its neighbours."""
    spectrum = numpy.abs(numpy.fft.rfft(samples * numpy.hanning(len(samples))))
    top = int(numpy.argmax(spectrum))
    left, middle, right = numpy.log(spectrum[top - 1 : top + 2])
    return float((top + (left - right) / (2 * (left - 2 * middle + right))) * rate / len(samples))


@every_codec
@pytest.mark.parametrize("amplitude", [1000, 8000, 30000])
def test_a_tone_of_1_khz_comes_back_within_half_a_decibel_and_one_hertz(codec: Codec, amplitude: int) -> None:
    tone = sine(codec, amplitude=amplitude)
    heard = decoded(codec, encoded(codec, tone))
    assert len(heard) == len(tone)
    half = codec.rate // 2
    assert abs(level(heard[-half:]) - level(tone[-half:])) < 0.5
    assert abs(pitch(heard[-half:], codec.rate) - 1000) < 1


@every_codec
def test_there_are_no_clicks_at_the_borders_of_frames(codec: Codec) -> None:
    """No step between two samples is larger than a sine of that level has them, quantising allowed for."""
    tone = sine(codec)
    heard = decoded(codec, encoded(codec, tone))[codec.rate // 4 :].astype(int)
    assert numpy.abs(numpy.diff(heard)).max() < 1.25 * numpy.abs(numpy.diff(tone.astype(int))).max()


@pytest.mark.parametrize(
    ("codec", "rate", "clock", "step", "octets"),
    [
        (PCMU, 8000, 8000, 160, 160),
        (PCMA, 8000, 8000, 160, 160),
        (G722, 16000, 8000, 160, 160),
        (OPUS, 48000, 48000, 960, 0),
    ],
    ids=["PCMU", "PCMA", "G722", "opus"],
)
def test_clocks_and_sizes_3551_4_5_2(codec: Codec, rate: int, clock: int, step: int, octets: int) -> None:
    assert (codec.rate, codec.clock, codec.step, codec.frame) == (rate, clock, step, rate // 50)
    assert codec.sdp.clock_rate == clock
    payload = codec.encoder().encode(numpy.zeros(codec.frame, numpy.int16))
    assert len(payload) == octets or not octets
    assert codec.octets * 20 == octets


def test_opus_is_written_with_two_channels_and_asks_for_no_redundancy_that_it_cannot_read_7587_6_1() -> None:
    assert OPUS is not None
    assert (OPUS.sdp.name, OPUS.sdp.channels, OPUS.sdp.fmtp) == ("opus", 2, "")
    assert 96 <= OPUS.sdp.payload_type <= 127


@every_codec
def test_a_frame_has_its_length(codec: Codec) -> None:
    with pytest.raises(ValueError, match="samples"):
        codec.encoder().encode(numpy.zeros(codec.frame - 1, numpy.int16))


@pytest.mark.parametrize("codec", [PCMU, PCMA, G722], ids=lambda codec: codec.name)
@pytest.mark.parametrize("length", [10, 20, 30, 40, 50, 60, 1])
def test_a_payload_of_any_whole_number_of_milliseconds(codec: Codec, length: int) -> None:
    tone = sine(codec, 0.6)
    stream = b"".join(encoded(codec, tone))
    size = codec.octets * length
    pieces = [stream[at : at + size] for at in range(0, len(stream) - size + 1, size)]
    heard = decoded(codec, pieces)
    whole = decoded(codec, [stream[at : at + 160] for at in range(0, len(stream), 160)])
    assert (heard == whole[: len(heard)]).all()
    assert len(heard) == len(pieces) * codec.rate * length // 1000


@pytest.mark.parametrize("milliseconds", ["2.5", "10", "40", "60"])
def test_opus_packets_of_other_lengths_and_of_two_channels(milliseconds: str) -> None:
    assert OPUS is not None
    context = av.CodecContext.create("libopus", "w")
    context.sample_rate, context.layout, context.format = 48000, "stereo", "s16"
    context.options = {"frame_duration": milliseconds}
    context.open()
    size = context.frame_size
    frame = av.AudioFrame("s16", "stereo", size)
    frame.sample_rate = 48000
    frame.planes[0].update(numpy.repeat(sine(OPUS, size / 48000), 2).tobytes())
    packets = []
    for at in range(4):
        frame.pts = at * size
        packets += [bytes(packet) for packet in context.encode(frame)]
    heard = decoded(OPUS, packets)
    assert size == int(float(milliseconds) * 48)
    assert len(heard) == len(packets) * size > 0


class TestG711:
    """ITU-T G.711, against the tables of FFmpeg."""

    @pytest.mark.parametrize(("name", "law"), [("pcm_mulaw", g711.MU_LAW), ("pcm_alaw", g711.A_LAW)])
    def test_every_octet_and_every_sample(self, name: str, law: g711.Law) -> None:
        context = av.CodecContext.create(name, "r")
        context.sample_rate, context.layout = 8000, "mono"
        (frame,) = context.decode(av.Packet(bytes(range(256))))
        assert (law.expand == frame.to_ndarray()[0]).all()
        context = av.CodecContext.create(name, "w")
        context.sample_rate, context.layout, context.format = 8000, "mono", "s16"
        samples = numpy.arange(-32768, 32768, dtype=numpy.int16)
        source = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        source.sample_rate = 8000
        theirs = numpy.frombuffer(b"".join(map(bytes, context.encode(source))), numpy.uint8)
        ours = law.compress[samples.view(numpy.uint16)]
        # At a decision value either neighbour is right; nowhere else may the two differ.
        error = numpy.abs(law.expand[ours].astype(int) - samples)
        assert (error <= numpy.abs(law.expand[theirs].astype(int) - samples)).all()
        assert (ours != theirs).mean() < 0.05

    def test_known_values(self) -> None:
        mu, a = g711.MU_LAW, g711.A_LAW
        assert [mu.expand[octet] for octet in (0x00, 0x80, 0xFF, 0x7F)] == [-32124, 32124, 0, 0]
        assert [a.expand[octet] for octet in (0x2A, 0xAA, 0xD5, 0x55)] == [-32256, 32256, 8, -8]
        assert [mu.compress[sample & 0xFFFF] for sample in (0, 32767, -32768)] == [0xFF, 0x80, 0x00]
        assert [a.compress[sample & 0xFFFF] for sample in (0, 32767, -32768)] == [0xD5, 0xAA, 0x2A]

    def test_what_was_decoded_is_encoded_the_same(self) -> None:
        for law in (g711.MU_LAW, g711.A_LAW):
            again = law.compress[law.expand.view(numpy.uint16)]
            different = numpy.flatnonzero(again != numpy.arange(256))
            assert list(different) == ([0x7F] if law is g711.MU_LAW else [])  # the negative zero


class TestLoss:
    @every_codec
    def test_a_lost_frame_goes_on_from_what_was_heard_and_fades_to_silence(self, codec: Codec) -> None:
        decoder = codec.decoder()
        for payload in encoded(codec, sine(codec, 0.2)):
            heard = decoder.decode(payload)
        lost = [decoder.lost() for _ in range(5)]
        assert [len(frame) for frame in lost] == [codec.frame] * 5
        assert abs(int(lost[0][0]) - int(heard[-1])) < 1000
        levels = [level(frame) for frame in lost[:3]]
        assert level(heard) > levels[0] > levels[1] > levels[2]
        assert abs(int(lost[2][-1])) < 100
        assert not lost[3].any()
        assert not lost[4].any()

    @every_codec
    def test_before_anything_was_heard_it_is_silence(self, codec: Codec) -> None:
        lost = codec.decoder().lost()
        assert len(lost) == codec.frame
        assert not lost.any()

    def test_after_a_payload_of_10_ms_it_is_a_whole_frame(self) -> None:
        decoder = PCMU.decoder()
        decoder.decode(encoded(PCMU, sine(PCMU, 0.02))[0][:80])
        assert len(decoder.lost()) == 160

    @every_codec
    def test_what_comes_after_it_is_heard(self, codec: Codec) -> None:
        decoder = codec.decoder()
        payloads = encoded(codec, sine(codec, 0.4))
        for payload in payloads[:5]:
            decoder.decode(payload)
        for _ in range(4):
            decoder.lost()
        heard = [decoder.decode(payload) for payload in payloads[9:]]
        assert abs(level(heard[-1]) - level(sine(codec))) < 0.5


@every_codec
def test_an_empty_and_an_endless_payload(codec: Codec) -> None:
    for payload in (b"", bytes(10_000)):
        with pytest.raises(CodecError):
            codec.decoder().decode(payload)


DECODERS = {codec.name: codec.decoder() for codec in ALL}


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(DECODERS)), st.binary(max_size=300) | st.binary(min_size=900, max_size=1500))
def test_any_payload_is_sound_or_a_codec_error(name: str, payload: bytes) -> None:
    """One decoder takes everything, as that of a call does."""
    try:
        samples = DECODERS[name].decode(payload)
    except CodecError:
        return
    assert samples.dtype == numpy.int16
    assert 0 < len(samples) <= 48000 * 0.12


def test_by_name() -> None:
    assert [registry.by_name(name) for name in ("pcmu", "PCMA", "g722", "OPUS", "CN", "")] == [*ALL, None, None]
    assert registry.OPUS is OPUS
    with pytest.raises(AttributeError):
        _ = registry.MISSING


def test_the_table_loads_neither_numpy_nor_ffmpeg() -> None:
    """15 MB and 20 MB that an engine does without whose calls keep their media end to end."""
    code = (
        "import sys, types; package = types.ModuleType('engine'); package.__path__ = ['engine'];"
        "sys.modules['engine'] = package;"
        "from engine.media import negotiation; from engine.media.codec import registry;assert registry.by_name('opus');"
        "print([name for name in ('numpy', 'av', 'pylibsrtp') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20)
    assert found.stdout.strip() == "[]"
