"""One provider's turn: what is sent to it, and what became of it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from routing.directory.trunk import Terms
from routing.hunt.health import TrunkState
from routing.models.provider import Provider


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
    first_reply: float | None = None
    ended: float | None = None
    kind: str = ""
    status: int = 0
    reason: str = ""
    skipped: str = ""


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
    kind: str
    status: int
    reason: str
    skipped: str


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
        record.provider_id,
        record.provider_name,
        record.request_uri,
        utc(record.started),
        ms(record.started),
        utc(record.first_reply),
        ms(record.first_reply),
        utc(record.ended),
        ms(record.ended),
        record.kind,
        record.status,
        record.reason,
        record.skipped,
    )


@dataclass(slots=True, eq=False)
class Attempt:
    """Everything an INVITE to one provider needs; the engine adds tags, Call-ID, CSeq, Via and Contact.

    It holds one of the provider's channels until its outcome is a failure or it is released, whichever comes first;
    an attempt that is forgotten gives it back when it is freed.

    Attributes:
        request_uri: With the number shaped for this provider.
        destination: SIP URI of where the request goes, transport included.
        from_: name-addr without tag.
        to: name-addr.
        headers: Identity, then the provider's own, in order.
        terms: Timers (seconds) and status sets, the route's where it has some.
        rate: What a minute of it costs in micro-units, as the route says; 0 is free, and so is a pinned call.
        message_rate: What a text message costs.
    """

    provider: Provider
    request_uri: str
    destination: str
    from_: str
    to: str
    headers: list[tuple[str, str]]
    username: str
    password: str = field(repr=False)
    realm: str
    codecs: str
    terms: Terms
    record: AttemptRecord
    rate: int
    message_rate: int
    _state: TrunkState
    _held: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._state.channels += 1
        self._held = True

    @property
    def no_reply_timeout(self) -> float:
        """Seconds without any response."""
        return self.terms.no_reply_timeout

    @property
    def no_progress_timeout(self) -> float:
        """Seconds with nothing but 100."""
        return self.terms.no_progress_timeout

    @property
    def ring_timeout(self) -> float:
        """Seconds of ringing without an answer."""
        return self.terms.ring_timeout

    @property
    def media(self) -> str:
        """`anchor` where the provider wants the media anchored, else ""."""
        return self.provider.media

    @property
    def srtp(self) -> str:
        """`sdes` where the provider wants SRTP offered, else ""."""
        return self.provider.srtp

    @property
    def allows(self) -> None:
        """Where requests to a provider go is the operator's business."""

    @property
    def origin(self) -> None:
        """A provider is not ourselves."""

    @property
    def holds_channel(self) -> bool:
        """Whether the attempt still counts against the provider's `max_channels`."""
        return self._held

    def responded(self) -> bool:
        """The provider has responded. True where it was skipped and is healthy again."""
        return self._state.responded()

    def release(self) -> None:
        """Give the channel back; a second time does nothing."""
        if self._held:
            self._held = False
            self._state.channels -= 1

    def __del__(self) -> None:
        # The last line of defence: a task that died without its `finally` must not use up a trunk for ever.
        self.release()
