"""The list of recordings in the store: begun, ended, with a store that does not write, after the end of a process."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import OperationalError

from engine.audio.wav import WavFile
from flows.calls.recordings import Recording
from service.cdr.recordings import ABANDONED, Mended, RecordingList, mend
from store import rows
from store.cluster.heartbeat import NodeHeartbeat
from store.database import tables
from store.resources.recordings import close_lost
from store.store import Store

NODE = UUID(int=5)
BEGUN = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


async def kept(store: Store) -> list[dict[str, Any]]:
    async with store.read() as connection:
        return [dict(row) for row in (await connection.execute(sa.select(tables.recordings))).mappings()]


def recording() -> Recording:
    return Recording(uuid4(), UUID(int=0), str(uuid4()), "platform/a.wav", BEGUN, channels=2)


async def test_a_recording_is_written_when_it_begins_and_when_it_ends(store_url: str) -> None:
    store = await Store.open(store_url)
    made, listed = recording(), RecordingList(store, NODE, structlog.get_logger())
    await listed.begun(made)
    (row,) = await kept(store)
    assert (row["status"], row["node_id"], str(row["call_id"]), row["tm_end"]) == (
        "recording",
        NODE,
        made.call_id,
        None,
    )
    made.status, made.ended_by, made.duration, made.size = "ended", "key", 2000, 64_044
    made.ended = BEGUN + timedelta(seconds=2)
    await listed.ended(made)
    (row,) = await kept(store)
    assert (row["status"], row["ended_by"], row["duration"], row["size"]) == ("ended", "key", 2000, 64_044)
    assert (row["tm_create"], row["tm_start"], row["tm_end"]) == (BEGUN, BEGUN, made.ended)
    assert (row["channels"], row["filename"]) == (2, "platform/a.wav")
    await store.close()


async def test_a_store_that_does_not_write_is_tried_again_and_then_the_log_has_it(
    tmp_path: Path, monkeypatch: Any
) -> None:
    store = await Store.open(f"sqlite:///{tmp_path}/t.db")
    lines: list[Any] = []

    class Log:
        def error(self, event: str, **values: Any) -> None:
            lines.append((event, values["file"], values["status"]))

    failures = [3]
    write = store.write

    def broken(**options: Any) -> Any:
        if failures[0]:
            failures[0] -= 1
            raise OperationalError("insert", {}, Exception("database is locked"))
        return write(**options)

    monkeypatch.setattr(Store, "write", lambda self, **options: broken(**options))
    log: Any = Log()
    listed = RecordingList(store, NODE, log, (0.0, 0.0, 0.0))
    await listed.begun(recording())  # its end will be written in any case
    assert lines == [("recording not listed", "platform/a.wav", "recording")]
    await listed.ended(recording())
    assert len(await kept(store)) == 1
    failures[0] = 4
    await listed.ended(recording())
    assert len(lines) == 2
    await store.close()


async def test_what_a_dead_process_left_open_has_failed(store_url: str) -> None:
    store = await Store.open(store_url)
    now = store.clock()
    listed = {node: RecordingList(store, node, structlog.get_logger()) for node in (NODE, UUID(int=6))}
    expected = {}
    for node, ended, status in (
        (UUID(int=6), now - timedelta(minutes=5), "failed"),
        (UUID(int=6), now, "recording"),  # its end may be on the way
        (UUID(int=6), None, "recording"),
        (NODE, now - timedelta(minutes=5), "recording"),  # our own
    ):
        made = recording()
        await listed[node].begun(made)
        call = {"id": UUID(made.call_id), "node_id": node, "tm_hangup": ended, "direction": "incoming"}
        async with store.write() as transaction:
            await rows.insert(transaction, tables.calls, call | {"status": "hangup"})
        expected[made.id] = status
    assert await close_lost(store, NODE) == 1
    assert {row["id"]: row["status"] for row in await kept(store)} == expected
    await store.close()


NAME = "2026-11-21-{}-1.wav"


async def test_what_killed_processes_have_cut_off_is_kept_and_listed(store_url: str, tmp_path: Path) -> None:
    store = await Store.open(store_url)
    log = structlog.get_logger()
    dead, elsewhere, ours = NodeHeartbeat(store, "sip1"), NodeHeartbeat(store, "sip2"), NodeHeartbeat(store, "sip1")
    for life in (dead, elsewhere, ours):
        await life.start()
    now = datetime.now(UTC).timestamp()
    (tmp_path / "platform").mkdir()
    files = {}
    for who, age, seconds in (
        (dead.id, 1, 2),
        (dead.id, 1, 0),
        (elsewhere.id, 1, 2),
        (ours.id, 1, 2),
        (None, 1, 2),  # not listed yet
        (None, ABANDONED + 1, 2),  # never listed
    ):
        made = recording()
        made.filename = f"platform/{NAME.format(made.call_id)}"
        if who is not None:
            await RecordingList(store, who, log).begun(made)
        wav = WavFile(tmp_path / made.filename, 2)
        wav.open()
        if seconds:
            wav.append(bytes(seconds * 32_000), 8000)
        part = tmp_path / f"{made.filename}.part"
        os.utime(part, (now - age, now - age))
        files[made.id] = tmp_path / made.filename
    assert await mend(store, ours.id, ours.name, tmp_path, now) == Mended(kept=2, empty=1)
    assert [file.exists() for file in files.values()] == [True, False, False, False, False, True]
    assert len(list((tmp_path / "platform").glob("*.part"))) == 3
    rows_ = {row["id"]: row for row in await kept(store)}
    first, empty, *others = (rows_.get(identifier) for identifier in files)
    assert first is not None and empty is not None
    assert (first["status"], first["ended_by"], first["duration"], first["size"]) == ("ended", "crash", 2000, 64_044)
    assert abs(first["tm_end"].timestamp() - (now - 1)) < 0.01
    assert {row["status"] for row in (empty, *others) if row is not None} == {"recording"}
    assert await mend(store, ours.id, ours.name, tmp_path, now) == Mended()
    for life in (dead, elsewhere, ours):
        await life.close()
    await store.close()
