"""An attempt at one provider, and its record."""

from dataclasses import KW_ONLY, dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

from engine.sip.flow import Allows, Flow
from engine.sip.message.message import BodyPart
from routing.directory.trunk import Terms
from routing.hunt.candidate import SkipCause
from routing.hunt.health import TrunkState
from routing.hunt.outcome import LastOutcome, NotAttempted, RefusalCause
from routing.models.provider import Provider

RecordKind = LastOutcome | Literal["skipped"]
Skipped = SkipCause | RefusalCause | Literal[""]


@dataclass(slots=True)
class AttemptRecord:
    """What is kept of an attempt, or of a provider that was skipped. Times are monotonic seconds.

    Attributes:
        request_uri: "" where the provider was skipped.
        started, first_reply, ended: None where it did not come to that.
        kind: The outcome's kind; "skipped"; "" while the attempt runs.
        status: Final SIP status, 0 where there was none.
        reason: Its reason phrase, or the cause of failure or skip in words.
        skipped: The stable word for why it was skipped, "" where it was tried.
    """

    provider_id: UUID
    provider_name: str
    request_uri: str = ""
    started: float | None = None
    _: KW_ONLY
    first_reply: float | None = None
    ended: float | None = None
    kind: RecordKind = ""
    status: int = 0
    reason: str = ""
    skipped: Skipped = ""

    def not_made(self, why: NotAttempted) -> None:
        """The attempt is not made after all: its provider counts as skipped."""
        self.request_uri, self.started = "", None
        self.kind, self.skipped, self.reason = "skipped", why.cause, why.sentence


class AttemptReport(NamedTuple):
    """A record as people and APIs read it: UTC, and milliseconds since the INVITE; None where there is no such time."""

    provider_id: UUID
    provider_name: str
    request_uri: str
    start: datetime | None
    start_ms: int | None
    first_reply: datetime | None
    first_reply_ms: int | None
    end: datetime | None
    end_ms: int | None
    kind: RecordKind
    status: int
    reason: str
    skipped: Skipped


def report(record: AttemptRecord, invited_at: float, wall: float) -> AttemptReport:
    """A record's report.

    invited_at: When the INVITE came (monotonic seconds).
    wall: The same moment in Unix seconds; 0 where it is not known, which leaves the UTC times None.
    """

    def utc(at: float | None) -> datetime | None:
        return None if at is None or not wall else datetime.fromtimestamp(wall + at - invited_at, UTC)

    def ms(at: float | None) -> int | None:
        return None if at is None else round((at - invited_at) * 1000)

    return AttemptReport(
        provider_id=record.provider_id,
        provider_name=record.provider_name,
        request_uri=record.request_uri,
        start=utc(record.started),
        start_ms=ms(record.started),
        first_reply=utc(record.first_reply),
        first_reply_ms=ms(record.first_reply),
        end=utc(record.ended),
        end_ms=ms(record.ended),
        kind=record.kind,
        status=record.status,
        reason=record.reason,
        skipped=record.skipped,
    )


@dataclass(slots=True, eq=False, init=False)
class Attempt:
    """Everything an INVITE to one provider needs; the engine adds tags, Call-ID, CSeq, Via and Contact.

    What the provider itself wants (credentials, codecs, SRTP, ...) is read where it is used, from `provider`: a new
    field of it passes through here unseen.

    It holds one of the provider's channels until its outcome is a failure or it is released, whichever comes first;
    an attempt that is forgotten gives it back when it is freed.

    Attributes:
        provider: Whom it is for, as configured.
        request_uri: With the number shaped for this provider.
        destination: SIP URI of where the request goes, transport included.
        from_: name-addr without tag.
        headers: Identity, then the provider's own, in order.
        parts: What its body holds beside the session description.
        terms: Timers (seconds) and status sets, the route's where it has some.
        rate: What a minute of it costs in micro-units, as the route says; 0 is free, and so is a pinned call.
        message_rate: What a text message costs.
        state: Of the provider, which counts its channels; None where nobody does.
        allows: Which addresses the request may go to; None: all. Where a provider's go is the operator's business.
        flow: The connection that it goes by, without a look-up; None: wherever `destination` leads.
        origin: What this engine is handed when it takes the call itself; None of a call to anybody else.
        holds_channel: Whether it still counts against the provider's `max_channels`.
    """

    provider: Provider
    request_uri: str
    destination: str
    from_: str
    headers: list[tuple[str, str]]
    parts: tuple[BodyPart, ...]
    terms: Terms
    record: AttemptRecord
    rate: int
    message_rate: int
    state: TrunkState | None
    allows: Allows | None
    flow: Flow | None
    origin: Any
    holds_channel: bool

    @classmethod
    def of(
        cls,
        *,
        provider: Provider,
        request_uri: str,
        destination: str,
        from_: str,
        headers: list[tuple[str, str]],
        terms: Terms,
        record: AttemptRecord,
        parts: tuple[BodyPart, ...] = (),
        rate: int = 0,
        message_rate: int = 0,
        state: TrunkState | None = None,
        allows: Allows | None = None,
        flow: Flow | None = None,
        origin: Any = None,
    ) -> "Attempt":
        """An attempt, which takes a channel of `state`. No `__init__`: keywords in the call of a class go through a
        dict, which costs more than all that is done here."""
        self = cls.__new__(cls)
        self.provider = provider
        self.request_uri = request_uri
        self.destination = destination
        self.from_ = from_
        self.headers = headers
        self.parts = parts
        self.terms = terms
        self.record = record
        self.rate = rate
        self.message_rate = message_rate
        self.state = state
        self.allows = allows
        self.flow = flow
        self.origin = origin
        self.holds_channel = state is not None
        if state is not None:
            state.channels += 1
        return self

    @property
    def to(self) -> str:
        """The To header: a name-addr without tag."""
        return f"<{self.request_uri}>"

    def responded(self) -> bool:
        """The provider has responded. True where it was skipped and is healthy again."""
        return self.state is not None and self.state.responded()

    def release(self) -> None:
        """Give the channel back; a second time does nothing."""
        if self.holds_channel and self.state is not None:
            self.holds_channel = False
            self.state.channels -= 1

    def __del__(self) -> None:
        # The last line of defence: a task that died without its `finally` must not use up a trunk for ever.
        if self.holds_channel:
            self.release()
