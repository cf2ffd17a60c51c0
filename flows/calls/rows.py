"""A call's record as rows of `store.database.tables`: for the store, and for whoever shows a call that runs."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from flows.calls.record import CallRecord
from routing.hunt.attempt import RecordKind
from routing.identifiers import NIL

Row = dict[str, Any]

# What PostgreSQL cannot keep in a text: NUL, and halves of surrogate pairs (bytes of a peer that are no UTF-8).
_UNKEPT = {0: "\ufffd"} | dict.fromkeys(range(0xD800, 0xE000), "\ufffd")
_GIVEN_UP: tuple[RecordKind, str] = ("cancelled", "given up")


def call_row(record: CallRecord, node_id: UUID, now: datetime) -> Row:
    """A row of `tables.calls`. `now` is when it is written, which is when a call that lasts was last changed."""
    created = record.created
    hangup = _moment(created, record.ended_ms)
    return {
        "id": UUID(record.id),
        "customer_id": _id(record.customer_id),
        "node_id": node_id,
        "direction": record.direction,
        "status": record.status if hangup is None else "hangup",
        "source_type": record.source_type,
        "source": _text(record.source),
        "source_name": _text(record.source_name),
        "destination_type": record.destination_type,
        "destination": _text(record.destination),
        "anonymous": record.anonymous,
        "number_id": _id(record.number_id),
        "flow_id": _id(record.call_flow_id),
        "provider_id": _provider(record),
        "groupcall_id": _id(record.groupcall_id),
        "end_status": record.end_status,
        "end_reason": _text(record.end_reason),
        "hangup_reason": record.hangup_reason,
        "hangup_by": record.hangup_by if hangup else "",
        "notes": [_text(note) for note in record.notes],
        "metadata": record.metadata or {},
        "media": record.media or {},
        "sip_call_ids": [_text(call_id) for call_id in record.sip_call_ids],
        "tm_create": _moment(created, 0),
        "tm_ringing": _moment(created, record.ringing_ms),
        "tm_progressing": _moment(created, record.answered_ms),
        "tm_hangup": hangup,
        "tm_update": hangup or now,
        "tm_delete": None,
    }


def attempt_rows(record: CallRecord) -> list[Row]:
    """Rows of `tables.attempts` for a call that is over."""
    call_id, created = UUID(record.id), _moment(record.created, 0)
    rows: list[Row] = []
    for place, attempt in enumerate(record.attempt_reports()):
        kind, reason = attempt.kind, attempt.reason
        if not kind:  # it ran until the call was over
            kind, reason = _GIVEN_UP
        talk_ms = None
        if kind == "answered" and record.ended_ms is not None and attempt.end_ms is not None:
            talk_ms = max(0, record.ended_ms - attempt.end_ms)
        rows.append(
            {
                "call_id": call_id,
                "place": place,
                "provider_id": attempt.provider_id,
                "provider_name": attempt.provider_name,
                "request_uri": _text(attempt.request_uri),
                "tm_start": attempt.start,
                "start_ms": attempt.start_ms,
                "tm_first_reply": attempt.first_reply,
                "first_reply_ms": attempt.first_reply_ms,
                "tm_end": attempt.end,
                "end_ms": attempt.end_ms,
                "kind": kind,
                "status": attempt.status,
                "reason": _text(reason),
                "skipped": attempt.skipped,
                "talk_ms": talk_ms,
                "tm_create": created,
            }
        )
    return rows


def _moment(created: float, milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(created + milliseconds / 1000, UTC)


def _provider(record: CallRecord) -> UUID:
    """The trunk that the call came from, or else went to last."""
    if record.provider_id is not NIL or record.direction == "incoming":
        return record.provider_id
    return next((_id(found.provider_id) for found in reversed(record.attempts) if not found.skipped), NIL)


def _id(value: Any) -> UUID:
    """An id that may be missing, and may be text."""
    if isinstance(value, UUID):
        return value
    return UUID(value) if value else NIL


def _text(value: str) -> str:
    return value if value.isascii() and "\0" not in value else value.translate(_UNKEPT)
