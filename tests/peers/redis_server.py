"""A Redis server of the test run's own, empty at the beginning of every test that asks for it."""

from collections.abc import Iterator, Sequence

import pytest

from tests.peers.local_server import HOST, LocalServer
from tests.peers.process import require


class RedisServer(LocalServer):
    """One running server that keeps nothing: it is empty after `stop` and `start`. A context manager."""

    ready = r"Ready to accept connections"

    def __init__(self) -> None:
        """Starts it. Skips the test where Redis is not installed; in CI that fails."""
        self._program = require("redis-server", "redis-server")
        super().__init__("redis")
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """What the setting `redis` takes."""
        return f"redis://{HOST}:{self.port}/0"

    def command(self) -> Sequence[str]:
        words = [self._program, "--bind", HOST, "--port", str(self.port)]
        return [*words, "--save", "", "--appendonly", "no", "--dir", str(self.directory)]


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """The test run's Redis server, started by the first test that needs it.

    A test may `stop` and `start` it, which keeps its port and loses its data; it need not put things right, as the
    next test that asks for `redis_url` finds it running.
    """
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of an empty Redis server."""
    from redis import Redis  # not before a test needs it: every other run would wait for the import

    redis_server.start()
    with Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url
