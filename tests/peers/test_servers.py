"""The PostgreSQL and the Redis of the test run: they are real, clean for each test, and can be lost and found again."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from uuid import UUID

import asyncpg
import pytest
import sqlalchemy as sa
from redis import asyncio as redis
from redis.exceptions import ConnectionError as RedisConnectionError

from store.database import tables
from store.store import Store
from tests.peers.postgres import PostgresServer
from tests.peers.process import require
from tests.peers.redis_server import RedisServer

ROOT = Path(__file__).resolve().parents[2]
# asyncpg has no one exception for it: which one comes depends on how far the server's last words were read.
LOST = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)

pytestmark = pytest.mark.peer


async def answer(url: str, question: str) -> object:
    """What a query gives on a connection of its own."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


async def test_a_database_answers_over_tcp(postgres_url: str) -> None:
    assert await answer(postgres_url, "SELECT 1") == 1


@pytest.mark.parametrize("turn", ["first", "second"])
async def test_every_test_finds_its_database_empty(postgres_url: str, turn: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    try:
        assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
        await connection.execute("CREATE TABLE leftover (id int)")
    finally:
        await connection.close()


async def test_the_role_owns_its_database_and_is_nobody_else(
    postgres_url: str, postgres_server: PostgresServer
) -> None:
    assert await answer(postgres_url, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False
    owner = "SELECT pg_get_userbyid(datdba) = current_user FROM pg_database WHERE datname = current_database()"
    assert await answer(postgres_url, owner) is True


async def test_texts_sort_as_they_do_for_people(postgres_url: str) -> None:
    """What counts on the order of code points would pass otherwise, and fail on most servers."""
    assert await answer(postgres_url, "SELECT 'a' < 'B'") is True


async def test_a_lost_server_comes_back_on_its_port_with_its_data(
    postgres_url: str, postgres_server: PostgresServer
) -> None:
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("CREATE TABLE kept AS SELECT 7 AS seven")
    before = postgres_server.pid
    postgres_server.stop()
    assert not postgres_server.running
    with pytest.raises(LOST):
        await connection.fetchval("SELECT 1")
    with pytest.raises(OSError):
        await asyncpg.connect(postgres_url)
    postgres_server.start()
    assert postgres_server.pid not in (0, before)
    assert await answer(postgres_url, "SELECT seven FROM kept") == 7


@pytest.mark.parametrize("turn", ["stops", "finds"])
async def test_a_test_that_leaves_the_server_stopped_spoils_no_other(
    turn: str, postgres_url: str, postgres_server: PostgresServer
) -> None:
    assert await answer(postgres_url, "SELECT 1") == 1
    if turn == "stops":
        postgres_server.stop()


async def test_connections_to_one_database_are_ended_and_others_not(
    postgres_url: str, postgres_server: PostgresServer
) -> None:
    other_database = postgres_server.create_database()
    mine = [await asyncpg.connect(postgres_url) for _ in range(2)]
    other = await asyncpg.connect(postgres_server.url(other_database))
    ended = [asyncio.Event() for _ in mine]
    for connection, event in zip(mine, ended, strict=True):
        connection.add_termination_listener(lambda _, event=event: event.set())
    try:
        assert postgres_server.terminate_connections(postgres_url.rpartition("/")[2]) == 2
        async with asyncio.timeout(30):
            for event in ended:
                await event.wait()
        assert await other.fetchval("SELECT 1") == 1
        postgres_server.drop_database(other_database)  # though somebody is connected
        assert other_database not in postgres_server.execute("SELECT datname FROM pg_database")
    finally:
        for connection in [*mine, other]:
            connection.terminate()


def test_the_store_is_tested_on_both(empty_store_url: str, request: pytest.FixtureRequest) -> None:
    scheme = empty_store_url.partition("://")[0]
    assert request.node.callspec.id == scheme
    assert scheme != "sqlite" or not Path(empty_store_url.removeprefix("sqlite:///")).exists()


@pytest.mark.parametrize("turn", ["first", "second"])
async def test_a_store_is_given_with_its_tables_and_no_rows(store_url: str, turn: str) -> None:
    """As many as the migrations make, and nothing of the test before."""
    store = await Store.open(store_url)
    try:
        async with store.write() as transaction:
            for table in tables.metadata.sorted_tables:
                assert (await transaction.execute(sa.select(sa.func.count()).select_from(table))).scalar_one() == 0
            transaction.changed("queue", UUID(int=1))
    finally:
        await store.close()


async def test_redis_answers_and_is_empty(redis_url: str) -> None:
    async with redis.Redis.from_url(redis_url) as client:
        assert await client.ping()
        assert await client.dbsize() == 0
        await client.set("leftover", "1")


async def test_redis_is_empty_in_the_next_test_too(redis_url: str) -> None:
    async with redis.Redis.from_url(redis_url) as client:
        assert await client.dbsize() == 0


async def test_a_lost_redis_comes_back_on_its_port_and_knows_nothing(redis_url: str, redis_server: RedisServer) -> None:
    async with redis.Redis.from_url(redis_url, retry=None) as client:
        await client.set("key", "1")
        redis_server.stop()
        with pytest.raises(RedisConnectionError):
            await client.ping()
        redis_server.start()
        assert await client.get("key") is None


_KILLED = """
import os, signal, sys
from tests.peers.postgres import PostgresServer
from tests.peers.process import Process
from tests.peers.redis_server import RedisServer
postgres, redis, program = PostgresServer(), RedisServer(), Process(["sleep", "1000"])
print(postgres.pid, redis.pid, program.pid, postgres.directory, redis.directory, flush=True)
sys.stdin.read()
"""


def test_a_test_run_that_is_killed_leaves_no_program_and_no_directory() -> None:
    require("setpriv", "util-linux")
    run = subprocess.Popen(
        [sys.executable, "-c", _KILLED], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert run.stdin is not None and run.stdout is not None
    words = run.stdout.readline().split()
    servers, directories = [int(word) for word in words[:3]], [Path(word) for word in words[3:]]
    try:
        assert (len(servers), len(directories)) == (3, 2)
        assert all(is_alive(pid) for pid in servers) and all(path.is_dir() for path in directories)
        run.kill()
        run.wait(10)
        deadline = monotonic() + 10
        while any(is_alive(pid) for pid in servers) or any(path.exists() for path in directories):
            assert monotonic() < deadline, f"{words} are left"
            sleep(0.01)  # the kernel tells nobody but the parent, which is gone
    finally:
        run.kill()
        for pid in servers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pipe in (run.stdin, run.stdout):
            pipe.close()


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
