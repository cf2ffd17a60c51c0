"""espeak-ng, really run: languages differ and are not silent, genders differ, and nothing in a text is an order."""

import asyncio
import re
import shutil
from pathlib import Path

import numpy
import pytest

from engine.audio.buffer import AudioBuffer
from engine.audio.dtmf_detector import DtmfDetector
from engine.audio.errors import SoundError
from engine.audio.library import SoundLibrary
from engine.audio.tts import espeak as module
from engine.audio.tts.espeak import Espeak
from engine.audio.tts.speech import find, voice_request, voices
from engine.audio.tts.ssml import read
from engine.media.codec.registry import PCMU
from tests.peers.process import require

pytestmark = pytest.mark.peer

TEXTS = {
    "en-US": "Welcome to our hotline. Press one for sales, or two for support.",
    "de-DE": "Willkommen bei unserer Hotline. Drücken Sie die Eins für den Verkauf.",
    "fr-FR": "Bienvenue sur notre ligne. Appuyez sur un pour les ventes.",
}


@pytest.fixture
def espeak() -> Espeak:
    return Espeak(path=require("espeak-ng", "espeak-ng"))


async def say(
    espeak: Espeak, text: str, language: str = "en-US", gender: str = "female", voice: str = ""
) -> AudioBuffer:
    return await espeak.speak(read(text), voice_request(language, gender, voice))


def bands(clip: AudioBuffer) -> numpy.typing.NDArray[numpy.float64]:
    """How the energy of a piece of speech is spread over 24 bands of its spectrum, over 8 parts of its time."""
    samples = clip.at(8000).samples.astype(float)
    parts = [numpy.abs(numpy.fft.rfft(part, 4096)) ** 2 for part in numpy.array_split(samples, 8)]
    spread = numpy.array([[band.sum() for band in numpy.array_split(part[40:1700], 24)] for part in parts])
    logarithm: numpy.typing.NDArray[numpy.float64] = numpy.log10(spread + 1.0)
    return logarithm - logarithm.mean()


def pitch(clip: AudioBuffer) -> float:
    """The usual pitch (Hz): the median over voiced pieces of 40 ms."""
    samples, found = clip.at(8000).samples.astype(float), []
    for start in range(0, len(samples) - 640, 320):
        piece = samples[start : start + 640]
        if abs(piece).max() > 2000:
            same = numpy.correlate(piece, piece, "full")[640:]
            lag = int(same[20:115].argmax()) + 20
            if same[lag] > 0.4 * float(piece @ piece):
                found.append(8000 / lag)
    return float(numpy.median(found))


async def test_three_languages_speak_and_differ(espeak: Espeak) -> None:
    clips = {language: await say(espeak, text, language) for language, text in TEXTS.items()}
    for clip in clips.values():
        assert 2.0 < clip.seconds < 10.0
        assert numpy.sqrt((clip.samples.astype(float) ** 2).mean()) > 1000
    names = list(clips)
    for first in names:
        again = await say(espeak, TEXTS[first], first)
        same = abs(bands(again) - bands(clips[first])).mean()
        for second in names:
            if first != second:
                assert abs(bands(clips[first]) - bands(clips[second])).mean() > 0.25 + same


async def test_one_text_sounds_different_in_three_languages(espeak: Espeak) -> None:
    clips = [await say(espeak, "Restaurant Paris 1234", language) for language in TEXTS]
    for place, first in enumerate(clips):
        for second in clips[place + 1 :]:
            assert abs(bands(first) - bands(second)).mean() > 0.2 or abs(first.seconds - second.seconds) > 0.3


async def test_a_woman_speaks_higher_than_a_man(espeak: Espeak) -> None:
    female = pitch(await say(espeak, TEXTS["en-US"], gender="female"))
    male = pitch(await say(espeak, TEXTS["en-US"], gender="male"))
    assert female > 1.25 * male


@pytest.mark.parametrize(
    ("language", "gender", "voice", "named"),
    [
        ("en-US", "female", "", "gmw/en-US+f3"),
        ("en_us", "male", "", "gmw/en-US+m3"),
        ("en", "neutral", "", "gmw/en"),
        ("de-AT", "female", "", "gmw/de+f3"),
        ("fr-CA", "female", "", "roa/fr+f3"),
        ("es-MX", "female", "", "roa/es-419+f3"),
        ("pt-PT", "female", "", "roa/pt+f3"),
        ("zh-CN", "female", "", "sit/cmn+f3"),
        ("zh-HK", "female", "", "sit/yue+f3"),
        ("no", "female", "", "gmq/nb+f3"),
        ("ko-KR", "female", "", "ko+f3"),
        ("en-US", "female", "f5", "gmw/en-US+f5"),
        ("en-US", "female", "Alicia", "gmw/en-US+Alicia"),
        ("en", "female", "English_(Scotland)", "gmw/en-GB-scotland+f3"),
        ("en", "female", "en-gb-scotland+m2", "gmw/en-GB-scotland+m2"),
        ("en", "female", "nobody", None),
        ("en", "female", "en+nobody", None),
        ("en", "female", "../../etc/passwd", None),
        ("tlh", "female", "", None),
    ],
)
async def test_which_voice_speaks(espeak: Espeak, language: str, gender: str, voice: str, named: str | None) -> None:
    wanted = voice_request(language, gender, voice)
    assert espeak._voice(await espeak._voices(), wanted) == named
    assert await espeak.speaks(wanted) is (named is not None)


