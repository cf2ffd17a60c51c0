"""Audio for the caller: play, talk, beep, echo."""

import asyncio
import re
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from flows.actions import action
from flows.calls.address import PLACEHOLDER
from flows.calls.ports import CallEnded, Sound, SoundError, Sounds
from flows.faults import ActionError
from flows.language.options import NoOptions, Options
from flows.language.registry import seconds
from flows.language.run import Run
from flows.values import DAY_MS, SoundSource, SpokenLanguage, SpokenText, StopKeys, or_variable

_VOICE = re.compile(r"[A-Za-z0-9._+-]*")
BEEP = "tone:1000/250"
"""The tone of `beep`: 1 kHz for a quarter of a second."""


class PlayOptions(Options):
    """`play`: the sources one after the other, all of them `loop` times (0: until the hangup). A key of `digits_stop`
    ends it, and is kept for the next digits_receive."""

    web_addresses = ("sources",)

    sources: list[SoundSource] = Field(min_length=1, max_length=100)
    loop: int = Field(default=1, ge=0, le=1_000_000)
    digits_stop: StopKeys = ""


def _sources(run: Run, option: PlayOptions) -> str:
    times = "" if option.loop == 1 else ", again and again" if option.loop == 0 else f", {option.loop} times"
    return ", ".join(option.sources) + times


@action(PlayOptions, sounds=True, describe=_sources)
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
                self._task.exception()  # retrieved, so that asyncio does not log it

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


def _voice(text: str) -> str:
    if PLACEHOLDER not in text and not _VOICE.fullmatch(text):
        raise ValueError("is no name of a voice; use letters, digits, dots, dashes and underscores")
    return text


class TalkOptions(Options):
    """`talk`: plain text or SSML, spoken in a `language` (BCP 47) by a voice of a `gender`, or by the named `voice`."""

    text: SpokenText
    language: SpokenLanguage = "en-US"
    gender: Literal["female", "male", "neutral"] = "female"
    voice: Annotated[
        str,
        Field(max_length=100, json_schema_extra={"pattern": or_variable("^[A-Za-z0-9._+-]*$")}),
        AfterValidator(_voice),
    ] = ""
    digits_stop: StopKeys = ""


@action(TalkOptions, sounds=True, describe=lambda run, option: f'"{option.text}"')
async def talk(run: Run, option: TalkOptions) -> None:
    """The text, spoken. A key of `digits_stop` ends it."""
    sounds = _sounds(run)
    try:
        sound = await sounds.speech(option.text, option.language, option.gender, option.voice)
    except SoundError as error:
        raise ActionError(str(error)) from None
    await run.call.play(sound.feed(1), option.digits_stop)


@action(NoOptions, sounds=True)
async def beep(run: Run, option: NoOptions) -> None:
    """A short tone."""
    sounds = _sounds(run)
    await run.call.play((await sounds.load(BEEP)).feed(1))


class EchoOptions(Options):
    """`echo`: milliseconds; 0 lasts until the hangup."""

    duration: int = Field(default=0, ge=0, le=DAY_MS)


def _echo_time(run: Run, option: EchoOptions) -> str:
    return seconds(option.duration) if option.duration else "until the hangup"


@action(EchoOptions, answers=True, describe=_echo_time)
async def echo(run: Run, option: EchoOptions) -> None:
    """Sends the caller's media back. The call is answered by it."""
    await run.call.echo(option.duration / 1000 if option.duration else None)


def _sounds(run: Run) -> Sounds:
    if run.over:
        raise CallEnded("the call is over")
    if run.services.calls.media.sounds is None:
        raise ActionError("this service plays no sound")
    return run.services.calls.media.sounds
