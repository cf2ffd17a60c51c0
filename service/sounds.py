"""Sound of an engine as its settings say: where sounds come from, who speaks, and where recordings go.

The folders count from the configuration file. None is made before it is needed.
"""

from pathlib import Path

from config.settings import MediaSettings
from engine.audio.library import SoundLibrary
from engine.audio.tts.speech import voices
from engine.audio.web import Fetch
from engine.log import Log
from flows.calls.recordings import Recorder, RecordingKeeper, Recordings
from flows.calls.tasks import OwnedTasks


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
