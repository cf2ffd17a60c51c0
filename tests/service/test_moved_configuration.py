"""A configuration file that has moved: what it still declares goes with it, and the log says what does not."""

import os
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from config.loading import load
from service.node import Node
from service.python_flows import python_flow_names
from store.database import tables

Run = Callable[..., None]
OURS, ECHO = "+15551234567", "+899100000001"
OWN = f"127.80.{os.getpid() // 250 % 250}.{os.getpid() % 250 + 1}:15060"  # of this process alone


async def starts_elsewhere(bench: Any, whole: dict[str, Any]) -> Node:
    """The same engine from a file in another folder."""
    moved = bench.path.parent / "moved" / "trunkline.yaml"
    moved.parent.mkdir()
    moved.write_text(yaml.safe_dump(whole))
    node = Node(load(moved, environ={}, python_flows=python_flow_names))
    try:
        await node.start()
    finally:
        await node.close()
    return node


def test_what_remains_of_the_old_path_is_said(run: Run, store_url: str) -> None:
    async def test(bench: Any) -> None:
        sip = {"listen": [f"udp://{OWN}"]}
        engine = await bench.engine(store=store_url, sip=sip)
        old = str(engine.path.absolute())
        assert not bench.log.named("declared in a file that this node does not read")
        await engine.node.close()
        whole = bench.document(store=store_url, sip=sip)
        await starts_elsewhere(bench, whole | {"numbers": whole["numbers"][:1]})
        (taken,) = bench.log.named("declarations taken over")
        assert (taken["file"], taken["number"], taken["flow"]) == (old, 1, 1)
        (left,) = bench.log.named("declared in a file that this node does not read")
        assert (left["file"], left["number"], left["level"]) == (old, 1, "warning")
        assert left["hint"].endswith(f"trunkline admin release {old}")

    run(test)


@pytest.mark.peer
def test_beside_another_node_it_may_well_be_that_ones(run: Run, postgres_store_url: str) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(store=postgres_store_url)
        await starts_elsewhere(bench, bench.document(store=postgres_store_url, numbers=[], flows=[]))
        (left,) = bench.log.named("declared in a file that this node does not read")
        assert (left["number"], left["flow"], left["level"]) == (2, 1, "info")
        async with engine.node.storage.store.read() as connection:
            owners = (await connection.execute(sa.select(tables.numbers.c.declared_in))).scalars().all()
        assert owners == [str(engine.path.absolute())] * 2

    run(test)
