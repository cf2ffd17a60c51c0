"""The list of recordings: what flows record is written to the store when it begins and when it ends."""

import asyncio
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
