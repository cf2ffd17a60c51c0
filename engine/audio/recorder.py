"""Recorder: what is heard, to a WAV file of 16 bit with one channel or two aligned in time, beside the loop.

The file has another name until it is whole (`name.wav.part`), so that whoever finds it under its own finds all of it.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy

from engine.audio.buffer import Resampler
from engine.audio.wav import WavFile

if TYPE_CHECKING:
    from engine.media.codec.codec import Samples

LONGEST: Final = 14_400.0
"""Seconds of the longest recording: a WAV file cannot be larger than 4 GB."""

SILENT: Final = 32768.0 * 10 ** (-40 / 20)
"""Root mean square of 20 ms below which they are silence: -40 dBFS, above a line's noise and below any voice."""

_SOUNDING: Final = 3
"""Frames in a row above that which end a silence: a click or a crackle is none of somebody's words."""

_CHUNK: Final = 1.0
"""Seconds that are written at a time."""

_WAITING: Final = 30.0
"""Seconds of sound that may wait for a slow disk; then the recording ends with an error."""

_LATE: Final = 0.06
_LATE_FRAMES: Final = 25
"""A channel that is so many seconds behind the clock for so many frames in a row has missed something, and gets silence
for it. Ticks come late and in bunches at times: then it is behind for less."""

_GONE: Final = 1.0
"""Seconds behind the clock or another channel that nothing but an absence explains."""

_writers: ThreadPoolExecutor | None = None


def _threads() -> ThreadPoolExecutor:
    """Two threads for all recordings: one disk that hangs leaves room for another."""
    global _writers
    if _writers is None:
        _writers = ThreadPoolExecutor(2, thread_name_prefix="recording")
    return _writers


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording that is over."""

    filename: Path
    seconds: float
    size: int
    """Octets of the file."""
    ended_by: str
    """stop, key, hangup (as `stop` was told), duration, silence or error."""
    error: str = ""
    """What went wrong where it ended by error; the file holds what was heard before."""


class Recorder:
    """Writes one file. Taken from the loop: `start`, its channels attached to streams, `stop`."""

    __slots__ = (
        "_channels",
        "_clock",
        "_duration",
        "_ended_by",
        "_error",
        "_file",
        "_frames",
        "_loop",
        "_over",
        "_path",
        "_pending",
        "_quiet",
        "_result",
        "_silence",
        "_started",
        "_writing",
        "rate",
    )

    def __init__(
        self,
        path: Path,
        duration: float = 0.0,
        end_of_silence: float = 0.0,
        *,
        channels: int = 1,
        rate: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`path` of the file, in a folder that is there; an older one of that name is replaced. `duration` (s) ends
        it, LONGEST at most; `end_of_silence` (s) does when all channels have been silent for so long; 0: neither.
        `rate` in Hz, that of what is heard first where 0."""
        self._path = path
        self._duration = min(duration or LONGEST, LONGEST)
        self._silence = end_of_silence
        self.rate = rate
        """Hz; 0 until something was heard."""
        self._clock = clock
        self._channels = [Channel(self) for _ in range(channels)]
        self._started = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: asyncio.Future[str] | None = None
        self._result: asyncio.Task[Recording] | None = None
        self._file = WavFile(path, channels)
        self._writing: asyncio.Future[None] | None = None
        self._pending: list[bytes] = []
        self._frames = 0
        """Samples of each channel that were handed on to be written."""
        self._quiet = 0.0
        """Where (s) the last sound was."""
        self._ended_by = ""
        self._error = ""

    def channel(self, number: int) -> "Channel":
        """The tap for channel 0 (the caller) or 1 (the other side). IndexError where it has no such channel."""
        return self._channels[number]

    @property
    def seconds(self) -> float:
        """What was recorded so far."""
        return max(channel.position for channel in self._channels) / self.rate if self.rate else 0.0

    def start(self) -> None:
        """Begins: what is heard from now on counts. The file is opened beside the loop."""
        self._loop = asyncio.get_running_loop()
        self._over = self._loop.create_future()
        self._started = self._clock()
        self._follow(self._loop.run_in_executor(_threads(), self._file.open))

    async def over(self) -> str:
        """Waits until it has ended: "duration", "silence", "error", or what `stop` was told."""
        assert self._over is not None
        return await asyncio.shield(self._over)

    async def stop(self, ended_by: str = "stop") -> Recording:
        """Ends it, unless something else has, and puts the file in its place. A second time gives the same again.

        Raises OSError when there is no file: it could not be made, or not be finished.
        """
        assert self._loop is not None
        self._end(ended_by)
        if self._result is None:
            self._result = self._loop.create_task(self._finish(), name=f"recording {self._path.name}")
        return await asyncio.shield(self._result)

    def _heard(self) -> None:
        """After each piece that a channel has heard: limits, and whether there is enough to be written."""
        seconds = self.seconds
        if seconds >= self._duration:
            self._end("duration")
        elif self._silence:
            sounding = max(channel.sounding for channel in self._channels)
            if sounding >= _SOUNDING:
                self._quiet = seconds
            elif seconds - self._quiet >= self._silence - 1e-9:
                self._end("silence")
        ready = min(channel.heard for channel in self._channels)
        behind = round((seconds - _GONE) * self.rate)
        if behind > ready:
            # One channel hears nothing at all (it is not attached yet, or no more): it is silent meanwhile.
            for channel in self._channels:
                channel.fill(behind)
            ready = behind
        if (ready - self._frames) >= _CHUNK * self.rate:
            self._hand_on(ready)

    def _hand_on(self, ready: int) -> None:
        """Gives all up to sample `ready` to the thread that writes."""
        count = ready - self._frames
        if count <= 0:
            return
        block = numpy.stack([channel.take(count) for channel in self._channels], axis=1)
        self._frames = ready
        self._pending.append(block.astype("<i2").tobytes())
        if sum(map(len, self._pending)) > _WAITING * self.rate * 2 * len(self._channels):
            self._fail("the disk is too slow")
        elif self._writing is None:
            self._write()

    def _write(self) -> None:
        """Has the thread write what there is."""
        assert self._loop is not None
        data = b"".join(self._pending)
        self._pending.clear()
        self._follow(self._loop.run_in_executor(_threads(), self._file.append, data, self.rate))

    def _follow(self, writing: "asyncio.Future[None]") -> None:
        """The thread is at work: nothing else is given to it until that is done, so that chunks stay in order."""
        self._writing = writing
        writing.add_done_callback(self._written)

    def _written(self, done: "asyncio.Future[None]") -> None:
        self._writing = None
        if done.cancelled():
            return
        error = done.exception()
        if error is not None:
            self._fail(str(error)[:300])
        elif self._pending and self._result is None:
            self._write()

    def _fail(self, why: str) -> None:
        self._error = self._error or why
        self._pending.clear()
        self._end("error")

    def _end(self, ended_by: str) -> None:
        if not self._ended_by:
            self._ended_by = ended_by
            if self._over is not None and not self._over.done():
                self._over.set_result(ended_by)

    @property
    def ended(self) -> bool:
        """Whether anything that is heard from now on is lost."""
        return bool(self._ended_by) or self._loop is None

    async def _finish(self) -> Recording:
        while self._writing is not None:
            await asyncio.wait([self._writing])
        if not self._error and self.rate:
            for channel in self._channels:
                channel.flush()
            end = min(max(channel.heard for channel in self._channels), round(self._duration * self.rate))
            for channel in self._channels:
                channel.fill(end)
            if end > self._frames:
                block = numpy.stack([channel.take(end - self._frames) for channel in self._channels], axis=1)
                self._frames = end
                self._pending.append(block.astype("<i2").tobytes())
        assert self._loop is not None
        rest = b"".join(self._pending)
        self._pending.clear()
        size, seconds, full = await self._loop.run_in_executor(_threads(), self._file.finish, rest, self.rate or 8000)
        error = self._error or full
        return Recording(self._path, seconds, size, "error" if error else self._ended_by, error)


