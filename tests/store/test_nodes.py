"""Two engines with one name on one store: the second finds the first alive, and an earlier run dead."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import sqlalchemy as sa

from store.cluster.heartbeat import NodeHeartbeat
from store.database import tables
from store.database.errors import StoreError
from store.resources.nodes import living
from store.store import Store, utc_now

OFTEN = 0.05


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    opened = await Store.open(store_url)
    yield opened
    await opened.close()


async def processes(store: Store) -> list[str]:
    async with store.read() as connection:
        return list((await connection.execute(sa.select(tables.nodes.c.process))).scalars())


def one_that_is_over() -> int:
    """The number of a process that there was."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        return process.pid


async def called(store: Store, process: str) -> None:
    """The node that there is, as if it ran there."""
    async with store.write() as transaction:
        await transaction.execute(sa.update(tables.nodes).values(process=process))


async def test_a_name_that_a_living_engine_has_is_refused(store: Store) -> None:
    # The second waits for two of its own beats, time enough for one of the first's on a machine that is busy.
    first, second = NodeHeartbeat(store, "sip1", every=OFTEN), NodeHeartbeat(store, "sip1", every=1.5)
    await first.start(given=True)
    await called(store, "another.example (process 7)")
    with pytest.raises(StoreError, match=r"node_name sip1 runs already, on another.example \(process 7\); give each"):
        await second.start(given=True)
    await second.close()
    other = NodeHeartbeat(store, "sip2", every=OFTEN)
    await other.start(given=True)
    await other.close()
    await first.close()


async def test_one_that_fell_silent_elsewhere_is_waited_for_and_no_longer(store: Store) -> None:
    first, second = NodeHeartbeat(store, "sip1", every=1e6), NodeHeartbeat(store, "sip1", every=OFTEN)
    await first.start()
    await called(store, "another.example (process 7)")
    await second.start(given=True)
    await second.close()
    await first.close()


@pytest.mark.parametrize("ended", ["by itself", "killed"])
async def test_an_earlier_run_that_is_over_is_not_waited_for(store: Store, ended: str) -> None:
    first = NodeHeartbeat(store, "sip1", every=30)  # which is also how long the last sign of life may take
    await first.start(given=True)
    await first.close()
    assert await processes(store) == [""]
    if ended == "killed":
        await called(store, f"{socket.gethostname()} (process {one_that_is_over()})")
    second = NodeHeartbeat(store, "sip1", every=1e6)  # a wait would be for a week
    await second.start(given=True)
    await second.close()


async def test_a_store_that_takes_no_heartbeat_is_reported_until_it_does(store: Store) -> None:
    async def told(bad: bool) -> None:
        async with asyncio.timeout(30):
            while bool(life.problem) is not bad:  # noqa: ASYNC110 - it has no event of its own
                await asyncio.sleep(0.001)

    async def rename(old: str, new: str) -> None:
        async with store.write() as transaction:
            await transaction.execute(sa.text(f"ALTER TABLE {old} RENAME TO {new}"))

    life = NodeHeartbeat(store, "sip1", every=OFTEN)
    await life.start()
    assert life.problem == ""
    await rename("nodes", "elsewhere")
    await told(True)
    assert "nodes" in life.problem and "SELECT" not in life.problem and "UPDATE" not in life.problem
    await rename("elsewhere", "nodes")
    await told(False)
    await life.close()


@pytest.mark.peer
@pytest.mark.parametrize("minutes", [-5, 5])
async def test_a_clock_that_is_wrong_declares_no_neighbour_dead(postgres_store_url: str, minutes: int) -> None:
    """Its calls would be closed, and what they have reserved be settled, while they go on."""
    here, there = await Store.open(postgres_store_url), await Store.open(postgres_store_url)
    there.clock = lambda: utc_now() + timedelta(minutes=minutes)
    one, other = NodeHeartbeat(here, "sip1", every=OFTEN), NodeHeartbeat(there, "sip2", every=OFTEN)
    await one.start()
    await other.start()
    for store, life in ((here, one), (there, other)):
        assert set(await living(store, life.id)) == {one.id, other.id}
        assert not await life.alone()
    for life, store in ((one, here), (other, there)):
        await life.close()
        await store.close()
