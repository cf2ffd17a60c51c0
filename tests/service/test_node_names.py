"""A node's name says whose calls are its own earlier runs': two engines that run never take each other for dead."""

import os
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from config.loading import load
from engine.transport.listeners import ListenError
from service import storage
from service.node import Node
from service.python_flows import python_flow_names
from store.cluster.heartbeat import NodeHeartbeat
from store.database import tables
from store.database.errors import StoreError, StoreRefused

Run = Callable[..., None]
CLIENT, OURS = "127.0.0.11", "+15551234567"
# Of this process alone, and below the ports that the system gives away: nobody takes it between a look and its use.
OWN = f"127.79.{os.getpid() // 250 % 250}.{os.getpid() % 250 + 1}:15060"


async def column(node: Any, wanted: sa.Column[Any]) -> list[Any]:
    async with node.storage.store.read() as connection:
        return list((await connection.execute(sa.select(wanted))).scalars())


async def with_a_call(bench: Any, engine: Any) -> Any:
    """A call that is up, and in the store."""
    client = await bench.phone(CLIENT)
    leg, outcome = await client.call(engine.address, OURS)
    assert outcome.kind == "answered"
    await bench.until(lambda: engine.node.parts.call_records.waiting == 0)
    assert await column(engine.node, tables.calls.c.status) == ["progressing"]
    return leg


async def still_up(bench: Any, engine: Any, leg: Any) -> None:
    assert await column(engine.node, tables.calls.c.status) == ["progressing"]
    assert not bench.log.named("dead node recovered")
    leg.hangup()
    await leg.wait_ended()
    await engine.quiet()
    await bench.until(lambda: engine.node.parts.call_records.waiting == 0)
    assert await column(engine.node, tables.calls.c.end_reason) == [""]


def test_an_engine_that_is_started_twice_leaves_the_calls_of_the_first_alone(run: Run, store_url: str) -> None:
    async def test(bench: Any) -> None:
        listen = [f"udp://{OWN}"]
        engine = await bench.engine(store=store_url, sip={"listen": listen})
        leg = await with_a_call(bench, engine)
        again = Node(load(engine.path, environ={}, python_flows=python_flow_names))
        expected = (ListenError, "already in use") if "postgres" in store_url else (StoreRefused, "in use by another")
        with pytest.raises(expected[0], match=expected[1]):
            await again.start()
        await again.close()
        await still_up(bench, engine, leg)

    run(test)


@pytest.mark.peer
def test_engines_on_ports_that_the_system_chose_are_two_nodes(run: Run, postgres_store_url: str) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(store=postgres_store_url)
        leg = await with_a_call(bench, engine)
        other = await bench.engine(store=postgres_store_url)
        assert len(set(await column(other.node, tables.nodes.c.name))) == 2
        await still_up(bench, engine, leg)

    run(test)


def test_the_name_is_that_of_the_first_address_that_stays(run: Run, store_url: str) -> None:
    async def test(bench: Any) -> None:
        listen = ["udp://127.0.0.1:0", f"tcp://{OWN}"]
        engine = await bench.engine(store=store_url, sip={"listen": listen})
        assert engine.node.storage.life.name == f"{socket.gethostname()}/{OWN}"

    run(test)


def test_a_name_that_was_given_is_one_engines_at_a_time(run: Run, store_url: str) -> None:
    async def test(bench: Any) -> None:
        bench.patch.setattr(storage, "NodeHeartbeat", partial(NodeHeartbeat, every=0.05))
        engine = await bench.engine(store=store_url, node_name="sip1")
        leg = await with_a_call(bench, engine)
        again = Node(load(engine.path, environ={}, python_flows=python_flow_names))
        with pytest.raises(StoreError, match=r"node_name sip1 runs already|another engine, the node sip1"):
            await again.start()
        await again.close()
        await still_up(bench, engine, leg)

    run(test)
