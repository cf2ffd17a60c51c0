"""Call records: who, when, how it ended and why, and every provider that was tried."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from engine.call_media import NO_MEDIA
from engine.sip.dialog.usage import LIMIT_REACHED, NOT_ANSWERED
from engine.sip.message.message import BodyPart
from flows.calls.ports import CallLeg
from routing.directory.extensions import ExtensionRow
from routing.directory.rows import NumberRow
from routing.hunt.attempt import AttemptRecord, AttemptReport, RecordKind, report
from routing.hunt.identity import NOT_FORWARDED, Forwarded
from routing.hunt.outcome import LastOutcome, hangup_reason
from routing.identifiers import NIL

Row = dict[str, Any]

# What PostgreSQL cannot keep in a text: NUL, and halves of surrogate pairs (bytes of a peer that are no UTF-8).
_UNKEPT = {0: "\ufffd"} | dict.fromkeys(range(0xD800, 0xE000), "\ufffd")
_GIVEN_UP: tuple[RecordKind, str] = ("cancelled", "given up")


@dataclass(slots=True)
class CallRecord:
    """One call, kept after it is over.

    `created` is seconds since 1970 (UTC) of the INVITE; the `_ms` fields count from it and are None for what never
    happened. `begun` is the same moment on the engine's clock. `number` is the number of ours whose flow ran, `flow`
    that flow's name or id. `hangup_by` is `remote`, `local` or "" while the call lasts. `status` follows the caller's
    leg, of a call of our own the leg that is dialled. `customer_id` is whose call it is, the nil UUID is the platform.
    """

    id: str
    direction: str
    source: str = ""
    source_name: str = ""
    destination: str = ""
    logged_in: bool = False
    """Whether the caller has shown credentials of one of our clients. It is not kept in the store."""
    phone: ExtensionRow | None = None
    """Whose credentials the caller, or who has transferred the call, has shown. It is not kept in the store."""
    shown: str = ""
    """The number that the caller presents, where that is not `source`, which is asserted of it: a phone's is one of its
    own, or none."""
    shown_name: str = ""
    """The name that goes with `shown`, but for a phone's."""
    own_fields: tuple[tuple[str, str], ...] = ()
    """Header fields of the caller's own that may go on to whom it reaches."""
    number_parameters: tuple[tuple[str, str], ...] = ()
    """Of the number that was dialled (RFC 4694)."""
    parts: tuple[BodyPart, ...] = ()
    """What its INVITE holds beside a session description."""
    location: tuple[tuple[str, str], ...] = ()
    """The header fields that say where the caller is (RFC 6442)."""
    forwarded: Forwarded = NOT_FORWARDED
    """Who has forwarded the call before it came to us."""
    guest: bool = False
    """Whether the caller is neither a trunk nor a client of ours. It is not kept in the store."""
    anonymous: bool = False
    """Whether the caller asked for its number to be withheld."""
    number: str = ""
    flow: str = ""
    customer_id: UUID = NIL
    source_type: str = "tel"
    destination_type: str = "tel"
    call_flow_id: UUID = NIL
    provider_id: UUID = NIL
    """The trunk that it came from."""
    groupcall_id: str = ""
    number_row: NumberRow | None = None
    """The number of ours that was called; `number_id` reads it."""
    sip_call_ids: list[str] = field(default_factory=list)
    """The SIP Call-ID of every leg, in order: the caller's, and that of each attempt."""
    created: float = 0.0
    begun: float = 0.0
    ringing_ms: int | None = None
    answered_ms: int | None = None
    ended_ms: int | None = None
    status: str = "dialing"
    end_status: int = 0
    end_reason: str = ""
    hangup_reason: str = ""
    hangup_by: str = ""
    tried: list[list[AttemptRecord]] = field(default_factory=list)
    """What each hunt, one for each destination dialled, keeps of its attempts; `attempts` reads them."""
    notes: list[str] = field(default_factory=list)
    metadata: dict[str, Any] | None = None
    media: dict[str, Any] | None = None
    """What went through the engine's own media: codec, packets sent, received and lost, jitter_ms, rtt_ms. `anchored`
    is what passed the anchor of the last leg that was bridged."""
    cause: str = ""
    """The reason that a flow, or whoever hung up from outside, gave; it goes before what the responses say."""

    @property
    def number_id(self) -> UUID:
        """The id of the number of ours that was called, the nil UUID where there is none."""
        return self.number_row.id if self.number_row is not None else NIL

    @property
    def attempts(self) -> list[AttemptRecord]:
        """Every provider (or URI) that was tried or skipped, in order."""
        return [record for records in self.tried for record in records]

    def attempt_reports(self) -> list[AttemptReport]:
        """The attempts with their times in UTC and in milliseconds since the INVITE."""
        return [report(record, self.begun, self.created) for record in self.attempts]

    def attempts_in_words(self) -> str:
        """The attempts in a line for a log: provider (or URI), what it said, and the milliseconds until it did."""
        words = []
        for record in self.attempts:
            name = record.provider_name or record.request_uri
            if record.skipped:
                words.append(f"{name} skipped: {record.skipped}")
                continue
            # One that still runs when the call is over is being given up.
            said = str(record.status or "") or record.kind or "cancelled"
            if not record.status and record.kind == "unreachable":
                said = f"{said}: {record.reason}"
            if record.started is not None and record.ended is not None:
                said += f" {round((record.ended - record.started) * 1000)} ms"
            words.append(f"{name} {said}")
        return ", ".join(words)

    @property
    def tm_create(self) -> datetime:
        """When the call began."""
        return datetime.fromtimestamp(self.created, UTC)

    @property
    def tm_ringing(self) -> datetime | None:
        """When it first rang, or early media came."""
        return None if self.ringing_ms is None else datetime.fromtimestamp(self.created + self.ringing_ms / 1000, UTC)

    @property
    def tm_answer(self) -> datetime | None:
        """When it was answered."""
        return None if self.answered_ms is None else datetime.fromtimestamp(self.created + self.answered_ms / 1000, UTC)

    @property
    def tm_hangup(self) -> datetime | None:
        """When it was over."""
        return None if self.ended_ms is None else datetime.fromtimestamp(self.created + self.ended_ms / 1000, UTC)

    def note(self, text: str) -> None:
        """Something that a reader of the record should know. At most twenty are kept."""
        if len(self.notes) < 20:
            self.notes.append(text)

    def carried(self, name: str, value: Any) -> None:
        """Something about the media that we have carried."""
        if self.media is None:
            self.media = {}
        self.media[name] = value

    def follow(self, leg: CallLeg, now: float) -> bool:
        """Takes over the status of a leg that is not over; `now` is of the same clock as its times. False where that
        is no news."""
        status = leg.status
        if status == self.status:
            return False
        self.status = status
        if status == "ringing" and self.ringing_ms is None:
            self.ringing_ms = round((now - self.begun) * 1000)
        elif status == "progressing" and leg.answered_at is not None:
            self.answered_ms = round((leg.answered_at - self.begun) * 1000)
        return True

    def finish(self, leg: CallLeg, now: float) -> None:
        """Takes over how `leg` went; `now` is of the same clock as its times. May be called again."""
        begin = self.begun = leg.created if not self.begun else self.begun
        self.status = leg.status
        if leg.answered_at is not None:
            self.answered_ms = round((leg.answered_at - begin) * 1000)
        ended = leg.ended_at
        self.ended_ms = round(((now if ended is None else ended) - begin) * 1000)
        self.end_status = leg.end_status
        self.end_reason = leg.end_reason
        self.hangup_by = leg.ended_by or self.hangup_by or "local"
        for name, value in (leg.media or {}).items():
            self.carried(name, value)
        if leg.end_reason == NOT_ANSWERED and not leg.answered:
            self.hangup_reason = "noanswer"
        elif self.cause:
            self.hangup_reason = self.cause
        elif leg.direction == "incoming" and not leg.answered and self.hangup_by == "remote":
            self.hangup_reason = "cancel"
        else:
            timed_out = leg.end_reason in (LIMIT_REACHED, NO_MEDIA)
            self.hangup_reason = hangup_reason(answered=leg.answered, status=leg.end_status, timed_out=timed_out)

    def never_answered(self, status: int, reason: str, kind: LastOutcome, milliseconds: int) -> None:
        """Takes over how a call of our own went that nobody answered; `kind` is how its last attempt ended, "" where
        nothing was sent to anybody."""
        self.status = "hangup"
        self.ended_ms = milliseconds
        self.end_status = status
        self.end_reason = reason
        self.hangup_by = "remote" if status and kind not in ("", "cancelled", "ring_timeout") else "local"
        # Without an attempt there is nobody whose silence the status could speak of.
        said = hangup_reason(answered=False, status=status, kind=kind) if kind else "failed"
        self.hangup_reason = self.cause or said


# ---- as rows of `store.database.tables`: for the store, and for whoever shows a call that runs


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
