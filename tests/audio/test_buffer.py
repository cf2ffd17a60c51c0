"""Clips: right in level and frequency through every codec, without clicks, encoded once for all calls."""

import numpy
import pytest

from engine.audio.buffer import AudioBuffer, resampled
from engine.media.codec.codec import Codec
from engine.media.codec.registry import by_name
from tests.audio.signals import Floats, Samples, decibels, played, sine, strongest

CODECS = [codec for codec in map(by_name, ("PCMU", "PCMA", "G722", "opus")) if codec is not None]


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
def test_a_tone_keeps_level_and_frequency_through_every_codec(codec: Codec, rate: int) -> None:
    heard = played(AudioBuffer(sine(1000, 1.0, rate), rate).feed(), codec)
    assert len(heard) == codec.rate
    frequency, height = strongest(heard[codec.rate // 5 : -codec.rate // 5], codec.rate)
    assert frequency == pytest.approx(1000, abs=1)
    assert abs(decibels(height / 8000)) < 0.5


def left_over(heard: Samples, rate: int) -> Floats:
    """What is left of 425 Hz when that is taken out, without the codec's coming in at either end."""
    middle = heard[rate // 4 : -rate // 4].astype(float)
    places = numpy.arange(len(middle)) * 2 * numpy.pi * 425 / rate
    base = numpy.stack((numpy.cos(places), numpy.sin(places)), axis=1)
    rest: Floats = middle - base @ numpy.linalg.lstsq(base, middle)[0]
    return rest


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_no_click_at_the_borders_of_frames(codec: Codec) -> None:
    rest = left_over(played(AudioBuffer(sine(425, 2.0, 22050), 22050).feed(), codec), codec.rate)
    # The codec's own noise, and that as loud at the borders as anywhere else.
    assert decibels(abs(rest).max() / 8000) < -20
    frames = abs(rest).reshape(-1, codec.frame)
    border = max(frames[:, : codec.frame // 20].max(), frames[:, -codec.frame // 20 :].max())
    assert border < 1.5 * frames[:, codec.frame // 20 : -codec.frame // 20].max()


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_no_click_where_a_loop_begins_again(codec: Codec) -> None:
    # A second is a whole number of periods, so that the loop is one tone of four seconds.
    heard = played(AudioBuffer(sine(425, 1.0, codec.rate), codec.rate).feed(4), codec)
    assert len(heard) == 4 * codec.rate
    assert decibels(abs(left_over(heard, codec.rate)).max() / 8000) < -18


def test_resampling_is_flat_and_leaves_no_images() -> None:
    for frequency in (100, 1000, 3000, 3600):
        down = resampled(sine(frequency, 1.0, 44100), 44100, 8000)
        heard, height = strongest(down[1000:-1000], 8000)
        assert heard == pytest.approx(frequency, abs=1)
        assert abs(decibels(height / 8000)) < 0.2
    above = resampled(sine(5000, 1.0, 44100), 44100, 8000)  # 3 kHz, if it were folded
    assert decibels(numpy.abs(above[500:-500]).max() / 8000 + 1e-9) < -60


def test_silence_stays_silence() -> None:
    silence = AudioBuffer(numpy.zeros(4410, numpy.int16), 44100)
    assert not silence.at(8000).samples.any()


def test_the_last_frame_is_filled_with_silence() -> None:
    codec = CODECS[0]
    clip = AudioBuffer(sine(1000, 0.05, 8000), 8000)
    frames = clip.frames(codec)
    assert [len(frame) for frame in frames] == [160, 160, 160]
    assert not codec.decoder().decode(frames[2])[80:].any()


def test_samples_that_calls_share_cannot_be_written_to() -> None:
    clip = AudioBuffer(sine(1000, 0.1, 8000), 8000)
    with pytest.raises(ValueError, match="read-only"):
        clip.samples[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        clip.at(16000).samples[0] = 1
    assert clip.at(16000) is clip.at(16000)
    assert clip.at(8000) is clip


class CountingEncoder:
    """Codec.encoder that counts the frames that are encoded."""

    def __init__(self, codec: Codec) -> None:
        self.count = 0
        self.inner = codec.encoder()

    def encode(self, samples: numpy.typing.NDArray[numpy.int16]) -> bytes:
        self.count += 1
        return self.inner.encode(samples)


def counted(codec: Codec) -> tuple[Codec, list[CountingEncoder]]:
    made: list[CountingEncoder] = []

    def encoder() -> CountingEncoder:
        made.append(CountingEncoder(codec))
        return made[-1]

    return Codec(codec.name, codec.rate, codec.clock, codec.sdp, encoder, codec.decoder, codec.octets), made


def test_frames_are_encoded_once_for_all_calls_and_only_as_far_as_they_are_played() -> None:
    codec, made = counted(CODECS[0])
    clip = AudioBuffer(sine(440, 1.0, 16000), 16000)
    first, second = clip.feed(), clip.feed()
    for _ in range(10):
        assert first.next(codec) is second.next(codec)
    assert [encoder.count for encoder in made] == [10]
    assert len(played(second, codec)) == 40 * 160
    assert len(played(first, codec)) == 40 * 160
    assert [encoder.count for encoder in made] == [50]


def test_a_feed_ends_and_stays_ended() -> None:
    feed = AudioBuffer(sine(440, 0.04, 8000), 8000).feed(2)
    assert [feed.next(CODECS[0]) is not None for _ in range(7)] == [True] * 4 + [False] * 3


def test_a_feed_without_end_goes_round() -> None:
    clip = AudioBuffer(sine(440, 0.06, 8000), 8000)
    feed = clip.feed(0)
    frames = [feed.next(CODECS[0]) for _ in range(9)]
    assert frames == list(clip.frames(CODECS[0])) * 3


def test_an_empty_clip_is_over_at_once_even_without_end() -> None:
    assert AudioBuffer(numpy.zeros(0, numpy.int16), 8000).feed(0).next(CODECS[0]) is None


def test_another_codec_in_the_middle_goes_on_at_the_same_place() -> None:
    ramp = numpy.repeat(numpy.arange(1, 51, dtype=numpy.int16) * 600, 160)  # a level of its own for every frame
    feed = AudioBuffer(ramp, 8000).feed()
    mu, a = CODECS[0], CODECS[1]
    for _ in range(20):
        feed.next(mu)
    codec, made = counted(a)
    rest = [feed.next(codec) for _ in range(31)]
    assert rest == [*AudioBuffer(ramp, 8000).frames(a)[20:], None]
    assert made[0].count == 30  # what is over is not encoded for it: that would hold up all other calls


def test_the_size_counts_frames_and_copies_and_tells_of_its_growth() -> None:
    clip = AudioBuffer(sine(440, 1.0, 8000), 8000)
    growth: list[int] = []
    clip.grown = growth.append
    assert clip.size == 16000
    clip.frames(CODECS[0])
    assert len(growth) == 50
    clip.at(16000)
    assert clip.size == 16000 + sum(growth)
    assert growth[-1] == 32000
    assert 50 * 160 < sum(growth[:50]) < 50 * 250
