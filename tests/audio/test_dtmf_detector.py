"""Keys as tones (Q.23, Q.24): each once, short ones and quiet ones too, and nothing else is a key."""

import time

import numpy
import pytest

from engine.audio.dtmf_detector import FREQUENCIES, KEYS, DtmfDetector
from engine.media.codec.codec import Codec, Samples
from engine.media.codec.registry import by_name
from tests.audio.signals import Floats

ALL = "".join(KEYS)
CODECS = [codec for codec in map(by_name, ("PCMU", "PCMA", "G722", "opus")) if codec is not None]


def silence(milliseconds: float, rate: int = 8000) -> Floats:
    return numpy.zeros(round(milliseconds * rate / 1000))


def tone(
    key: str,
    milliseconds: float,
    rate: int = 8000,
    level: float = -10,
    twist: float = 0,
    off: tuple[float, float] = (0, 0),
) -> Floats:
    """A key at `level` (dBm0 a tone), its column `twist` dB louder than its row, both `off` their frequency."""
    row = next(place for place, keys in enumerate(KEYS) if key in keys)
    column = 4 + KEYS[row].index(key)
    places = numpy.arange(round(milliseconds * rate / 1000)) * 2 * numpy.pi / rate
    height = 32124 * 10 ** ((level - 3.14) / 20)
    low = 10 ** (-twist / 40) * numpy.sin(places * FREQUENCIES[row] * (1 + off[0]) + ord(key))
    high = 10 ** (twist / 40) * numpy.sin(places * FREQUENCIES[column] * (1 + off[1]) + 2 * ord(key))
    sound: Floats = height * (low + high)
    return sound


def keys(*parts: Floats, rate: int = 8000, codec: Codec | None = None, start: float = 0) -> str:
    """What is heard of the parts, one after another, from a place (ms) in a frame on."""
    whole = numpy.concatenate([silence(start, rate), *parts, silence(200, rate)])
    samples = numpy.clip(numpy.rint(whole), -32768, 32767).astype(numpy.int16)
    coders = (codec.encoder(), codec.decoder()) if codec is not None else None
    heard: list[str] = []
    digits, frame = DtmfDetector(heard.append), rate // 50
    for place in range(0, len(samples) - frame + 1, frame):
        piece = samples[place : place + frame]
        if coders is not None:
            piece = coders[1].decode(coders[0].encode(piece))
        digits.hear(piece, rate)
    return "".join(heard)


def dialled(text: str, on: float, pause: float, rate: int = 8000, **how: float) -> list[Floats]:
    return [part for key in text for part in (tone(key, on, rate, **how), silence(pause, rate))]  # type: ignore[arg-type]


@pytest.mark.parametrize("start", range(0, 20, 3))
def test_every_key_of_40_ms_with_pauses_of_40_ms_once_wherever_frames_begin(start: int) -> None:
    assert keys(*dialled(ALL + ALL[::-1], 40, 40), start=start) == ALL + ALL[::-1]


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_through_every_codec(codec: Codec) -> None:
    assert keys(*dialled(ALL, 50, 50, codec.rate), rate=codec.rate, codec=codec, start=7) == ALL


def test_a_key_that_is_held_is_one() -> None:
    assert keys(*dialled("5", 3000, 100)) == "5"


def test_the_same_key_twice_is_two() -> None:
    assert keys(*dialled("555", 60, 60)) == "555"


def test_keys_without_a_pause_between_them() -> None:
    assert keys(*dialled("147", 60, 0)) == "147"


@pytest.mark.parametrize("level", [-3, -20, -30, -34])
def test_loud_and_quiet_ones(level: float) -> None:
    assert keys(*dialled(ALL, 60, 60, level=level)) == ALL


def test_too_quiet_is_none() -> None:
    assert keys(*dialled(ALL, 60, 60, level=-42)) == ""


@pytest.mark.parametrize(("twist", "heard"), [(-5, ALL), (4, ALL), (8, ALL), (-9, ""), (11, "")])
def test_twist(twist: float, heard: str) -> None:
    assert keys(*dialled(ALL, 60, 60, twist=twist)) == heard


@pytest.mark.parametrize("off", [(0.015, 0.015), (-0.015, 0.015), (0.015, -0.015), (-0.015, -0.015)])
def test_frequencies_up_to_one_and_a_half_percent_off_are_taken(off: tuple[float, float]) -> None:
    parts = [part for key in ALL for part in (tone(key, 60, off=off), silence(60))]
    assert keys(*parts) == ALL


