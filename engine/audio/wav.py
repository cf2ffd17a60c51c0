"""WAV writer: under another name until the file is whole. For a thread, one call at a time.

One that a killed process has left can be made whole: its header tells the form from the first sound on, and its length
the rest.
"""

import contextlib
import os
import struct
from io import FileIO
from pathlib import Path
from typing import Final

PART: Final = ".part"
"""What a file's name ends in while it is not whole. One that is left is of a process that was killed."""

PRIVATE: Final = 0o600
"""The mode of a recording: somebody's voice is for the engine's own user."""

_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")


class WavFile:
    """16-bit PCM."""

    __slots__ = ("_begun", "_file", "_part", "_path", "_why", "_width")

    def __init__(self, path: Path, channels: int) -> None:
        """Nothing is opened yet. `path` is in a folder that is there; an older file of that name is replaced."""
        self._path = path
        self._part = path.with_name(path.name + PART)
        self._width = 2 * channels
        self._file: FileIO | None = None
        self._begun = False
        self._why = "the file was not opened"

    def open(self) -> None:
        """Makes it, with room for the header. Raises OSError."""
        try:
            self._file = FileIO(self._part, "w", opener=_private)
            os.fchmod(self._file.fileno(), PRIVATE)  # whatever the umask, and the mode of one that was left
        except OSError as error:
            self._why = str(error)
            raise
        _write_all(self._file, bytes(_HEADER.size))

    def append(self, data: bytes, rate: int) -> None:
        """Adds samples, those of all channels beside each other; `rate` is that of `finish`. Raises OSError, a full
        disk's for one."""
        assert self._file is not None
        if not self._begun:
            self._file.seek(0)
            _write_all(self._file, _header(self._width, rate, 0))
            self._begun = True
        _write_all(self._file, data)

    def finish(self, rest: bytes, rate: int) -> tuple[int, float, str]:
        """Appends `rest`, completes the header and gives the file its name.

        Returns its octets, its seconds, and what was wrong with the disk where `rest` could not be written: the file is
        good up to there. Raises OSError, and leaves nothing behind, where it cannot be completed.
        """
        error = ""
        if self._file is None:
            raise OSError(self._why)
        try:
            with self._file as file:
                try:
                    _write_all(file, rest)
                except OSError as full:
                    error = str(full)[:300]
                samples = max(file.seek(0, os.SEEK_END) - _HEADER.size, 0) // self._width
                size = samples * self._width
                file.truncate(_HEADER.size + size)
                file.seek(0)
                _write_all(file, _header(self._width, rate, size))
            self._part.replace(self._path)
        except OSError:
            with contextlib.suppress(OSError):
                self._part.unlink()
            raise
        return _HEADER.size + size, samples / rate, error


def repair(path: Path) -> tuple[int, float] | None:
    """Makes the file `path` of what a killed process has left of it: its octets, and its seconds. None, and nothing is
    there any more, where nothing had been written yet. Raises OSError."""
    part = path.with_name(path.name + PART)
    with part.open("r+b") as file:
        os.fchmod(file.fileno(), PRIVATE)  # one of an earlier version may be readable by everybody
        status = os.fstat(file.fileno())
        width, rate = _form(file.read(_HEADER.size))
        size = (status.st_size - _HEADER.size) // width * width if width else 0
        if size > 0:
            file.truncate(_HEADER.size + size)
            file.seek(0)
            file.write(_header(width, rate, size))
    if size <= 0:
        part.unlink()
        return None
    os.utime(part, ns=(status.st_atime_ns, status.st_mtime_ns))  # how old it is counts from its last sound
    part.replace(path)
    return _HEADER.size + size, size / width / rate


def private_folder(path: Path) -> None:
    """Makes a folder, and those above it that are missing, for the engine's own user alone, whatever the umask. Raises
    OSError."""
    missing = [path]
    while not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    for folder in reversed(missing):
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            continue
        folder.chmod(0o700)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, PRIVATE)


def _header(width: int, rate: int, size: int) -> bytes:
    form = (16, 1, width // 2, rate, rate * width, width, 16)
    return _HEADER.pack(b"RIFF", 36 + size, b"WAVE", b"fmt ", *form, b"data", size)


def _form(header: bytes) -> tuple[int, int]:
    """Octets of a sample of all channels, and the rate; zeros where this is no header of ours."""
    if len(header) < _HEADER.size:
        return 0, 0
    width, rate = _HEADER.unpack(header)[9], _HEADER.unpack(header)[7]
    return (width, rate) if width and rate and header[:4] == b"RIFF" else (0, 0)


def _write_all(file: FileIO, data: bytes) -> None:
    """Writes all of it: a disk that gets full takes a part first."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
