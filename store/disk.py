"""Room on the disk under a file: what is left of it, in words where that is nothing."""

import os
from pathlib import Path
from typing import Final

LEAST: Final = 256 * 1024
"""Octets. With less there is no room for a database's next pages, whatever the moment's write may get away with."""


def disk_problem(path: Path) -> str:
    """Why nothing can be written to a file, or into a folder, that may not be there yet; "" where something can.

    Asks the file system, which may be one that hangs: for a thread.
    """
    while not path.exists() and path != path.parent:
        path = path.parent
    try:
        found = os.statvfs(path)
    except OSError as error:
        return f"{path}: {error.strerror}"
    if found.f_flag & os.ST_RDONLY:
        return f"the disk of {path} is mounted read-only"
    left = found.f_bavail * found.f_frsize
    if left < LEAST:
        return f"the disk of {path} is full ({left // 1024} KiB are left)"
    if found.f_files and not found.f_favail:
        return f"the disk of {path} is full (no more files can be made)"
    return ""
