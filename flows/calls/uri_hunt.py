"""A hunt of one: a SIP URI that is dialled as it stands, without a provider and its headers."""

from dataclasses import dataclass, field
from typing import Any

from engine.sip.flow import NOT_ALLOWED, Allows
from flows.calls.destinations import REFUSED
from flows.calls.ports import ProviderAttempt
from routing.hunt.attempt import AttemptRecord
from routing.hunt.failover import passed_on, silence
from routing.hunt.identity import ANONYMOUS_FROM, CallerIdentity, display
from routing.identifiers import NIL
from routing.numbers.dial_string import escaped

NO_REPLY_TIMEOUT = 4.0
NO_PROGRESS_TIMEOUT = 15.0
RING_TIMEOUT = 60.0
_WITHOUT_FINAL = {
    "ring_timeout": (480, "Temporarily Unavailable"),
    "cancelled": (487, "Request Terminated"),
    "no_reply": (408, "Request Timeout"),
    "no_progress": (408, "Request Timeout"),
}


@dataclass(slots=True)
class DirectAttempt:
    """The one attempt; the fields of `routing.hunt.attempt.Attempt` that dialling needs. Times in seconds."""

    request_uri: str
    destination: str
    from_: str
    to: str
    headers: list[tuple[str, str]]
    record: AttemptRecord
    username: str = ""
    password: str = ""
    realm: str = ""
    no_reply_timeout: float = NO_REPLY_TIMEOUT
    no_progress_timeout: float = NO_PROGRESS_TIMEOUT
    ring_timeout: float = RING_TIMEOUT
    codecs: str = ""
    rate: int = 0
    message_rate: int = 0
    media: str = ""
    srtp: str = ""
    allows: Allows | None = None
    origin: Any = None


@dataclass(slots=True)
class DirectHunt:
    """Dials `uri` once; asked and told like `routing.hunt.hunt.Hunt`. `allows` and `origin`: see
    `engine.dial.DialSpec`."""

    uri: str
    caller: CallerIdentity
    domain: str
    allows: Allows | None = None
    origin: Any = None
    records: list[AttemptRecord] = field(default_factory=list)
    _kind: str = ""
    _status: int = 0
    _reason: str = ""
    _refusal: tuple[int, str] = (480, "Temporarily Unavailable")

    def next(self, now: float) -> ProviderAttempt | None:
        """The attempt, the first time."""
        if self.records:
            return None
        record = AttemptRecord(NIL, "", self.uri, now)
        self.records.append(record)
        from_, headers = _identity(self.caller, self.domain)
        return DirectAttempt(
            self.uri, self.uri, from_, f"<{self.uri}>", headers, record, allows=self.allows, origin=self.origin
        )

    def outcome(
        self,
        attempt: DirectAttempt,
        kind: str,
        status: int,
        reason: str,
        retry_after: int,
        first_reply: float | None,
        now: float,
    ) -> bool:
        """Always False: there is no other to try."""
        record = attempt.record
        record.kind, record.status, record.reason = kind, status, reason
        record.first_reply, record.ended = first_reply, now
        self._kind, self._status, self._reason = kind, status, reason
        return False

    def refuse(self, attempt: DirectAttempt, word: str, sentence: str, status: int, reason: str, *, stop: bool) -> None:
        """The attempt is not made after all, for want of media: what is dialled directly costs nothing."""
        record = attempt.record
        record.request_uri, record.started = "", None
        record.kind, record.skipped, record.reason = "skipped", word, sentence
        self._kind, self._refusal = "skipped", (status, reason)

    def release(self, attempt: DirectAttempt) -> None:
        """Nothing is held."""

    def final(self) -> tuple[int, str]:
        """Status and reason phrase for the caller."""
        if self._kind == "skipped":
            return self._refusal
        if self._kind == "unreachable" and self._reason == NOT_ALLOWED:
            return REFUSED
        if self._kind in _WITHOUT_FINAL:
            return _WITHOUT_FINAL[self._kind]
        if self._kind == "refused" and self._status >= 300:
            return passed_on(self._status, self._reason)
        return (480, "Temporarily Unavailable") if self._status else (500, "Server Internal Error")

    def last_word(self) -> tuple[int, str]:
        """As `routing.hunt.hunt.Hunt.last_word`."""
        if self._kind == "refused" and self._status >= 300:
            return self._status, self._reason
        if self._reason != NOT_ALLOWED and (why := silence(self._kind, self._reason)):
            return 0, why
        return self.final()


def _identity(caller: CallerIdentity, domain: str) -> tuple[str, list[tuple[str, str]]]:
    """From and the headers of identity. Whoever is dialled so is not known to be trusted with a withheld number."""
    if caller.hidden:
        return ANONYMOUS_FROM, [("Privacy", "id")]
    if not caller.number:
        return ANONYMOUS_FROM, []
    return f"{display(caller.name)}<sip:{escaped(caller.number)}@{domain}>", []
