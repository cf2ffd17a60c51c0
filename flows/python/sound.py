"""FlowCall methods for audio: what is played, keys, recordings."""

from typing import Literal

from flows.actions import digits, recording, sound
from flows.faults import ActionError
from flows.language.options import NO_OPTIONS
from flows.language.run import Run


class SoundMethods:
    """Sound on a call: a part of `FlowCall`. Durations are milliseconds."""

    __slots__ = ("_run",)

    def __init__(self, run: Run) -> None:
        self._run = run

    async def play(self, *sources: str, loop: int = 1, digits_stop: str | bool = "") -> None:
        """Plays files, web addresses and tones, one after the other; answers first if need be."""
        self._count()
        option = sound.PlayOptions.model_validate({"sources": list(sources), "loop": loop, "digits_stop": digits_stop})
        await sound.play(self._run, option)

    async def talk(
        self,
        text: str,
        language: str = "en-US",
        gender: Literal["female", "male", "neutral"] = "female",
        voice: str = "",
        digits_stop: str | bool = "",
    ) -> None:
        """Speaks plain text or SSML; answers first if need be."""
        self._count()
        option = sound.TalkOptions.model_validate(
            {"text": text, "language": language, "gender": gender, "voice": voice, "digits_stop": digits_stop}
        )
        await sound.talk(self._run, option)

    async def beep(self) -> None:
        """A short tone."""
        self._count()
        await sound.beep(self._run, NO_OPTIONS)

    async def echo(self, duration: int = 0) -> None:
        """Sends the caller's media back, for milliseconds or (0) until the hangup."""
        self._count()
        await sound.echo(self._run, sound.EchoOptions(duration=duration))

    async def digits_receive(self, duration: int = 5_000, length: int = 0, key: str = "") -> str:
        """Waits for keys and appends them to `call.digits`; returns those that came now, without the terminator."""
        self._count()
        return await digits.receive(self._run, digits.DigitsReceiveOptions(duration=duration, length=length, key=key))

    async def digits_send(self, keys: str, duration: int = 100, interval: int = 100) -> None:
        """Presses keys for the caller."""
        self._count()
        option = digits.DigitsSendOptions(digits=keys, duration=duration, interval=interval)
        await digits.digits_send(self._run, option)

    async def recording_start(
        self,
        format: Literal["wav"] = "wav",  # noqa: A002  # the option's name
        duration: int = 0,
        end_of_silence: int = 0,
        end_of_key: str | bool = "",
        beep_start: bool = False,
        wait: bool = False,
    ) -> str:
        """Begins to record the caller, beside the flow; with `wait` it returns when the recording has ended. The file's
        name is relative to the folder of recordings."""
        self._count()
        option = recording.RecordingStartOptions.model_validate(
            {
                "format": format,
                "duration": duration,
                "end_of_silence": end_of_silence,
                "end_of_key": end_of_key,
                "beep_start": beep_start,
                "wait": wait,
            }
        )
        await recording.recording_start(self._run, option)
        return self._run.variables.get("recording.filename")

    async def recording_stop(self) -> str:
        """Ends the recording; returns its file's name, which is relative to the folder of recordings."""
        self._count()
        await recording.recording_stop(self._run, NO_OPTIONS)
        return self._run.variables.get("recording.filename")

    def _count(self) -> None:
        """Every method is an action. Raises ActionError when the call has run as many as a call may."""
        budget = self._run.context.budget
        if budget.left <= 0:
            raise ActionError("the call has run as many actions as a call may")
        budget.left -= 1
