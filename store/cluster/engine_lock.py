"""One engine on one SQLite file: a lock that the kernel takes back when the process ends, however it ends.

It lies on the file itself, so that a link to it, and any other spelling of its path, is the same file: on one octet far
behind every page, and behind the octets that SQLite locks. It is one of an open file (`F_OFD_SETLK`, fcntl(2)): locks
of a process would be gone with the first descriptor of that file that SQLite closes. Whoever only looks in, as
`trunkline admin` does, does not ask for it.
"""

import fcntl
import os
import sqlite3
import struct
from contextlib import closing, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from store.database.errors import StoreRefused
from store.resources.nodes import is_over

_OCTET: Final = 1 << 62  # SQLite's own lie at 1 GiB, and a database ends below 2^48
_FLOCK: Final = struct.Struct("hhqqi")  # struct flock: type, whence, start, length, process
# A process that asks again would close a descriptor of a file that its SQLite has locked, and so its locks.
_held: set[tuple[int, int]] = set()


class EngineLock:
    """This engine's right to a file. Made by `take`; `close` gives it back, after all connections are closed."""

    def __init__(self, descriptor: int, identity: tuple[int, int]) -> None:
        self._descriptor = descriptor
        self._identity = identity

    @classmethod
    def take(cls, path: Path) -> "EngineLock | None":
        """The lock on an existing file. None where the file system has no such locks, or there is no file: SQLite says
        best why it cannot be used. Raises StoreRefused, naming the engine that has it."""
        try:
            found = path.stat()
            if (found.st_dev, found.st_ino) in _held:
                raise _taken(path)
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            wanted = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _OCTET, 1, 0)
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wanted)
        except (BlockingIOError, PermissionError):  # EAGAIN or EACCES: another has it
            os.close(descriptor)
            raise _taken(path) from None
        except OSError:
            os.close(descriptor)
            return None
        locked = os.fstat(descriptor)
        _held.add(identity := (locked.st_dev, locked.st_ino))
        return cls(descriptor, identity)

    def close(self) -> None:
        """Give it back; a second time does nothing."""
        if self._identity in _held:
            _held.discard(self._identity)
            os.close(self._descriptor)


def _taken(path: Path) -> StoreRefused:
    problem = f"is in use by another engine{_holder(path)}; one engine runs on one SQLite file"
    return StoreRefused(f"{path} {problem}: end that one, or name another store")


def _holder(path: Path) -> str:
    """The engine that gave the last sign of life, as words; "" where it has not come so far as to write one."""
    query = "SELECT name, process FROM nodes WHERE process != '' ORDER BY tm_seen DESC LIMIT 1"
    with (
        suppress(sqlite3.Error),
        closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True, timeout=2.0)) as connection,
    ):
        for name, process in connection.execute(query):
            if not is_over(process):
                return f", the node {name}, on {process}"
    return ""
