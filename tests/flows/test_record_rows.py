"""A call's record as rows: a value for every column, as they are written without the defaults of the tables."""

from datetime import UTC, datetime
from uuid import uuid4

from flows.calls.record import CallRecord, attempt_rows, call_row
from routing.hunt.attempt import AttemptRecord
from store.database import tables


def test_rows_have_exactly_the_columns_of_their_tables() -> None:
    """A column that is missing would have every call lost."""
    record = CallRecord(str(uuid4()), "incoming", ended_ms=5)
    assert set(call_row(record, uuid4(), datetime.now(UTC))) == set(tables.calls.c.keys())
    record.tried.append([AttemptRecord(provider_id=uuid4(), provider_name="p")])
    (row,) = attempt_rows(record)
    assert set(row) == set(tables.attempts.c.keys())
