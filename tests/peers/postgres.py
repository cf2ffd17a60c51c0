"""A PostgreSQL server of the test run's own, and a fresh database for every test that asks for one.

Debian's `postgresql` has all that is needed. Its cluster and its service are left alone: the server here has a
directory, a port and a superuser of its own. What is tested connects as `trunkline`, a role that owns its database and
nothing else, as it would in production.
"""

import asyncio
import os
import pwd
import signal
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from tests.migrated import migrated_file
from tests.peers.local_server import HOST, LocalServer
from tests.peers.process import Process, ending_with_parent, require

ROLE = "trunkline"
"""Who connects."""

_SUPERUSER = "postgres"

_SETTINGS = {
    "listen_addresses": HOST,
    "fsync": "off",  # nothing here outlives a test; `kill -9` of a server loses nothing by it, only a power cut does
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "200",
    "max_wal_size": "256MB",
    "log_checkpoints": "off",
    "lc_messages": "C",  # its log is read
}


def _folders() -> list[str]:
    """Where servers are that are not on the PATH, as on Debian; the newest first."""
    found = Path("/usr/lib/postgresql").glob("*/bin")
    return [str(path) for path in sorted(found, key=lambda path: path.parent.name.zfill(3), reverse=True)] + [
        "/usr/local/pgsql/bin"
    ]


def _other_user() -> pwd.struct_passwd | None:
    """Whom the server runs as: it refuses to be root's."""
    if os.geteuid() != 0:
        return None
    with suppress(KeyError):
        return pwd.getpwnam("postgres")
    return pwd.getpwnam("nobody")


class PostgresServer(LocalServer):
    """One running server with a database cluster in a temporary directory. A context manager; leaving it ends the
    server and removes the directory.

    Its methods block, the loop of an asynchronous test included: some 10 ms for a question, 100 ms for `start` and
    `stop`.
    """

    ready = r"database system is ready to accept connections"

    def __init__(self) -> None:
        """Makes the cluster and starts it. Skips the test where PostgreSQL is not installed; in CI that fails."""
        # The link that some put on the PATH leads to the folder that has initdb and psql too.
        self._programs = Path(require("postgres", "postgresql", *_folders())).resolve().parent
        super().__init__("postgres")
        self._user = _other_user()
        self._numbers = count(1)
        self._migrated = ""
        try:
            if self._user is not None:
                os.chown(self.directory, self._user.pw_uid, self._user.pw_gid)
            self._make_cluster()
            self.start()
            self.execute(f"CREATE ROLE {ROLE} LOGIN")
        except BaseException:
            self.close()
            raise

    def url(self, database: str) -> str:
        """The URL of a database, over TCP."""
        return f"postgresql://{ROLE}@{HOST}:{self.port}/{database}"

    def command(self) -> Sequence[str]:
        settings = _SETTINGS | {"port": str(self.port), "unix_socket_directories": str(self.directory)}
        words = [f"--{name}={value}" for name, value in settings.items()]
        return [*self._as_user("QUIT"), str(self._programs / "postgres"), "-D", str(self._data), *words]

    def end(self, process: Process) -> None:
        process.stop(sign=signal.SIGINT)  # the fast way: SIGTERM would wait until every client has left by itself

    def create_database(self) -> str:
        """Makes an empty database that `trunkline` owns, and returns its name."""
        # template0, as nobody is ever connected to that one, which would forbid copying it.
        return self._copy("template0")

    def create_migrated_database(self) -> str:
        """The same with all tables of the store, and no rows."""
        if not self._migrated:
            empty = self.create_database()
            # In a thread of its own, as the test's loop is not to know of this one.
            with ThreadPoolExecutor(1) as thread:
                thread.submit(asyncio.run, _migrate(self.url(empty))).result()
            self._migrated = empty
        return self._copy(self._migrated)

    def _copy(self, template: str) -> str:
        name = f"test_{next(self._numbers)}"
        # Its files are copied: some 8 MB, which would all go through the write-ahead log otherwise.
        self.execute(f"CREATE DATABASE {name} OWNER {ROLE} TEMPLATE {template} STRATEGY FILE_COPY")
        return name

    def drop_database(self, database: str) -> None:
        """Removes a database, and whoever is connected to it."""
        self.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    def terminate_connections(self, database: str) -> int:
        """Ends every connection to a database, as the server's administrator would; returns how many there were."""
        ended = self.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")
        return ended.splitlines().count("t")

    def execute(self, statement: str, database: str = "postgres") -> str:
        """Runs one statement as the superuser, and returns its rows, a line each, columns separated by `|`."""
        done = subprocess.run(
            [
                *(str(self._programs / "psql"), "--no-psqlrc", "--quiet", "--no-align", "--tuples-only"),
                *("--set=ON_ERROR_STOP=1", "--host", HOST, "--port", str(self.port)),
                *("--username", _SUPERUSER, "--dbname", database, "--command", statement),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, f"{statement}: {done.stderr}\n{self.log}"
        return done.stdout

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _as_user(self, sign: str) -> list[str]:
        if self._user is None:
            return ending_with_parent(sign)
        require("setpriv", "util-linux")
        return ending_with_parent(sign, user=self._user.pw_name, group=str(self._user.pw_gid))

    def _make_cluster(self) -> None:
        done = subprocess.run(
            [
                *(*self._as_user("KILL"), str(self._programs / "initdb"), "-D", str(self._data)),
                *("--username", _SUPERUSER, "--auth=trust", "--no-sync", "--no-instructions"),
                # Texts sort as they do for people ("a" before "B"), as on most servers, and not by code points as on
                # SQLite: what counts on one order is found here.
                *("--encoding=UTF8", "--locale=C", "--locale-provider=icu", "--icu-locale=en-US"),
            ],
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"initdb made no cluster: {done.stdout}{done.stderr}"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The test run's PostgreSQL server, started by the first test that needs it.

    A test may `stop` and `start` it, which keeps its port and its data, and `terminate_connections`; it need not put
    things right, as the next test that asks for `postgres_url` finds it running.
    """
    with PostgresServer() as server:
        yield server


async def _migrate(url: str) -> None:
    from store.store import Store

    await (await Store.open(url)).close()


def _given(server: PostgresServer, database: str) -> Iterator[str]:
    yield server.url(database)
    server.start()
    server.drop_database(database)


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of an empty database of this test's own; it is dropped afterwards, with whoever is still connected."""
    postgres_server.start()
    yield from _given(postgres_server, postgres_server.create_database())


@pytest.fixture
def postgres_store_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The same with all tables of the store, and no rows."""
    postgres_server.start()
    yield from _given(postgres_server, postgres_server.create_migrated_database())


_DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)]


@pytest.fixture(params=_DATABASES)
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store of this test's own, with all tables and no rows, on SQLite and on PostgreSQL: the test runs
    once on each."""
    if request.param == "sqlite":
        migrated_file(tmp_path / "trunkline.db")
        return f"sqlite:///{tmp_path}/trunkline.db"
    url: str = request.getfixturevalue("postgres_store_url")
    return url


@pytest.fixture(params=_DATABASES)
def empty_store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without any table, on SQLite and on PostgreSQL: for what happens at the first start."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/trunkline.db"
    url: str = request.getfixturevalue("postgres_url")
    return url
