"""One destination of a connect: through the providers, directly, or by running the flow of a number of ours."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from engine.media.anchor import CALLEE, CALLER
from engine.sip.message.status import reason_phrase
from flows.calls.address import Address
from flows.calls.causes import CAUSES
from flows.calls.destinations import REFUSED, named_in, way_to
from flows.calls.dial import place
from flows.calls.hangup import end
from flows.calls.number_lookup import fetch_numbers, missing_numbers
from flows.calls.ports import CallEnded, OutgoingLeg, Reservation
from flows.calls.record import CallRecord
from flows.calls.services import FlowEnvironment
from flows.calls.tree import LOOP_DETECTED, Tree
from flows.calls.uri_hunt import UriHunt
from flows.language.interpreter import conduct
from flows.language.options import ConnectOptions
from flows.language.run import Run
from flows.nested_call import LocalLeg
from flows.transfer.refer import converse
from routing.access.admission import DialOut, RunFlow, Source, judge
from routing.access.destinations import NamedBy, named_by
from routing.directory.number_source import NumberUnavailable
from routing.hunt.identity import Anonymous, CallerIdentity
from routing.hunt.outcome import LastOutcome, hangup_reason
from routing.identifiers import NIL
from routing.numbers.normalise import dialled

TOO_MANY = (486, "Too Many Calls Out")
NONE_OUT = (403, "No Calls Out")
"""What a phone hears that has as many calls out as it may have, and one that may have none."""
Claim = Callable[[], bool]

_AS_CLIENT = Source("client")


@dataclass(slots=True)
class Reached:
    """What became of a destination: `connect.status`, `connect.sip_status` and the seconds of talk.

    `reason` is the reason phrase for the caller. `word` is the hangup_reason that goes with it.
    """

    status: str
    sip_status: int
    reason: str = ""
    duration: float = 0.0
    word: str = "failed"

    @property
    def answered(self) -> bool:
        return self.status == "answered"


def unanswered(status: int, reason: str, kind: LastOutcome = "") -> Reached:
    """A destination that did not answer."""
    word = hangup_reason(answered=False, status=status, kind=kind)
    return Reached("canceled" if word == "cancel" else word, status, reason, 0.0, word)


def always() -> bool:
    """The claim of a destination that has no rivals."""
    return True


async def reach(run: Run, option: ConnectOptions, address: Address, claim: Claim, owner: UUID | None = None) -> Reached:
    """Dials `address` for the caller and bridges it when it answers, until it hangs up.

    `claim` is asked when it answers; False means that another destination was quicker. `owner`: whose word the address
    is, where it is not that of the flow that runs.
    """
    if address.type == "tel":
        return await reach_number(run, option, address.target, claim)
    if address.type == "sip":
        named = named_in(run, address.target) if owner is None else named_by(run.customer_id, owner)
        return await _reach_uri(run, option, address.sip_uri, named, claim)
    found = run.env.resolve_extension(address, run.customer_id)
    if found is None:
        run.record.note(f"connect: {address.type} {address.target!r} is not known or not reachable")
        return unanswered(404, "Not Found")
    return await _reach_uri(run, option, found.uri, named_by(run.customer_id, found.customer_id), claim)


async def _reach_uri(run: Run, option: ConnectOptions, uri: str, named: NamedBy, claim: Claim) -> Reached:
    """`reach` for a SIP URI: what leads to ourselves is as if its user part had been dialled."""
    env = run.env
    way = await way_to(env, uri, named)
    if way.refused:
        run.record.note(f"connect: {way.refused}")
        run.warn("destination refused", destination=uri[:200], named_by=named)
        env.directory.count_refusal("destination_refused")
        return unanswered(*REFUSED)
    if way.here:
        return await reach_number(run, option, uri, claim, foreign=not run.branch.tree.guest)
    hunt = UriHunt(uri, await _identity(run, option), env.routing.from_domain, way.allows)
    return await _talk(run, option, hunt, claim)


async def reach_number(run: Run, option: ConnectOptions, text: str, claim: Claim, *, foreign: bool = True) -> Reached:
    """`reach` for a number, in any form: one of ours is dealt with here, any other goes through the providers, where it
    may be `foreign`."""
    env = run.env
    directory = env.directory
    try:
        await fetch_numbers(env, missing_numbers(env, text))
    except NumberUnavailable as error:
        run.record.note(f"connect: {text} cannot be looked up: {error}")
        return unanswered(503, "Service Unavailable")
    verdict = judge(directory, env.routing, _AS_CLIENT, dialled(text, env.routing, directory.numbers))
    if isinstance(verdict, DialOut):
        if not foreign:
            run.record.note(f"connect: {verdict.target} is none of our numbers, and the caller is a guest")
            return unanswered(*REFUSED)
        return await _dial_out(run, option, verdict.target, claim)
    if isinstance(verdict, RunFlow):
        return await _run_number(run, verdict, claim)
    run.record.note(f"connect: {verdict.detail}")
    return unanswered(verdict.status, verdict.reason)


async def _dial_out(run: Run, option: ConnectOptions, target: str, claim: Claim) -> Reached:
    env, phone = run.env, run.phone
    if phone is not None and not env.phones.take(phone):
        why = f"has {phone.max_calls} calls out already" if phone.max_calls else "may not call out"
        run.record.note(f"connect: {target} is not called: phone {phone.name} {why}")
        env.log.warning("phone may not call out", call_id=run.record.id, user=phone.name, max_calls=phone.max_calls)
        env.directory.count_refusal("phone_limit")
        return unanswered(*(TOO_MANY if phone.max_calls else NONE_OUT))
    try:
        caller = await _identity(run, option)
        hunt = env.router.hunt(target, caller=caller, customer_id=run.customer_id)
        return await _talk(run, option, hunt, claim)
    finally:
        if phone is not None:
            env.phones.release(phone)


async def _identity(run: Run, option: ConnectOptions) -> CallerIdentity:
    record = run.record
    diverted_by = run.number.number if run.number is not None else ""
    source, name = option.source, record.source_name
    if source is not None:
        await fetch_source(run, source)
        if record.source and _number_of(run.env, source) == record.source:
            name = source.target_name or source.name or name
            source = None  # the caller, under whatever name
        elif not shows(run, source):
            record.note(f"connect: {source.target} is no active number of this customer, and is not shown")
            source = None
    if source is None and record.phone is not None:
        own = record.phone.caller_id
        return CallerIdentity(record.shown, name, record.anonymous, option.anonymous, diverted_by, own)
    if source is None:
        # A guest's word is passed on, and vouched for by nobody (RFC 3325 §5).
        asserted = "" if record.guest else None
        return CallerIdentity(record.source, name, record.anonymous, option.anonymous, diverted_by, asserted)
    return identity_of(run.env, source, option.anonymous, private=record.anonymous, diverted_by=diverted_by)


async def fetch_source(run: Run, source: Address) -> None:
    """Has the number of a source in memory, where there is such a number of ours, for `shows`."""
    with suppress(NumberUnavailable):
        await fetch_numbers(run.env, missing_numbers(run.env, source.target))


def shows(run: Run, source: Address) -> bool:
    """Whether a call of the action that runs may be shown as one of `source`. A customer calls with its own active
    numbers, in flows as by order, and for its caller; what the platform has written down is its business."""
    if named_in(run, source.target) != "customer":
        return True
    number, record = _number_of(run.env, source), run.record
    if number and number == record.source and not record.guest and record.phone is None:
        return True  # the caller, whom somebody has vouched for
    row = run.env.directory.number(number) if source.type == "tel" and number else None
    return (
        row is not None
        and row.status == "active"
        and row.customer_id in (run.customer_id, run.program.customer_id or NIL)
    )


def _number_of(env: FlowEnvironment, source: Address) -> str:
    return dialled(source.target, env.routing, env.directory.numbers).number


def identity_of(
    env: Any, source: Address, anonymous: Anonymous, *, private: bool = False, diverted_by: str = ""
) -> CallerIdentity:
    """A caller that is named by an address: a number in normal form where it is one."""
    number = dialled(source.target, env.routing, env.directory.numbers).number or source.target
    return CallerIdentity(number, source.target_name or source.name, private, anonymous, diverted_by)


def _anchor(run: Run) -> str:
    """How the media of what is dialled passes us, as `DialSpec.anchor` says it; "" where only the provider may want
    that. What is recorded has to pass this process."""
    if run.recording is not None:
        return "embedded"
    return "anchor" if run.anchored or run.program.media == "anchor" else ""


async def _talk(run: Run, option: ConnectOptions, hunt: Any, claim: Claim) -> Reached:
    env = run.env
    run.record.tried.append(hunt.records)
    leg, attempt, kind, status, reason, reservation = await place(
        env,
        hunt,
        run.record,
        run.caller,
        option.early_media,
        option.ring_timeout,
        customer_id=run.customer_id,
        anchor=_anchor(run),
        dialled=run.dialled,
        branch=run.branch,
        number=run.destination,
        breadth=run.breadth,
    )
    if leg is None:
        return unanswered(status, reason, kind)
    held = _Held(hunt, attempt, reservation, run.branch.tree)
    # From here on there is a leg that is paid for: whatever happens, it is hung up and its channel given back.
    began = env.clock()
    try:
        if not claim():
            return unanswered(487, "Request Terminated", "cancelled")
        bridge = run.call.bridge(leg)
        recording = run.recording
        if recording is not None:
            leg.overhear(recording.recorder.channel(CALLER), recording.recorder.channel(CALLEE))
        if reservation is not None:
            reservation.answered(partial(_exhausted, run.caller, leg, run.record))
        await converse(run, leg, held.close, bridge, reach)
        return Reached("answered", status, reason, env.clock() - began, "normal")
    except CallEnded as error:
        if run.caller.ended_at is not None:
            raise
        # The far end answered and was gone before the two could be connected.
        run.record.note(f"connect: {error}")
        return unanswered(480, "Temporarily Unavailable")
    except Exception as error:  # such as media that cannot be agreed on
        run.warn("bridging failed", error=f"{type(error).__name__}: {error}"[:500])
        return unanswered(getattr(error, "status", 0) or 488, "Not Acceptable Here")
    finally:
        if leg.ended_at is None:
            leg.hangup(480, CAUSES["normal"].header)
        held.close()
        passed = await leg.passed()
        if passed is not None:
            run.record.carried("anchored", passed)


class _Held:
    """What an answered leg costs: a channel of its provider, money, and a place among the legs of its tree."""

    __slots__ = ("_attempt", "_hunt", "_reservation", "_tree")

    def __init__(self, hunt: Any, attempt: Any, reservation: Reservation | None, tree: Tree) -> None:
        self._tree = tree
        self._hunt = hunt
        self._attempt = attempt
        self._reservation = reservation

    def close(self) -> None:
        """Gives it back, once."""
        hunt, self._hunt = self._hunt, None
        if hunt is not None:
            hunt.release(self._attempt)
            self._tree.legs -= 1
            if self._reservation is not None:
                self._reservation.close()


def _exhausted(caller: Any, leg: OutgoingLeg, record: CallRecord) -> None:
    """The credit is used up. What costs ends first: the caller's BYE may have to wait for its ACK."""
    leg.hangup(CAUSES["timeout"].status, CAUSES["timeout"].header)
    end(caller, record, "timeout")


