"""Stores that are migrated before they are opened.

Migrating an empty database takes a tenth of a second, and hundreds of tests want one. It is done once in a test run,
and every further store begins as a copy: SQLite's in memory and on a disk here, PostgreSQL's in
tests/peers/postgres.py. `Store.open` runs the migrations all the same, and finds that nothing is missing. What they do
to an empty database and to those of earlier versions is tests/store/test_migrations.py's, which takes
`empty_store_url`.
"""

import sqlite3
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

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


@pytest.fixture(scope="session", autouse=True)
def _stores_in_memory_are_migrated() -> Iterator[None]:
    """So that `:memory:` is as quick wherever it is opened: by a test, or by an engine that a test starts."""
    opening = sys.modules.get("store.store")
    if opening is None:  # no test of this run imports it
        yield
        return
    from store.engines import Engines

    open_engines = opening.open_engines

    def opened(url: str) -> Engines:
        engines: Engines = open_engines(url)
        if engines._anchor is not None:
            _template().backup(engines._anchor)
        return engines

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "open_engines", opened)
        yield
