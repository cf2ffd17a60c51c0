"""Dialling: the attempts of a hunt, one after another, until one is answered, the hunt stops, or the caller is gone."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from engine.sip.flow import NOT_ALLOWED
from engine.sip.message.message import Response
from engine.sip.message.status import reason_phrase
from flows.calls.address import Address
from flows.calls.ports import CallEnded, Charging, DialSpec, Outcome, OutgoingLeg, ProviderHunt, Reservation
from flows.calls.record import CallRecord
from flows.calls.services import CallServices
from flows.calls.tree import LOOP_DETECTED, MOST_LEGS, Branch, Tree
from routing.access.destinations import NamedBy
from routing.hunt.attempt import Attempt
from routing.hunt.carried import told_back
from routing.hunt.identity import Anonymous
from routing.hunt.outcome import LastOutcome, NotAttempted, hangup_reason
from routing.identifiers import NIL

NO_CREDIT = NotAttempted(
    "insufficient_balance", "the credit does not pay for the beginning of it", 402, "Payment Required"
)
NOT_CHARGED = NotAttempted(
    "charging_failed", "nobody could say whether the credit pays for it", 500, "Server Internal Error"
)
_TOO_MANY_LEGS = NotAttempted(
    "too_many_legs", f"{MOST_LEGS} legs of what one call set off are up already", *LOOP_DETECTED
)


@dataclass(slots=True, kw_only=True)
class ConnectTerms:
    """How destinations are dialled for a caller, the same for all of one connect.

    Attributes:
        source: Who is shown to them; None: the caller.
        source_named: Who has named `source`.
        flow_owner: Whose flow gives `source`.
        anonymous: Whether the caller's number is withheld.
        ring_timeout: Seconds, 0 for none; it shortens the provider's.
        early_media: Whether the caller hears what comes before the answer.
        breadth: How many legs may be dialled at once for each; None: as many as for the call (`CallContext.breadth`).
        diverts: Whether the flow of an extension that does not answer runs; not where others are called beside it.
        rings: Told when one of them rings (180 to 189); None: nobody is.
        secure: Only phones that are reached over TLS ring: the caller has asked for an extension by a SIPS URI (RFC
            5630 §5.3).
    """

    source: Address | None = None
    source_named: NamedBy = "customer"
    flow_owner: UUID = NIL
    anonymous: Anonymous = "auto"
    ring_timeout: int = 0
    early_media: bool = True
    breadth: int | None = None
    diverts: bool = True
    secure: bool = False
    rings: Callable[[], None] | None = None


AnswerClaim = Callable[[], bool]
"""Asked when a destination answers: whether it has the caller, or another one was quicker."""


def always() -> bool:
    """The claim of a destination that has no rivals."""
    return True


@dataclass(kw_only=True, slots=True)
class ConnectResult:
    """What became of a destination: `connect.status`, `connect.sip_status` and the seconds of talk.

    `reason` is the reason phrase for the caller, `headers` what was said beside it. `word` is the hangup_reason that
    goes with it.
    """

    status: str
    sip_status: int
    reason: str = ""
    duration: float = 0.0
    word: str = "failed"
    headers: Sequence[tuple[str, str]] = ()

    @property
    def answered(self) -> bool:
        return self.status == "answered"


def unanswered(
    status: int, reason: str, kind: LastOutcome = "", headers: Sequence[tuple[str, str]] = ()
) -> ConnectResult:
    """A destination that did not answer."""
    word = hangup_reason(answered=False, status=status, kind=kind)
    shown = "canceled" if word == "cancel" else word
    return ConnectResult(status=shown, sip_status=status, reason=reason, word=word, headers=headers)


# Of several that did not answer, the one that says most about the callee speaks for all.
_TELLING = ("busy", "dialout", "noanswer", "canceled", "failed")


def most_telling(results: Sequence[ConnectResult]) -> ConnectResult:
    """The answered one; else one that speaks for the callee everywhere (6xx, RFC 3261 §16.7); else by _TELLING."""
    for result in results:
        if result.answered:
            return result
    for result in results:
        if result.sip_status >= 600:
            return result
    return min(results, key=lambda result: _TELLING.index(result.status))


class DialResult(NamedTuple):
    """What became of a hunt that was dialled.

    `leg` and `attempt` are set when it was answered, and `reservation` where that costs: whoever gets them hangs the
    leg up, releases the attempt and closes the reservation. Else `status`, `reason` and `headers` are what the caller
    is to hear, and `kind` is how the last attempt ended ("" where there was none).
    """

    leg: OutgoingLeg | None
    attempt: Attempt | None
    kind: LastOutcome
    status: int
    reason: str
    reservation: Reservation | None
    headers: Sequence[tuple[str, str]] = ()


async def dial_hunt(
    services: CallServices,
    hunt: ProviderHunt,
    record: CallRecord,
    *,
    caller: Any = None,
    early_media: bool = True,
    ring_timeout: float = 0,
    customer_id: UUID = NIL,
    anchor: str = "",
    dialled: Callable[[OutgoingLeg], None] | None = None,
    branch: Branch | None = None,
    number: str | None = None,
    breadth: int | None = None,
) -> DialResult:
    """Dials attempt after attempt for the call of `record`.

    caller: The engine's call that this is for, None for a call of our own.
    ring_timeout: Seconds, 0 for none; it shortens the provider's.
    customer_id: Who pays for attempts that cost.
    anchor: What `DialSpec.anchor` is for all of them; "" leaves it to each provider.
    dialled: Told of each leg as soon as it is dialled.
    branch: Where in its tree it stands. The tree's legs are bounded, and counted, but for those to ourselves: whoever
        gets the one that was answered counts it off.
    breadth: See `DialSpec.max_breadth`.
    number: The number that was called, for which it is; None: the caller's (`DialSpec.dialled`).

    Cancelled, it gives up the leg that is being dialled, and the hunt knows; the cancellation's message is the Reason
    value of the CANCEL. Raises CallEnded when the caller is gone.
    """
    clock = services.clock
    charging = services.accounts.charging
    kind: LastOutcome = ""
    said: dict[tuple[int, str], Sequence[tuple[str, str]]] = {}
    await services.look_up(hunt, customer_id, record.id, record.note)
    while (attempt := hunt.next(clock())) is not None:
        leg: OutgoingLeg | None = None
        reservation: Reservation | None = None
        tree = None if branch is None or attempt.origin is not None else branch.tree
        if not _on(tree, services, record, hunt, attempt):
            kind = ""
            break
        try:
            if charging is not None and attempt.rate > 0 and charging.rated(customer_id):
                reservation, go_on = await _reserve(services, charging, customer_id, record, hunt, attempt)
                if reservation is None:
                    _off(tree)
                    if go_on:
                        continue
                    kind = ""
                    break
                attempt.record.started = clock()
            _still_there(caller)
            spec = _spec(attempt, ring_timeout, anchor, number, branch, breadth)
            spec.tells = None if caller is None else _tells(attempt, services, record)
            leg = services.dialler.dial(spec, caller, early_media)
            record.sip_call_ids.append(leg.sip_call_id)
            if dialled is not None:
                dialled(leg)
            outcome = await leg.outcome()
        except (asyncio.CancelledError, CallEnded) as error:
            _give_up(leg, hunt, attempt, reservation, clock(), _reason(error))
            _off(tree)
            raise
        except Exception as error:
            outcome = _not_dialled(services, record, attempt, leg, error)
        if outcome.kind != "answered":
            _off(tree)
        if outcome.kind == "no_media":
            _without_media(services, record, hunt, attempt, reservation, outcome)
            kind = ""
            continue
        kind = outcome.kind
        try_next = hunt.outcome(
            attempt,
            kind,
            outcome.status,
            outcome.reason,
            retry_after=outcome.retry_after,
            first_reply=outcome.first_reply,
            now=clock(),
        )
        if kind == "answered":
            return DialResult(
                leg=leg,
                attempt=attempt,
                kind=kind,
                status=outcome.status,
                reason=outcome.reason,
                reservation=reservation,
            )
        _release(hunt, attempt, reservation)
        said[outcome.status, outcome.reason] = outcome.headers
        if outcome.reason == NOT_ALLOWED:
            kind = ""  # nothing was sent to anybody
        if not try_next:
            break
    status, reason = hunt.last_word() if caller is None else hunt.final()
    # What is put otherwise for the caller is nobody's word any more.
    headers = said.get((status, reason), ())
    return DialResult(None, None, kind, status, reason, None, headers)


def _spec(
    attempt: Attempt, ring_timeout: float, anchor: str, number: str | None, branch: Branch | None, breadth: int | None
) -> DialSpec:
    """What is dialled for an attempt; the parameters are those of `dial_hunt`."""
    terms = attempt.terms
    shorter = 0 < ring_timeout < terms.ring_timeout
    return DialSpec(
        request_uri=attempt.request_uri,
        destination=attempt.destination,
        from_=attempt.from_,
        to=attempt.to,
        headers=attempt.headers,
        parts=attempt.parts,
        peer=attempt.provider,
        no_reply_timeout=terms.no_reply_timeout,
        no_progress_timeout=terms.no_progress_timeout,
        ring_timeout=ring_timeout if shorter else terms.ring_timeout,
        anchor=anchor or attempt.provider.media,
        allows=attempt.allows,
        flow=attempt.flow,
        origin=attempt.origin,
        dialled=number,
        depth=None if branch is None else branch.depth,
        max_breadth=breadth,
    )


def _tells(attempt: Attempt, services: CallServices, record: CallRecord) -> Callable[[Response], str] | None:
    """What of a provider's responses the caller gets too; None where it is no provider's."""
    provider = attempt.provider
    if provider.id == NIL:
        return None
    domain, patterns = services.routing.from_domain, provider.pass_headers
    return partial(told_back, patterns=patterns, domain=domain, identify=not record.guest)


def _still_there(caller: Any) -> None:
    """Raises CallEnded where there was a caller, and it is gone."""
    if caller is not None and (caller.ended_at is not None or caller.status == "terminating"):
        raise CallEnded("the caller is gone")


def _not_dialled(
    services: CallServices, record: CallRecord, attempt: Attempt, leg: OutgoingLeg | None, error: Exception
) -> Outcome:
    """A provider that cannot even be dialled must not keep the caller from the next one."""
    problem = f"{type(error).__name__}: {error}"[:500]
    services.log.error("dialling failed", call_id=record.id, request_uri=attempt.request_uri, error=problem)
    if leg is not None:
        leg.cancel()
    return Outcome("unreachable", 0, str(error)[:200], 0, None)


def _without_media(
    services: CallServices,
    record: CallRecord,
    hunt: ProviderHunt,
    attempt: Attempt,
    reservation: Reservation | None,
    outcome: Outcome,
) -> None:
    """Nothing was sent to anybody: another provider may need no media of ours."""
    services.log.warning(
        "media anchor failed", call_id=record.id, request_uri=attempt.request_uri, error=outcome.reason
    )
    why = NotAttempted("no_media", outcome.reason, outcome.status, reason_phrase(outcome.status))
    hunt.refuse(attempt, why, stop=False)
    if reservation is not None:
        reservation.close()


def _release(hunt: ProviderHunt, attempt: Attempt, reservation: Reservation | None) -> None:
    hunt.release(attempt)
    if reservation is not None:
        reservation.close()


def _on(tree: Tree | None, services: CallServices, record: CallRecord, hunt: ProviderHunt, attempt: Attempt) -> bool:
    """Counts one more leg of the tree. False where it has too many: the hunt knows, and stops."""
    if tree is None:
        return True
    if tree.legs >= MOST_LEGS:
        tree.tell(services.log, _TOO_MANY_LEGS.sentence, record.id)
        hunt.refuse(attempt, _TOO_MANY_LEGS, stop=True)
        return False
    tree.legs += 1
    return True


def _off(tree: Tree | None) -> None:
    if tree is not None:
        tree.legs -= 1


async def _reserve(
    services: CallServices,
    charging: Charging,
    customer_id: UUID,
    record: CallRecord,
    hunt: ProviderHunt,
    attempt: Attempt,
) -> tuple[Reservation | None, bool]:
    """Credit for an attempt. Where there is none, the hunt knows that it is not made; the second value tells whether
    the next one is worth asking about."""
    try:
        reservation = await charging.reserve(customer_id, UUID(record.id), attempt.rate)
    except Exception as error:
        services.log.error("charging failed", call_id=record.id, error=f"{type(error).__name__}: {error}"[:500])
        hunt.refuse(attempt, NOT_CHARGED, stop=False)
        return None, True
    if reservation is None:
        hunt.refuse(attempt, NO_CREDIT, stop=True)
    return reservation, False


def _reason(error: BaseException) -> str:
    return str(error.args[0]) if isinstance(error, asyncio.CancelledError) and error.args else ""


def _give_up(
    leg: OutgoingLeg | None,
    hunt: ProviderHunt,
    attempt: Attempt,
    reservation: Reservation | None,
    now: float,
    reason: str,
) -> None:
    if leg is not None and leg.ended_at is None:
        # The answer may have come in the moment of giving up: cancel() is a BYE then.
        leg.cancel(reason)
    first_reply = None if leg is None else leg.first_reply
    hunt.outcome(attempt, "cancelled", 0, "given up", first_reply=first_reply, now=now)
    _release(hunt, attempt, reservation)