async def _run_number(run: Run, verdict: RunFlow, claim: Claim) -> Reached:
    """Another number of ours: its flow runs as if it had been called, on the same caller.

    Where that flow does not answer, its status is the destination's; where it does, the connect is over when that flow
    is, and the caller's own flow goes on.
    """
    env = run.env
    number = verdict.number
    program = env.flows.find(number.call_flow_id)
    if program is None:
        run.record.note(f"connect: {number.number} has a call flow that does not exist")
        return unanswered(480, "Temporarily Unavailable")
    branch = run.branch.grow(env, run.record.id)
    if branch is None:
        run.record.note(f"connect: our own numbers call one another too often; {number.number} is left out")
        return unanswered(*LOOP_DETECTED)
    leg = LocalLeg(run.call, claim)
    inner = Run(program, leg, env, run.record, number)
    inner.caller = run.caller
    inner.budget = run.budget
    inner.depth = run.depth + 1
    inner.branch = branch
    inner.breadth = run.breadth
    inner.anchored = run.anchored or run.program.media == "anchor"
    inner.destination = number.number
    inner.dialled = run.dialled
    inner.tether = run.tether
    began = env.clock()
    await conduct(inner, program)
    if leg.answered:
        return Reached("answered", 200, "OK", env.clock() - began, "normal")
    status = leg.end_status or 480
    return unanswered(status, leg.end_reason or reason_phrase(status))


