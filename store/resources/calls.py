"""Calls in the store: how they are written, many at once, and how the API and events show one."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from routing.identifiers import NIL
from store.database.bulk import BulkWrite
from store.database.tables import attempts, calls
from store.database.timestamps import api_time
from store.event_types import EventType
from store.rows import Row
from store.store import Transaction

# What never changes in a call's life and is in an index stays.
_CALLS = BulkWrite(calls, upsert=True, stay=("customer_id", "node_id", "tm_create"))
_ATTEMPTS = BulkWrite(attempts, upsert=True, stay=("provider_id", "tm_create"))

_NIL = str(NIL)


class Stage(NamedTuple):
    """What a call goes through: its event, its status, and the column that has the moment of it."""

    event: EventType
    status: str
    moment: str


STAGES: Final = (
    Stage("call_created", "dialing", "tm_create"),
    Stage("call_ringing", "ringing", "tm_ringing"),
    Stage("call_progressing", "progressing", "tm_progressing"),
    Stage("call_hangup", "hangup", "tm_hangup"),
)


def call_document(row: Mapping[str, Any]) -> dict[str, Any]:
    """A call as JSON. `row` has the columns of `tables.calls`."""
    return {
        "id": str(row["id"]),
        "customer_id": _id(row["customer_id"]),
        "flow_id": _id(row["flow_id"]),
        "number_id": _id(row["number_id"]),
        "groupcall_id": _id(row["groupcall_id"]),
        "provider_id": _id(row["provider_id"]),
        "direction": row["direction"],
        "status": row["status"],
        "source": {"type": row["source_type"], "target": row["source"], "target_name": row["source_name"]},
        "destination": {"type": row["destination_type"], "target": row["destination"], "target_name": ""},
        "anonymous": row["anonymous"],
        "hangup_by": row["hangup_by"],
        "hangup_reason": row["hangup_reason"],
        "sip_status": row["end_status"],
        "sip_reason": row["end_reason"],
        "metadata": row["metadata"],
        "media": row["media"],
        "notes": row["notes"],
        "tm_create": api_time(row["tm_create"]),
        "tm_ringing": api_time(row["tm_ringing"]),
        "tm_progressing": api_time(row["tm_progressing"]),
        "tm_hangup": api_time(row["tm_hangup"]),
        "tm_update": api_time(row["tm_update"]),
        "tm_delete": api_time(row["tm_delete"]),
    }


def _id(value: UUID) -> str:
    return _NIL if value is NIL else str(value)


def stage(row: Mapping[str, Any]) -> int:
    """The last of `STAGES` that a call has reached, by its number."""
    last = len(STAGES) - 1
    while last and row[STAGES[last].moment] is None:
        last -= 1
    return last


async def stages_told(transaction: Transaction, ids: Sequence[UUID]) -> dict[UUID, int]:
    """Of those of these calls that are there: how many of `STAGES` have been told."""
    columns = [calls.c.id, *(calls.c[column] for _, _, column in STAGES)]
    found = (await transaction.execute(sa.select(*columns).where(calls.c.id.in_(ids)))).mappings()
    rows: list[Row] = [dict(row) for row in found]
    return {row["id"]: stage(row) + 1 for row in rows}


def stage_events(row: Mapping[str, Any], told: int = 0) -> list[tuple[EventType, dict[str, Any]]]:
    """The events that a call has deserved, of the stages from number `told` on, in order.

    What is written late is told as it was: the document of `call_ringing` rings, even when the call is long over.
    """
    last = stage(row)
    if last < told:
        return []
    whole = call_document(row)
    return [
        (STAGES[number].event, whole if number == last else _as_it_was(whole, number))
        for number in range(told, last + 1)
        if row[STAGES[number].moment] is not None
    ]


def _as_it_was(whole: dict[str, Any], number: int) -> dict[str, Any]:
    _, status, moment = STAGES[number]
    later = {column: None for _, _, column in STAGES[number + 1 :]}
    nothing_yet = {"hangup_by": "", "hangup_reason": "", "sip_status": 0, "sip_reason": "", "media": {}}
    return {**whole, **nothing_yet, **later, "status": status, "tm_update": whole[moment]}


async def save(transaction: Transaction, rows: Sequence[Row], attempt_rows: Sequence[Row] = ()) -> None:
    """Write calls and attempts, whether or not they are there already."""
    await _CALLS.write(transaction.connection, rows)
    if attempt_rows:
        await _ATTEMPTS.write(transaction.connection, attempt_rows)


_MOMENTS = {kind: column for kind, _, column in STAGES}


def tell(transaction: Transaction, row: Mapping[str, Any], events: Iterable[tuple[EventType, dict[str, Any]]]) -> None:
    """Hand a call's `stage_events` to the transaction: each with its own time, however many are written together."""
    for kind, document in events:
        transaction.event(kind, row["customer_id"], document, row[_MOMENTS[kind]])
