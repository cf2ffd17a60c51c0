"""A SQLite file that is deleted or replaced under a running engine: nothing is acknowledged that would be lost."""

import asyncio
import os
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from routing.identifiers import NIL
from store.database import engines, tables
from store.database.errors import StoreError
from store.store import Store


async def write(store: Store, key: str) -> None:
    async with store.write() as transaction:
        transaction.changed("number", NIL, key)


async def read(store: Store) -> list[str]:
    async with store.read() as connection:
        return list((await connection.execute(sa.select(tables.changes.c.key))).scalars())


async def test_a_deleted_file_is_not_written_to_and_none_is_made_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    store = await Store.open(f"sqlite:///{path}")
    await write(store, "before")
    kept = tmp_path / "kept.db"
    path.rename(kept)
    for work in (write(store, "lost"), read(store)):
        with pytest.raises(StoreError, match=r"a\.db is not there any more .*put it back, or restart"):
            await work
    assert not path.exists()
    kept.rename(path)
    await write(store, "after")
    assert await read(store) == ["before", "after"]
    await store.close()


async def test_a_replaced_file_is_left_alone(tmp_path: Path) -> None:
    path, other = tmp_path / "a.db", tmp_path / "b.db"
    store = await Store.open(f"sqlite:///{path}")
    await write(store, "before")
    with sqlite3.connect(path) as source, sqlite3.connect(other) as target:
        source.backup(target)
    os.replace(other, path)  # noqa: PTH105 - as cp and mv do it
    for work in (write(store, "lost"), read(store)):
        with pytest.raises(StoreError, match="another file than the one that was opened; restart the engine"):
            await work
    await store.close()
    again = await Store.open(f"sqlite:///{path}")
    assert await read(again) == ["before"]
    await again.close()


async def test_the_log_that_a_long_reader_made_grow_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "LARGEST_LOG", 100_000)
    path = tmp_path / "a.db"
    store = await Store.open(f"sqlite:///{path}")
    log = tmp_path / "a.db-wal"
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM changes").fetchone()
    for turn in range(6):
        await write(store, str(turn) * 2_000_000)  # what the reader sees must stay: the log cannot be begun anew
    assert log.stat().st_size > 5_000_000
    reader.execute("COMMIT")
    reader.close()
    async with asyncio.timeout(30):
        while log.stat().st_size > 200_000:
            await write(store, "small")
    await store.close()
