"""One engine on one SQLite file, by whatever name: a second one is refused, naming the first."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from store.cluster.engine_lock import EngineLock
from store.cluster.heartbeat import NodeHeartbeat
from store.database.errors import StoreRefused
from store.store import Store

HOLDER = """
import sys, time
from pathlib import Path
from store.cluster.engine_lock import EngineLock
lock = EngineLock.take(Path(sys.argv[1]))
print("taken" if lock else "none", flush=True)
sys.stdin.read()
"""


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.db"
    await (await Store.open(f"sqlite:///{path}")).close()
    return path


def holder(path: Path) -> "subprocess.Popen[str]":
    """Another process that has the lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdin=-1, stdout=-1, text=True)
    assert process.stdout is not None and process.stdout.readline() == "taken\n"
    return process


def spellings(path: Path) -> list[Path]:
    folder = path.parent
    (folder / "link.db").symlink_to(path)
    (folder / "hard.db").hardlink_to(path)
    (folder / "inner").mkdir()
    (folder / "other").symlink_to(folder, target_is_directory=True)
    relative = Path(os.path.relpath(path))
    return [path, folder / "link.db", folder / "hard.db", folder / "inner/../a.db", folder / "other/a.db", relative]


def test_a_second_engine_is_refused_by_every_spelling_of_the_path(file: Path) -> None:
    process = holder(file)
    for spelled in spellings(file):
        with pytest.raises(StoreRefused, match="in use by another engine; one engine runs on one SQLite file"):
            EngineLock.take(spelled)
    process.communicate()
    for spelled in (file, file.parent / "link.db", file.parent / "hard.db"):
        lock = EngineLock.take(spelled)
        assert lock is not None
        lock.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_dies_with_its_process(file: Path, number: signal.Signals) -> None:
    process = holder(file)
    process.send_signal(number)
    process.communicate()
    lock = EngineLock.take(file)
    assert lock is not None
    lock.close()


async def test_the_refusal_names_the_node_and_its_process(file: Path) -> None:
    store = await Store.open(f"sqlite:///{file}")
    lock = EngineLock.take(file)
    assert lock is not None
    life = NodeHeartbeat(store, "sip1")
    await life.start()
    named = rf"by another engine, the node sip1, on {socket.gethostname()} \(process {os.getpid()}\); one engine runs"
    with pytest.raises(StoreRefused, match=named):  # the same process
        EngineLock.take(file.parent / "." / "a.db")
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, str(file), stderr=asyncio.subprocess.PIPE
    )
    said = (await other.communicate())[1].decode()
    assert f"the node sip1, on {socket.gethostname()} (process {os.getpid()})" in said
    # SQLite's own locks of this process are as they were: who looks in does not think itself alone.
    looked = await Store.open(f"sqlite:///{file}")
    await looked.close()
    assert file.with_name("a.db-wal").exists()
    await life.close()
    await store.close()
    lock.close()


def test_there_is_nothing_to_lock_where_there_is_no_file(tmp_path: Path) -> None:
    assert EngineLock.take(tmp_path / "none.db") is None
