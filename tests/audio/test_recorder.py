"""Recordings: right to 20 ms, both sides aligned, written beside the loop, and whole or with their error."""

import asyncio
import errno
import wave
from io import FileIO
from pathlib import Path
from typing import Any

import numpy
import pytest
from numpy.typing import NDArray

from engine.audio import wav
from engine.audio.recorder import Recorder, Recording
from tests.audio.signals import sine


class Call:
    """Two sides of a call, 20 ms at a time, by a clock of its own."""

    def __init__(self) -> None:
        self.now = 100.0
        self.recorder: Recorder

    def record(self, path: Path, duration: float = 0, silence: float = 0, **how: Any) -> Recorder:
        self.recorder = Recorder(path, duration, silence, clock=lambda: self.now, **how)
        self.recorder.start()
        return self.recorder

    def say(self, *sides: NDArray[numpy.int16] | None, rate: int = 8000) -> None:
        """Each side's samples (None: that side is not heard), at the same time."""
        frame = rate // 50
        for place in range(0, max(len(side) for side in sides if side is not None), frame):
            self.now += 0.02
            for number, side in enumerate(sides):
                if side is not None:
                    self.recorder.channel(number).hear(side[place : place + frame], rate)

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def call() -> Call:
    return Call()


def read(path: Path) -> tuple[int, NDArray[numpy.int16]]:
    """Rate, and a row for each channel. The standard library reads the header: another one than wrote it."""
    with wave.open(str(path)) as opened:
        assert opened.getsampwidth() == 2
        samples = numpy.frombuffer(opened.readframes(opened.getnframes()), "<i2")
        assert len(samples) == opened.getnframes() * opened.getnchannels()
        return opened.getframerate(), samples.reshape(-1, opened.getnchannels()).T


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def onset(samples: NDArray[numpy.int16]) -> int:
    return int(numpy.flatnonzero(abs(samples.astype(int)) > 1000)[0])


async def test_what_was_heard_is_in_the_file(call: Call, tmp_path: Path) -> None:
    said = sine(440, 3.3, 8000)
    recorder = call.record(tmp_path / "a.wav")
    call.say(said)
    assert not (tmp_path / "a.wav").exists()  # not before it is whole
    recording = await recorder.stop()
    rate, (heard,) = read(tmp_path / "a.wav")
    assert rate == 8000
    assert numpy.array_equal(heard, said)
    size = (tmp_path / "a.wav").stat().st_size
    assert recording == Recording(tmp_path / "a.wav", pytest.approx(3.3), size, "stop")
    assert names(tmp_path) == ["a.wav"]


async def test_the_rate_is_that_of_the_codec_and_another_one_later_is_resampled(call: Call, tmp_path: Path) -> None:
    recorder = call.record(tmp_path / "a.wav")
    call.say(sine(440, 1.0, 16000), rate=16000)
    call.say(sine(440, 1.0, 8000), rate=8000)
    call.say(sine(440, 1.0, 16000), rate=16000)
    assert (await recorder.stop()).seconds == pytest.approx(3.0, abs=0.001)
    rate, (heard,) = read(tmp_path / "a.wav")
    assert rate == 16000
    for border in (16000, 32000):  # nothing is missing and nothing is put in where the codec changes
        assert abs(heard[border - 200 : border + 200].astype(int)).reshape(-1, 40).max(axis=1).min() > 5000
    spectrum = abs(numpy.fft.rfft(heard[20000:28000].astype(float)))
    assert spectrum.argmax() * 2 == 440


async def test_a_resampled_side_stays_aligned(call: Call, tmp_path: Path) -> None:
    recorder = call.record(tmp_path / "a.wav", channels=2, rate=8000)
    parts = [numpy.zeros(320, numpy.int16)] * 200 + [sine(440, 0.02, 16000)] * 50
    for part in parts:
        call.now += 0.02
        recorder.channel(0).hear(part[::2].copy(), 8000)
        recorder.channel(1).hear(part, 16000)
    recording = await recorder.stop()
    _, (left, right) = read(tmp_path / "a.wav")
    assert recording.seconds == pytest.approx(5.0, abs=0.001)
    assert onset(right) == pytest.approx(onset(left), abs=8)


