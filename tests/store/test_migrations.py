"""A database of any age becomes today's, with what it holds."""

import warnings
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from store.database import tables
from store.database.engines import open_engines
from store.database.errors import StoreError
from store.migrations.upgrade import revisions, upgrade
from store.store import Store

NOT_RESOURCES = {"alembic_version"}


def differences(connection: sa.Connection) -> list[Any]:
    """Between the database and `store.database.tables`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # indexes on expressions cannot be compared, and alembic says so
        found: list[Any] = compare_metadata(MigrationContext.configure(connection), tables.metadata)
    return found


def one_row_each(connection: sa.Connection) -> list[str]:
    """A row in every table of an old database, with its own columns; the names of the tables."""
    old = sa.MetaData()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        old.reflect(connection)
    filled = [table for table in old.sorted_tables if table.name not in NOT_RESOURCES]
    for table in filled:
        known = tables.metadata.tables[table.name].c
        columns = {column.name: known.get(column.name, column) for column in table.c}
        as_written = sa.table(table.name, *(sa.column(name, column.type) for name, column in columns.items()))
        connection.execute(as_written.insert().values({name: value_for(columns[name]) for name in columns}))
    return [table.name for table in filled]


def value_for(column: sa.Column[Any]) -> Any:
    """Some value of the column's type."""
    if isinstance(column.type, sa.Uuid):
        return UUID(int=7)
    if isinstance(column.type, sa.JSON):
        return {}
    if isinstance(column.type, sa.Boolean):
        return True
    if isinstance(column.type, sa.Integer | sa.Float):
        return 7
    return "seven" if isinstance(column.type, sa.String) else datetime(2026, 11, 21, tzinfo=UTC)


@pytest.mark.parametrize("before", [None, *revisions()[:-1]])
async def test_a_database_of_every_revision_becomes_todays_with_its_rows(
    empty_store_url: str, before: str | None
) -> None:
    filled: list[str] = []
    if before is not None:
        engines = open_engines(empty_store_url)
        await upgrade(engines, before)
        async with engines.write() as connection:
            filled = await connection.run_sync(one_row_each)
            await connection.commit()
        await engines.close()
        assert "calls" in filled
    store = await Store.open(empty_store_url)
    try:
        async with store.write() as transaction:
            assert await transaction.connection.run_sync(differences) == []
            for name in filled:
                rows = (await transaction.execute(sa.select(tables.metadata.tables[name]))).mappings().all()
                assert len(rows) == 1, name
                assert all(rows[0][column.name] is not None for column in rows_not_null(name)), name
    finally:
        await store.close()


async def test_a_message_that_an_earlier_version_was_sending_keeps_its_node(empty_store_url: str) -> None:
    """Until 0004 the process stood in the targets."""
    node, being_sent, over = UUID(int=5), UUID(int=1), UUID(int=2)
    engines = open_engines(empty_store_url)
    await upgrade(engines, "0003")
    async with engines.write() as connection:
        await connection.run_sync(one_row_each)
        for identifier, status, inner in (
            (being_sent, "sending", {"status": "sending", "node_id": str(node)}),
            (over, "failed", {"status": "failed"}),
        ):
            made = {"id": identifier, "status": status, "targets": [inner]}
            as_written = {"direction": "outgoing", "text": "x", "name": "", "detail": "", "destinations": []} | made
            moment = datetime(2026, 11, 21, tzinfo=UTC)
            owner = {"customer_id": UUID(int=7), "number_id": UUID(int=7), "tm_create": moment, "tm_update": moment}
            known = tables.messages.c
            values = as_written | owner
            old = sa.table("messages", *(sa.column(name, known[name].type) for name in values))
            await connection.execute(old.insert().values(values))
        await connection.commit()
    await engines.close()
    store = await Store.open(empty_store_url)
    try:
        async with store.read() as connection:
            found = {row["id"]: row for row in (await connection.execute(sa.select(tables.messages))).mappings()}
    finally:
        await store.close()
    assert (found[being_sent]["node_id"], found[over]["node_id"]) == (node, UUID(int=0))
    assert [found[each]["targets"] for each in (being_sent, over)] == [[{"status": "sending"}], [{"status": "failed"}]]


