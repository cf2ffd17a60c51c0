"""The board of agents while the store is away: agents are rung all the same, and the last word is written later."""

import asyncio
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from service import agent_board
from service.agent_board import StoredBoard
from store import tables
from store.agents import AVAILABLE
from store.engines import StoreError
from store.rows import insert, one
from store.store import Store
from tests.flows.conftest import FakeLog


class Flaky:
    """A store that can be away."""

    def __init__(self, store: Store) -> None:
        self.store = store
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
    board = StoredBoard(flaky, node, log)  # type: ignore[arg-type]
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
        "what agents do cannot be written",
        "what agents do can be written again",
    ]
    assert await board.claim(ann)
    await board.close()
    assert await status() == AVAILABLE
    await store.close()
