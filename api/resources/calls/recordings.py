"""Recordings of calls: listed, fetched as sound, deleted. Flows make them (`recording_start`)."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import sqlalchemy as sa
from fastapi import Query
from starlette.responses import FileResponse

from api.http.auth import Who, guarded
from api.http.bodies import router_for
from api.http.errors import ApiError
from api.http.listing import Listing, OfCustomer, Pages
from api.http.services import Services, Use
from api.models.fields import Times, Timestamp
from api.openapi.schema import documented
from api.resources.resource import Resource
from store import rows
from store.database import tables
from store.rows import Row

router = router_for("recordings", "What was recorded, and its sound.")
RECORDINGS = Resource(tables.recordings, "recording")


@documented(example={"status": "ended", "filename": "2026-04-21/call.wav"})
class Recording(Times):
    """A recording. `duration` is milliseconds, `size` bytes; both are 0 while it runs. `filename` is relative to the
    folder of recordings of its node. With two `channels` the caller is on the first, the other side on the second."""

    id: UUID
    customer_id: UUID
    call_id: UUID
    status: Literal["recording", "ended", "failed"]
    ended_by: Literal["", "stop", "duration", "silence", "key", "hangup", "crash", "error"]
    format: Literal["wav"]
    filename: str
    channels: int
    duration: int
    size: int
    tm_start: Timestamp | None
    tm_end: Timestamp | None


@router.get("/recordings", response_model=Listing[Recording], **guarded("customer_manager"))
async def list_recordings(
    services: Use,
    caller: Who,
    paging: Pages,
    call_id: Annotated[UUID | None, Query(description="Those of this call alone.")] = None,
    customer_id: OfCustomer = None,
) -> Any:
    """The recordings, newest first."""
    where = [] if call_id is None else [tables.recordings.c.call_id == call_id]
    return await RECORDINGS.list(services, caller, paging, *where, customer_id=customer_id)


@router.get("/recordings/{recording_id}", response_model=Recording, **guarded("customer_manager"))
async def get_recording(services: Use, caller: Who, recording_id: UUID) -> Any:
    """One recording."""
    return await RECORDINGS.get(services, caller, recording_id)


_AUDIO = guarded("customer_manager", 409)
_AUDIO["responses"][200] = {
    "description": "The file.",
    "content": {"audio/wav": {"schema": {"type": "string", "format": "binary"}}},
}


@router.get(
    "/recordings/{recording_id}/audio",
    summary="Get the sound of a recording",
    response_class=FileResponse,
    response_model=None,
    **_AUDIO,
)
async def get_recording_audio(services: Use, caller: Who, recording_id: UUID) -> Any:
    """The sound of a recording that is over, as a WAV file. The node that recorded it has it: any other says which
    that is."""
    row = await RECORDINGS.get(services, caller, recording_id)
    file = await _file(services, row)
    if file is None:
        raise await _no_audio(services, row)
    return FileResponse(file, media_type="audio/wav", filename=file.name)


@router.delete("/recordings/{recording_id}", response_model=Recording, **guarded("customer_manager", 409))
async def delete_recording(services: Use, caller: Who, recording_id: UUID) -> Any:
    """Delete a recording that is over, and its file where this node has it."""
    async with services.store.write() as transaction:
        await RECORDINGS.find(transaction, caller, recording_id)
        over = tables.recordings.c.status != "recording"  # until then its node writes it again
        row = await rows.soft_delete(transaction, tables.recordings, recording_id, over)
    if row is None:
        raise ApiError("RECORDING_IN_PROGRESS", f"recording {recording_id} is not over; end it first")
    file = await _file(services, row)
    if file is not None:
        with suppress(FileNotFoundError):
            await asyncio.to_thread(file.unlink)
    return row


async def _no_audio(services: Services, row: Row) -> ApiError:
    """Why there is no sound of a recording here, and who has it."""
    what = f"recording {row['id']}"
    if row["status"] == "recording":
        return ApiError("RECORDING_IN_PROGRESS", f"{what} is not over; end it first")
    if row["status"] == "failed":
        return ApiError("RECORDING_AUDIO_NOT_FOUND", f"{what} failed: there is no audio of it")
    query = sa.select(tables.nodes.c.id, tables.nodes.c.name).where(
        tables.nodes.c.id.in_((row["node_id"], services.node_id))
    )
    async with services.store.read() as connection:
        names = {found.id: found.name for found in await connection.execute(query)}
    theirs = names.get(row["node_id"])
    if row["node_id"] == services.node_id or (theirs is not None and theirs == names.get(services.node_id)):
        problem = f"the audio of {what} is gone: its file was deleted on this node, which recorded it"
    elif theirs is not None:
        problem = f"the audio of {what} is on the node {theirs}, which recorded it; ask that node's API"
    else:
        problem = f"the audio of {what} is not on this node, and the node that recorded it has been gone for long"
    return ApiError("RECORDING_AUDIO_NOT_FOUND", problem)


async def _file(services: Services, row: Row) -> Path | None:
    """The file of a recording; None where it is not here."""
    recordings = services.flows.calls.media.recordings
    if recordings is None or not row["filename"]:
        return None
    return await asyncio.to_thread(_within, recordings.folder, row["filename"])


def _within(folder: Path, name: str) -> Path | None:
    """A file below the folder, wherever links lead; None for what is none, or lies elsewhere."""
    folder = folder.resolve()
    file = (folder / name).resolve()
    return file if file.is_relative_to(folder) and file.is_file() else None
