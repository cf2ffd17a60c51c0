"""The attempts of a call: every provider that was tried or skipped."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from pydantic import BaseModel

from api.auth import Who, guarded
from api.bodies import router_for
from api.calls import CALLS
from api.fields import Timestamp
from api.listing import Listing
from api.services import Use
from flows.call_rows import attempt_rows
from flows.record import CallRecord
from store import tables
from store.rows import Row

router = router_for("calls")


class Attempt(BaseModel):
    """One provider's turn, or a SIP URI's (`provider_id` is nil then). The `_ms` fields count from the beginning of the
    call.

    `outcome` is "" while it runs, then `answered`, `refused`, `no_reply`, `no_progress`, `ring_timeout`, `unreachable`,
    `cancelled`, or `skipped`, with the word for why in `skipped`. `sip_status` is its final status, 0 for none;
    `reason` its reason phrase, or the cause in words.
    """

    provider_id: UUID
    provider_name: str
    request_uri: str
    outcome: str
    sip_status: int
    reason: str
    skipped: str
    tm_start: Timestamp | None
    start_ms: int | None
    tm_first_reply: Timestamp | None
    first_reply_ms: int | None
    tm_end: Timestamp | None
    end_ms: int | None


@router.get("/calls/{call_id}/attempts", response_model=Listing[Attempt], **guarded("customer_agent"))
async def list_attempts(services: Use, caller: Who, call_id: UUID) -> Any:
    """What was tried for a call, in order; of a call that runs, what has been tried so far. All of it is on one
    page."""
    async with services.store.read() as connection:
        call = await CALLS.find(connection, caller, call_id)
        query = sa.select(tables.attempts).where(tables.attempts.c.call_id == call_id)
        kept = await connection.execute(query.order_by(tables.attempts.c.place))
        found: list[Row] = [dict(row) for row in kept.mappings()]
    record = services.env.calls.get(str(call_id)) if call["tm_hangup"] is None else None
    if record is not None:
        found = _so_far(record)
    return {"result": [_answer(row) for row in found], "next_page_token": ""}


def _so_far(record: CallRecord) -> list[Row]:
    """Rows of a call that has not been written as over: what has no outcome yet still runs."""
    attempts = record.attempts
    return [
        row if attempt.kind or record.ended_ms is not None else row | {"kind": "", "reason": ""}
        for row, attempt in zip(attempt_rows(record), attempts, strict=True)
    ]


def _answer(row: Row) -> Row:
    return row | {"outcome": row["kind"], "sip_status": row["status"]}