async def test_the_other_side_is_aligned_although_it_came_later(call: Call, tmp_path: Path) -> None:
    recorder = call.record(tmp_path / "a.wav", channels=2)
    quiet, loud = numpy.zeros(8000 * 5, numpy.int16), sine(440, 1.0, 8000)
    call.say(quiet)
    call.say(loud, loud)  # both at the same moment
    recording = await recorder.stop()
    _, (left, right) = read(tmp_path / "a.wav")
    assert recording.seconds == pytest.approx(6.0)
    assert onset(left) == pytest.approx(40_000, abs=160)
    assert onset(right) == pytest.approx(onset(left), abs=160)


async def test_a_side_that_goes_away_and_comes_back_stays_aligned(call: Call, tmp_path: Path) -> None:
    recorder = call.record(tmp_path / "a.wav", channels=2)
    quiet, loud = numpy.zeros(8000 * 3, numpy.int16), sine(440, 1.0, 8000)
    call.say(quiet, quiet)
    call.say(quiet, None)
    call.say(loud, loud)
    await recorder.stop()
    _, (left, right) = read(tmp_path / "a.wav")
    assert onset(left) == onset(right) == pytest.approx(48_000, abs=160)


async def test_time_in_which_nobody_is_heard_is_silence(call: Call, tmp_path: Path) -> None:
    recorder = call.record(tmp_path / "a.wav")
    call.say(sine(440, 1.0, 8000))
    call.pass_by(2.0)
    call.say(sine(440, 1.0, 8000))
    assert (await recorder.stop()).seconds == pytest.approx(4.0, abs=0.02)