class Race:
    """Destinations that are dialled at the same time. The first claim wins, and the others are given up.

    claim: Asked for the first that answers; where it is False, somebody else was quicker than all of them.
    owner: See `reach`.
    """

    __slots__ = ("_outer", "_owner", "_tasks", "_winner")

    def __init__(self, claim: Claim = always, owner: UUID | None = None) -> None:
        self._outer = claim
        self._owner = owner
        self._tasks: list[asyncio.Task[Reached]] = []
        self._winner: int | None = None

    def _claim(self, place: int) -> bool:
        if self._winner is None:
            if not self._outer():
                return False
            self._winner = place
            for other, task in enumerate(self._tasks):
                if other != place:
                    task.cancel()
        return self._winner == place

    async def run(self, run: Run, option: ConnectOptions) -> list[Reached]:
        """Every destination's result; the winner's alone where there is one."""
        outer = run.breadth
        breadth = run.caller.max_breadth if outer is None else outer
        run.breadth = breadth // len(option.destinations)  # a leg that gets none is not dialled: 440
        try:
            return await self._race(run, option)
        finally:
            run.breadth = outer

    async def _race(self, run: Run, option: ConnectOptions) -> list[Reached]:
        loop = asyncio.get_running_loop()
        for place_, address in enumerate(option.destinations):
            claim = partial(self._claim, place_)
            work = reach(run, option, address, claim, self._owner)
            self._tasks.append(loop.create_task(work, name=f"connect {run.record.id} {place_}"))
        try:
            await asyncio.wait(self._tasks)
        finally:
            for task in self._tasks:
                task.cancel()
            if any(not task.done() for task in self._tasks):
                await asyncio.wait(self._tasks)
        for task in self._tasks:
            if not task.cancelled():
                task.exception()  # taken: of several failures only one can be raised
        chosen = self._tasks if self._winner is None else [self._tasks[self._winner]]
        return [task.result() for task in chosen]
