"""A WAV file while it is written: under another name until it is whole. For a thread, one call at a time."""

import contextlib
import os
import struct
from io import FileIO
from pathlib import Path
from typing import Final

PART: Final = ".part"
"""What a file's name ends in while it is not whole. One that is left is of a process that was killed."""

_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")


class WavFile:
    """16-bit PCM."""

    __slots__ = ("_file", "_part", "_path", "_why", "_width")

    def __init__(self, path: Path, channels: int) -> None:
        """Nothing is opened yet. `path` is in a folder that is there; an older file of that name is replaced."""
        self._path = path
        self._part = path.with_name(path.name + PART)
        self._width = 2 * channels
        self._file: FileIO | None = None
        self._why = "the file was not opened"

    def open(self) -> None:
        """Makes it, with room for the header. Raises OSError."""
        try:
            self._file = FileIO(self._part, "w")
        except OSError as error:
            self._why = str(error)
            raise
        _write_all(self._file, bytes(_HEADER.size))

    def append(self, data: bytes) -> None:
        """Adds samples, those of all channels beside each other. Raises OSError, a full disk's for one."""
        assert self._file is not None
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
                form = (16, 1, self._width // 2, rate, rate * self._width, self._width, 16)
                _write_all(file, _HEADER.pack(b"RIFF", 36 + size, b"WAVE", b"fmt ", *form, b"data", size))
            self._part.replace(self._path)
        except OSError:
            with contextlib.suppress(OSError):
                self._part.unlink()
            raise
        return _HEADER.size + size, samples / rate, error


def _write_all(file: FileIO, data: bytes) -> None:
    """Writes all of it: a disk that gets full takes a part first."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
