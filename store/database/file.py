"""The file of a SQLite database: its path, its mode, whether it is still the one that was opened, and the disk's room.

SQLite goes on writing to a file that was deleted or replaced, while new connections open the new one: what is
acknowledged then is lost, and two files that share one write-ahead log are both spoilt.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from sqlalchemy.engine import URL

BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database, with the database's own mode and the same pages in it."""
LEAST_FREE: Final = 256 * 1024
"""Octets. With less there is no room for a database's next pages, whatever the moment's write may get away with."""


def database_path(url: URL) -> Path | None:
    """The file of a SQLite database; None where it has none: in memory, or another kind of database."""
    name = url.database or ":memory:"
    if url.get_backend_name() != "sqlite" or ":memory:" in name:
        return None
    if name.startswith("file:"):  # https://sqlite.org/uri.html
        named, _, options = name.removeprefix("file:").partition("?")
        if "mode=memory" in options or url.query.get("mode") == "memory":
            return None
        return Path(unquote(f"/{named[2:].partition('/')[2]}" if named.startswith("//") else named))
    return Path(name)


def database_files(path: Path) -> list[Path]:
    """A SQLite database's file and what SQLite keeps beside it: beside the file itself, where `path` is a link."""
    real = path.resolve()
    return [path, *(real.with_name(real.name + ending) for ending in BESIDE)]


def make_private(path: Path) -> None:
    """Make the file, empty, where there is none, so that SQLite does not make it: readable and writable by its owner
    alone, whatever the umask. Its log and index get the mode of the file. Where that fails SQLite says best why."""
    with suppress(OSError):
        # Where a link leads to what is not there yet, SQLite makes that.
        made = os.open(os.path.realpath(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.fchmod(made, 0o600)
        finally:
            os.close(made)


class DatabaseFile:
    """A file that may be made later; from the first look that finds it on, it has to stay that one."""

    __slots__ = ("_identity", "_path")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._identity: tuple[int, int] | None = None

    def problem(self) -> str:
        """A sentence for the user where another file stands in its place, or none; "" where all is in order, as it is
        again when the file was put back.

        A look into the kernel's cache of names, some microseconds: no disk is waited for.
        """
        try:
            found = self._path.stat()
        except OSError as error:
            if self._identity is None:
                return ""  # to be made by the first connection, which also says best why it cannot
            return f"{self._path} is not there any more ({error.strerror}); put it back, or restart the engine"
        identity = found.st_dev, found.st_ino
        if self._identity is None:
            self._identity = identity
        if identity == self._identity:
            return ""
        problem = f"{self._path} is another file than the one that was opened"
        return f"{problem}; restart the engine, and stop it before the database is replaced"


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
    if left < LEAST_FREE:
        return f"the disk of {path} is full ({left // 1024} KiB are left)"
    if found.f_files and not found.f_favail:
        return f"the disk of {path} is full (no more files can be made)"
    return ""
