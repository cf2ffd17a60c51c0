"""Recordings: listed, fetched as sound, deleted with their files."""

from pathlib import Path
from typing import Any
from unittest.mock import Mock
from uuid import uuid4

import pytest

from flows.calls.recordings import Recordings
from flows.calls.tasks import OwnedTasks
from store import rows
from store.database import tables
from tests.api.conftest import Api, Client

WAV = b"RIFF" + bytes(range(256)) * 8


@pytest.fixture
def folder(api: Api, tmp_path: Path) -> Path:
    """The folder of recordings."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    api.services.flows.calls.media.recordings = Recordings(folder, Mock(), OwnedTasks(), api.services.flows.calls.log)
    return folder


async def made(api: Api, of: Client, filename: str = "a.wav", **values: Any) -> str:
    """A recording of a customer; its id."""
    row = {"format": "wav", "status": "ended", "ended_by": "stop", "filename": filename, "duration": 1500, "size": 2052}
    async with api.store.write() as transaction:
        kept = await rows.insert(
            transaction, tables.recordings, {"customer_id": of.customer_id, "call_id": uuid4()} | row | values
        )
    return str(kept["id"])


async def test_a_recording_is_listed_read_heard_and_deleted(api: Api, folder: Path) -> None:
    manager = await api.client("customer_manager")
    call_id = uuid4()
    (folder / "a.wav").write_bytes(WAV)
    identifier = await made(api, manager, call_id=call_id)
    await made(api, manager, "b.wav")
    page = await manager.get("/v1.0/recordings", call_id=str(call_id))
    (found,) = page["result"]
    assert found["id"] == identifier
    assert (found["duration"], found["size"], found["channels"], found["tm_start"]) == (1500, 2052, 1, None)
    assert len((await manager.get("/v1.0/recordings"))["result"]) == 2
    path = f"/v1.0/recordings/{identifier}"
    assert await manager.get(path) == found
    headers = {"Authorization": f"Bearer {manager.key}"}
    answer = await api.http.get(f"{path}/audio", headers=headers)
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "audio/wav", WAV)
    assert 'filename="a.wav"' in answer.headers["content-disposition"]
    assert (await manager.delete(path))["tm_delete"]
    assert not (folder / "a.wav").exists()
    assert (await manager.get(path, 404))["reason"] == "RECORDING_NOT_FOUND"


async def test_a_file_that_is_gone_or_elsewhere_is_not_there_and_the_row_can_be_deleted(api: Api, folder: Path) -> None:
    manager = await api.client("customer_manager")
    identifier = await made(api, manager)
    assert (await manager.get(f"/v1.0/recordings/{identifier}/audio", 404))["reason"] == "RECORDING_AUDIO_NOT_FOUND"
    await manager.delete(f"/v1.0/recordings/{identifier}")
    api.services.flows.calls.media.recordings = None
    identifier = await made(api, manager)
    await manager.get(f"/v1.0/recordings/{identifier}/audio", 404)
    await manager.delete(f"/v1.0/recordings/{identifier}")


async def test_the_wrong_node_names_the_one_that_has_the_audio(api: Api, folder: Path) -> None:
    manager = await api.client("customer_manager")
    nodes = {name: uuid4() for name in ("sip1", "sip2", "sip1 before")}
    async with api.store.write() as transaction:
        times = {"process": "", "tm_create": transaction.now, "tm_seen": transaction.now}
        for name, node_id in nodes.items():
            await rows.insert(transaction, tables.nodes, {"id": node_id, "name": name.split()[0]} | times)
    api.services.node_id = nodes["sip1"]

    async def told(**values: Any) -> str:
        identifier = await made(api, manager, **values)
        message: str = (await manager.get(f"/v1.0/recordings/{identifier}/audio", 404))["message"]
        return message.replace(identifier, "it")

    assert await told(node_id=nodes["sip2"]) == (
        "the audio of recording it is on the node sip2, which recorded it; ask that node's API"
    )
    gone = "the audio of recording it is gone: its file was deleted on this node, which recorded it"
    assert [await told(node_id=nodes[name]) for name in ("sip1", "sip1 before")] == [gone, gone]
    assert await told(node_id=uuid4()) == (
        "the audio of recording it is not on this node, and the node that recorded it has been gone for long"
    )
    assert await told(status="failed") == "recording it failed: there is no audio of it"


async def test_the_audio_of_one_that_runs_is_not_there_yet(api: Api, folder: Path) -> None:
    manager = await api.client("customer_manager")
    identifier = await made(api, manager, status="recording", ended_by="")
    error = await manager.get(f"/v1.0/recordings/{identifier}/audio", 409)
    assert error["reason"] == "RECORDING_IN_PROGRESS"


@pytest.mark.parametrize("name", ["../secret", "link/secret", "{outside}/secret", "inside", "", "a\ud800b.wav"[:1]])
async def test_no_name_leads_out_of_the_folder(api: Api, folder: Path, name: str) -> None:
    manager = await api.client("customer_manager")
    outside = folder.parent
    (outside / "secret").write_text("secret")
    (folder / "inside").mkdir()
    (folder / "link").symlink_to(outside)
    identifier = await made(api, manager, name.format(outside=outside))
    path = f"/v1.0/recordings/{identifier}"
    assert (await manager.get(f"{path}/audio", 404))["reason"] == "RECORDING_AUDIO_NOT_FOUND"
    await manager.delete(path)
    assert (outside / "secret").exists()
    assert (folder / "inside").exists()


async def test_one_that_runs_cannot_be_deleted(api: Api, folder: Path) -> None:
    manager = await api.client("customer_manager")
    identifier = await made(api, manager, status="recording", ended_by="", duration=0, size=0)
    error = await manager.delete(f"/v1.0/recordings/{identifier}", 409)
    assert error["reason"] == "RECORDING_IN_PROGRESS"
    await manager.get(f"/v1.0/recordings/{identifier}")
