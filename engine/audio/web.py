"""Sounds at web addresses: fetched by what the caller hands in, within bounds of time and size."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from engine.audio.errors import SoundError, shown

SCHEMES: Final = ("http://", "https://")

KEPT: Final = 300.0
"""Seconds for which a sound that was fetched is taken for what is still there. Headers about that are not looked at."""

SECONDS: Final = 10.0
"""That a sound may take to come: a caller waits."""

Fetch = Callable[[str], Awaitable[bytes]]
"""The body at an address, or SoundError. It must not go where a stranger may not (`service.sounds` has one)."""


def is_address(source: str) -> bool:
    """Whether `source` names something on the web."""
    return source.lower().startswith(SCHEMES)


def without_secrets(url: str) -> str:
    """The address as an error may show it: without credentials and query."""
    scheme, _, rest = url.partition("?")[0].partition("#")[0].partition("://")
    host, slash, path = rest.partition("/")
    return shown(f"{scheme}://{host.rpartition('@')[2]}{slash}{path}", 200)


async def fetch(url: str, by: Fetch | None, largest: int, seconds: float = SECONDS) -> bytes:
    """What is at `url`. Raises SoundError: nothing is fetched here, no answer in time, too much of it."""
    if by is None:
        raise SoundError("sounds are not fetched from the web here; put the file into the sounds folder")
    try:
        async with asyncio.timeout(seconds):
            body = await by(url)
    except TimeoutError:
        raise SoundError(f"{without_secrets(url)} did not come within {seconds:g} s") from None
    if len(body) > largest:
        raise SoundError(f"{without_secrets(url)} has more than {largest} bytes, which media.largest_sound allows")
    return body
