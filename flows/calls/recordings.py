"""Recordings of calls: one at a time for each, run beside its flow, kept as files and listed."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from uuid import UUID, uuid4

from engine.audio.wav import private_folder
from engine.log import Log
from flows.calls.ports import CallEnded
from flows.calls.tasks import OwnedTasks, TooManyTasksError

if TYPE_CHECKING:
    from engine.media.audio import AudioSink

PLATFORM = "platform"
"""The folder of calls that belong to no customer."""
TWICE = "the call is being recorded already; use recording_stop first"
"""Why a second recording of a call is not begun."""
KEPT_WITHIN = 5.0
"""Seconds that `recording_stop` waits for the listing, once the file is there."""


class RecordingError(Exception):
    """A recording that cannot be begun or has failed, in a sentence."""


@dataclass(slots=True)
class Recording:
    """One recording. `filename` is relative to the folder of recordings, `duration` milliseconds, `size` bytes.

    `status` is recording, ended, or failed where there is no file; `ended_by` is stop, duration, silence, key, hangup
    or error; in the store also crash.
    """

    id: UUID
    customer_id: UUID
    call_id: str
    filename: str
    begun: datetime
    channels: int = 1
    format: str = "wav"
    status: str = "recording"
    ended_by: str = ""
    duration: int = 0
    size: int = 0
    ended: datetime | None = None


class Terms(NamedTuple):
    """How a call is recorded, and what ends that by itself: seconds of `duration` and of `silence` (0: without end), or
    a key of `end_of_key`. With two `channels` the other side of a bridge can be heard, too."""

    duration: float = 0.0
    silence: float = 0.0
    end_of_key: str = ""
    channels: int = 1


Ended = Callable[[Recording], None]
"""Told when a recording is over, and its file is there."""


class RecordingKeeper(Protocol):
    """Who keeps the list of recordings (`service.cdr.recordings.RecordingList`). Neither method raises."""

    async def begun(self, recording: Recording) -> None:
        """It runs."""

    async def ended(self, recording: Recording) -> None:
        """It is over, and its file is there, unless it `failed`."""


class Written(Protocol):
    """What became of a file (`engine.audio.recorder.Recording`); `error` is why not all of it is there, mostly ""."""

    @property
    def seconds(self) -> float: ...
    @property
    def size(self) -> int: ...
    @property
    def error(self) -> str: ...


class Recorder(Protocol):
    """Writes one file (`engine.audio.recorder.Recorder`)."""

    def channel(self, number: int) -> "AudioSink":
        """What the caller says (0), and what the other side of a bridge does (1)."""
        ...

    def start(self) -> None:
        """Begins to write what is heard."""
        ...

    async def over(self) -> str:
        """Until it has ended by itself: "duration", "silence" or "error"."""
        ...

    async def stop(self, ended_by: str) -> Written:
        """Ends it, and puts the file in its place. Raises OSError."""
        ...


RecorderMaker = Callable[[Path, float, float, int], Recorder]
"""(file, longest duration in seconds, seconds of silence that end it, channels); 0 leaves a limit out."""


class _Deaf:
    """The second channel of a recording that has but one."""

    def hear(self, samples: Any, rate: int) -> None:
        """Nothing of it is kept."""


class _OneChannel:
    """A recorder of one channel, for whoever would attach a second one: a flow that nobody expected to connect."""

    __slots__ = ("_recorder", "over", "start", "stop")

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.start, self.over, self.stop = recorder.start, recorder.over, recorder.stop

    def channel(self, number: int) -> "AudioSink":
        """The caller's, or one that hears nothing."""
        return self._recorder.channel(0) if number == 0 else _Deaf()


class RunningRecording:
    """A recording while it runs.

    Attributes:
        recording: What is kept of it.
        recorder: Where its channels are: whoever bridges attaches channel 1 to the other side.
        written: Set when the file is there. `listed`: set when whoever lists it knows so, too.
    """

    __slots__ = ("_asked", "listed", "recorder", "recording", "written")

    def __init__(self, recording: Recording, recorder: Recorder) -> None:
        self.recording = recording
        self.recorder = recorder
        self.written = asyncio.Event()
        self.listed = asyncio.Event()
        self._asked = asyncio.Event()

    async def stop(self) -> Recording:
        """Ends it and waits for its file. A second time waits only."""
        self._asked.set()
        return await self.wait()

    async def wait(self) -> Recording:
        """Until it has ended, and its file is there."""
        await self.written.wait()
        with suppress(TimeoutError):  # the file is there, and the list will have it in its time
            await asyncio.wait_for(self.listed.wait(), KEPT_WITHIN)
        return self.recording

    async def until_over(self, caller: Any, end_of_key: str) -> str:
        """Until something ends it; the word for what did."""
        loop = asyncio.get_running_loop()
        waits: dict[str, asyncio.Task[Any]] = {
            "stop": loop.create_task(self._asked.wait()),
            "limit": loop.create_task(self.recorder.over()),
            "hangup": loop.create_task(caller.wait_ended()),
        }
        if end_of_key:
            waits["key"] = loop.create_task(caller.pressed(end_of_key))
        try:
            await asyncio.wait(waits.values(), return_when=asyncio.FIRST_COMPLETED)
            word, task = next((word, task) for word, task in waits.items() if task.done())
            try:
                result = task.result()
            except CallEnded:
                return "hangup"
            return str(result) if word == "limit" else word
        finally:
            for task in waits.values():
                task.cancel()
            await asyncio.gather(*waits.values(), return_exceptions=True)


