"""Notifications between processes (LISTEN/NOTIFY, Redis pub/sub): "there are changes", "there are events".

One carries no data: whoever hears it looks into the store. One that is lost costs a second (`ChangeFeed` looks by
itself), one too many costs a query.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final
from uuid import uuid4

import asyncpg
from redis import asyncio as redis
from redis.exceptions import RedisError
from sqlalchemy.engine import URL

from engine.log import Log
from engine.worker import WOKEN, Worker
from store.database.engines import reason
from store.store import Change, Event, Store

FIRST_RETRY: Final = 0.1
LAST_RETRY: Final = 5.0
CHECK_EVERY: Final = 5.0
"""Seconds after which a silent connection is asked whether it is still there."""
PATIENCE: Final = 5.0

Heard = Mapping[str, Callable[[], None]]
"""What is called for a notice of each topic ("changes", "events"). After a connection was lost and made again, all are
called: there may have been notifications meanwhile."""


class _Line:
    """One connection that is made again whenever it is lost, in one task."""

    def __init__(self, name: str, shown: str, listen: Callable[[], Awaitable[None]], log: Log) -> None:
        self._name = name
        self._shown = shown
        self._listen = listen
        self._log = log
        self._worker = Worker(name, self._turn, every=0.0, failed=self._lost)
        self._failures = 0
        self.connected = False

    def start(self) -> None:
        self._worker.start()

    def is_up(self) -> None:
        """The connection listens now."""
        if self._failures:
            self._log.info(f"{self._name}: connected again", address=self._shown)
        self._failures = 0
        self.connected = True

    async def close(self) -> None:
        await self._worker.close()

    async def _turn(self) -> None:
        try:
            await self._listen()
        finally:
            self.connected = False

    def _lost(self, error: Exception) -> float:
        """Whatever it is, the next attempt may do better."""
        self._failures = min(self._failures + 1, 30)
        if self._failures == 1:
            self._log.warning(f"{self._name}: connection lost, trying again", address=self._shown, error=reason(error))
        return min(FIRST_RETRY * 2.0 ** (self._failures - 1), LAST_RETRY)


class PostgresNotifications:
    """Hears the notifications that PostgreSQL sends when other processes (and this one) have committed."""

    def __init__(self, store: Store, heard: Heard, log: Log) -> None:
        self._arguments = _connect_arguments(store.address)
        self._heard = heard
        self._line = _Line("PostgreSQL notifications", store.url, self._listen, log)

    @property
    def connected(self) -> bool:
        """Whether notifications come in."""
        return self._line.connected

    def start(self) -> None:
        """Begin to listen."""
        self._line.start()

    async def close(self) -> None:
        """End."""
        await self._line.close()

    async def _listen(self) -> None:
        async with asyncio.timeout(PATIENCE):
            connection = await asyncpg.connect(**self._arguments)
        ended = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _: ended.set())
            async with asyncio.timeout(PATIENCE):
                for topic, call in self._heard.items():
                    await connection.add_listener(f"trunkline_{topic}", lambda *_, call=call: call())
            self._line.is_up()
            for call in self._heard.values():
                call()
            while not ended.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CHECK_EVERY):
                        await ended.wait()
                if not ended.is_set():
                    await connection.execute("SELECT 1", timeout=PATIENCE)
            raise ConnectionResetError("the server closed the connection")
        finally:
            connection.terminate()


def _connect_arguments(url: URL) -> dict[str, Any]:
    """What SQLAlchemy would connect with, without what is its own."""
    url = url.set(drivername="postgresql+asyncpg")
    _, arguments = url.get_dialect()().create_connect_args(url)
    mine = {"prepared_statement_cache_size", "prepared_statement_name_func", "async_fallback", "async_creator_fn"}
    return {name: value for name, value in arguments.items() if name not in mine}


class RedisNotifications:
    """Tells other processes through Redis of this one's commits, and hears theirs."""

    def __init__(self, url: str, store: Store, heard: Heard, log: Log) -> None:
        self._store = store
        self._heard = heard
        self._client = redis.Redis.from_url(
            url, socket_connect_timeout=PATIENCE, socket_timeout=2 * CHECK_EVERY, health_check_interval=CHECK_EVERY
        )
        shown = url.partition("://")[2].rpartition("@")[2]
        self._line = _Line("Redis notifications", shown, self._listen, log)
        self._me = uuid4().hex.encode()
        self._to_tell: dict[str, None] = {}
        self._teller = Worker("publish to Redis", self._tell, first=WOKEN)

    @property
    def connected(self) -> bool:
        """Whether notifications come in."""
        return self._line.connected

    def start(self) -> None:
        """Begin to listen and to tell."""
        self._line.start()
        self._teller.start()
        self._store.hooks.changes.append(self._changed)
        self._store.hooks.events.append(self._news)

    async def close(self) -> None:
        """End."""
        for listeners, mine in (
            (self._store.hooks.changes, self._changed),
            (self._store.hooks.events, self._news),
        ):
            with contextlib.suppress(ValueError):
                listeners.remove(mine)  # type: ignore[arg-type]
        await self._teller.close()
        await self._line.close()
        await self._client.aclose()

    def _changed(self, _changes: Sequence[Change]) -> None:
        self._to_tell["changes"] = None
        self._teller.wake()

    def _news(self, _events: Sequence[Event]) -> None:
        self._to_tell["events"] = None
        self._teller.wake()

    async def _tell(self) -> None:
        topics, self._to_tell = list(self._to_tell), {}
        for topic in topics:
            # One that cannot be told is not told later: the others look by themselves every second.
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                await self._client.publish(f"trunkline:{topic}", self._me)

    async def _listen(self) -> None:
        calls = {f"trunkline:{topic}".encode(): call for topic, call in self._heard.items()}
        async with self._client.pubsub() as channel:
            await channel.subscribe(*calls)
            while True:
                message = await channel.get_message(timeout=CHECK_EVERY)
                if message is None:
                    await channel.ping()
                elif message["type"] == "subscribe":
                    self._line.is_up()
                    calls[message["channel"]]()
                elif message["type"] == "message" and message["data"] != self._me:
                    calls[message["channel"]]()