@pytest.mark.parametrize("off", [(0.035, 0), (0, 0.035), (-0.035, 0), (0, -0.035)])
def test_from_three_and_a_half_percent_on_they_are_refused(off: tuple[float, float]) -> None:
    parts = [part for key in ALL for part in (tone(key, 60, off=off), silence(60))]
    assert keys(*parts) == ""


def test_what_is_as_short_as_20_ms_is_no_key() -> None:
    assert keys(*dialled(ALL, 15, 80)) == ""


@pytest.mark.parametrize("start", range(0, 20, 4))
def test_a_packet_that_is_missing_does_not_make_two_of_one(start: int) -> None:
    whole = numpy.concatenate([silence(start), tone("5", 200), silence(100)])
    whole[800:960] = 0
    assert keys(whole) == "5"


@pytest.mark.parametrize("decibels", [10, 15, 25])
def test_noise_does_not_matter(decibels: float) -> None:
    random = numpy.random.default_rng(7)
    whole = numpy.concatenate(dialled(ALL * 3, 50, 50))
    noise = 32124 * 10 ** ((-10 - 3.14 - decibels) / 20)
    assert keys(whole + random.normal(0, noise, len(whole))) == ALL * 3


def test_neither_noise_nor_music_nor_a_single_tone_is_a_key() -> None:
    random = numpy.random.default_rng(8)
    assert keys(random.normal(0, 4000, 8000 * 20)) == ""
    places = numpy.arange(8000) * 2 * numpy.pi / 8000
    for _ in range(60):  # chords of three voices with overtones
        voices = random.uniform(80, 1200, 3)
        chord = sum(3000 / part * numpy.sin(places * voice * part) for voice in voices for part in (1, 2, 3))
        assert keys(numpy.asarray(chord)) == ""
    for frequency in (*FREQUENCIES, 350, 425, 440, 480, 620, 1000, 1400):
        assert keys(8000 * numpy.sin(places * frequency)) == ""
    for pair in ((350, 440), (440, 480), (480, 620), (697, 770), (1209, 1336)):
        assert keys(4000 * numpy.sin(places * pair[0]) + 4000 * numpy.sin(places * pair[1])) == ""


def test_a_rate_that_changes_in_the_call() -> None:
    heard: list[str] = []
    digits = DtmfDetector(heard.append)
    for key, rate in (("1", 8000), ("2", 16000), ("3", 48000), ("4", 8000)):
        whole = numpy.concatenate([tone(key, 60, rate), silence(100, rate)]).astype(numpy.int16)
        for place in range(0, len(whole), rate // 50):
            digits.hear(whole[place : place + rate // 50], rate)
    assert heard == ["1", "2", "3", "4"]


def test_detection_is_cheap_enough_to_run_for_every_call() -> None:
    samples = numpy.random.default_rng(9).normal(0, 3000, 8000 * 4).astype(numpy.int16)
    digits, best = DtmfDetector(lambda _: None), 1.0
    for _ in range(3):
        begun = time.process_time()
        for place in range(0, len(samples), 160):
            digits.hear(samples[place : place + 160], 8000)
        best = min(best, (time.process_time() - begun) / 200)
    assert best < 0.001  # a twentieth of a frame; some 40 us where the machine has nothing else to do


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_what_is_too_soft_for_a_key_is_not_looked_at(rate: int) -> None:
    """Most of a call is a caller who listens: hiss of -50 dBm0, with a key in the middle that is heard all the same."""
    looks = 0

    class Counted(DtmfDetector):
        def _look(self, window: Samples) -> str:
            nonlocal looks
            looks += 1
            return super()._look(window)

    pressed: list[str] = []
    digits = Counted(pressed.append)
    hiss = (60 * numpy.random.default_rng(3).standard_normal(rate)).clip(-200, 200)
    places = numpy.arange(rate * 2 // 50) * 2 * numpy.pi / rate  # 40 ms, of 400 in height each
    hiss[rate // 2 : rate // 2 + len(places)] += 400 * (numpy.sin(770 * places) + numpy.sin(1336 * places))
    for frame in hiss.astype(numpy.int16).reshape(50, -1):
        digits.hear(frame, rate)
    assert pressed == ["5"]
    assert looks < 16
