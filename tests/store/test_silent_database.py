"""A PostgreSQL that is there and says nothing: whoever asked it hears so in time, and the next one is served."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from store.database import engines, tables
from store.database.errors import StoreBusy, StoreError
from store.migrations.upgrade import upgrade
from store.store import Store
from tests.peers.postgres import PostgresServer

pytestmark = pytest.mark.peer
LIMITS = {"POOL_TIMEOUT": 1.0, "CONNECT_WITHIN": 1.0, "STATEMENT_WITHIN": 0.15, "CLOSE_WITHIN": 0.05}
CONNECTIONS = {"POSTGRES_CONNECTIONS": 1, "POSTGRES_URGENT": 1}


class Line:
    """A way to the server that can fall silent without being cut, as where packets get lost."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open: list[asyncio.Event] = []
        self.mute = False
        """New connections get no answer either."""
        self.server: asyncio.Server | None = None

    async def start(self) -> None:
        self.server = await asyncio.start_server(self._carry, "127.0.0.1", 0)

    @property
    def port(self) -> int:
        assert self.server is not None
        port: int = self.server.sockets[0].getsockname()[1]
        return port

    def fall_silent(self) -> None:
        """Nothing more comes through what is connected now; new connections are in order."""
        for hears in self._open:
            hears.clear()
        self._open.clear()

    async def _carry(self, ours: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        hears = asyncio.Event()
        if not self.mute:
            hears.set()
            self._open.append(hears)
        theirs, there = await asyncio.open_connection("127.0.0.1", self._port)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with suppress(OSError):
                while data := await source.read(65536):
                    await hears.wait()
                    sink.write(data)
            sink.close()

        with suppress(asyncio.CancelledError):
            await asyncio.gather(pump(ours, there), pump(theirs, back))


@pytest.fixture
async def line(
    postgres_store_url: str, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Line, str]]:
    for name, value in (LIMITS | CONNECTIONS).items():
        monkeypatch.setattr(engines, name, value)
    line = Line(postgres_server.port)
    await line.start()
    yield line, make_url(postgres_store_url).set(port=line.port).render_as_string(hide_password=False)
    assert line.server is not None
    line.server.close()


async def test_a_connection_that_fell_silent_is_given_up_and_the_next_is_a_new_one(line: tuple[Line, str]) -> None:
    way, url = line
    store = await Store.open(url)
    async with store.read() as connection:
        await connection.execute(sa.select(1))
    way.fall_silent()
    with pytest.raises(StoreBusy, match="became free, or answered, in"):
        async with asyncio.timeout(10), store.read():
            pass
    async with asyncio.timeout(10), store.read() as connection:
        assert (await connection.execute(sa.select(1))).scalar_one() == 1
    await store.close()


@pytest.mark.parametrize("urgent", [False, True])
async def test_a_write_that_gets_no_answer_fails_and_leaves_no_connection_behind(
    line: tuple[Line, str], urgent: bool
) -> None:
    way, url = line
    store = await Store.open(url)
    with pytest.raises(StoreError, match="did not answer within"):
        async with asyncio.timeout(10), store.write(urgent=urgent) as transaction:
            await transaction.execute(sa.select(1))
            way.fall_silent()
            await transaction.execute(sa.select(1))
    async with asyncio.timeout(10), store.write(urgent=urgent) as transaction:
        assert (await transaction.execute(sa.select(sa.func.count()).select_from(tables.calls))).scalar_one() == 0
    await store.close()


async def test_a_commit_that_gets_no_answer_fails(line: tuple[Line, str]) -> None:
    way, url = line
    store = await Store.open(url)
    with pytest.raises(StoreError, match="did not answer within"):
        async with asyncio.timeout(10), store.write() as transaction:
            await transaction.execute(sa.select(1))
            way.fall_silent()
    await store.close()


async def test_a_start_on_a_database_that_says_nothing_ends_with_a_sentence(line: tuple[Line, str]) -> None:
    way, url = line
    way.mute = True
    with pytest.raises(StoreError, match=r"cannot be reached|became free, or answered"):
        async with asyncio.timeout(10):
            await Store.open(url)


async def test_a_migration_may_take_longer_than_a_statement_of_a_request(line: tuple[Line, str]) -> None:
    _, url = line
    opened = engines.open_engines(url)
    async with opened.migrate() as connection:
        await connection.execute(sa.select(sa.func.pg_sleep(2 * LIMITS["STATEMENT_WITHIN"])))
    await upgrade(opened)
    await opened.close()
