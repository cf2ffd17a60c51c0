"""Calls in the store: what is written comes back, and what the API and events show of it."""

import json
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from store.database import tables
from store.database.bulk import BulkWrite
from store.database.columns import UtcTime
from store.database.timestamps import api_time
from store.resources.calls import STAGES, call_document, save, stage, stage_events, tell
from store.store import Event
from tests.store.stored_calls import CUSTOMER, NOW, attempt, call, opened, seconds, table

TALKED = {
    "status": "hangup",
    "tm_ringing": NOW + seconds(1),
    "tm_progressing": NOW + seconds(3),
    "tm_hangup": NOW + seconds(63),
    "tm_update": NOW + seconds(63),
    "hangup_by": "remote",
    "hangup_reason": "normal",
    "end_status": 200,
    "end_reason": "OK",
}


async def test_a_call_and_its_attempts_come_back_as_they_were_written(store_url: str) -> None:
    row = call(**TALKED, notes=["Grüße 😀"], metadata={"route_provider_ids": [str(uuid4())], "deep": {"n": 1}})
    tries = [attempt(UUID(int=9), row["id"]), attempt(UUID(int=9), row["id"], place=1, tm_start=None, start_ms=None)]
    async with opened(store_url) as store:
        async with store.write() as transaction:
            await save(transaction, [row], tries)
        assert await table(store, tables.calls) == [row]
        assert await table(store, tables.attempts) == tries


async def test_a_call_that_is_there_is_replaced(store_url: str) -> None:
    row = call()
    async with opened(store_url) as store:
        for later in (row, row | TALKED):
            async with store.write() as transaction:
                await save(transaction, [later])
        assert await table(store, tables.calls) == [row | TALKED]


async def test_what_a_call_is_found_by_stays_as_it_began(store_url: str) -> None:
    """The indexes over these columns are not written again with every change of a call."""
    row, tried = call(), attempt(UUID(int=9), UUID(int=5))
    later = row | TALKED | {"customer_id": uuid4(), "node_id": uuid4(), "tm_create": NOW + timedelta(hours=1)}
    async with opened(store_url) as store:
        for rows, tries in (([row], [tried]), ([later], [tried | {"status": 486, "provider_id": uuid4()}])):
            async with store.write() as transaction:
                await save(transaction, rows, tries)
        assert await table(store, tables.calls) == [row | TALKED]
        assert await table(store, tables.attempts) == [tried | {"status": 486}]


async def test_thousands_of_calls_are_written_at_once(store_url: str) -> None:
    rows = [call(tm_create=NOW + timedelta(microseconds=number)) for number in range(2_345)]
    async with opened(store_url) as store:
        async with store.write() as transaction:
            await save(transaction, rows)
        kept = {row["id"]: row for row in await table(store, tables.calls)}
    assert kept == {row["id"]: row for row in rows}


async def test_prepared_statements_write_what_sqlalchemy_would(store_url: str) -> None:
    """Moments of other zones too: `BulkWrite` has a way of its own for them."""
    moment = datetime(2026, 5, 4, 14, 0, 0, 5, tzinfo=timezone(timedelta(hours=2)))
    one, other = call(tm_create=moment), call(tm_create=moment, notes=["x"], anonymous=True)
    raw = sa.select(*(sa.type_coerce(column, sa.Text) for column in tables.calls.c if isinstance(column.type, UtcTime)))
    async with opened(store_url) as store:
        async with store.write() as transaction:
            await BulkWrite(tables.calls).write(transaction.connection, [one])
            await transaction.execute(sa.insert(tables.calls), other)
        if store.dialect == "sqlite":
            async with store.read() as connection:
                texts = [tuple(row) for row in await connection.execute(raw)]
            assert texts[0] == texts[1]
            assert texts[0][3] == "2026-05-04 12:00:00.000005"
        rows = {row["id"]: row for row in await table(store, tables.calls)}
        assert rows[one["id"]] == one | {"tm_create": moment.astimezone(UTC)}
        assert rows[one["id"]] | {"id": 0, "notes": ["x"], "anonymous": True} == rows[other["id"]] | {"id": 0}


async def test_events_have_ids_that_grow_and_are_published_in_order(store_url: str) -> None:
    async with opened(store_url) as store:
        told: list[Event] = []
        store.hooks.events.append(told.extend)
        for _ in range(2):
            async with store.write() as transaction:
                for number in range(3):
                    transaction.event("call_created", CUSTOMER, {"number": number})
        kept = await table(store, tables.events)
        assert [event.id for event in told] == [row["id"] for row in kept]
        assert [event.id for event in told] == sorted({event.id for event in told})
        assert [row["data"]["number"] for row in kept] == [0, 1, 2, 0, 1, 2]
        # An id is given once, also when the row that had it is gone.
        async with store.write() as transaction:
            await transaction.execute(sa.delete(tables.events))
        async with store.write() as transaction:
            transaction.event("call_created", CUSTOMER, {})
        assert told[-1].id > told[-2].id