class Channel:
    """What one side says (engine.media.audio.AudioSink)."""

    __slots__ = ("_absent", "_blocks", "_late", "_rate", "_recorder", "_resampler", "heard", "sounding")

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._absent = True
        self._late = 0
        """Frames in a row that were behind the clock."""
        self._blocks: list[Samples] = []
        self._rate = 0
        self._resampler: Resampler | None = None
        self.heard = 0
        """Samples from the start of the recording to the end of what was heard, at the recorder's rate."""
        self.sounding = 0
        """Frames in a row that were no silence, up to the last one."""

    def hear(self, samples: "Samples", rate: int) -> None:
        """20 ms. Where it heard nothing for a while (attached late, or not any more), silence is put in."""
        recorder = self._recorder
        if recorder.ended:
            return
        if not recorder.rate:
            recorder.rate = rate
        if recorder._silence:
            loud = len(samples) > 0 and float(numpy.square(samples, dtype=numpy.float32).mean()) > SILENT**2
            self.sounding = self.sounding + 1 if loud else 0
        due = round((recorder._clock() - recorder._started - len(samples) / rate) * recorder.rate)
        behind = (due - self.position) / recorder.rate
        self._late = self._late + 1 if behind > _LATE else 0
        if self._absent or behind > _GONE or self._late >= _LATE_FRAMES:
            self.fill(due)
            self._late = 0
        self._absent = False
        if rate != self._rate:
            self.flush()
            self._rate = rate
            self._resampler = Resampler(rate, recorder.rate) if rate != recorder.rate else None
        if self._resampler is not None:
            samples = self._resampler.feed(samples)
        self._blocks.append(samples)
        self.heard += len(samples)
        recorder._heard()

    @property
    def position(self) -> int:
        """`heard`, and what is on its way through the resampler."""
        return self.heard + (self._resampler.pending if self._resampler is not None else 0)

    def flush(self) -> None:
        """Takes what is on its way, and begins anew after it."""
        if self._resampler is not None:
            rest = self._resampler.feed(numpy.zeros(0, numpy.int16), last=True)
            self._blocks.append(rest)
            self.heard += len(rest)
            self._resampler = None
            self._rate = 0

    def fill(self, end: int) -> None:
        """Silence up to sample `end`."""
        if end > self.position:
            self.flush()
            self._blocks.append(numpy.zeros(max(end - self.heard, 0), numpy.int16))
            self.heard = max(self.heard, end)
            self.sounding = 0
            self._absent = True

    def take(self, count: int) -> "Samples":
        """The first `count` samples that were not taken yet; there are as many."""
        whole = numpy.concatenate(self._blocks) if self._blocks else numpy.zeros(0, numpy.int16)
        self._blocks = [whole[count:].copy()]
        return whole[:count]