async def test_ticks_that_come_late_and_in_bunches_add_nothing(call: Call, tmp_path: Path) -> None:
    recorder, said = call.record(tmp_path / "a.wav"), sine(440, 3.0, 8000)
    for place in range(0, len(said), 160):
        call.now = 100.0 + 0.3 * (place // 2400 + 1)  # fifteen frames at a time, all of them late
        recorder.channel(0).hear(said[place : place + 160], 8000)
    await recorder.stop()
    _, (heard,) = read(tmp_path / "a.wav")
    assert len(heard) == pytest.approx(24_000, abs=2400)
    assert numpy.array_equal(heard[-24_000:], said)


async def test_the_duration_ends_it(call: Call, tmp_path: Path) -> None:
    recorder = call.record(tmp_path / "a.wav", duration=1.5)
    call.say(sine(440, 4.0, 8000))
    assert await recorder.over() == "duration"
    recording = await recorder.stop("hangup")
    assert (recording.ended_by, recording.seconds) == ("duration", pytest.approx(1.5, abs=0.02))
    assert len(read(tmp_path / "a.wav")[1][0]) == pytest.approx(12_000, abs=160)


async def test_silence_ends_it(call: Call, tmp_path: Path) -> None:
    recorder = call.record(tmp_path / "a.wav", silence=1.0)
    noise = numpy.random.default_rng(1).normal(0, 100, 8000 * 3).astype(numpy.int16)  # -50 dBFS: a line's
    call.say(noise[:6400])
    call.say(sine(300, 1.0, 8000, 2000))
    noise[4000] = 30_000  # a click is not somebody who speaks
    call.say(noise)
    assert await recorder.over() == "silence"
    recording = await recorder.stop()
    assert (recording.ended_by, recording.seconds) == ("silence", pytest.approx(2.8, abs=0.021))


async def test_one_who_speaks_keeps_the_recording_of_both(call: Call, tmp_path: Path) -> None:
    recorder = call.record(tmp_path / "a.wav", silence=1.0, channels=2)
    quiet = numpy.zeros(8000 * 3, numpy.int16)
    call.say(quiet, sine(300, 3.0, 8000))
    assert not recorder.ended
    call.say(quiet, quiet)
    assert (await recorder.stop()).seconds == pytest.approx(4.0, abs=0.021)


@pytest.mark.parametrize("reason", ["stop", "key", "hangup"])
async def test_who_stops_it_says_why(call: Call, tmp_path: Path, reason: str) -> None:
    recorder = call.record(tmp_path / "a.wav")
    call.say(sine(440, 0.5, 8000))
    over = asyncio.create_task(recorder.over())
    recording = await recorder.stop(reason)
    assert recording.ended_by == await over == reason
    call.say(sine(440, 0.5, 8000))  # too late
    assert await recorder.stop("other") == recording


async def test_a_recording_of_nothing_is_an_empty_file(call: Call, tmp_path: Path) -> None:
    recorder = call.record(tmp_path / "a.wav")
    recording = await recorder.stop()
    assert (recording.seconds, recording.size) == (0, 44)
    assert read(tmp_path / "a.wav")[1].size == 0


async def test_a_file_that_cannot_be_made(call: Call, tmp_path: Path) -> None:
    recorder = call.record(tmp_path / "none" / "a.wav")
    assert await recorder.over() == "error"
    call.say(sine(440, 3.0, 8000))  # the call goes on
    with pytest.raises(OSError, match="No such file"):
        await recorder.stop()


class FullDisk(FileIO):
    """Takes 30,000 octets."""

    def write(self, data: Any) -> int:
        left = 30_000 - self.tell()
        if left <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(memoryview(data)[:left])


async def test_a_full_disk_ends_it_with_what_there_is_and_the_call_goes_on(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wav, "FileIO", FullDisk)
    said = sine(440, 3.0, 8000)
    recorder = call.record(tmp_path / "a.wav")
    call.say(said)
    assert await asyncio.wait_for(recorder.over(), 30) == "error"
    call.say(said)
    recording = await recorder.stop("hangup")
    assert (recording.ended_by, recording.size) == ("error", 30_000)
    assert "No space left" in recording.error
    heard = read(tmp_path / "a.wav")[1][0]
    assert len(heard) == (30_000 - 44) // 2
    assert numpy.array_equal(heard, said[: len(heard)])


async def test_a_file_that_cannot_be_finished_leaves_nothing_behind(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = call.record(tmp_path / "a.wav")
    call.say(sine(440, 0.5, 8000))

    def refused(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "replace", refused)
    with pytest.raises(OSError, match="Input/output error"):
        await recorder.stop()
    assert names(tmp_path) == []


async def test_a_disk_that_is_too_slow_ends_it_and_memory_stays_bounded(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = call.record(tmp_path / "a.wav")
    call.say(sine(440, 40.0, 8000))  # all of it before the loop, and so any thread's answer, gets a turn
    assert recorder.ended
    assert sum(map(len, recorder._pending)) <= 30 * 16_000
    recording = await recorder.stop()
    assert (recording.ended_by, recording.error) == ("error", "the disk is too slow")


async def test_a_stop_that_is_cancelled_still_finishes_the_file(call: Call, tmp_path: Path) -> None:
    recorder = call.record(tmp_path / "a.wav")
    call.say(sine(440, 0.5, 8000))
    stopping = asyncio.create_task(recorder.stop())
    await asyncio.sleep(0)
    stopping.cancel()
    await asyncio.gather(stopping, return_exceptions=True)
    assert (await recorder.stop()).seconds == pytest.approx(0.5)


async def test_a_channel_that_there_is_not(call: Call, tmp_path: Path) -> None:
    recorder = call.record(tmp_path / "a.wav")
    with pytest.raises(IndexError):
        recorder.channel(1)
    await recorder.stop()
