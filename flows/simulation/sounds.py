"""Simulated sounds and recordings: how long everything lasts, and whether it exists; nothing is fetched or written."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID, uuid4

from engine.log import Log
from flows.calls.ports import Sounds
from flows.calls.recordings import (
    TWICE,
    Ended,
    Recording,
    RecordingError,
    Recordings,
    RunningRecording,
    Terms,
    file_name,
)
from flows.calls.tasks import OwnedTasks
from flows.simulation.leg import SimulatedClock, SimulatedFeed, SimulatedLeg

SPEAKS = 5.0
"""Seconds for which the caller speaks where the flow waits for the end of what it says."""


@dataclass(slots=True)
class SimulatedSound:
    """A sound by its name and its length."""

    name: str
    seconds: float

    def feed(self, loop: int = 1) -> SimulatedFeed:
        """`loop` times, 0 without end."""
        return SimulatedFeed(self.name, self.seconds * loop if loop else float("inf"))


class SimulatedSounds:
    """The sounds of a library, which are looked up, read and spoken; web addresses are taken for empty sounds."""

    __slots__ = ("_library",)

    def __init__(self, library: Sounds) -> None:
        self._library = library

    async def load(self, source: str) -> SimulatedSound:
        """See `Sounds.load`."""
        if "://" in source:
            return SimulatedSound(f"{source} (not fetched)", 0.0)
        return SimulatedSound(source, (await self._library.load(source)).seconds)

    async def speech(
        self, text: str, language: str = "en-US", gender: str = "female", voice: str = ""
    ) -> SimulatedSound:
        """See `Sounds.speech`."""
        sound = await self._library.speech(text, language, gender, voice)
        return SimulatedSound(f'"{text}"', sound.seconds)


class SimulatedRecordings(Recordings):
    """Recordings without files: they begin and end as they would. The caller speaks without a pause, but where the flow
    waits for the end of the recording."""

    __slots__ = ("_clock", "_recordings")

    def __init__(self, folder: Path, clock: SimulatedClock, log: Log) -> None:
        def never(file: Path, duration: float, silence: float, channels: int) -> NoReturn:
            raise NotImplementedError("nothing is written")

        super().__init__(folder, never, OwnedTasks(), log)
        self._clock = clock
        self._recordings: list[SimulatedRecording] = []

    def running(self, call_id: str) -> "SimulatedRecording | None":
        """The recording that has not ended by now."""
        last = self._recordings[-1] if self._recordings else None
        return last if last is not None and last.look() is None else None

    def call_over(self, call_id: str) -> Recording | None:
        """The recording that the end of the call ends, None where none runs."""
        running = self.running(call_id)
        return None if running is None else running.over("hangup")

    async def start(self, caller: Any, call_id: str, customer_id: UUID, terms: Terms, ended: Ended) -> Recording:
        """See `Recordings.start`."""
        if self.running(call_id) is not None:
            raise RecordingError(TWICE)
        now = datetime.now(UTC)
        name = file_name(customer_id, now, call_id, len(self._recordings) + 1)
        recording = Recording(uuid4(), customer_id, call_id, name, now)
        running = SimulatedRecording(recording, self._clock, caller, terms, ended)
        self._recordings.append(running)
        caller.key_listeners.append(running.on_key)
        return recording


class SimulatedRecording(RunningRecording):
    """A recording without a file, which ends when it would."""

    __slots__ = ("_began", "_clock", "_ended", "_speaker", "_terms")

    def __init__(
        self, recording: Recording, clock: SimulatedClock, speaker: SimulatedLeg, terms: Terms, ended: Ended
    ) -> None:
        """`speaker` is the caller's leg."""
        super().__init__(recording, _NoRecorder())
        self._clock = clock
        self._began = clock()
        self._speaker = speaker
        self._terms = terms
        self._ended = ended

    def look(self) -> str | None:
        """What has ended it by now; None while it runs."""
        recording = self.recording
        passed = self._clock() - self._began
        if recording.ended is None and self._terms.duration and passed >= self._terms.duration:
            self._over("duration", self._terms.duration)
        return recording.ended_by if recording.ended is not None else None

    def on_key(self, key: str) -> None:
        """The caller has pressed a key."""
        if self.look() is None and key in self._terms.end_of_key:
            self._over("key", self._clock() - self._began)

    async def stop(self) -> Recording:
        """Ends it."""
        return self.over("stop")

    async def wait(self) -> Recording:
        """The caller speaks for a while; then it presses a key that ends the recording, or says nothing more, and hangs
        up where that does not end it."""
        leg, (duration, silence, end_of_key, _) = self._speaker, self._terms
        if self.look() is None:
            key = leg.caller.ends(end_of_key)
            if duration and duration <= SPEAKS:
                await leg.pass_time(duration)
            else:
                await leg.pass_time(SPEAKS)
                if key:
                    self.over("key")
                elif silence and (not duration or SPEAKS + silence < duration):
                    await leg.pass_time(silence)
                    self.over("silence")
                else:
                    await leg.pass_time(duration - SPEAKS if duration else math.inf)
        return self.over("duration")

    def over(self, ended_by: str) -> Recording:
        """Ends it now, unless something else has."""
        if self.look() is None:
            self._over(ended_by, self._clock() - self._began)
        return self.recording

    def _over(self, ended_by: str, seconds: float) -> None:
        recording = self.recording
        recording.ended_by, recording.duration = ended_by, round(seconds * 1000)
        recording.status, recording.ended = "ended", datetime.now(UTC)
        self._ended(recording)
        self.written.set()


class _NoRecorder:
    """Writes nothing."""

    def channel(self, number: int) -> Any:
        return None

    def start(self) -> None:
        """Nothing."""

    async def over(self) -> str:
        return "hangup"

    async def stop(self, ended_by: str) -> Any:
        return None
