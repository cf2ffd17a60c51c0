"""A disk that is full, read-only or gone is said in words: by the file system, and by a sign of life that finds out."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from store.cluster.heartbeat import NodeHeartbeat
from store.database import file
from store.database.file import LEAST_FREE, disk_problem
from store.store import Store
from tests.service.conftest import until
from tests.store.full import read_only


def room(monkeypatch: pytest.MonkeyPatch, **values: int) -> list[str]:
    """Have the file system say this; the paths that it is asked about."""
    asked: list[str] = []
    said = {"f_flag": 0, "f_frsize": 4096, "f_bavail": 10**6, "f_files": 100, "f_favail": 50} | values

    def statvfs(path: Any) -> Any:
        asked.append(str(path))
        return SimpleNamespace(**said)

    monkeypatch.setattr(file.os, "statvfs", statvfs)
    return asked


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({}, ""),
        ({"f_bavail": LEAST_FREE // 4096}, ""),
        ({"f_bavail": LEAST_FREE // 4096 - 1}, "is full (252 KiB are left)"),
        ({"f_bavail": 0}, "is full (0 KiB are left)"),
        ({"f_favail": 0}, "is full (no more files can be made)"),
        ({"f_files": 0, "f_favail": 0}, ""),  # a file system that does not count files
        ({"f_flag": os.ST_RDONLY}, "is mounted read-only"),
    ],
)
def test_what_is_left_is_said_in_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, values: dict[str, int], problem: str
) -> None:
    asked = room(monkeypatch, **values)
    found = disk_problem(tmp_path / "not/there/yet.db")
    assert found == (f"the disk of {tmp_path} {problem}" if problem else "")
    assert asked == [str(tmp_path)]


def test_a_disk_that_cannot_be_asked_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def statvfs(path: Any) -> Any:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(file.os, "statvfs", statvfs)
    assert disk_problem(tmp_path) == f"{tmp_path}: Input/output error"


class Lines:
    def __init__(self) -> None:
        self.lines: list[tuple[str, str, str]] = []

    def error(self, event: str, **values: Any) -> None:
        self.lines.append(("error", event, values.get("error", "")))

    def info(self, event: str, **values: Any) -> None:
        self.lines.append(("info", event, ""))


async def test_a_database_that_takes_nothing_more_is_noticed_without_a_call_and_reported_once(tmp_path: Path) -> None:
    store = await Store.open(f"sqlite:///{tmp_path}/a.db")
    log = Lines()
    life = NodeHeartbeat(store, "sip1", every=0.005, log=log)  # type: ignore[arg-type]
    await life.start()
    end = await read_only(store)
    await until(lambda: life.problem)
    beats = 0
    seen = life._seen

    async def counted(**more: str) -> None:
        nonlocal beats
        beats += 1
        await seen(**more)

    life._seen = counted  # type: ignore[method-assign]
    await until(lambda: beats > 3)
    assert life.problem == "attempt to write a readonly database"
    await end()
    await until(lambda: not life.problem)
    assert log.lines == [
        ("error", "the store cannot be written", "attempt to write a readonly database"),
        ("info", "the store can be written again", ""),
    ]
    await life.close()
    await store.close()


async def test_the_file_systems_word_is_a_problem_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log of a database has room within it for a while, and takes what the disk would not."""
    store = await Store.open(f"sqlite:///{tmp_path}/a.db")
    log = Lines()
    life = NodeHeartbeat(store, "sip1", every=0.005, log=log)  # type: ignore[arg-type]
    room(monkeypatch, f_bavail=3)
    await life.start()
    await until(lambda: life.problem)
    room(monkeypatch)
    await until(lambda: not life.problem)
    assert [line[:2] for line in log.lines] == [
        ("error", "the store cannot be written"),
        ("info", "the store can be written again"),
    ]
    assert log.lines[0][2] == f"the disk of {tmp_path}/a.db is full (12 KiB are left)"
    await life.close()
    await store.close()
