"""Sound of an engine as its settings say: where sounds come from, who speaks, and where recordings go.

The folders count from the configuration file. None is made before it is needed.
"""

from pathlib import Path

from config.settings import MediaSettings
from engine.audio.library import SoundLibrary
from engine.audio.tts.speech import voices
from engine.audio.web import Fetch
from flows.calls.recordings import Recorder, Recordings
from flows.calls.services import FlowEnvironment


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


def recordings(media: MediaSettings, beside: Path, env: FlowEnvironment) -> Recordings:
    """The recordings of the calls of `env`."""
    return Recordings(beside / media.recordings, _recorder, env.tasks, env.log)


def _recorder(file: Path, duration: float, silence: float, channels: int) -> Recorder:
    from engine.audio.recorder import Recorder as File  # numpy and soxr: not before something is recorded

    return File(file, duration, silence, channels=channels)
