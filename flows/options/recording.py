"""The options of recording_start."""

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from flows.options.model import Options
from flows.options.sound import StopKeys
from flows.options.values import DAY_MS


class RecordingStartOptions(Options):
    """`recording_start`: ends after `duration` milliseconds, after `end_of_silence` milliseconds without a sound, and
    at a key of `end_of_key`; 0 and "" leave that out. `beep_start`: the caller hears a tone first. `wait`: the flow
    goes on when the recording has ended."""

    format: Literal["wav"] = "wav"
    duration: int = Field(default=0, ge=0, le=DAY_MS)
    end_of_silence: int = Field(default=0, ge=0, le=DAY_MS)
    end_of_key: StopKeys = ""
    beep_start: bool = False
    wait: bool = False

    @field_validator("wait")
    @classmethod
    def _an_end(cls, wait: bool, info: ValidationInfo) -> bool:
        ends = ("duration", "end_of_silence", "end_of_key")
        # One with a fault of its own is not there: that fault is enough.
        if wait and not any(info.data.get(name, True) for name in ends):
            raise ValueError(
                f"would wait for the hangup; say what ends the recording: {', '.join(ends[:2])} or {ends[2]}"
            )
        return wait
