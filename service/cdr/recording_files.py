"""The files of recordings: which there are, which are not whole, and which have become old."""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from engine.audio.wav import PART

_FOLDER = re.compile(r"platform|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FILE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}-[0-9a-f-]{36}-[0-9]+\.wav(?P<part>\.part)?")


def unfinished_recordings(folder: Path) -> dict[str, float]:
    """Recordings that are not whole, below the folder, and when they were written last."""
    found = {}
    for file in _files(folder):
        match = _FILE.fullmatch(file.name)
        if match is not None and match["part"]:
            with suppress(OSError):
                found[f"{file.parent.name}/{file.name.removesuffix(PART)}"] = file.lstat().st_mtime
    return found


def sweep(folder: Path, keep: float, now: float) -> int:
    """Deletes the recordings in `folder` that were written `keep` seconds before `now` (Unix time; 0: none of them),
    and returns how many they were. For a thread.

    Other nodes may use the folder too, and anything else may be in it: only what has a recording's name in a
    customer's folder is looked at. What cannot be deleted is left for the next time.
    """
    deleted = 0
    for file in _files(folder):
        match = _FILE.fullmatch(file.name)
        if match is None or match["part"]:
            continue
        with suppress(OSError):
            if 0 < keep < now - file.lstat().st_mtime:
                file.unlink()
                deleted += 1
    return deleted


def recording_files(folder: Path) -> Iterator[Path]:
    """The recordings below a folder, those that are being written among them. For a thread."""
    return (file for file in _files(folder) if _FILE.fullmatch(file.name))


def _files(folder: Path) -> list[Path]:
    """All there is in the folders of customers; nothing where there is none yet."""
    found: list[Path] = []
    with suppress(OSError):
        for inner in folder.iterdir():
            if _FOLDER.fullmatch(inner.name) and not inner.is_symlink():
                with suppress(OSError):
                    found.extend(inner.iterdir())
    return found
