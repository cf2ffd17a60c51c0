"""A large store: how long a million numbers take to load, what a look-up costs, and how soon a change counts.

    python -m benchmarks.store [--numbers 1000000] [--store sqlite:////tmp/bench.db]

Times of this one process on an idle machine; the database is made anew in a temporary directory, or at --store, which
is emptied of what this bench puts there.
"""

import argparse
import asyncio
import gc
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from uuid import UUID, uuid4

import structlog

from benchmarks.routing import microseconds, resident_mb, show
from flows.actions import ACTIONS
from flows.language.library import FlowLibrary
from routing.directory.directory import Directory
from routing.identifiers import NIL
from service.workers.flow_sync import FlowSync
from store.database import tables
from store.database.bulk import BulkWrite
from store.directory.number_source import StoredNumbers
from store.directory.sync import DirectorySync
from store.feed import ChangeFeed
from store.store import Store

NAME = "bench"


def say(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def row(place: int, now: object, flows: Sequence[UUID]) -> dict[str, object]:
    """A number as provisioning leaves it."""
    return {
        "id": uuid4(), "customer_id": NIL, "name": NAME, "detail": "", "number": f"+1{2000000000 + place}",
        "type": "normal", "status": "active", "call_flow_id": flows[place % len(flows)], "message_flow_id": NIL,
        "metadata": {}, "provider_id": NIL, "origin": "provisioned", "country": "US", "region": "", "city": "",
        "kind": "local", "price": 0, "tm_purchase": now, "declared_in": "", "tm_create": now, "tm_update": now,
        "tm_delete": None,
    }  # fmt: skip


async def fill(store: Store, count: int) -> None:
    """Put the numbers there, 20,000 a transaction."""
    write = BulkWrite(tables.numbers)
    flows = [uuid4() for _ in range(1000)]
    for first in range(0, count, 20_000):
        async with store.write() as transaction:
            many = [row(place, transaction.now, flows) for place in range(first, min(first + 20_000, count))]
            await write.write(transaction.connection, many)
        say(f"  {min(first + 20_000, count):,} of {count:,} numbers written")


def percentiles(values: list[float]) -> str:
    """p50 and p99 of milliseconds."""
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return f"p50 {cuts[49]:.2f} ms, p99 {cuts[98]:.2f} ms of {len(values)}"


async def changes(store: Store, directory: Directory, feed: ChangeFeed, times: int) -> list[float]:
    """Milliseconds from the commit of a change until calls go by it."""
    found = []
    rng = random.Random(1)
    for _ in range(times):
        e164 = f"+1{2000000000 + rng.randrange(1000)}"
        status = "suspended" if (held := directory.number(e164)) and held.status == "active" else "active"
        async with store.write() as transaction:
            where = tables.numbers.c.number == e164
            changed = await transaction.execute(
                tables.numbers.update().where(where).values(status=status).returning(tables.numbers.c.id)
            )
            transaction.changed("number", changed.scalar_one(), e164)
        committed = time.perf_counter()
        await feed.settled()
        now = directory.number(e164)
        assert now is not None and now.status == status
        found.append((time.perf_counter() - committed) * 1000)
    return found


async def not_in_memory(store: Store, count: int, times: int) -> list[float]:
    """Milliseconds of a look-up that has to ask the store."""
    directory = Directory(limit=1000)
    sync = DirectorySync(
        store, directory, FlowSync(FlowLibrary(ACTIONS), structlog.get_logger()), structlog.get_logger()
    )
    await sync.load()
    await sync.put_in_place(())
    numbers = StoredNumbers(store, directory)
    rng = random.Random(2)
    found = []
    for _ in range(times):
        e164 = f"+1{2000000000 + rng.randrange(count)}"
        began = time.perf_counter()
        assert await numbers.fetch(e164) is not None
        found.append((time.perf_counter() - began) * 1000)
    await numbers.close()
    return found


async def run(url: str, count: int) -> None:
    """All figures."""
    store = await Store.open(url)
    try:
        began = time.perf_counter()
        await fill(store, count)
        show(f"{count:,} numbers: written", time.perf_counter() - began, "s", "-")
        directory = Directory(limit=max(count, 1))
        library = FlowSync(FlowLibrary(ACTIONS), structlog.get_logger())
        feed = ChangeFeed(
            store, DirectorySync(store, directory, library, structlog.get_logger()), structlog.get_logger()
        )
        gc.collect()
        before = resident_mb()
        async with store.write() as transaction:
            transaction.changed("node", uuid4())
        began = time.perf_counter()
        await feed.start()
        show(f"{count:,} numbers: loaded", time.perf_counter() - began, "s", "-")
        gc.collect()
        show(f"{count:,} numbers: memory", resident_mb() - before, "MB", "< 350")
        e164 = f"+1{2000000000 + count // 2}"
        assert directory.number(e164) is not None
        show("look-up, in memory", microseconds(lambda: directory.number(e164), 200_000), "us", "< 1")
        print(f"look-up, not in memory: {percentiles(await not_in_memory(store, count, 1000))}")
        print(f"change, from commit to calls: {percentiles(await changes(store, directory, feed, 500))}; goal < 100 ms")
        await feed.close()
        async with store.write() as transaction:
            await transaction.execute(tables.numbers.delete().where(tables.numbers.c.name == NAME))
    finally:
        await store.close()


def main(words: list[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.store", description=__doc__)
    parser.add_argument("--numbers", type=int, default=1_000_000)
    parser.add_argument("--store", default="")
    asked = parser.parse_args(words)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    with tempfile.TemporaryDirectory(prefix="bench-store-") as directory:
        asyncio.run(run(asked.store or f"sqlite:///{directory}/bench.db", asked.numbers))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
