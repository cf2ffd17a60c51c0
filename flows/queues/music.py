"""Music on hold of a queue, and the announcements in between."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Final

from flows.calls.context import CallContext
from flows.calls.ports import CallEnded, Sound, SoundError, Sounds

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


Announcement = Callable[[], Awaitable[Sound | None]]
"""What is said next; None: nothing now. Raises SoundError where it cannot be said."""


async def play_music(
    context: CallContext, source: str, announce: Announcement | None = None, every: float = 0.0
) -> None:
    """The queue's music (`source`), or our own where that cannot be had, for ever. Nothing where nothing is played.

    With `announce`, what it gives is played at once and `every` so many seconds; the music stops for it, and goes on
    where it was.
    """
    sounds = context.services.media.sounds
    if sounds is None:
        return
    music = await _music(context, sounds, source)
    if music is None and announce is None:
        return
    feed = None if music is None else music.feed(0)
    clock = context.services.clock
    due = clock() if announce is not None else math.inf
    while True:
        try:
            if announce is not None and clock() >= due:
                due = clock() + every
                if (said := await _said(context, announce)) is not None:
                    await context.call.play(said.feed(1))
                    due = clock() + every
            limit = asyncio.timeout(None if math.isinf(due) else due - clock())
            try:
                async with limit:
                    if feed is None:
                        await asyncio.Event().wait()
                    else:
                        await context.call.play(feed)
                        await asyncio.sleep(0.02)  # something else was played, or the media has moved
            except TimeoutError:
                if not limit.expired():
                    raise
        except CallEnded:
            return
        except Exception as error:  # such as media that is not to be had again
            context.warn("queue music failed", error=f"{type(error).__name__}: {error}"[:500])
            return


async def _music(context: CallContext, sounds: Sounds, source: str) -> Sound | None:
    for wanted in dict.fromkeys((source or MUSIC, MUSIC)):
        try:
            return await sounds.load(wanted)
        except SoundError as error:
            context.warn("queue music unavailable", source=wanted[:200], error=str(error))
    return None


async def _said(context: CallContext, announce: Announcement) -> Sound | None:
    try:
        return await announce()
    except SoundError as error:
        context.warn("queue announcement unavailable", error=str(error))
        return None
