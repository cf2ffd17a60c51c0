"""What holds for every test: how thoroughly hypothesis searches, what an engine of a test leaves alone, and servers.

`HYPOTHESIS_PROFILE=thorough` in the environment, or the quick default: the quick profile tries the same examples in
every run, so that a run that failed fails again, here and in CI. The thorough one searches anew every time; what it
finds becomes a test of its own or an `@example`.
"""

import gc
import os
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import settings

from tests import network

# An engine that a test starts from a small file would listen on the API's port and write a database beside the
# sources, and two of them would meet there. This goes before what a file says: a test that wants an API or a database
# on disk gives its engine an environment of its own (`engine_environment` of tests/peers/engine.py).
os.environ["TRUNKLINE_API__LISTEN"] = ""
os.environ["TRUNKLINE_STORE"] = ":memory:"

# A traceback with every local variable, as structlog draws it by default, takes seconds.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)

# The fixtures postgres_server, postgres_url, store_url, redis_server and redis_url, for tests of every package; and
# what makes stores and passwords quick.
pytest_plugins = ["tests.cheap_passwords", "tests.migrated", "tests.peers.postgres", "tests.peers.redis_server"]

settings.register_profile("quick", max_examples=50, derandomize=True, deadline=None)
settings.register_profile("thorough", max_examples=1000, derandomize=False, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


# Their programs have addresses and ports of their own, which are the same in every test.
_FIXED_PORTS = ("tests/peers/", "tests/api/test_tutorials.py", "tests/docs/test_cli_page.py")


def pytest_configure(config: pytest.Config) -> None:
    """Where several processes run the tests, this one only hands them out."""
    if (hasattr(config, "workerinput") or not config.getoption("numprocesses", None)) and network.may_be_own():
        network.become_own()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """What one process runs, where several share the tests: each file is one lot, and all that call with programs on
    fixed ports are one where the processes have one network."""
    from xdist.scheduler import LoadFileScheduling

    together = () if network.may_be_own() else _FIXED_PORTS

    class Lots(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "peers" if nodeid.startswith(together) else super()._split_scope(nodeid)

    return Lots(config, log)


# Importing and collecting make some millions of objects that stay. Whoever looks for circles collects by itself.
gc.set_threshold(100_000, 50, 50)


def pytest_collection_finish() -> None:
    """What has been imported stays: the garbage collector need not look through it again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def _what_files_leave_stays() -> None:
    """Caches, reports and what is imported on the way, too: tests that look for circles would look through it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _the_log_is_as_it_was() -> Iterator[None]:
    """An engine sets up the log of the process, to a stream that is closed with its test."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)
