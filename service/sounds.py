"""Sounds of an engine as its settings say: where they come from, who speaks, and where recordings go.

The folders count from the configuration file. None is made before it is needed.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

from config.settings import MediaSettings
from engine.audio.errors import SoundError
from engine.audio.library import SoundLibrary
from engine.audio.tts.speech import voices
from engine.audio.web import Fetch
from engine.log import Log
from flows.calls.recordings import Recorder, RecordingKeeper, Recordings
from flows.calls.tasks import OwnedTasks
from flows.faults import ActionError
from flows.web import WebServices, exchange, url_text

# Compressed sound is compressed already; a small answer that unpacks to a large one has no place here.
_HEADERS = {"Accept": "audio/*, application/ogg;q=0.9, */*;q=0.1", "Accept-Encoding": "identity"}


def sound_library(media: MediaSettings, beside: Path, fetch: Fetch | None = None) -> SoundLibrary:
    """The sounds. `beside` is the folder of the configuration file; `fetch` gets what is on the web (None: nothing)."""
    spoken = voices(str(beside / media.voices) if media.voices else "")
    return SoundLibrary(
        beside / media.sounds,
        media.largest_sound,
        media.cache,
        fetch=fetch,
        voices=spoken,
        national=media.national,
    )


def recordings(
    media: MediaSettings, beside: Path, tasks: OwnedTasks, log: Log, keeper: RecordingKeeper | None = None
) -> Recordings:
    """The recordings of calls, written in `tasks`."""
    return Recordings(beside / media.recordings, _recorder, tasks, log, keeper)


def _recorder(file: Path, duration: float, silence: float, channels: int) -> Recorder:
    from engine.audio.recorder import Recorder as File  # numpy and soxr: not before something is recorded

    return File(file, duration, silence, channels=channels)


def sound_fetcher(web: WebServices, largest: int) -> Callable[[str], Awaitable[bytes]]:
    """The `fetch` of a `engine.audio.library.SoundLibrary`: what a GET of an address gives, up to `largest` bytes.

    It raises SoundError. The address is checked and pinned as a webhook's is, and redirects are not followed; it ends
    after the time that webhooks have.
    """

    async def fetch(url: str) -> bytes:
        try:
            status, body = await exchange(web, "GET", url, b"", _HEADERS, largest)
        except ActionError as error:
            raise SoundError(str(error)) from None
        if status != 200:
            raise SoundError(f"{url_text(url)} answered {status}")
        return body

    return fetch
