"""The list of recordings in the store, and the mending of those that a killed process has cut off."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from engine.audio.wav import repair
from engine.log import Log
from flows.calls.recordings import Recording
from routing.identifiers import NIL
from service.cdr.recording_files import unfinished_recordings
from store.database.engines import reason
from store.database.errors import StoreError
from store.resources.recordings import cut_off, mended, save
from store.rows import Row
from store.store import Store

PAUSES: Final = (0.1, 0.5, 2.0, 5.0, 15.0)
"""Seconds between attempts to write, where the store does not."""

ABANDONED: Final = 600.0
"""Seconds after which a file that is not whole has nobody who writes it: whoever does writes every second."""


class RecordingList:
    """A `flows.calls.recordings.RecordingKeeper`. What the store does not take in half a minute is logged, and only the
    file is left."""

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
class Mended:
    """Recordings that a killed process has cut off: `kept`, and `empty` ones, which are deleted."""

    kept: int = 0
    empty: int = 0


async def mend(store: Store, node_id: UUID, name: str, folder: Path, now: float) -> Mended:
    """Makes whole what killed processes have left in `folder`, and writes that down. `node_id` lives, and earlier runs
    of `name` do not; other nodes may use the folder, too. What nobody knows, or a node that lives has, is left
    alone for ABANDONED seconds. Raises StoreError, or SQLAlchemy's errors."""
    done = Mended()
    left = await asyncio.to_thread(unfinished_recordings, folder)
    if not left:
        return done
    lost = {row["filename"]: row for row in await cut_off(store, node_id, name, list(left))}
    for filename, written in left.items():
        row = lost.get(filename)
        if row is None and now - written <= ABANDONED:
            continue
        try:
            whole = await asyncio.to_thread(repair, folder / filename)
        except OSError:
            continue  # somebody else has done it, or the next time will
        if whole is None:
            done.empty += 1
            continue
        done.kept += 1
        if row is not None:
            size, seconds = whole
            values = {"duration": round(seconds * 1000), "size": size, "tm_end": datetime.fromtimestamp(written, UTC)}
            await mended(store, row["id"], values)
    return done
