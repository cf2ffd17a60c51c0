"""Sequential routing of one call: one provider after another, until one answers or the hunt stops."""

from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Literal
from uuid import UUID

from routing.directory.rows import RouteRow
from routing.directory.trunk import Trunk
from routing.hunt.attempt import Attempt, AttemptRecord
from routing.hunt.candidate import PASSED_OVER, SKIP_SENTENCES, Candidate, SkipCause, skip_cause
from routing.hunt.carried import going_on, must_be_taken, parts_going_on, written
from routing.hunt.failover import MAX_ATTEMPTS, TRY_NEXT, try_next
from routing.hunt.health import MAX_COOLDOWN, HealthBoard, TrunkState
from routing.hunt.identity import CallerIdentity, caller_headers
from routing.hunt.outcome import (
    LOCAL_STATUS,
    NOTHING_TO_TRY,
    UNSUPPORTED_BODY,
    LastOutcome,
    NotAttempted,
    OutcomeKind,
    no_answer_cause,
    relayed_answer,
)

_RESPONSES: tuple[OutcomeKind, ...] = ("answered", "refused", "no_progress", "ring_timeout")
_NOBODY_LEFT: Iterator[Candidate] = iter(())


@dataclass(slots=True, eq=False)
class Hunt:
    """Ask `next` for a provider, tell `outcome`, and again while it says so; `close` when the call is over.

    Attributes:
        target: The number as it was dialled, normalised; each attempt shapes it anew.
        emergency: Providers are tried however busy, ill or expensive they are.
        cause: Why there is nothing to try, as a sentence; "" where there is.
        records: Attempts and skipped providers, in order.
        current: The attempt under way.
        answered: The attempt that was answered, whose channel is taken until `close`.
        lookup: The route that has somebody asked for the attempts before the first one is made (`follow`); None: none.
    """

    target: str
    caller: CallerIdentity
    from_domain: str
    board: HealthBoard
    candidates: Iterator[Candidate]
    _: KW_ONLY
    emergency: bool = False
    lookup: RouteRow | None = None
    cause: str = ""
    refusal: tuple[int, str] = NOTHING_TO_TRY
    records: list[AttemptRecord] = field(default_factory=list)
    _attempts: int = 0
    _over: bool = False
    current: Attempt | None = None
    answered: Attempt | None = None
    _real_final: tuple[int, str] | None = None
    _last_kind: LastOutcome = ""
    _turn: Literal["first", "silent", "ill"] = "first"
    # Who was passed over, for later: mostly nobody.
    _silent: list[Candidate] | None = None
    _ill: list[Candidate] | None = None

    def next(self, now: float) -> Attempt | None:
        """The next provider to try, or None. Takes a channel and a token of its rate; what is skipped on the way is
        recorded. Raises RuntimeError while the outcome of the attempt before is not told."""
        if self.current is not None:
            raise RuntimeError("tell the outcome of the running attempt before asking for the next one")
        if self._over or self._attempts >= MAX_ATTEMPTS:
            return None
        while True:
            for candidate in self.candidates:
                key, trunk, route, target = candidate
                if trunk is None:
                    self._skip(UUID(int=key), str(UUID(int=key)), "unknown_provider")
                    continue
                state = self.board.state(key)
                cause = skip_cause(trunk, state, now, self.board.transports)
                if self.emergency and cause in PASSED_OVER:
                    cause = "unhealthy" if state.skipped else ""
                if cause == "unhealthy":
                    if self._turn != "ill":
                        self._ill = [*(self._ill or ()), candidate]
                        self._skip(trunk.provider.id, trunk.name, cause)
                        continue
                elif cause:
                    self._skip(trunk.provider.id, trunk.name, cause)
                    continue
                elif self._refuses_body(trunk):
                    self._skip(trunk.provider.id, trunk.name, "body_not_taken")
                    self.refusal = UNSUPPORTED_BODY
                    continue
                elif state.last and self._turn == "first":
                    self._silent = [*(self._silent or ()), candidate]
                    continue
                return self._try(trunk, route, target or self.target, state, now)
            if not self._turn_to_the_rest():
                self._over = True
                return None

    def follow(self, candidates: Sequence[Candidate]) -> None:
        """Take these in place of what the routes say, before the first attempt: somebody was asked (`lookup`)."""
        self.lookup = None
        self.candidates = iter(candidates)
        if not candidates:
            self.cause = "who was asked for the way of the call knows none"

    def _refuses_body(self, trunk: Trunk) -> bool:
        caller = self.caller
        if not caller.parts or self.emergency:
            return False
        return must_be_taken(caller.parts, caller.location, trunk.provider.pass_bodies)

    def _turn_to_the_rest(self) -> bool:
        """Nobody is left in the line: those are who never answered a probe, and then those who do so no longer."""
        if self._turn == "first":
            self._turn, self.candidates = "silent", iter(self._silent or ())
        elif self._turn == "silent" and self._ill:
            self._turn, self.candidates = "ill", iter(self._ill)
            # They are not skipped after all.
            self.records[:] = [record for record in self.records if record.skipped != "unhealthy"]
        else:
            return False
        return True

    def _skip(self, provider_id: UUID, name: str, cause: SkipCause) -> None:
        reason = SKIP_SENTENCES[cause]
        self.records.append(AttemptRecord(provider_id, name, kind="skipped", reason=reason, skipped=cause))

    def _try(self, trunk: Trunk, route: RouteRow | None, target: str, state: TrunkState, now: float) -> Attempt:
        terms = trunk.terms
        if route is not None and route.overrides is not None:
            terms = terms.overridden(route.overrides)
        provider, caller = trunk.provider, self.caller
        parameters = written(caller.number_parameters, provider.number_parameters)
        request_uri = trunk.request_uri(target, parameters, short_prefix=route is not None and route.short_prefix)
        from_, headers = caller_headers(trunk, caller, self.from_domain)
        headers.extend(trunk.tech_headers)
        headers += going_on(caller.carried, provider.pass_headers, headers)
        parts, location = parts_going_on(caller.parts, caller.location, provider.pass_bodies, emergency=self.emergency)
        if location:
            own = {name.lower() for name in provider.tech_headers}
            headers += [field for field in location if field[0].lower() not in own]
        record = AttemptRecord(provider.id, trunk.name, request_uri, now)
        attempt = Attempt.of(
            provider=provider,
            request_uri=request_uri,
            destination=trunk.destination,
            from_=from_,
            headers=headers,
            parts=parts,
            terms=terms,
            record=record,
            rate=0 if route is None or self.emergency else route.rate,
            message_rate=0 if route is None or self.emergency else route.message_rate,
            state=state,
        )
        if provider.max_cps:
            state.count_attempt(now)
        self.records.append(record)
        self._attempts += 1
        self.current = attempt
        return attempt

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
        """Tell how an attempt ended: True where the next provider is to be tried.

        A challenge that credentials could answer is none: the outcome is the one after it. An attempt that was not
        answered gives its channel back here. Raises ValueError for an unknown kind or an attempt of another hunt; the
        second outcome of an attempt changes nothing.
        """
        if attempt is not self.current:
            if attempt.record.kind:
                return False
            raise ValueError("this attempt belongs to another hunt")
        if kind not in TRY_NEXT:
            raise ValueError(f"no such outcome: {kind!r}; known are {', '.join(TRY_NEXT)}")
        self.current = None
        record = attempt.record
        record.kind = kind
        record.status = status
        record.reason = reason
        record.first_reply = first_reply
        record.ended = now
        self._last_kind = kind
        if _spoke(kind, status, first_reply) and attempt.responded():
            self.board.recovered(record.provider_id)
        if kind == "answered":
            self.answered = attempt
        else:
            attempt.release()
            if kind == "refused":
                if status >= 300:
                    self._real_final = (status, reason)
                if status == 503 and retry_after > 0:
                    self.board.cooldown(record.provider_id, now + min(retry_after, MAX_COOLDOWN))
        go_on = not self._over and try_next(attempt.terms, kind, status)
        if not go_on:
            self._over = True
            # Hunts stay with their call's record; the rest of the way is of no use to it.
            self.candidates = _NOBODY_LEFT
            self._silent = self._ill = None
        return go_on

    def refuse(self, attempt: Attempt, why: NotAttempted, *, stop: bool) -> None:
        """The attempt is not made after all: its provider counts as skipped, and its channel is free.

        What the caller is to hear counts where nobody else has said anything; with `stop`, whoever has, and no other
        provider is tried.
        """
        if attempt is not self.current:
            raise ValueError("this attempt is not the one that is to be made")
        self.current = None
        attempt.release()
        attempt.record.not_made(why)
        self.refusal = (why.status, why.reason)
        if stop:
            self._over = True
            self.candidates = _NOBODY_LEFT
            self._silent = self._ill = None
            self._last_kind, self._real_final = "", None

    def release(self, attempt: Attempt) -> None:
        """The attempt's call is over: its channel is free again. A second time does nothing.

        For an attempt whose outcome was never told this is the end of the hunt: it counts as cancelled.
        """
        if attempt is self.current:
            self.outcome(attempt, "cancelled")
            attempt.record.ended = None
        attempt.release()

    def close(self, now: float) -> None:
        """The call is over: whatever still runs counts as cancelled, every channel is free, nothing more is tried. A
        second time does nothing."""
        if self.current is not None:
            self.outcome(self.current, "cancelled", now=now)
        self._over = True
        if self.answered is not None:
            self.answered.release()

    def final(self) -> tuple[int, str]:
        """Status and reason phrase for the caller; 200 where somebody answered.

        The callee's or caller's own end goes before what providers said earlier; else the last real final response;
        else what stands for silence. What is not meant for the caller is put otherwise (`outcome.RELAYED_ANSWERS`).
        """
        if self._last_kind in ("answered", "ring_timeout", "cancelled"):
            return LOCAL_STATUS[self._last_kind]
        if self._real_final is not None:
            return relayed_answer(*self._real_final)
        return LOCAL_STATUS.get(self._last_kind, self.refusal) if self._last_kind else self.refusal

    def last_word(self) -> tuple[int, str]:
        """As `final`, for a call of our own: there is no caller to be spared what was said. Status 0 and the cause
        where nobody has said anything."""
        if self._last_kind not in ("answered", "ring_timeout", "cancelled"):
            if self._real_final is not None:
                return self._real_final
            for record in reversed(self.records):
                if record.kind == self._last_kind and (why := no_answer_cause(self._last_kind, record.reason)):
                    return 0, why
        return self.final()


def _spoke(kind: OutcomeKind, status: int, first_reply: float | None) -> bool:
    """Whether the provider has responded, be it with a 100. A 503 says that it is out of service, as it does to a
    probe."""
    return status != 503 and (kind in _RESPONSES or first_reply is not None)
