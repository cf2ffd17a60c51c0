"""A hunt with one attempt: a SIP URI that is dialled as it stands, without a provider and its headers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from engine.sip.flow import NOT_ALLOWED, Allows, Flow
from flows.calls.destinations import REFUSED, Contact
from flows.calls.services import CallServices
from routing.directory.trunk import Terms
from routing.hunt.attempt import Attempt, AttemptRecord, RecordKind
from routing.hunt.identity import ANONYMOUS_FROM, CallerIdentity, display
from routing.hunt.outcome import LOCAL_STATUS, NotAttempted, OutcomeKind, no_answer_cause, relayed_answer
from routing.identifiers import NIL
from routing.models.provider import Provider
from routing.numbers.dial_string import escaped

# Whoever is dialled by a URI wants nothing in particular, and is given as long as a provider that says nothing.
_ANYBODY = Provider.model_construct(hostname="", id=NIL)
_TERMS = Terms.of(_ANYBODY)
_DEAD_END = (500, "Server Internal Error")
FLOW_FAILED: Final = 430
"""What a proxy answers that has lost its connection to a device (RFC 5626 §11.5)."""
# Of a phone that has registered, no word means that it is not there any more.
_GONE = ("unreachable", "no_reply", "no_progress")
_NOT_THERE = (480, "Temporarily Unavailable")


@dataclass(slots=True)
class UriHunt:
    """Dials `uri` once; asked and told like `routing.hunt.hunt.Hunt`. `allows`, `flow` and `origin`: see
    `engine.dial.DialSpec`. `path`: the URIs that the request goes by (RFC 3327), first the one that is asked;
    `flow_failed`: see `flows.calls.destinations.Contact`."""

    uri: str
    caller: CallerIdentity
    domain: str
    allows: Allows | None = None
    origin: Any = None
    flow: Flow | None = None
    path: Sequence[str] = ()
    flow_failed: Callable[[], None] | None = None
    records: list[AttemptRecord] = field(default_factory=list)
    _kind: RecordKind = ""
    _status: int = 0
    _reason: str = ""
    _refusal: tuple[int, str] = (480, "Temporarily Unavailable")

    @classmethod
    async def to(cls, contact: Contact, caller: CallerIdentity, services: CallServices) -> "UriHunt | str":
        """To a contact, the way that it is reached; or why it may not be: who registers may write a Path, and shall
        reach nobody by it who takes our calls for ours."""
        allows = None
        if contact.path:
            way = await services.way_to(contact.path[0], "platform")
            if way.refused or way.here:
                return way.refused or f"the path of {contact.uri[:200]} leads to ourselves"
            allows = way.allows
        return cls(
            contact.uri,
            caller,
            services.routing.from_domain,
            allows=allows,
            flow=contact.flow,
            path=contact.path,
            flow_failed=contact.flow_failed,
        )

    def next(self, now: float) -> Attempt | None:
        """The attempt, the first time."""
        if self.records:
            return None
        record = AttemptRecord(NIL, "", self.uri, now)
        self.records.append(record)
        from_, headers = _identity(self.caller, self.domain)
        headers += [("Route", f"<{uri}>") for uri in self.path]
        return Attempt.of(
            provider=_ANYBODY,
            request_uri=self.uri,
            destination=self.path[0] if self.path else self.uri,
            from_=from_,
            headers=headers,
            terms=_TERMS,
            record=record,
            allows=self.allows,
            flow=self.flow,
            origin=self.origin,
        )

    def outcome(
        self,
        attempt: Attempt,
        kind: OutcomeKind,
        status: int = 0,
        reason: str = "",
        *,
        retry_after: int = 0,
        first_reply: float | None = None,
        now: float = 0.0,
    ) -> bool:
        """Always False: there is no other to try."""
        record = attempt.record
        record.kind, record.status, record.reason = kind, status, reason
        record.first_reply, record.ended = first_reply, now
        self._kind, self._status, self._reason = kind, status, reason
        if self._flow_has_failed and self.flow_failed is not None:
            self.flow_failed()
        return False

    @property
    def _flow_has_failed(self) -> bool:
        return bool(self.path) and self._kind == "refused" and self._status == FLOW_FAILED

    def refuse(self, attempt: Attempt, why: NotAttempted, *, stop: bool) -> None:
        """The attempt is not made after all, for want of media: what is dialled directly costs nothing."""
        attempt.record.not_made(why)
        self._kind, self._refusal = "skipped", (why.status, why.reason)

    def release(self, attempt: Attempt) -> None:
        """Nothing is held."""

    def final(self) -> tuple[int, str]:
        """Status and reason phrase for the caller."""
        if self._kind == "skipped":
            return self._refusal
        if self._kind == "unreachable" and self._reason == NOT_ALLOWED:
            return REFUSED
        if self._flow_has_failed:
            return _NOT_THERE
        if self._kind == "refused":
            return relayed_answer(self._status, self._reason)
        if self._kind in _GONE and (self.flow is not None or self.path):
            return _NOT_THERE
        return LOCAL_STATUS[self._kind] if self._kind else _DEAD_END

    def last_word(self) -> tuple[int, str]:
        """As `routing.hunt.hunt.Hunt.last_word`."""
        if self._kind == "refused":
            return self._status, self._reason
        if (
            self._kind != "skipped"
            and self._reason != NOT_ALLOWED
            and (why := no_answer_cause(self._kind, self._reason))
        ):
            return 0, why
        return self.final()


def _identity(caller: CallerIdentity, domain: str) -> tuple[str, list[tuple[str, str]]]:
    """From and the headers of identity. Whoever is dialled so is not known to be trusted with a withheld number."""
    if caller.hidden:
        return ANONYMOUS_FROM, [("Privacy", "id")]
    if not caller.number:
        return ANONYMOUS_FROM, []
    return f"{display(caller.name)}<sip:{escaped(caller.number)}@{domain}>", []
