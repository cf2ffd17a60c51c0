"""Stores that are migrated before they are opened, and that share what can be shared.

Migrating an empty database takes a tenth of a second, and hundreds of tests want one. It is done once in a test run,
and every further store begins as a copy: SQLite's in memory and on a disk here, PostgreSQL's in
tests/peers/postgres.py. `Store.open` runs the migrations all the same, and finds that nothing is missing. What they do
to an empty database and to those of earlier versions is tests/store/test_migrations.py's, which takes
`empty_store_url`. The revisions are read once for that.

A statement is compiled once in a test run, too, and not once for every store: compiling is a fifth of the time of
tests that have one.
"""

import asyncio
import sqlite3
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest


@cache
def _template() -> sqlite3.Connection:
    """A migrated database in memory."""
    import sqlalchemy as sa  # not before a test needs it: every other run would wait for the import

    from store.migrations.upgrade import upgrade_on

    # The database is made by one thread, and copied by whichever opens a store.
    template = sqlite3.connect(":memory:", check_same_thread=False)
    engine = sa.create_engine("sqlite://", creator=lambda: template, poolclass=sa.pool.StaticPool)
    with engine.begin() as connection:
        upgrade_on(connection)
    return template


def migrated_file(path: Path) -> None:
    """Make a migrated database of SQLite here."""
    made = sqlite3.connect(path)
    _template().backup(made)
    made.close()


@cache
def _first() -> Any:
    """An engine of SQLAlchemy for SQLite that has been connected, so that its dialect knows what it speaks to."""
    from store.database.engines import open_engines

    async def connected() -> Any:
        engines = open_engines(":memory:")
        async with engines.read():
            pass
        await engines.close()
        return engines.writer.sync_engine

    with ThreadPoolExecutor(1) as thread:  # the loop of the test that opens a store is not to know of this one
        return thread.submit(asyncio.run, connected()).result()


def _share_statements(engine: Any) -> None:
    """Have this engine of SQLAlchemy use what others have compiled, and their dialect, by which it is kept."""
    engine.dialect = engine.pool._dialect = _first().dialect
    engine._compiled_cache = _first()._compiled_cache


@pytest.fixture(scope="session", autouse=True)
def _stores_open_quickly() -> Iterator[None]:
    """Wherever they are opened: by a test, or by an engine that a test starts."""
    opening = sys.modules.get("store.store")
    if opening is None:  # no test of this run imports it
        yield
        return
    from alembic.script import ScriptDirectory

    from store.database.engines import Engines
    from store.migrations.upgrade import configuration

    open_engines = opening.open_engines

    def opened(url: str) -> Engines:
        engines: Engines = open_engines(url)
        if engines.anchor is not None:
            _template().backup(engines.anchor)
        if engines.dialect == "sqlite":
            for each in {engines.writer, engines.reader}:
                _share_statements(each.sync_engine)
        return engines

    revisions = cache(partial(ScriptDirectory.from_config, configuration()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "open_engines", opened)
        patch.setattr(ScriptDirectory, "from_config", lambda _config: revisions())
        yield
