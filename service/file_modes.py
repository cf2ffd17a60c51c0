"""File modes: files with secrets or voices in them that others than their owner can read."""

import shlex
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from engine.log import Log
from service.cdr.recording_files import recording_files

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
MOST_NAMED: Final = 10


class Loose(NamedTuple):
    """A file or folder, and the mode that it has."""

    path: Path
    mode: int
    mended: str
    """The command that makes it private."""


def loose(paths: Iterable[Path], *, group: bool = True) -> Iterator[Loose]:
    """Those that are there, and that group (unless that is as it should be) or others may do anything with. Links are
    followed."""
    for path in paths:
        with suppress(OSError):
            found = path.stat()
            if found.st_mode & (_OTHERS if group else stat.S_IRWXO):
                private = "700" if stat.S_ISDIR(found.st_mode) else "600"
                mended = f"chmod {private if group else 'o='} {shlex.quote(str(path))}"
                yield Loose(path, stat.S_IMODE(found.st_mode), mended)


def of_recordings(folder: Path) -> Iterator[Path]:
    """The folder of recordings, those of the customers in it, and the recordings. For a thread."""
    yield folder
    inner = None
    for file in recording_files(folder):
        if file.parent != inner:
            inner = file.parent
            yield inner
        yield file


def tell(found: Iterable[Loose], log: Log) -> None:
    """A warning for each, up to `MOST_NAMED`; then how many more there are."""
    further = 0
    for number, (path, mode, mended) in enumerate(found):
        if number < MOST_NAMED:
            log.warning("secret file readable by others", file=str(path), mode=f"{mode:04o}", hint=mended)
        else:
            further += 1
    if further:
        log.warning("more secret files readable by others", files=further)
