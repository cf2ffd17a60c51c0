"""Files of recordings: the old ones go, and what killed processes left; nothing else does."""

import os
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from config.settings import RetentionSettings
from engine.audio.wav import PART
from service.cdr.recording_files import sweep
from service.cdr.recordings import ABANDONED
from service.workers.maintenance import Maintenance
from store.cluster.heartbeat import NodeHeartbeat
from store.database import tables
from store.rows import insert
from tests.store.stored_calls import NOW as STORE_NOW
from tests.store.stored_calls import opened, seconds, table

NOW = 1_800_000_000.0
DAY = 86_400.0


def put(file: Path, age: float) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"RIFF")
    os.utime(file, (NOW - age, NOW - age))
    return file


def name(part: str = "") -> str:
    return f"2026-11-21-{uuid4()}-1.wav{part}"


@pytest.fixture
def customer(tmp_path: Path) -> Path:
    return tmp_path / str(uuid4())


def test_old_recordings_go_and_young_ones_stay(tmp_path: Path, customer: Path) -> None:
    old = [put(customer / name(), 11 * DAY), put(tmp_path / "platform" / name(), 11 * DAY)]
    young = put(customer / name(), 9 * DAY)
    assert sweep(tmp_path, 10 * DAY, NOW) == 2
    assert young.exists() and not any(file.exists() for file in old)
    assert sweep(tmp_path, 10 * DAY, NOW) == 0


def test_without_a_time_all_are_kept(tmp_path: Path, customer: Path) -> None:
    kept = [put(customer / name(), 9000 * DAY), put(customer / name(PART), 9000 * DAY)]
    assert sweep(tmp_path, 0, NOW) == 0
    assert all(file.exists() for file in kept)


def test_what_is_no_recording_is_left_alone(tmp_path: Path, customer: Path) -> None:
    elsewhere = put(tmp_path.parent / f"{tmp_path.name}-elsewhere" / name(), 99 * DAY)
    kept = [
        put(customer / "music.wav", 99 * DAY),
        put(customer / f"{name()}.bak", 99 * DAY),
        put(tmp_path / name(), 99 * DAY),
        put(tmp_path / "sounds" / name(), 99 * DAY),
        elsewhere,
    ]
    (tmp_path / str(uuid4())).symlink_to(elsewhere.parent)
    (customer / name()).mkdir()
    assert sweep(tmp_path, DAY, NOW) == 0
    assert all(file.exists() for file in kept)


def test_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    assert sweep(tmp_path / "recordings", DAY, NOW) == 0


async def test_the_settings_reach_rows_and_files(tmp_path: Path, customer: Path) -> None:
    told: list[str] = []

    class Lines:
        def __getattr__(self, level: str) -> Any:
            return lambda event, **values: told.append(f"{level} {event} {values}")

    now = time.time()
    old, left = customer / name(), customer / name(PART)
    for file, age in ((old, 11 * DAY), (left, ABANDONED + 60)):
        put(file, 0)
        os.utime(file, (now - age, now - age))
    async with opened(":memory:") as store:
        async with store.write() as transaction:
            await insert(transaction, tables.recordings, {"status": "ended", "tm_end": STORE_NOW - seconds(11 * DAY)})
        life = NodeHeartbeat(store, "test")
        upkeep = Maintenance(store, life, RetentionSettings(recordings=10 * DAY), Lines(), tmp_path)
        await upkeep.prune()
        assert not await table(store, tables.recordings)
    assert not old.exists() and not left.exists()
    assert [line.partition(" {")[0] for line in told] == [
        "info old recordings deleted",
        "warning recordings repaired",
        "info old rows deleted",
    ]
