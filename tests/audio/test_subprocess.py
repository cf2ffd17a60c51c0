"""A program that makes sound: fed, bounded, and gone afterwards, on either event loop."""

import asyncio
import os
from collections.abc import Coroutine
from typing import Any

import pytest

from engine.audio.errors import SoundError
from engine.audio.subprocess import Ran, run

try:
    import uvloop
except ImportError:
    uvloop = None


@pytest.fixture(params=["asyncio", "uvloop"])
def on(request: pytest.FixtureRequest) -> Any:
    """Runs a coroutine on one of the loops."""
    if request.param == "asyncio":
        return asyncio.run
    if uvloop is None:
        pytest.skip("uvloop is not installed: pip install uvloop")

    def start(work: Coroutine[Any, Any, Any]) -> Any:
        return uvloop.run(work)

    return start


def test_text_goes_in_and_sound_comes_out(on: Any) -> None:
    text = "ü" * 100_000  # more than a pipe holds, both ways at a time
    assert on(run(["cat"], text, 300_000, 10)) == Ran(0, text.encode(), "")


def test_a_program_that_reads_nothing(on: Any) -> None:
    for _ in range(10):  # whether it has gone before the text is written is chance
        assert on(run(["true"], "x" * 200_000, 1000, 10)) == Ran(0, b"", "")
        assert on(run(["true"], "", 1000, 10)) == Ran(0, b"", "")


def test_status_and_complaint_of_the_subprocess(on: Any) -> None:
    ran = on(run(["sh", "-c", "echo no such voice >&2; exit 3"], "", 1000, 10))
    assert ran == Ran(3, b"", "no such voice")


def test_too_much_of_it(on: Any) -> None:
    with pytest.raises(SoundError, match="cat made more sound than is allowed"):
        on(run(["cat", "/dev/zero"], "", 1000, 10))


def test_too_slow(on: Any) -> None:
    with pytest.raises(SoundError, match=r"sleep did not finish within 0.05 s"):
        on(run(["sleep", "60"], "x", 1000, 0.05))


def test_a_program_that_there_is_not(on: Any) -> None:
    with pytest.raises(SoundError, match="nothing-of-that-name cannot be started"):
        on(run(["nothing-of-that-name"], "", 1000, 1))


def test_one_that_complains_without_end(on: Any) -> None:
    ran = on(run(["sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x >&2"], "", 1000, 10))
    assert len(ran.errors) <= 4097


def test_the_environment_holds_nothing_of_the_parents(on: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_STORE", "postgresql://user:secret@host/db")
    assert b"secret" not in on(run(["env"], "", 100_000, 10)).output


def test_a_pipe_that_fails_is_a_sentence_and_leaves_no_program(on: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []

    async def broken(pipe: asyncio.StreamWriter, data: bytes) -> None:
        raise OSError(5, "Input/output error")

    async def kept(*arguments: Any, **options: Any) -> Any:
        process = await start(*arguments, **options)
        started.append(process.pid)
        return process

    start = asyncio.create_subprocess_exec
    monkeypatch.setattr(asyncio, "create_subprocess_exec", kept)
    monkeypatch.setattr("engine.audio.subprocess._write", broken)
    with pytest.raises(SoundError, match=r"sleep could not be fed or read: .*Input/output error"):
        on(run(["sleep", "60"], "x", 1000, 10))
    with pytest.raises(ProcessLookupError):
        os.kill(started[0], 0)


def test_a_pipe_that_fails_while_a_caller_hangs_up_does_not_keep_the_cancelling(
    on: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(pipe: asyncio.StreamWriter, data: bytes) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr("engine.audio.subprocess._write", broken)

    async def hang_up() -> None:
        task = asyncio.ensure_future(run(["sleep", "60"], "x", 1000, 10))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    on(hang_up())