def test_a_document_has_every_field_as_json() -> None:
    row = call(**TALKED, id=UUID(int=10), metadata={"a": 1}, media={"codec": "PCMU", "sent": 50}, notes=["n"])
    nil = "00000000-0000-0000-0000-000000000000"
    document = call_document(row)
    assert json.loads(json.dumps(document)) == document == {
        "id": "00000000-0000-0000-0000-00000000000a",
        "customer_id": "00000000-0000-0000-0000-000000000007",
        "flow_id": "00000000-0000-0000-0000-000000000003",
        "number_id": "00000000-0000-0000-0000-000000000002",
        "groupcall_id": nil,
        "provider_id": nil,
        "direction": "incoming",
        "status": "hangup",
        "source": {"type": "tel", "target": "+15550001111", "target_name": "Ann"},
        "destination": {"type": "tel", "target": "+15551234567", "target_name": ""},
        "anonymous": False,
        "hangup_by": "remote",
        "hangup_reason": "normal",
        "sip_status": 200,
        "sip_reason": "OK",
        "metadata": {"a": 1}, "media": {"codec": "PCMU", "sent": 50},
        "notes": ["n"],
        "tm_create": "2026-05-04T12:30:00.123456Z",
        "tm_ringing": "2026-05-04T12:30:01.123456Z",
        "tm_progressing": "2026-05-04T12:30:03.123456Z",
        "tm_hangup": "2026-05-04T12:31:03.123456Z",
        "tm_update": "2026-05-04T12:31:03.123456Z",
        "tm_delete": None,
    }  # fmt: skip


def test_what_is_reported_late_is_reported_as_it_was() -> None:
    events = stage_events(call(**TALKED))
    assert [kind for kind, _ in events] == [kind for kind, _, _ in STAGES]
    shown = [
        (data["status"], data["tm_ringing"], data["tm_progressing"], data["tm_hangup"], data["hangup_reason"])
        for _, data in events
    ]
    rang, answered, over = (api_time(NOW + seconds(number)) for number in (1, 3, 63))
    assert shown == [
        ("dialing", None, None, None, ""),
        ("ringing", rang, None, None, ""),
        ("progressing", rang, answered, None, ""),
        ("hangup", rang, answered, over, "normal"),
    ]
    assert [data["tm_update"] for _, data in events] == [api_time(NOW), rang, answered, over]
    assert [(data["sip_status"], data["sip_reason"], data["hangup_by"]) for _, data in events] == [
        (0, "", ""), (0, "", ""), (0, "", ""), (200, "OK", "remote"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "told", "expected"),
    [
        ({}, 0, ["call_created"]),
        ({}, 1, []),
        ({"tm_ringing": NOW}, 0, ["call_created", "call_ringing"]),
        ({"tm_ringing": NOW}, 1, ["call_ringing"]),
        ({"tm_progressing": NOW}, 1, ["call_progressing"]),  # answered without ringing
        ({"tm_progressing": NOW, "tm_hangup": NOW}, 3, ["call_hangup"]),
        ({"tm_hangup": NOW}, 0, ["call_created", "call_hangup"]),
        ({"tm_hangup": NOW}, 4, []),
    ],
)
def test_every_stage_is_reported_once(values: dict[str, datetime], told: int, expected: list[str]) -> None:
    row = call(**values)
    assert [kind for kind, _ in stage_events(row, told)] == expected
    assert stage_events(row, stage(row) + 1) == []


async def test_the_customer_gets_events_of_its_own_calls(store_url: str) -> None:
    async with opened(store_url) as store:
        async with store.write() as transaction:
            tell(transaction, call(**TALKED), stage_events(call(**TALKED), 2))
        kept = await table(store, tables.events)
    assert [(row["type"], row["customer_id"]) for row in kept] == [
        ("call_progressing", CUSTOMER), ("call_hangup", CUSTOMER),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (None, None),
        (datetime(2026, 5, 4, 12, 30, tzinfo=UTC), "2026-05-04T12:30:00.000000Z"),
        (datetime(2026, 5, 4, 12, 30, 0, 1, tzinfo=UTC), "2026-05-04T12:30:00.000001Z"),
        (datetime(2026, 5, 4, 1, 0, tzinfo=timezone(timedelta(hours=2))), "2026-05-03T23:00:00.000000Z"),
        (datetime(33, 1, 1, tzinfo=UTC), "0033-01-01T00:00:00.000000Z"),
    ],
)
def test_moments_are_written_in_utc_with_microseconds(moment: datetime | None, text: str | None) -> None:
    assert api_time(moment) == text
