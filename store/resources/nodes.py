"""Nodes: the rows of the engines on one store, and which of them are alive."""

import os
import socket
from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from store.database.tables import nodes
from store.store import Store

SILENCE: Final = timedelta(seconds=60)
"""Without a sign of life for so long, a node is dead."""


async def living(store: Store, node_id: UUID, name: str = "") -> Sequence[UUID]:
    """The nodes that have given a sign of life lately.

    node_id: The node that asks; it lives.
    name: Given at a node's start, before it takes calls: other nodes of that name are its earlier runs, and dead
        however short ago they ended.
    """
    async with store.read() as connection:
        alive = nodes.c.tm_seen >= await store.common_now(connection) - SILENCE
        if name:
            alive = sa.and_(alive, nodes.c.name != name)
        return [node_id, *(await connection.execute(sa.select(nodes.c.id).where(alive))).scalars()]


def this_process() -> str:
    """This process, as its row has it: host and process id."""
    return f"{socket.gethostname()[:255]} (process {os.getpid()})"


def is_over(process: str) -> bool:
    """Whether this process is known to have ended: of this host, and not there any more."""
    host, _, number = process.removesuffix(")").partition(" (process ")
    if host != socket.gethostname()[:255]:
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # it is there, and somebody else's
    return False
