"""A write whose task is cancelled at the worst moment: while the database commits."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store import rows
from store.database import tables
from store.store import Change, Store


class SlowCommit:
    """Holds every commit until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, failure: Exception | None = None) -> None:
        self.began = asyncio.Event()
        self.may_end = asyncio.Event()
        commit = AsyncConnection.commit

        async def slow(connection: AsyncConnection) -> None:
            self.began.set()
            await self.may_end.wait()
            if failure is not None:
                raise failure
            await commit(connection)

        monkeypatch.setattr(AsyncConnection, "commit", slow)


async def write(store: Store) -> UUID:
    async with store.write() as transaction:
        row = await rows.insert(transaction, tables.queues, {"customer_id": UUID(int=1)})
        transaction.changed("queue", row["id"])
    identifier: UUID = row["id"]
    return identifier


async def count(store: Store) -> int:
    async with store.read() as connection:
        found: int = (await connection.execute(sa.select(sa.func.count()).select_from(tables.queues))).scalar_one()
    return found


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("memory", [True, False], ids=["memory", "file"])
async def test_a_commit_under_way_is_finished_and_reported_before_the_task_ends(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, memory: bool, times: int
) -> None:
    store = await Store.open(":memory:" if memory else f"sqlite:///{tmp_path}/store.db")
    heard: list[Sequence[Change]] = []
    store.hooks.changes.append(heard.append)
    with monkeypatch.context() as patch:
        slow = SlowCommit(patch)
        task = asyncio.ensure_future(write(store))
        await slow.began.wait()
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert not task.done()
        assert not heard
        slow.may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert [change.kind for change in heard[0]] == ["queue"]
    # The connection is whole: it reads and writes.
    assert await count(store) == 1
    await write(store)
    assert await count(store) == 2
    await store.close()


async def test_a_commit_that_fails_while_its_task_is_cancelled_tells_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    store = await Store.open(":memory:")
    heard: list[Sequence[Change]] = []
    store.hooks.changes.append(heard.append)
    with monkeypatch.context() as patch:
        slow = SlowCommit(patch, RuntimeError("the disk is full"))
        task = asyncio.ensure_future(write(store))
        await slow.began.wait()
        task.cancel()
        slow.may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not heard
    assert await count(store) == 0
    await store.close()


async def test_a_task_that_is_cancelled_before_the_commit_writes_nothing() -> None:
    store = await Store.open(":memory:")
    began = asyncio.Event()

    async def wait() -> None:
        async with store.write() as transaction:
            await rows.insert(transaction, tables.queues, {"customer_id": UUID(int=1)})
            began.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(wait())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await count(store) == 0
    await store.close()
