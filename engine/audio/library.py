"""Sound library: asked for by name, made ready beside the loop, and kept for the next call.

Whatever takes long (disk, decoding, tones) is done by two threads, once for all who ask at the same time. Neither numpy
nor PyAV is loaded before the first sound is asked for.
"""

import asyncio
import importlib
import math
import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from engine.audio import web
from engine.audio.cache import BufferCache
from engine.audio.errors import SoundError
from engine.audio.tts import ssml
from engine.audio.tts.speech import find, voice_request
from engine.audio.tts.voice import Voice

if TYPE_CHECKING:
    from engine.audio import files
    from engine.audio.buffer import AudioBuffer, BufferSource

THREADS: Final = 2

FETCHES: Final = 16
"""Sounds that are fetched from the web at a time, each of up to `largest` bytes until it is decoded."""

LONGEST: Final = 1800.0
"""Seconds of the longest sound that is played: of a small MP3 there may be hours."""

LONGEST_NAME: Final = 2048
"""Characters of a source."""

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Sound:
    """Something to play: a clip, and how many times it is meant to sound (0: for ever, as a ringback tone does)."""

    clip: "AudioBuffer"
    rounds: int = 1

    @property
    def seconds(self) -> float:
        """How long it lasts, infinite for one without end."""
        return self.clip.seconds * self.rounds if self.rounds else math.inf

    def feed(self, loop: int = 1) -> "BufferSource":
        """Plays it to one call, `loop` times (0: for ever)."""
        return self.clip.feed(self.rounds * loop)


