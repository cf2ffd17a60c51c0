"""The attempts of a call: every provider that was tried or skipped."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from pydantic import BaseModel

from api.http.auth import Who, guarded
from api.http.bodies import router_for
from api.http.listing import Listing
from api.http.services import Services, Use
from api.models.carriers import Carriers
from api.models.fields import Timestamp
from api.resources.calls.calls import CALLS
from flows.calls.record import CallRecord, attempt_rows
from store.database import tables
from store.rows import Row
from store.store import Executor

router = router_for("calls")


class Attempt(BaseModel):
    """One provider's turn, or a SIP URI's (`provider_id` is nil then). The `_ms` fields count from the beginning of the
    call.

    `outcome` is "" while it runs, then `answered`, `refused`, `no_reply`, `no_progress`, `ring_timeout`, `unreachable`,
    `cancelled`, or `skipped`, with the word for why in `skipped`. `sip_status` is its final status, 0 for none;
    `reason` its reason phrase, or the cause in words. Which provider it was, and what was asked of it, super admins
    alone see: customers find the nil UUID, "" and the phrase that goes with the status.
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


@router.get(
    "/calls/{call_id}/attempts",
    summary="List what was tried for a call",
    response_model=Listing[Attempt],
    **guarded("customer_agent"),
)
async def list_attempts(services: Use, caller: Who, call_id: UUID) -> Any:
    """What was tried for a call, in order; of a call that runs, what has been tried so far. All of it is on one
    page."""
    async with services.store.read() as connection:
        call = await CALLS.find(connection, caller, call_id)
        found = [_answer(row) for row in await attempts_of(services, connection, call)]
    if not caller.is_super:
        carriers = Carriers(services.flows.calls.directory)
        found = [carriers.attempt(document) for document in found]
    return {"result": found, "next_page_token": ""}


async def attempts_of(services: Services, executor: Executor, call: Row) -> list[Row]:
    """Rows of what was tried for a call, in order; of one that runs, so far."""
    record = services.flows.calls.registry.get(str(call["id"])) if call["tm_hangup"] is None else None
    if record is not None:
        return _so_far(record)
    query = sa.select(tables.attempts).where(tables.attempts.c.call_id == call["id"])
    kept = await executor.execute(query.order_by(tables.attempts.c.place))
    return [dict(row) for row in kept.mappings()]


def _so_far(record: CallRecord) -> list[Row]:
    """Rows of a call that has not been written as over: what has no outcome yet still runs."""
    attempts = record.attempts
    return [
        row if attempt.kind or record.ended_ms is not None else row | {"kind": "", "reason": ""}
        for row, attempt in zip(attempt_rows(record), attempts, strict=True)
    ]


def _answer(row: Row) -> Row:
    return row | {"outcome": row["kind"], "sip_status": row["status"]}
