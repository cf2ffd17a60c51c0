"""What callers hear while they wait."""

import asyncio
from typing import Final

from flows.contracts import CallEnded
from flows.run import Run
from flows.sounds import SoundError

MUSIC: Final = (
    "tone:"
    + ",".join(
        f"{notes}/{duration},0/60"
        for notes, duration in (
            *(("262+330+392", 700), ("392", 340), ("440+523", 700), ("392", 340)),
            *(("220+262+330", 700), ("330", 340), ("349+440", 700), ("330", 340)),
            *(("175+220+262", 700), ("262", 340), ("294+349", 700), ("262", 340)),
            *(("196+247+294", 700), ("294", 340), ("247+330", 700), ("0", 1200)),
        )
    )
    + "*"
)
"""What callers hear where their queue names no music: four chords, for ever."""


async def play_music(run: Run, source: str) -> None:
    """The queue's music (`source`), or our own where that cannot be had, for ever. Nothing where nothing is played."""
    sounds = run.env.sounds
    if sounds is None:
        return
    sound = None
    for wanted in dict.fromkeys((source or MUSIC, MUSIC)):
        try:
            sound = await sounds.load(wanted)
            break
        except SoundError as error:
            run.warn("music left out", source=wanted[:200], error=str(error))
    while sound is not None:
        try:
            await run.call.play(sound.feed(0))
        except CallEnded:
            return
        except Exception as error:  # such as media that is not to be had again
            run.warn("music ended", error=f"{type(error).__name__}: {error}"[:500])
            return
        await asyncio.sleep(0.02)  # something else was played, or the media has moved
