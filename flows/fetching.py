"""Fetches sounds for flows: by the way that webhooks go, to nowhere that they may not go either."""

from collections.abc import Awaitable, Callable

from engine.audio.errors import SoundError
from flows.calls.services import FlowEnvironment
from flows.calls.webhook import exchange, url_text
from flows.language.run import ActionError

# Compressed sound is compressed already; a small answer that unpacks to a large one has no place here.
_HEADERS = {"Accept": "audio/*, application/ogg;q=0.9, */*;q=0.1", "Accept-Encoding": "identity"}


def sound_fetcher(env: FlowEnvironment, largest: int) -> Callable[[str], Awaitable[bytes]]:
    """The `fetch` of a `engine.audio.library.SoundLibrary`: what a GET of an address gives, up to `largest` bytes.

    It raises SoundError. The address is checked and pinned as a webhook's is, and redirects are not followed; it ends
    after the time that webhooks have.
    """

    async def fetch(url: str) -> bytes:
        try:
            status, body = await exchange(env, "GET", url, b"", _HEADERS, largest)
        except ActionError as error:
            raise SoundError(str(error)) from None
        if status != 200:
            raise SoundError(f"{url_text(url)} answered {status}")
        return body

    return fetch