@pytest.mark.parametrize("before", ["0005", "0007"])
async def test_numbers_that_were_released_before_0008_are_on_offer_again(empty_store_url: str, before: str) -> None:
    """Where they came from the inventory, and nobody has offered or brought them anew since."""
    released = {"status": "released", "origin": "provisioned", "type": "normal", "name": "mine", "price": 5}
    moment, later = datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC)
    old: list[dict[str, Any]] = [
        {"number": "+14155552671", "city": "Reno", "tm_delete": moment},
        {"number": "+14155552671", "city": "Fresno", "tm_delete": later},
        {"number": "+14155552672"},
        {"number": "+14155552672", "status": "active", "tm_delete": None},
        {"number": "+14155552673", "origin": "ported"},
        {"number": "+14155552674", "tm_purchase": None},
        {"number": "+14155552675", "status": "available"},  # withdrawn
        {"number": "+899100000001", "type": "virtual"},
    ]
    engines = open_engines(empty_store_url)
    await upgrade(engines, before)
    async with engines.write() as connection:
        for number, row in enumerate(old, 1):
            made = {"id": UUID(int=number), "customer_id": UUID(int=7), "provider_id": UUID(int=9)}
            times = {"tm_create": moment, "tm_update": moment, "tm_purchase": moment, "tm_delete": later}
            await connection.execute(sa.insert(tables.numbers).values(made | released | times | row))
        await connection.commit()
    await engines.close()
    store = await Store.open(empty_store_url)
    try:
        async with store.read() as connection:
            found = (await connection.execute(sa.select(tables.numbers))).mappings().all()
    finally:
        await store.close()
    assert len(found) == len(old) + 1
    (new,) = [row for row in found if row["status"] == "available" and row["tm_delete"] is None]
    assert (new["number"], new["city"], new["name"], new["price"], new["kind"]) == ("+14155552671", "Fresno", "", 5, "")
    assert (new["customer_id"], new["provider_id"], new["tm_purchase"]) == (UUID(int=0), UUID(int=0), None)


def old_number(number: int, text: str, **more: Any) -> dict[str, Any]:
    moment = datetime(2026, 11, 20, tzinfo=UTC)
    made: dict[str, Any] = {"id": UUID(int=number), "customer_id": UUID(int=7), "number": text, "status": "active"}
    return made | {"type": "normal", "tm_create": moment, "tm_update": moment, "tm_delete": None} | more


async def with_numbers(url: str, *rows: dict[str, Any]) -> None:
    """A database of 0013 with these numbers."""
    engines = open_engines(url)
    await upgrade(engines, "0013")
    async with engines.write() as connection:
        for row in rows:
            await connection.execute(sa.insert(tables.numbers).values(row))
        await connection.commit()
    await engines.close()


async def numbers_in(url: str) -> dict[int, str]:
    engines = open_engines(url)
    async with engines.read() as connection:
        found = (await connection.execute(sa.select(tables.numbers.c.id, tables.numbers.c.number))).all()
    await engines.close()
    return {row.id.int: row.number for row in found}


async def test_numbers_of_before_0014_are_brought_to_the_one_form(empty_store_url: str) -> None:
    deleted = {"tm_delete": datetime(2026, 11, 21, tzinfo=UTC)}
    await with_numbers(
        empty_store_url,
        old_number(1, "+4402079460123"),
        old_number(2, "+5215512345678", status="available"),
        old_number(3, "+15551234567"),
        old_number(4, "+899100000001", type="virtual"),
        old_number(5, "+490301234567"),
        old_number(6, "+49301234567", **deleted),  # one that is no more stands in nobody's way
    )
    await (await Store.open(empty_store_url)).close()
    assert await numbers_in(empty_store_url) == {
        1: "+442079460123",
        2: "+525512345678",
        3: "+15551234567",
        4: "+899100000001",
        5: "+49301234567",
        6: "+49301234567",
    }


async def test_where_two_numbers_would_become_one_nothing_is_changed_and_both_are_named(empty_store_url: str) -> None:
    await with_numbers(
        empty_store_url, old_number(1, "+4402079460123"), old_number(2, "+442079460123"), old_number(3, "+490301234567")
    )
    with pytest.raises(StoreError, match=r"\+4402079460123 and \+442079460123 .* delete one of the two"):
        await Store.open(empty_store_url)
    assert await numbers_in(empty_store_url) == {1: "+4402079460123", 2: "+442079460123", 3: "+490301234567"}


async def test_two_of_which_neither_has_the_form_are_both_named(empty_store_url: str) -> None:
    await with_numbers(empty_store_url, old_number(1, "+490301234567"), old_number(2, "+4900301234567"))
    with pytest.raises(StoreError, match=r"\+49\d+ and \+49\d+ are one number"):
        await Store.open(empty_store_url)


def rows_not_null(name: str) -> list[sa.Column[Any]]:
    return [column for column in tables.metadata.tables[name].c if not column.nullable]


async def test_a_database_of_a_later_version_is_left_alone(store_url: str) -> None:
    store = await Store.open(store_url)
    async with store.write() as transaction:
        await transaction.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    await store.close()
    with pytest.raises(StoreError, match="made by a later version of Trunkline"):
        await Store.open(store_url)