class SoundLibrary:
    """What can be played and said. One for an engine; `close` ends what it has under way."""

    __slots__ = (
        "_cache",
        "_closed",
        "_fetch",
        "_fetching",
        "_folder",
        "_largest",
        "_loaded",
        "_longest",
        "_national",
        "_pool",
        "_tasks",
        "_under_way",
        "_voices",
    )

    def __init__(
        self,
        folder: str | Path,
        largest: int = 20_000_000,
        cache: int = 128_000_000,
        *,
        fetch: web.Fetch | None = None,
        voices: Sequence[Voice] = (),
        longest: float = LONGEST,
        national: str = "us",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`folder`: where files are; `largest`: bytes of a file or of a web answer; `cache`: bytes of sound that are
        kept; `fetch`: gets what is at a web address (None: none is asked); `voices`: from
        `engine.audio.tts.speech.voices`, the first that fits speaks; `longest`: seconds of a sound; `national`: the
        country whose tones are meant where none is named."""
        self._folder = Path(folder)
        self._largest = largest
        self._longest = longest
        self._fetch = fetch
        self._voices = voices
        self._national = national
        self._cache = BufferCache(cache, clock)
        self._pool: ThreadPoolExecutor | None = None
        self._under_way: dict[Hashable, _UnderWay] = {}
        self._tasks: set[asyncio.Task[AudioBuffer]] = set()
        self._fetching = asyncio.Semaphore(FETCHES)
        self._closed = False
        self._loaded = False

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return self._cache.size

    async def load(self, source: str) -> Sound:
        """A file's name below the folder, a web address, or a tone (`engine.audio.tones`). Raises SoundError."""
        if not source or len(source) > LONGEST_NAME:
            raise SoundError("a sound is a file's name, a web address or a tone; this is empty or very long")
        await self._ready()
        if source.startswith("tone:"):
            return await self._tone(source)
        if web.is_address(source):
            return Sound(await self._kept(("web", source), lambda: self._from_web(source), web.KEPT))
        from engine.audio import files

        # Looked up every time: a file that was exchanged is another sound.
        file = await self._in_thread(lambda: files.find(self._folder, source, self._largest))
        return Sound(await self._kept(file, lambda: self._in_thread(lambda: self._from_file(file, source))))

    async def speech(self, text: str, language: str = "en-US", gender: str = "female", voice: str = "") -> Sound:
        """`text` (plain, or SSML) spoken by a voice. Raises SoundError: wrong SSML, nobody who speaks the language."""
        wanted = voice_request(language, gender, voice)
        words = ssml.read(text)
        await self._ready()

        async def speak() -> "AudioBuffer":
            return await (await find(self._voices, wanted)).speak(words, wanted)

        return Sound(await self._kept(("speech", text, wanted), speak))

    async def close(self) -> None:
        """Ends what is under way, and forgets all sounds. What plays goes on."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._cache.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    async def _ready(self) -> None:
        """Loads numpy, soxr and PyAV, once, in a thread: all calls would stand still for up to half a second."""
        if not self._loaded:
            await self._in_thread(lambda: importlib.import_module("engine.audio.files"))
            self._loaded = True

    async def _tone(self, source: str) -> Sound:
        from engine.audio import tones

        segments, endless = tones.read(source, self._national)
        key = ("tone", tuple(segments), endless)
        clip = await self._kept(key, lambda: self._in_thread(lambda: tones.clip(segments, endless)))
        return Sound(clip, 0 if endless else 1)

    async def _from_web(self, url: str) -> "AudioBuffer":
        from engine.audio import files

        name = web.without_secrets(url)
        try:
            async with asyncio.timeout(web.SECONDS):
                await self._fetching.acquire()
        except TimeoutError:
            raise SoundError(f"{name} was not fetched: {FETCHES} others are under way") from None
        try:
            body = await web.fetch(url, self._fetch, self._largest)
            return await self._in_thread(lambda: files.decode(body, name, self._longest, self._now))
        finally:
            self._fetching.release()

    def _from_file(self, file: "files.SoundFile", source: str) -> "AudioBuffer":
        from engine.audio import files

        return files.decode(files.read(file, self._largest), source, self._longest, self._now)

    def _now(self) -> float:
        """The clock of threads that decode: time is up for them when the library is closed."""
        return math.inf if self._closed else time.monotonic()

    async def _in_thread(self, work: Callable[[], _Result]) -> _Result:
        if self._closed:
            raise SoundError("the sounds are closed: the engine is stopping")
        if self._pool is None:
            self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="sound")
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def _kept(
        self, key: Hashable, make: Callable[[], Awaitable["AudioBuffer"]], seconds: float | None = None
    ) -> "AudioBuffer":
        """The clip of `key`, made at most once at a time. When all who wait for it have gone, so does its making."""
        clip = self._cache.get(key)
        if clip is not None:
            return clip
        flight = self._under_way.get(key)
        if flight is None:
            if self._closed:
                raise SoundError("the sounds are closed: the engine is stopping")
            task = asyncio.get_running_loop().create_task(self._make(key, make, seconds), name="sound")
            self._tasks.add(task)
            task.add_done_callback(self._done)
            flight = self._under_way[key] = _UnderWay(task)
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        except asyncio.CancelledError:
            if flight.task.cancelled() and self._closed:
                raise SoundError("the sounds are closed: the engine is stopping") from None
            raise
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                flight.task.cancel()
                if self._under_way.get(key) is flight:  # whoever asks next begins anew
                    del self._under_way[key]

    def _done(self, task: "asyncio.Task[AudioBuffer]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # told to all who wait; when nobody does any more it is no news

    async def _make(
        self, key: Hashable, make: Callable[[], Awaitable["AudioBuffer"]], seconds: float | None
    ) -> "AudioBuffer":
        mine = asyncio.current_task()
        try:
            clip = await make()
            self._cache.put(key, clip, seconds)
            return clip
        finally:
            flight = self._under_way.get(key)
            if flight is not None and flight.task is mine:
                del self._under_way[key]


@dataclass(slots=True)
class _UnderWay:
    """The making of one clip."""

    task: "asyncio.Task[AudioBuffer]"
    waiting: int = 0
