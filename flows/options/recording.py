"""The options of recording_start."""

from typing import Literal

from pydantic import Field

from flows.options.base import DAY_MS, Options
from flows.options.sound import StopKeys


class RecordingStartOptions(Options):
    """`recording_start`: ends after `duration` milliseconds, after `end_of_silence` milliseconds without a sound, and
    at a key of `end_of_key`; 0 and "" leave that out. `beep_start`: the caller hears a tone first."""

    format: Literal["wav"] = "wav"
    duration: int = Field(default=0, ge=0, le=DAY_MS)
    end_of_silence: int = Field(default=0, ge=0, le=DAY_MS)
    end_of_key: StopKeys = ""
    beep_start: bool = False
