"""Whose the declared resources are: those of files that are read elsewhere or no more, and how they become the API's.

A file is its absolute path. One that is moved takes over what it still declares; what it does not stays the old path's,
which nobody reads: no reload deletes it, and the API refuses to.
"""

from collections import Counter
from typing import Final

import sqlalchemy as sa

from store.database import tables
from store.store import Executor, Transaction

_KINDS: Final = {
    "provider": tables.providers,
    "route": tables.routes,
    "number": tables.numbers,
    "flow": tables.flows,
    "extension": tables.extensions,
    "agent": tables.agents,
    "queue": tables.queues,
    "conference": tables.conferences,
}


async def declaring_files(executor: Executor) -> dict[str, Counter[str]]:
    """How many living resources of each kind each file has declared. Reads all of them."""
    found: dict[str, Counter[str]] = {}
    for kind, table in _KINDS.items():
        columns = table.c
        query = (
            sa.select(columns.declared_in, sa.func.count().label("living"))
            .where(columns.declared_in != "", columns.tm_delete.is_(None))
            .group_by(columns.declared_in)
        )
        for row in await executor.execute(query):
            found.setdefault(row.declared_in, Counter())[kind] = row.living
    return found


async def release(transaction: Transaction, file: str) -> Counter[str]:
    """Make what a file has declared the API's, as it is; how many of each kind. Calls go on as before."""
    done: Counter[str] = Counter()
    for kind, table in _KINDS.items():
        statement = sa.update(table).where(table.c.declared_in == file, table.c.tm_delete.is_(None))
        result = await transaction.execute(statement.values(declared_in="", tm_update=transaction.now))
        if result.rowcount:
            done[kind] = result.rowcount
    return done
