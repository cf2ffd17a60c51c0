"""The library: one making for all who ask at once, beside the loop, kept, and gone when nobody waits any more."""

import asyncio
import math
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

from engine.audio import files, web
from engine.audio.buffer import AudioBuffer
from engine.audio.errors import SoundError
from engine.audio.library import SoundLibrary
from engine.audio.tts.ssml import Words
from engine.audio.tts.voice import VoiceRequest
from engine.media.codec.registry import PCMU
from tests.audio.signals import sine, write

TONE = write(None, sine(1000, 0.2, 8000), 8000)


class Web:
    """Answers as told, and counts."""

    def __init__(self, body: bytes = TONE) -> None:
        self.body = body
        self.asked: list[str] = []
        self.hold: asyncio.Event | None = None
        self.cancelled = 0
        self.begun = asyncio.Event()

    async def __call__(self, url: str) -> bytes:
        self.asked.append(url)
        self.begun.set()
        try:
            if self.hold is not None:
                await self.hold.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return self.body


class Speaker:
    """A voice that speaks English: a tone as long as the text."""

    name = "speaker"

    def __init__(self) -> None:
        self.said: list[tuple[Words, VoiceRequest]] = []

    async def languages(self) -> list[str]:
        return ["en", "en-gb"]

    async def speaks(self, voice_request: VoiceRequest) -> bool:
        return voice_request.language.startswith("en") and not voice_request.voice

    async def speak(self, words: Words, voice_request: VoiceRequest) -> AudioBuffer:
        self.said.append((words, voice_request))
        return AudioBuffer(sine(300, len(words.plain) / 10, 8000), 8000)


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The threads that have decoded something."""
    names: list[str] = []
    decode = files.decode

    def noted(*arguments: Any) -> AudioBuffer:
        names.append(threading.current_thread().name)
        return decode(*arguments)

    monkeypatch.setattr(files, "decode", noted)
    return names


async def test_a_file_is_decoded_once_in_a_thread_for_all_who_ask(tmp_path: Path, decodings: list[str]) -> None:
    (tmp_path / "a.wav").write_bytes(TONE)
    library = SoundLibrary(tmp_path)
    sounds = await asyncio.gather(*(library.load("a.wav") for _ in range(20)))
    assert len({id(sound.clip) for sound in sounds}) == 1
    assert (await library.load("./a.wav")).clip is sounds[0].clip
    assert len(decodings) == 1
    assert decodings[0].startswith("sound")
    assert sounds[0].seconds == pytest.approx(0.2)
    assert library.size == sounds[0].clip.size
    await library.close()
    assert library.size == 0


async def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(TONE)
    library = SoundLibrary(tmp_path)
    await library.load("a.wav")
    write(tmp_path / "a.wav", sine(1000, 0.4, 8000), 8000)
    assert (await library.load("a.wav")).seconds == pytest.approx(0.4)
    await library.close()


async def test_an_error_is_raised_for_everyone_who_waits_and_not_cached(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"none")
    library = SoundLibrary(tmp_path)
    results = await asyncio.gather(*(library.load("a.wav") for _ in range(3)), return_exceptions=True)
    assert [str(result) for result in results] == ["'a.wav' is no WAV, MP3, OGG or FLAC"] * 3
    (tmp_path / "a.wav").write_bytes(TONE)
    assert (await library.load("a.wav")).seconds == pytest.approx(0.2)
    await library.close()


async def test_an_address_is_fetched_once_and_again_after_five_minutes(tmp_path: Path) -> None:
    now, fetch = 0.0, Web()
    library = SoundLibrary(tmp_path, fetch=fetch, clock=lambda: now)
    url = "https://example.com/a.wav?key=secret"
    await asyncio.gather(*(library.load(url) for _ in range(5)))
    now = 299.0
    await library.load(url)
    assert fetch.asked == [url]
    now = 301.0
    await library.load(url)
    assert fetch.asked == [url, url]
    await library.close()


async def test_an_address_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch = Web()
    fetch.hold = asyncio.Event()
    with pytest.raises(SoundError, match=r"^http://example.com/a.wav did not come within 0.01 s$"):
        await web.fetch("http://me:pass@example.com/a.wav?key=secret", fetch, 1000, 0.01)
    assert fetch.cancelled == 1


async def test_an_address_with_too_much(tmp_path: Path) -> None:
    library = SoundLibrary(tmp_path, largest=1000, fetch=Web(TONE))
    with pytest.raises(SoundError, match=r"http://example.com/a.wav has more than 1000 bytes"):
        await library.load("http://example.com/a.wav")
    await library.close()


async def test_only_so_many_are_fetched_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch = Web()
    fetch.hold = asyncio.Event()
    library = SoundLibrary(tmp_path, fetch=fetch)
    await library.load("tone:425")
    waiting = [asyncio.create_task(library.load(f"http://x/{number}.wav")) for number in range(20)]
    await asyncio.wait_for(fetch.begun.wait(), 30)
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(fetch.asked) == 16
    monkeypatch.setattr(web, "SECONDS", 0.01)
    with pytest.raises(SoundError, match=r"http://x/late.wav was not fetched: 16 others are under way"):
        await library.load("http://x/late.wav")
    fetch.hold.set()
    await asyncio.gather(*waiting)
    assert len(fetch.asked) == 20
    await library.close()


async def test_without_a_way_to_the_web_addresses_say_so(tmp_path: Path) -> None:
    library = SoundLibrary(tmp_path)
    with pytest.raises(SoundError, match="not fetched from the web here"):
        await library.load("http://example.com/a.wav")
    await library.close()


async def test_one_who_hangs_up_leaves_the_others_their_sound(tmp_path: Path) -> None:
    fetch = Web()
    fetch.hold = asyncio.Event()
    library = SoundLibrary(tmp_path, fetch=fetch)
    await library.load("tone:425")  # libraries are loaded: both get as far as the fetch in one turn of the loop
    first, second = (asyncio.create_task(library.load("http://x/a.wav")) for _ in range(2))
    await asyncio.wait_for(fetch.begun.wait(), 30)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    fetch.hold.set()
    assert (await second).seconds == pytest.approx(0.2)
    assert fetch.cancelled == 0
    await library.close()


async def test_when_all_have_hung_up_nothing_goes_on_and_the_next_begins_anew(tmp_path: Path) -> None:
    fetch = Web()
    fetch.hold = asyncio.Event()
    library = SoundLibrary(tmp_path, fetch=fetch)
    waiting = [asyncio.create_task(library.load("http://x/a.wav")) for _ in range(2)]
    await asyncio.wait_for(fetch.begun.wait(), 30)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    hold, fetch.hold = fetch.hold, None
    assert (await library.load("http://x/a.wav")).seconds == pytest.approx(0.2)
    assert (fetch.cancelled, len(fetch.asked)) == (1, 2)
    assert not hold.is_set()
    await library.close()


async def test_closing_ends_what_is_under_way(tmp_path: Path) -> None:
    fetch = Web()
    fetch.hold = asyncio.Event()
    library = SoundLibrary(tmp_path, fetch=fetch)
    waiting = asyncio.create_task(library.load("http://x/a.wav"))
    await asyncio.wait_for(fetch.begun.wait(), 30)
    await library.close()
    with pytest.raises(SoundError, match="the engine is stopping"):
        await waiting
    assert fetch.cancelled == 1
    for late in (library.load("tone:425"), library.load("http://x/b.wav"), library.load("a.wav")):
        with pytest.raises(SoundError, match="the engine is stopping"):
            await late
    assert len(asyncio.all_tasks()) == 1


async def test_tones_are_kept_as_sounds_and_know_whether_they_end(tmp_path: Path) -> None:
    library = SoundLibrary(tmp_path, national="de")
    busy = await library.load("tone:busy")
    assert busy.seconds == math.inf
    assert busy.clip is (await library.load("tone:425/480,0/480*")).clip
    feed = busy.feed()
    assert all(feed.next(PCMU) for _ in range(500))
    beep = await library.load("tone:1000/100")
    assert beep.seconds == pytest.approx(0.1)
    feed = beep.feed(3)
    assert [feed.next(PCMU) is None for _ in range(16)] == [False] * 15 + [True]
    await library.close()


async def test_the_cache_is_bounded_while_sounds_are_played(tmp_path: Path) -> None:
    library = SoundLibrary(tmp_path, cache=100_000)
    for number in range(20):
        (tmp_path / f"{number}.wav").write_bytes(write(None, sine(100 + number, 1.0, 8000), 8000))
        sound = await library.load(f"{number}.wav")
        feed = sound.feed()
        while feed.next(PCMU) is not None:
            assert library.size <= 100_000
    assert library.size > 50_000
    await library.close()


async def test_speech_is_made_once_for_each_text_language_gender_and_voice(tmp_path: Path) -> None:
    speaker = Speaker()
    library = SoundLibrary(tmp_path, voices=[speaker])
    one = await library.speech("Hello")
    assert one.clip is (await library.speech("Hello", "en-US", "female", "")).clip
    for other in ({"text": "Hi"}, {"language": "en-GB"}, {"gender": "male"}):
        assert (await library.speech(**{"text": "Hello", **other})).clip is not one.clip
    assert [(words.plain, voice_request.language, voice_request.gender) for words, voice_request in speaker.said] == [
        ("Hello", "en-us", "female"),
        ("Hi", "en-us", "female"),
        ("Hello", "en-gb", "female"),
        ("Hello", "en-us", "male"),
    ]
    await library.close()


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"language": "fr"}, "no voice speaks fr; there are en"),
        ({"voice": "bob"}, "no voice 'bob' speaks en-us; leave it away"),
        ({"language": "not a language"}, "is no language; write one such as en-US"),
        ({"language": "../x"}, "is no language"),
        ({"language": ""}, "is no language"),
        ({"gender": "robot"}, "'robot' is no gender of a voice; there are female, male, neutral"),
        ({"text": " "}, "there is nothing to say"),
        ({"text": "x" * 10_001}, "the text has 10001 characters; 10000 can be said"),
    ],
)
async def test_what_cannot_be_said(tmp_path: Path, asked: dict[str, str], error: str) -> None:
    library = SoundLibrary(tmp_path, voices=[Speaker()])
    with pytest.raises(SoundError, match=error):
        await library.speech(**{"text": "Hello", **asked})
    await library.close()


async def test_without_any_voice_the_error_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(SoundError, match="apt-get install espeak-ng"):
        await SoundLibrary(tmp_path).speech("Hello")


@pytest.mark.parametrize("source", ["", "x" * 3000])
async def test_a_source_that_is_none(tmp_path: Path, source: str) -> None:
    with pytest.raises(SoundError, match="empty or very long"):
        await SoundLibrary(tmp_path).load(source)


async def test_the_loop_goes_on_while_a_sound_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def slow(*_: object) -> AudioBuffer:
        assert release.wait(5)
        return AudioBuffer(numpy.zeros(8000, numpy.int16), 8000)

    monkeypatch.setattr(files, "decode", slow)
    (tmp_path / "a.wav").write_bytes(TONE)
    library = SoundLibrary(tmp_path)
    loading = asyncio.create_task(library.load("a.wav"))
    turned: Callable[[], None] = release.set
    asyncio.get_running_loop().call_later(0.01, turned)  # nothing sets it where the loop is held up
    assert (await loading).seconds == 1
    await library.close()


def test_nothing_heavy_is_loaded_before_the_first_sound_and_then_not_by_the_loop() -> None:
    program = """
import asyncio, sys, threading
from engine.audio.library import SoundLibrary
from engine.audio.tts.speech import voices
voices()
assert not {"numpy", "soxr", "av"} & set(sys.modules), "loaded at start"

class Watch:  # of each import: who does it
    def find_spec(self, name, path=None, target=None):
        if name in ("numpy", "soxr", "av"):
            assert threading.current_thread() is not threading.main_thread(), name

sys.meta_path.insert(0, Watch())

async def main():
    library = SoundLibrary("/tmp")
    await library.load("tone:425")
    await library.close()

asyncio.run(main())
assert {"numpy", "soxr", "av"} <= set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
