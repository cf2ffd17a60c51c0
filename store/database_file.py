"""The file of a SQLite database, which has to stay the one that was opened.

SQLite goes on writing to a file that was deleted or replaced, while new connections open the new one: what is
acknowledged then is lost, and two files that share one write-ahead log are both spoilt.
"""

from pathlib import Path


class DatabaseFile:
    """A file that may be made later; from the first look that finds it on, it has to stay that one."""

    __slots__ = ("_identity", "_path")

    def __init__(self, path: str) -> None:
        self._path = Path(path)
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
