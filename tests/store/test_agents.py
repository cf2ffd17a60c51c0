"""Agents whom queues ring: one engine alone, nothing over what an agent says, and nothing left by the dead."""

import asyncio
from uuid import UUID, uuid4

from store.cluster.recovery import recover
from store.database import tables
from store.resources.agents import AVAILABLE, held, release_all, shown, turn
from store.rows import insert, one
from store.store import Store
from tests.store.stored_calls import NOW, opened, seconds

HERE, THERE, DEAD = uuid4(), uuid4(), uuid4()


async def agent(store: Store, status: str) -> UUID:
    async with store.write() as transaction:
        values = {
            "username": uuid4().hex,
            "status": status,
            "ring_method": "ring_all",
            "permission": "",
            "password_hash": "",
        }
        identifier: UUID = (await insert(transaction, tables.agents, values))["id"]
    return identifier


async def status(store: Store, agent_id: UUID) -> str:
    async with store.read() as connection:
        row = await one(connection, tables.agents, agent_id)
    assert row is not None
    found: str = row["status"]
    return found


async def test_of_engines_that_claim_an_agent_at_once_one_has_it(store_url: str) -> None:
    async with opened(store_url) as store:
        free = await agent(store, AVAILABLE)

        async def claim(node: UUID) -> bool:
            async with store.write() as transaction:
                return await turn(transaction, free, (AVAILABLE,), held("ringing", node)) is not None

        nodes = [uuid4() for _ in range(8)]
        claimed = await asyncio.gather(*map(claim, nodes))
        assert sum(claimed) == 1
        assert await status(store, free) == held("ringing", nodes[claimed.index(True)])


async def test_what_an_agent_says_of_itself_stands(store_url: str) -> None:
    async with opened(store_url) as store:
        away, busy, theirs = (
            await agent(store, "away"),
            await agent(store, "busy"),
            await agent(store, held("busy", THERE)),
        )
        async with store.write() as transaction:
            for one_of_them in (away, busy, theirs):
                before = (held("ringing", HERE), held("busy", HERE))
                assert await turn(transaction, one_of_them, before, AVAILABLE) is None
            assert await release_all(transaction, HERE) == 0
            assert not transaction.changes
        assert [await status(store, one) for one in (away, busy, theirs)] == ["away", "busy", held("busy", THERE)]
        async with store.write() as transaction:
            assert await release_all(transaction, THERE) == 1
            assert [change.resource_id for change in transaction.changes] == [theirs]


async def test_agents_of_a_dead_engine_are_free_again(store_url: str) -> None:
    async with opened(store_url) as store:
        async with store.write() as transaction:
            for node, seen in ((HERE, NOW), (THERE, NOW), (DEAD, NOW - seconds(120))):
                values = {"id": node, "name": node.hex, "tm_create": seen, "tm_seen": seen}
                await insert(transaction, tables.nodes, values)
        words = [
            held("ringing", DEAD),
            held("busy", DEAD),
            held("busy", THERE),
            held("ringing", HERE),
            "busy",
            "offline",
        ]
        agents = [await agent(store, word) for word in words]
        assert (await recover(store, HERE)).agents == 2
        assert [await status(store, one) for one in agents] == [AVAILABLE, AVAILABLE, *words[2:]]
        assert not await recover(store, HERE)


def test_the_longest_word_fits_its_column() -> None:
    assert len(held("ringing", HERE)) <= tables.agents.c.status.type.length  # type: ignore[attr-defined]
    assert [shown(word) for word in (held("ringing", HERE), held("busy", HERE), "away")] == ["ringing", "busy", "away"]
