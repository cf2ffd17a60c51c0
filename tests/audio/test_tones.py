"""Tones: what is written is what sounds, at the right level, without clicks, and in step in every round."""

import re
from typing import Any

import numpy
import pytest

from engine.audio.errors import SoundError
from engine.audio.national_tones import NAMES, TONES
from engine.audio.tones import clip, parse, read
from engine.media.codec.registry import by_name
from tests.audio.signals import decibels, played, strongest

PCMU, G722 = by_name("PCMU"), by_name("G722")
assert PCMU is not None
assert G722 is not None


def cadence(samples: Any, rate: int = 8000) -> list[tuple[int, bool]]:
    """(milliseconds, sounding) of each part, to 10 ms."""
    loud = [bool(abs(block).max() > 200) for block in samples[: len(samples) // 80 * 80].reshape(-1, rate // 100)]
    parts: list[tuple[int, bool]] = []
    for each in loud:
        if parts and parts[-1][1] == each:
            parts[-1] = (parts[-1][0] + 10, each)
        else:
            parts.append((10, each))
    return parts


def test_a_cadence_sounds_once_with_its_silences() -> None:
    tone, rounds = parse("tone:425/1000,0/4000")
    assert (tone.seconds, rounds) == (5.0, 1)
    assert cadence(tone.samples) == [(1000, True), (4000, False)]
    frequency, _ = strongest(tone.samples[800:7200], 8000)
    assert frequency == pytest.approx(425, abs=0.5)


def test_the_level_is_that_of_e180_however_many_frequencies_it_is_made_of() -> None:
    # 0 dBm0 has 3.14 dB to the loudest sine of mu-law, which is 32124 high (G.711).
    reference = 32124 / 2**0.5 * 10 ** (-3.14 / 20)
    for source in ("tone:425", "tone:350+440", "tone:375+400+425"):
        samples = parse(source)[0].samples.astype(float)
        assert decibels(float(numpy.sqrt((samples**2).mean())) / reference) == pytest.approx(-13, abs=0.1)


def test_frequencies_are_summed() -> None:
    samples = parse("tone:350+440")[0].samples
    spectrum = numpy.abs(numpy.fft.rfft(samples[:8000]))  # one second: a bin is a hertz
    assert sorted(int(place) for place in spectrum.argsort()[-2:]) == [350, 440]


@pytest.mark.parametrize(
    ("source", "seconds", "rounds"),
    [
        ("tone:425", 10.0, 0),
        ("tone:440/330*", 10.0, 0),
        ("tone:425/500,0/500*3", 3.0, 1),
        ("tone:425/500,0/500*", 1.0, 0),
        ("tone:425/165,0/165*", 0.66, 0),  # 20 ms do not divide 330: two rounds in one
        ("tone:busy/de", 0.96, 0),
        ("tone:busy/de*2", 1.92, 1),
        ("tone:ringback", 6.0, 0),
        ("tone:0/250", 0.25, 1),
    ],
)
def test_how_long_and_how_often(source: str, seconds: float, rounds: int) -> None:
    tone, found = parse(source)
    assert (found, tone.seconds) == (rounds, pytest.approx(seconds))
    if not rounds:
        assert round(tone.seconds * 1000) % 20 == 0


def test_a_cadence_does_not_drift_when_it_goes_round() -> None:
    tone, _ = parse("tone:congestion/cz")  # 165 ms and 165 ms
    heard = played(tone.feed(0), PCMU, 1000)
    loud = numpy.flatnonzero(abs(heard.astype(int)) > 1000)
    onsets = loud[1:][numpy.diff(loud) > 800]
    gaps = numpy.diff(onsets)
    assert len(gaps) > 50
    assert abs(gaps.mean() / 8 - 330) < 0.2


def test_a_tone_without_end_has_no_seam() -> None:
    for codec in (PCMU, G722):
        heard = played(parse("tone:350+440")[0].feed(0), codec, 1050).astype(float)
        places = numpy.arange(len(heard)) * 2 * numpy.pi / codec.rate
        base = numpy.stack([wave(places * hertz) for hertz in (350, 440) for wave in (numpy.cos, numpy.sin)], axis=1)
        inner = slice(codec.frame * 5, -codec.frame * 5)
        rest = heard[inner] - base[inner] @ numpy.linalg.lstsq(base[inner], heard[inner])[0]
        assert abs(rest).max() < 0.12 * abs(heard).max()


def test_no_click_where_a_tone_comes_and_goes() -> None:
    samples = parse("tone:950/330,1400/330,1800/330,0/1000")[0].samples.astype(float)
    steepest = 2 * numpy.pi * 1800 / 8000 * abs(samples).max()
    assert abs(numpy.diff(samples)).max() <= steepest
    borders = [0, 2640, 5280, 7919]
    assert all(abs(samples[place]) < 60 for place in borders)


def test_neighbours_that_sound_the_same_are_one_sound() -> None:
    samples = parse("tone:440/100,440/100")[0].samples
    assert abs(samples[760:840]).max() > 0.9 * abs(samples).max()


def test_other_rates_are_made_and_not_resampled() -> None:
    segments, endless = read("tone:1000/100")
    tone = clip(segments, endless)
    whole = numpy.concatenate(list(tone._blocks(48000)))
    assert len(whole) == 4800
    assert numpy.array_equal(whole[::6][:100], tone.samples[:100]) or abs(whole[::6] - tone.samples).max() < 400


def test_every_country_has_all_its_tones_and_all_can_be_played() -> None:
    assert len(TONES) >= 25
    for country, tones in TONES.items():
        assert re.fullmatch("[a-z]{2}", country)
        assert len(set(tones[:3])) == 3, country  # congestion sounds as busy does where the network makes no difference
        for name in NAMES:
            tone, rounds = parse(f"tone:{name}/{country}")
            assert rounds == 0
            assert tone.samples.any()


@pytest.mark.parametrize(
    ("country", "name", "parts"),
    [
        ("us", "ringback", [(2000, True), (4000, False)]),
        ("de", "busy", [(480, True), (480, False)]),
        ("gb", "ringback", [(400, True), (200, False), (400, True), (2000, False)]),
        ("fr", "ringback", [(1500, True), (3500, False)]),
        ("kr", "ringback", [(1000, True), (2000, False)]),
        ("jp", "busy", [(500, True), (500, False)]),
        ("jp", "congestion", [(500, True), (500, False)]),
        ("mx", "congestion", [(250, True), (250, False)]),
        ("hu", "congestion", [(300, True), (300, False)]),
    ],
)
def test_national_cadences(country: str, name: str, parts: list[tuple[int, bool]]) -> None:
    assert cadence(parse(f"tone:{name}/{country}")[0].samples) == parts
    assert cadence(parse(f"tone:{name}", country)[0].samples) == parts


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("tone:", "'' is no segment"),
        ("tone:horn", "there is no tone 'horn'; there are dial, ringback, busy, congestion"),
        ("tone:busy/xx", "there are no tones of 'xx'; there are those of at, au"),
        ("tone:425/1000,", "'' is no segment"),
        ("tone:425/x", "'425/x' is no segment; write Hz/ms"),
        ("tone:4e3/100", "is no segment"),
        ("tone:٤٢٥/100", "is no segment"),
        ("tone:5/100", "5 Hz cannot be heard on a telephone"),
        ("tone:3900/100", "3900 Hz cannot be heard"),
        ("tone:425/0", "a segment lasts 10 to 120000 ms, not 0"),
        ("tone:425,0/100", "'425' has no end, and so it has to stand alone"),
        ("tone:425*3", "a tone without end cannot be repeated"),
        ("tone:425/100*0", "is to sound 0 times"),
        ("tone:425/1000*9999", "lasts longer than 120 s"),
        ("tone:1+2+3+4+5/10", "more than 4 frequencies"),
        ("tone:" + ",".join(["425/10"] * 65), "more than 64 segments"),
    ],
)
def test_what_cannot_be_a_tone_says_why(source: str, error: str) -> None:
    with pytest.raises(SoundError, match=re.escape(error)):
        parse(source)