async def test_a_language_that_nobody_speaks_names_those_there_are(espeak: Espeak) -> None:
    with pytest.raises(SoundError, match=re.escape("no voice speaks tlh-us; there are af, ")) as error:
        await find([espeak], voice_request("tlh-US", "", ""))
    assert ", de, " in str(error.value)


@pytest.mark.parametrize("text", ["-w /tmp/evil.wav", "--version", "[[h@l@U w3:ld]] hello", "hello | rm -rf /"])
async def test_nothing_in_a_text_is_an_order(espeak: Espeak, text: str) -> None:
    assert (await say(espeak, text)).seconds > 0.5


async def test_phonemes_of_its_own_are_not_read_out_of_a_text(espeak: Espeak) -> None:
    brackets, without = await say(espeak, "[[h@l@U]]"), await say(espeak, "h@l@U")
    assert brackets.seconds == pytest.approx(without.seconds, abs=0.4)
    ran = await espeak._run(["-q", "-x", "-v", "en", "--stdin"], "[[h@l@U]]")
    assert ran.output.startswith(b"h@l@")  # it would have: this test can fail


async def test_markup_is_obeyed(espeak: Espeak) -> None:
    plain = await say(espeak, "<speak>Hello you</speak>")
    pause = await say(espeak, "<speak>Hello <break time='2s'/> you</speak>")
    assert pause.seconds - plain.seconds == pytest.approx(2, abs=0.5)
    slow = await say(espeak, "<speak><prosody rate='50%'>Hello you</prosody></speak>")
    assert slow.seconds > 1.4 * plain.seconds
    digits = await say(espeak, '<speak><say-as interpret-as="digits">1234</say-as></speak>')
    number = await say(espeak, "<speak>1234</speak>")
    assert abs(digits.seconds - number.seconds) > 0.2


async def test_no_file_is_opened_for_a_text(espeak: Espeak, tmp_path: Path) -> None:
    silent = await say(espeak, "<speak>Hello</speak>")
    audio = await say(espeak, f'<speak><audio src="{tmp_path}/x.wav"/>Hello</speak>')
    assert audio.seconds == pytest.approx(silent.seconds, abs=0.05)


async def test_too_much_speech_is_cut_short(espeak: Espeak) -> None:
    short = Espeak(1.0, espeak._path)
    with pytest.raises(SoundError, match="more sound than is allowed"):
        await say(short, "one two three " * 50)


async def test_time_is_limited(espeak: Espeak, monkeypatch: pytest.MonkeyPatch) -> None:
    await espeak.languages()
    monkeypatch.setattr(module, "SECONDS", 0.0)
    with pytest.raises(SoundError, match="espeak-ng did not finish within 0 s"):
        await say(espeak, "Hello " * 100)


async def test_a_machine_without_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert not await Espeak().languages()
    with pytest.raises(SoundError, match="apt-get install espeak-ng"):
        await find(voices(), voice_request("en", "", ""))
    with pytest.raises(SoundError, match="apt-get install espeak-ng"):
        await say(Espeak(), "Hello")


async def test_prompts_of_many_calls_are_made_once_each_and_played(espeak: Espeak, tmp_path: Path) -> None:
    library = SoundLibrary(tmp_path, voices=[espeak])
    sounds = await asyncio.gather(*(library.speech(f"You are number {place % 3}.") for place in range(30)))
    assert len({id(sound.clip) for sound in sounds}) == 3
    feed, frames = sounds[0].feed(), 0
    while feed.next(PCMU) is not None:
        frames += 1
    assert frames == pytest.approx(sounds[0].seconds * 50, abs=1)
    await library.close()


@pytest.mark.parametrize("gender", ["female", "male"])
async def test_speech_is_never_taken_for_keys(espeak: Espeak, gender: str) -> None:
    keys: list[str] = []
    for language, text in TEXTS.items():
        clip = (await say(espeak, text * 12, language, gender)).at(8000)
        digits = DtmfDetector(keys.append)
        for start in range(0, len(clip.samples) - 160, 160):
            digits.hear(clip.samples[start : start + 160], 8000)
    assert keys == []
