"""The change feed between processes: what one commits the others have at once, and again when they were cut off."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from store.database import tables
from store.feed import POLL, prune
from store.store import Store
from tests.peers.postgres import PostgresServer
from tests.peers.redis_server import RedisServer
from tests.store.feeding import Process, add_number, add_provider, delete, process, until

NUMBER, OTHER = "+15551234567", "+15557654321"


def database(url: str) -> str:
    return url.rpartition("/")[2]


async def write(here: Process, number: str, **values: Any) -> Any:
    async with here.store.write() as transaction:
        return await add_number(transaction, number, **values)


def has(here: Process, number: str) -> Callable[[], bool]:
    return lambda: number in here.directory.numbers


@pytest.mark.peer
async def test_another_process_on_postgresql_has_it_at_once(postgres_store_url: str) -> None:
    async with process(postgres_store_url, listen=True) as one, process(postgres_store_url, listen=True) as two:
        row = await write(one, NUMBER)
        await until(has(two, NUMBER))
        async with two.store.write() as transaction:
            await delete(transaction, tables.numbers, "number", row)
        await until(lambda: not one.directory.numbers)


@pytest.mark.peer
async def test_what_is_rolled_back_is_not_published(postgres_store_url: str) -> None:
    async with process(postgres_store_url, listen=True) as one, process(postgres_store_url, listen=True) as two:
        with pytest.raises(RuntimeError):
            async with one.store.write() as transaction:
                await add_number(transaction, NUMBER)
                raise RuntimeError
        await write(one, OTHER)
        await until(has(two, OTHER))
        assert not has(two, NUMBER)()


@pytest.mark.peer
async def test_writers_at_the_same_time_lose_none_of_their_changes(postgres_store_url: str) -> None:
    """Ids are given out when a row is written and show when it is committed: without a lock a reader would pass by."""
    async with process(postgres_store_url, listen=True) as one, process(postgres_store_url, listen=True) as two:

        async def writes(here: Process, first: int) -> None:
            for index in range(40):
                await write(here, f"+1555{first + index:07}")

        await asyncio.gather(*(writes(here, 1_000 * n) for n, here in enumerate((one, two, one, two, one, two))))
        for here in (one, two):
            await until(lambda here=here: len(here.directory.numbers) == 240)
            assert not here.feed.resynchronisations


@pytest.mark.peer
async def test_connections_that_are_cut_are_made_again_and_nothing_is_missed(
    postgres_store_url: str, postgres_server: PostgresServer
) -> None:
    async with (
        process(postgres_store_url, listen=True) as one,
        process(postgres_store_url, listen=True, poll=POLL) as two,
    ):
        await write(one, NUMBER)
        await until(has(two, NUMBER))
        postgres_server.terminate_connections(database(postgres_store_url))
        await until(lambda: "PostgreSQL notifications: connection lost, trying again" in two.log.events("warning"))
        await write(one, OTHER)
        await until(has(two, OTHER))
        await until(lambda: two.notices.connected)
        before = two.told
        await write(one, "+15550000001")
        await until(lambda: two.told > before and has(two, "+15550000001")())  # by a notice again
        assert not two.feed.resynchronisations  # what was missed was read on, not everything


@pytest.mark.peer
async def test_a_server_that_is_away_changes_nothing_in_memory_and_is_caught_up_with(
    postgres_store_url: str, postgres_server: PostgresServer
) -> None:
    async with process(postgres_store_url, listen=True, poll=0.1) as here:
        await write(here, NUMBER)
        await here.settled()
        postgres_server.stop()
        lost = "the store cannot be reached: what is in memory is served"
        await until(lambda: lost in here.log.events("warning"))
        assert has(here, NUMBER)()
        postgres_server.start()
        postgres_server.execute(
            f"UPDATE numbers SET name = 'new' WHERE number = '{NUMBER}'; "
            f"INSERT INTO changes (kind, resource_id, key, tm_create) "
            f"SELECT 'number', id, number, now() FROM numbers",
            database(postgres_store_url),
        )
        await until(lambda: here.directory.numbers[NUMBER].name == "new")
        await until(lambda: "the store can be reached again" in here.log.events("info"))
        assert here.feed.healthy
        assert here.log.events("warning").count(lost) == 1  # said once


@pytest.mark.peer
async def test_changes_that_were_deleted_while_it_was_cut_off_lead_to_reading_everything(
    postgres_store_url: str, postgres_server: PostgresServer
) -> None:
    async with process(postgres_store_url, listen=True, poll=0.1) as here:
        await write(here, NUMBER)
        await here.settled()
        postgres_server.stop()
        await until(lambda: here.log.events("warning"))
        postgres_server.start()
        postgres_server.execute(
            f"UPDATE numbers SET name = 'new' WHERE number = '{NUMBER}'; DELETE FROM changes; "
            "INSERT INTO changes (kind, resource_id, key, tm_create) VALUES ('node', gen_random_uuid(), '', now())",
            database(postgres_store_url),
        )
        await until(lambda: here.feed.resynchronisations == 1)
        assert here.directory.numbers[NUMBER].name == "new"


@pytest.mark.peer
async def test_processes_on_one_file_tell_each_other_through_redis(tmp_path: Any, redis_url: str) -> None:
    url = f"sqlite:///{tmp_path}/shared.db"
    async with process(url, redis=redis_url) as one, process(url, redis=redis_url) as two:
        await write(one, NUMBER)
        await until(has(two, NUMBER))
        await write(two, OTHER)
        await until(has(one, OTHER))


@pytest.mark.peer
async def test_without_redis_it_goes_on_and_with_it_again_too(
    tmp_path: Any, redis_url: str, redis_server: RedisServer
) -> None:
    url = f"sqlite:///{tmp_path}/shared.db"
    async with process(url, redis=redis_url) as one, process(url, redis=redis_url, poll=POLL) as two:
        redis_server.stop()
        await until(lambda: not one.notices.connected and not two.notices.connected)
        await write(one, NUMBER)
        await until(has(two, NUMBER))
        redis_server.start()
        await until(lambda: one.notices.connected and two.notices.connected)
        before = two.told
        await write(one, OTHER)
        await until(lambda: two.told > before and has(two, OTHER)())


@pytest.mark.long
async def test_another_process_that_tells_nobody_is_found_out_in_time(store_url: str) -> None:
    """`trunkline admin` on the file of a running engine."""
    other = await Store.open(store_url)
    try:
        async with process(store_url, poll=POLL) as here:
            async with other.write() as transaction:
                await add_number(transaction, NUMBER)
                await add_provider(transaction, "carrier")
            await until(has(here, NUMBER))
            assert here.directory.provider_named("carrier") is not None
    finally:
        await other.close()


async def test_a_process_that_starts_while_others_write_has_everything(store_url: str) -> None:
    other = await Store.open(store_url)
    writing = asyncio.Event()
    try:

        async def writes() -> None:
            for index in range(60):
                async with other.write() as transaction:
                    await add_number(transaction, f"+1555{index:07}")
                writing.set()

        task = asyncio.ensure_future(writes())
        await writing.wait()
        async with process(store_url, poll=0.05) as here:
            await task
            await until(lambda: len(here.directory.numbers) == 60)
            await prune(other, kept=1)
            async with other.read() as connection:
                left = (await connection.execute(sa.select(sa.func.count()).select_from(tables.changes))).scalar_one()
            assert left == 1
            await write(here, OTHER)
            await here.settled()
            assert not here.feed.resynchronisations
    finally:
        await other.close()
