"""What an event says of a resource is what the API shows of it, field by field and in the same order."""

import json
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from store import rows
from store.database import tables
from store.resources import calls, messages, recordings
from tests.api.conftest import Api
from tests.store.stored_calls import call

RECORDING = {
    "call_id": uuid4(),
    "node_id": uuid4(),
    "format": "wav",
    "filename": "platform/a.wav",
    "ended_by": "",
    "channels": 2,
    "duration": 0,
    "size": 0,
}


async def told(api: Api) -> list[tuple[str, dict[str, Any]]]:
    """Every event there is, without what it has beside its type and its data."""
    async with api.store.read() as connection:
        found = (await connection.execute(sa.select(tables.events).order_by(tables.events.c.id))).all()
    return [(event.type, event.data) for event in found]


async def test_a_recording_is_reported_when_it_begins_and_when_it_is_over(api_on: Api) -> None:
    api = api_on
    manager = await api.client("customer_manager")
    identifier, now = uuid4(), api.store.clock()
    times = {"tm_create": now, "tm_start": now, "tm_update": now, "tm_delete": None}
    row = RECORDING | times | {"id": identifier, "customer_id": manager.customer_id, "name": "", "detail": ""}
    shown = []
    ended = {"status": "ended", "ended_by": "key", "duration": 2000, "tm_end": now}
    for change in ({"status": "recording", "tm_end": None}, ended):
        async with api.store.write() as transaction:
            await recordings.save(transaction, [row | change])
        shown.append(await manager.get(f"/v1.0/recordings/{identifier}"))
    assert await told(api) == [("recording_started", shown[0]), ("recording_finished", shown[1])]


async def test_a_recording_whose_node_has_died_is_reported_as_failed(api_on: Api) -> None:
    api = api_on
    over = api.store.clock() - 2 * recordings.GRACE
    mine = {"id": RECORDING["call_id"], "node_id": RECORDING["node_id"], "tm_hangup": over, "status": "hangup"}
    async with api.store.write() as transaction:
        await rows.insert(transaction, tables.calls, mine)
        made = await rows.insert(transaction, tables.recordings, RECORDING | {"status": "recording"})
    assert await recordings.close_lost(api.store, uuid4()) == 1
    shown = await api.root.get(f"/v1.0/recordings/{made['id']}")
    assert (shown["status"], shown["ended_by"]) == ("failed", "error")
    assert await told(api) == [("recording_finished", shown)]
    assert await recordings.close_lost(api.store, uuid4()) == 0


@pytest.mark.parametrize("kind", ["call", "message", "recording"])
async def test_the_fields_are_those_of_the_answer(api: Api, kind: str) -> None:
    """And JSON in the store has them in their order."""
    async with api.store.write() as transaction:
        now = {"tm_create": transaction.now, "tm_update": transaction.now}
        if kind == "call":
            row = call()
            await calls.save(transaction, [row])
            document = calls.call_document(row)
        elif kind == "message":
            values = {"direction": "outgoing", "status": "sent", "source": None, "text": "x"}
            row = await rows.insert(transaction, tables.messages, values | now)
            document = messages.message_document(row)
        else:
            row = await rows.insert(transaction, tables.recordings, RECORDING | {"status": "ended"} | now)
            document = recordings.recording_document(row)
    shown = await api.root.get(f"/v1.0/{kind}s/{row['id']}")
    assert json.dumps(document) == json.dumps(shown)
