"""Recordings beside their calls: the list of them in the store, and the files that have become old."""

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from flows.contracts import Log
from flows.recordings import Recording
from routing.identifiers import NIL
from store.engines import StoreError, reason
from store.recordings import save
from store.rows import Row
from store.store import Store

PAUSES: Final = (0.1, 0.5, 2.0, 5.0, 15.0)
"""Seconds between attempts to write, where the store does not."""

ABANDONED: Final = 600.0
"""Seconds after which a file that is not whole has nobody who writes it: whoever does writes every second."""

_FOLDER = re.compile(r"platform|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FILE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}-[0-9a-f-]{36}-[0-9]+\.wav(?P<part>\.part)?")


class RecordingList:
    """A `flows.recordings.RecordingKeeper`. What the store does not take in half a minute is logged, and only the file
    is left."""

    def __init__(self, store: Store, node_id: UUID, log: Log, pauses: tuple[float, ...] = PAUSES) -> None:
        self._store = store
        self._node_id = node_id
        self._log = log
        self._pauses = pauses

    async def begun(self, recording: Recording) -> None:
        """It runs. Written once: its end is written in any case."""
        await self._write(recording, ())

    async def ended(self, recording: Recording) -> None:
        """It is over."""
        await self._write(recording, self._pauses)

    async def _write(self, recording: Recording, pauses: tuple[float, ...]) -> None:
        for pause in (*pauses, None):
            try:
                async with self._store.write() as transaction:
                    await save(transaction, [recording_row(recording, self._node_id) | {"tm_update": transaction.now}])
                return
            except (StoreError, SQLAlchemyError, OSError) as error:
                if pause is None:
                    self._log.error(
                        "recording not listed",
                        call_id=recording.call_id,
                        file=recording.filename,
                        status=recording.status,
                        error=reason(error),
                    )
                    return
                await asyncio.sleep(pause)


def recording_row(recording: Recording, node_id: UUID) -> Row:
    """A row of `tables.recordings`."""
    return {
        "id": recording.id,
        "customer_id": recording.customer_id if recording.customer_id.int else NIL,
        "name": "",
        "detail": "",
        "call_id": UUID(recording.call_id),
        "node_id": node_id,
        "format": recording.format,
        "filename": recording.filename,
        "status": recording.status,
        "ended_by": recording.ended_by,
        "channels": recording.channels,
        "duration": recording.duration,
        "size": recording.size,
        "tm_start": recording.begun,
        "tm_end": recording.ended,
        "tm_create": recording.begun,
        "tm_update": recording.ended or recording.begun,
        "tm_delete": None,
    }


@dataclass(slots=True)
class Swept:
    """Files that were deleted."""

    old: int = 0
    abandoned: int = 0


def sweep(folder: Path, keep: float, now: float) -> Swept:
    """Deletes the recordings in `folder` that were written `keep` seconds before `now` (Unix time; 0: none of them),
    and what killed processes left half written. For a thread.

    Other nodes may use the folder too, and anything else may be in it: only what has a recording's name in a
    customer's folder is looked at. What cannot be deleted is left for the next time.
    """
    done = Swept()
    for file in _files(folder):
        match = _FILE.fullmatch(file.name)
        if match is None:
            continue
        with suppress(OSError):
            age = now - file.lstat().st_mtime
            if match["part"] and age > ABANDONED:
                file.unlink()
                done.abandoned += 1
            elif not match["part"] and 0 < keep < age:
                file.unlink()
                done.old += 1
    return done


def _files(folder: Path) -> list[Path]:
    """All there is in the folders of customers; nothing where there is none yet."""
    found: list[Path] = []
    with suppress(OSError):
        for inner in folder.iterdir():
            if _FOLDER.fullmatch(inner.name) and not inner.is_symlink():
                with suppress(OSError):
                    found.extend(inner.iterdir())
    return found
