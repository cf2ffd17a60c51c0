"""The board of agents while the store is away: agents are rung all the same, and the last word is written later."""

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from service.contact_center import agent_status as agent_board
from service.contact_center.agent_status import AgentStatusStore
from store.database import tables
from store.database.errors import StoreError
from store.resources.agents import AVAILABLE
from store.rows import insert, one
from store.store import Store
from tests.flows.conftest import FakeLog


class Flaky:
    """A store that can be away."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.dialect = store.dialect
        self.away = False
        self.written = asyncio.Event()

    @asynccontextmanager
    async def write(self) -> Any:
        if self.away:
            raise StoreError("the store is away")
        async with self.store.write() as transaction:
            yield transaction
        self.written.set()


async def test_what_is_left_to_write_is_written_when_the_store_is_back(monkeypatch: Any) -> None:
    monkeypatch.setattr(agent_board, "RETRY", 0.01)
    store = await Store.open(":memory:")
    async with store.write() as transaction:
        values = {"username": "ann", "status": AVAILABLE, "ring_method": "ring_all", "permission": ""}
        ann = (await insert(transaction, tables.agents, values | {"password_hash": ""}))["id"]
    flaky, log, node = Flaky(store), FakeLog(), uuid4()
    board = AgentStatusStore(flaky, node, log)  # type: ignore[arg-type]
    board.start()

    async def status() -> str:
        async with store.read() as connection:
            row = await one(connection, tables.agents, ann)
        assert row is not None
        found: str = row["status"]
        return found

    assert await board.claim(ann)
    assert not await board.claim(ann)
    assert await status() == f"ringing:{node.hex[:8]}"
    flaky.away = True
    board.talks(ann)
    assert await board.claim(uuid4())  # nobody can say that it is not free
    async with asyncio.timeout(30):
        while not log.lines:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.005)
    assert await status() == f"ringing:{node.hex[:8]}"
    board.release(ann)
    flaky.written.clear()
    flaky.away = False
    async with asyncio.timeout(30):
        await flaky.written.wait()
    assert await status() == AVAILABLE
    assert [event for _, event, _ in log.lines] == [
        "agent status not stored",
        "agent status stored again",
    ]
    assert await board.claim(ann)
    await board.close()
    assert await status() == AVAILABLE
    await store.close()


async def test_a_write_of_sqlites_is_not_given_up_in_its_middle_at_the_end(tmp_path: Path) -> None:
    """Its statement would keep the file locked for whoever opens it next."""
    store = await Store.open(f"sqlite:///{tmp_path}/store.db")
    began, may_end = asyncio.Event(), asyncio.Event()
    ended = []

    class Slow:
        dialect = store.dialect

        @asynccontextmanager
        async def write(self) -> Any:
            async with store.write() as transaction:
                began.set()
                await may_end.wait()
                yield transaction
            ended.append(True)

    board = AgentStatusStore(Slow(), UUID(int=7), FakeLog())  # type: ignore[arg-type]
    board.start()
    board.release(UUID(int=1))
    await began.wait()
    closing = asyncio.ensure_future(board.close())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not closing.done()
    may_end.set()
    await closing
    assert len(ended) == 2, "what was under way, and the release of all"
    await store.close()
