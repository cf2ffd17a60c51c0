"""One run of a program that makes sound of text: fed, read within bounds, and gone afterwards, whatever happens."""

import asyncio
import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from engine.sound.errors import SoundError

_ERRORS: Final = 4096
"""Octets of a program's own complaint that are kept."""

_KEPT: Final = ("PATH", "HOME", "LD_LIBRARY_PATH", "ESPEAK_DATA_PATH", "VIRTUAL_ENV", "TMPDIR")
"""The environment that programs get: enough to find their data, nothing of our own settings."""


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
    try:
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            group.create_task(_write(process.stdin, text.encode("utf-8", "replace")))
            errors = group.create_task(_read(process.stderr, _ERRORS))
            output = group.create_task(_read(process.stdout, largest, process))
        status = await process.wait()
    except TimeoutError:
        raise SoundError(f"{name} did not finish within {seconds:g} s") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if len(output.result()) > largest:
        raise SoundError(f"{name} made more sound than is allowed; have a shorter text said")
    return Ran(status, output.result(), errors.result().decode("utf-8", "replace").strip())


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
        if len(kept) > largest and process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
    return bytes(kept)
