"""What the caller hears: play, talk, beep, echo."""

import asyncio
from collections.abc import Sequence

from flows.calls.ports import CallEnded
from flows.calls.sounds import Sound, SoundError, Sounds
from flows.language.run import ActionError, Run
from flows.options import EchoOptions, NoOptions, PlayOptions, TalkOptions

BEEP = "tone:1000/250"
"""The tone of `beep`: 1 kHz for a quarter of a second."""


async def play(run: Run, option: PlayOptions) -> None:
    """The sources one after the other, all of them `loop` times. One that cannot be had is logged and left out; where
    none can, the action fails. A key of `digits_stop` ends it."""
    sounds = _sounds(run)
    sources = option.sources
    only = len(sources) == 1
    rounds = 1 if only else option.loop
    ready: list[Sound] = []
    async with _Loading(sounds, sources) as loading:
        for source in sources:
            try:
                sound = await loading.next()
            except SoundError as error:
                run.warn("source left out", source=source[:200], error=str(error))
                continue
            ready.append(sound)
            if await run.call.play(sound.feed(option.loop if only else 1), option.digits_stop):
                return
    if not ready:
        raise ActionError("none of the sources could be had")
    while rounds != 1:
        rounds -= 1  # 0 goes on below it, without end
        for sound in ready:
            if await run.call.play(sound.feed(1), option.digits_stop):
                return


class _Loading:
    """Loads sources in their order; while one plays, the next is being loaded."""

    __slots__ = ("_library", "_place", "_sources", "_task")

    def __init__(self, library: Sounds, sources: Sequence[str]) -> None:
        self._library = library
        self._sources = sources
        self._place = 0
        self._task: asyncio.Task[Sound] | None = None

    async def __aenter__(self) -> "_Loading":
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
            if not self._task.cancelled():
                self._task.exception()  # taken: nobody wants this sound any more

    async def next(self) -> Sound:
        """The next sound. Raises SoundError; the one behind it can be had all the same."""
        task = self._task or self._begin()
        try:
            return await task
        finally:
            self._task = None
            if not task.cancelled() and self._place < len(self._sources):
                self._begin()

    def _begin(self) -> asyncio.Task[Sound]:
        source = self._sources[self._place]
        self._place += 1
        self._task = asyncio.get_running_loop().create_task(self._library.load(source), name=f"load {source[:60]}")
        return self._task


async def talk(run: Run, option: TalkOptions) -> None:
    """The text, spoken. A key of `digits_stop` ends it."""
    sounds = _sounds(run)
    try:
        sound = await sounds.speech(option.text, option.language, option.gender, option.voice)
    except SoundError as error:
        raise ActionError(str(error)) from None
    await run.call.play(sound.feed(1), option.digits_stop)


async def beep(run: Run, option: NoOptions) -> None:
    """A short tone."""
    sounds = _sounds(run)
    await run.call.play((await sounds.load(BEEP)).feed(1))


async def echo(run: Run, option: EchoOptions) -> None:
    """Sends the caller's media back. The call is answered by it."""
    await run.call.echo(option.duration / 1000 if option.duration else None)


def _sounds(run: Run) -> Sounds:
    if run.over:
        raise CallEnded("the call is over")
    if run.env.sounds is None:
        raise ActionError("this service plays no sound")
    return run.env.sounds
