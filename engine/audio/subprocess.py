"""Subprocess of a speech synthesiser: fed, read within bounds, and gone afterwards, whatever happens."""

import asyncio
import contextlib
import os
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from engine.audio.errors import SoundError

_ERRORS: Final = 4096
"""Octets of a program's own complaint that are kept."""

_KEPT: Final = ("PATH", "HOME", "LD_LIBRARY_PATH", "ESPEAK_DATA_PATH", "VIRTUAL_ENV", "TMPDIR")
"""The environment that programs get: enough to find their data, nothing of our own settings."""

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Ran:
    """How it ended."""

    status: int
    output: bytes
    errors: str


async def run(arguments: Sequence[str], text: str, largest: int, seconds: float) -> Ran:
    """Runs a program, `text` on its standard input, and gives back what it wrote.

    Raises SoundError when it cannot be started, writes more than `largest` octets or takes longer than `seconds`. It is
    killed and reaped then, as it is when this is cancelled.
    """
    name = arguments[0].rpartition("/")[2]
    environment = {key: os.environ[key] for key in _KEPT if key in os.environ} | {"LC_ALL": "C.UTF-8"}
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *arguments, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, limit=1 << 18
        )
    except OSError as error:
        raise SoundError(f"{name} cannot be started: {error.strerror}") from None
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    broken: list[str] = []
    try:
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            group.create_task(_tried(_write(process.stdin, text.encode("utf-8", "replace")), process, broken))
            errors = group.create_task(_tried(_read(process.stderr, _ERRORS), process, broken))
            output = group.create_task(_tried(_read(process.stdout, largest, process), process, broken))
        status = await process.wait()
    except TimeoutError:
        raise SoundError(f"{name} did not finish within {seconds:g} s") from None
    finally:
        _kill(process)
        await process.wait()
    if broken:
        raise SoundError(f"{name} could not be fed or read: {broken[0]}")
    heard, complaint = output.result() or b"", errors.result() or b""
    if len(heard) > largest:
        raise SoundError(f"{name} made more sound than is allowed; have a shorter text said")
    return Ran(status, heard, complaint.decode("utf-8", "replace").strip())


def _kill(process: asyncio.subprocess.Process) -> None:
    """Nothing where it has ended."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()


async def _tried(
    work: Coroutine[Any, Any, _Result], process: asyncio.subprocess.Process, broken: list[str]
) -> _Result | None:
    """A pipe's work. What it raises ends the program and is noted: an error that left a task of the group would come
    out of it as an ExceptionGroup, in place of the timeout or the cancelling that went on at the same time."""
    try:
        return await work
    except Exception as error:
        broken.append(str(error) or type(error).__name__)
        _kill(process)
        return None


async def _write(pipe: asyncio.StreamWriter, data: bytes) -> None:
    # It may have ended without reading all; its status says why. uvloop has a RuntimeError for a pipe that is closed.
    with contextlib.suppress(ConnectionError, RuntimeError):
        pipe.write(data)
        await pipe.drain()
    pipe.close()
    with contextlib.suppress(ConnectionError, RuntimeError):
        await pipe.wait_closed()


async def _read(pipe: asyncio.StreamReader, largest: int, process: asyncio.subprocess.Process | None = None) -> bytes:
    """All that comes, up to `largest` octets and one more that tells of the rest, which ends `process`."""
    kept = bytearray()
    while chunk := await pipe.read(1 << 16):
        kept += chunk[: largest + 1 - len(kept)]
        if len(kept) > largest and process is not None:
            _kill(process)
    return bytes(kept)