class Recordings:
    """The recordings that run on this node, and where their files go.

    Attributes:
        folder: The folder of recordings; made when it is first needed.
        keeper: Who is told of each; None: nobody.
        utc_now: The time of day, for files' names.
    """

    __slots__ = ("_log", "_make", "_running", "_tasks", "folder", "keeper", "utc_now")

    def __init__(
        self,
        folder: Path,
        make: RecorderMaker,
        tasks: OwnedTasks,
        log: Log,
        keeper: RecordingKeeper | None = None,
        utc_now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.folder = folder
        self.keeper = keeper
        self.utc_now = utc_now
        self._make = make
        self._tasks = tasks
        self._log = log
        self._running: dict[str, RunningRecording | None] = {}  # by the call's id; None: about to begin

    def running(self, call_id: str) -> RunningRecording | None:
        """The recording of a call, None where there is none."""
        return self._running.get(call_id)

    async def start(self, caller: Any, call_id: str, customer_id: UUID, terms: Terms, ended: Ended) -> Recording:
        """Records a call whose media is open, until its terms, `stop` or the hangup end that. `ended` is told then.

        Raises RecordingError, and nothing has begun: the call is being recorded, or there is no file to be had.
        """
        if call_id in self._running:
            raise RecordingError(TWICE)
        self._running[call_id] = None
        try:
            self._tasks.check(1, "the recording")
            filename = await asyncio.to_thread(self._filename, call_id, customer_id)
            recorder = self._make(self.folder / filename, terms.duration, terms.silence, terms.channels)
            recorder = recorder if terms.channels > 1 else _OneChannel(recorder)
            recording = Recording(uuid4(), customer_id, call_id, filename, self.utc_now(), terms.channels)
            running = RunningRecording(recording, recorder)
            self._tasks.start(self._carry_out(running, caller, terms.end_of_key, ended), f"recording of {call_id}")
            self._running[call_id] = running
        except (OSError, TooManyTasksError) as error:
            reason = (error.strerror if isinstance(error, OSError) else "") or str(error)
            raise RecordingError(f"nothing can be recorded in {self.folder}: {reason}") from None
        finally:
            if self._running[call_id] is None:
                del self._running[call_id]
        return recording

    async def _carry_out(self, running: RunningRecording, caller: Any, end_of_key: str, ended: Ended) -> None:
        recording, tap = running.recording, running.recorder.channel(0)
        channels = recording.channels
        running.recorder.start()
        listed = asyncio.ensure_future(self.keeper.begun(recording)) if self.keeper is not None else None
        recording.ended_by = "hangup"  # where the service stops
        within: float | None = None
        try:
            caller.attach(tap)
            recording.ended_by = await running.until_over(caller, end_of_key)
        except asyncio.CancelledError:
            within = KEPT_WITHIN  # a store that does not answer is not waited for
            raise
        finally:
            caller.detach(tap)
            recording.channels = channels  # whoever bridges may have thought otherwise
            await self._finish(running)
            ended(recording)
            running.written.set()
            try:
                if self.keeper is not None and listed is not None:
                    async with asyncio.timeout(within):
                        await listed
                        await self.keeper.ended(recording)
            except TimeoutError:
                self._log.error("recording not listed", call_id=recording.call_id, file=recording.filename)
            finally:
                running.listed.set()

    async def _finish(self, running: RunningRecording) -> None:
        recording = running.recording
        try:
            written = await running.recorder.stop(recording.ended_by)
            recording.duration, recording.size = round(written.seconds * 1000), written.size
            recording.status = "ended"
            if written.error:
                self._failed(recording, written.error)
        except OSError as error:
            recording.status = "failed"
            self._failed(recording, str(error))
        finally:
            recording.ended = self.utc_now()
            del self._running[recording.call_id]

    def _failed(self, recording: Recording, error: str) -> None:
        recording.ended_by = "error"
        self._log.error("recording failed", call_id=recording.call_id, file=recording.filename, error=error[:300])

    def _filename(self, call_id: str, customer_id: UUID) -> str:
        """One that no file has yet, in a folder that is there."""
        now, number = self.utc_now(), 1
        private_folder(self.folder / _folder(customer_id))
        while (self.folder / (name := file_name(customer_id, now, call_id, number))).exists():
            number += 1
        return name


def file_name(customer_id: UUID, begun: datetime, call_id: str, number: int) -> str:
    """`<customer>/<date>-<call>-<n>.wav`, for the call's `number`th recording."""
    return f"{_folder(customer_id)}/{begun:%Y-%m-%d}-{call_id}-{number}.wav"


def _folder(customer_id: UUID) -> str:
    return str(customer_id) if customer_id.int else PLATFORM
