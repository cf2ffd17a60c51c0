"""Calls of our own: nobody waits on the other side, and a flow runs on the leg that answers."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from flows.calls.address import Address
from flows.calls.causes import CAUSES
from flows.calls.destinations import REFUSED, way_to
from flows.calls.dial import place
from flows.calls.hangup import end, note_cause
from flows.calls.number_lookup import fetch_numbers, missing_numbers
from flows.calls.ports import OutgoingLeg
from flows.calls.record import CallRecord
from flows.calls.services import FlowEnvironment
from flows.calls.tasks import TooManyTasksError
from flows.calls.tree import LOOP_DETECTED, Branch, Delivery, Tree
from flows.calls.uri_hunt import UriHunt
from flows.connect import identity_of
from flows.language.interpreter import run as run_flow
from flows.language.program import Program
from routing.access.admission import DialOut, RunFlow, Source, judge
from routing.access.destinations import NamedBy, named_by
from routing.directory.number_source import NumberUnavailable
from routing.hunt.identity import NOBODY, Anonymous, CallerIdentity
from routing.hunt.outcome import LastOutcome
from routing.identifiers import NIL
from routing.numbers.normalise import dialled

NOTHING = Program("", "", [])
"""The flow of a call without one: it is hung up when it is answered."""

_AS_CLIENT = Source("client")


class OwnCall:
    """A call of our own: prepared, started, and in the end a record.

    Attributes:
        record: Its id may be given away before anything is dialled.
        task: What carries the call out; None before the start.
        claim: Asked when it is answered; False means that another call was quicker, and this one is hung up.
    """

    __slots__ = (
        "_begun",
        "_branch",
        "_given_up",
        "_heard_of",
        "_hunt",
        "_leg",
        "_own",
        "_program",
        "claim",
        "env",
        "record",
        "task",
    )

    def __init__(
        self,
        env: FlowEnvironment,
        record: CallRecord,
        hunt: Callable[[], Awaitable[Any]],
        program: Program,
        own: dict[str, str] | None,
        branch: Branch,
    ) -> None:
        self.env = env
        self.record = record
        self.task: asyncio.Task[CallRecord] | None = None
        self.claim: Callable[[], bool] | None = None
        self._hunt = hunt
        self._program = program
        self._own = own
        self._branch = branch
        self._leg: OutgoingLeg | None = None
        self._heard_of = False
        self._begun = False
        self._given_up = False

    # ---- orders

    def announce(self) -> None:
        """From now on the call is known, and observers may keep its record; `start` dials, or `give_up` ends it. For a
        call that must be kept before anything is dialled: without this it is known from its start on."""
        if not self._heard_of:
            self._heard_of = True
            self.env.calls.begin(self.record, self)

    def start(self) -> asyncio.Task[CallRecord]:
        """Begins to dial; the task gives the record back when the call is over.

        Raises TooManyTasksError, and nothing has begun, when as many calls and webhooks run as may at once.
        """
        task = self.env.tasks.start(self._carry_out(), f"call {self.record.id}")
        self.task = task
        self._begun = True
        task.add_done_callback(self._done)
        over = self.env.orders.began(self.record.customer_id)
        task.add_done_callback(lambda _: over())
        self.announce()
        return task

    def start_or_fail(self) -> None:
        """`start` for a call whose id has been given away: where no more may run, its record says so. Nothing for one
        that has been started, or given up."""
        if self._begun:
            return
        try:
            self.start()
        except TooManyTasksError as error:
            self._never(503, "Service Unavailable", "", str(error))

    def give_up(self, why: str) -> None:
        """Ends it as `hang_up` does; where it has not been started it never will be, and the record says `why`."""
        if self._begun:
            self.hang_up("normal")
        else:
            self._never(487, "Request Terminated", "cancelled", why)

    def hang_up(self, cause: str) -> None:
        """Ends the call: CANCEL before the answer, BYE after it; one that was not started never will be."""
        if not self._begun:
            note_cause(self.record, cause, False)
            self._never(487, "Request Terminated", "cancelled", "hung up before it was dialled")
            return
        if self._given_up or self.task is None or self.task.done():
            return
        self._given_up = True
        record, leg = self.record, self._leg
        if leg is not None and leg.answered:
            end(leg, record, cause)
            return
        note_cause(record, cause, False)
        if leg is not None and leg.ended_at is None:
            leg.cancel(CAUSES[cause].header)
        else:  # between two attempts
            record.status = "canceling"
            self.env.calls.changed(record)
            self.task.cancel()

    # ---- how it goes

    def _dialled(self, leg: OutgoingLeg) -> None:
        self._leg = leg
        leg.on_status = self._turned

    def _turned(self, leg: OutgoingLeg) -> None:
        if leg is self._leg and self.record.follow(leg, self.env.clock()):
            self.env.calls.changed(self.record)

    async def _carry_out(self) -> CallRecord:
        env, record = self.env, self.record
        try:
            hunt = await self._hunt()
        except NumberUnavailable as error:
            record.note(f"{record.destination} cannot be looked up: {error}")
            self._unanswered(503, "Service Unavailable", "")
            return record
        except BaseException:
            self._unanswered(487, "Request Terminated", "cancelled")
            raise
        if hunt is None:
            self._unanswered(record.end_status, record.end_reason, "")
            return record
        record.tried.append(hunt.records)
        # Who is called here is no leg to anybody: it is a flow run, and counts as one.
        tree = None if getattr(hunt, "origin", None) is not None else self._branch.tree
        try:
            leg, attempt, kind, status, reason, reservation = await place(
                env, hunt, record, customer_id=record.customer_id, dialled=self._dialled, branch=self._branch
            )
        except BaseException:
            self._unanswered(487, "Request Terminated", "cancelled")
            raise
        if leg is None:
            self._unanswered(status, reason, kind)
            return record
        try:
            self._turned(leg)
            if self._given_up:
                pass  # in the moment of the answer
            elif self.claim is not None and not self.claim():
                record.note("another destination was quicker")
            else:
                if reservation is not None:
                    reservation.answered(partial(end, leg, record, "timeout"))
                if self._program is NOTHING or self._branch.run(env, record.id):
                    await self._until_ended(leg)
                else:
                    record.note("too many flows come of one call; its own does not run")
        finally:
            if leg.ended_at is None and leg.status != "terminating":
                leg.hangup()
            hunt.release(attempt)
            if tree is not None:
                tree.legs -= 1
            if reservation is not None:
                reservation.close()
            record.finish(leg, env.clock())
        return record

    async def _until_ended(self, leg: OutgoingLeg) -> None:
        """Runs the flow until it or the call is over: nobody but us would end it with the call."""
        loop = asyncio.get_running_loop()
        record = self.record
        work = run_flow(self._program, leg, self.env, record=record, own=self._own, branch=self._branch)
        flow = loop.create_task(work, name=f"flow {record.id}")
        ended = loop.create_task(leg.wait_ended(), name=f"end {record.id}")
        try:
            await asyncio.wait((flow, ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            flow.cancel()
            ended.cancel()
            await asyncio.wait((flow, ended))
        if not flow.cancelled():
            flow.result()

    def _unanswered(self, status: int, reason: str, kind: LastOutcome) -> None:
        record, leg = self.record, self._leg
        if kind == "refused" and leg is not None and leg.ended_by == "local":
            kind = ""  # it was never sent
        record.never_answered(status, reason, kind, round((self.env.clock() - record.begun) * 1000))

    def _done(self, task: "asyncio.Task[CallRecord]") -> None:
        if self.record.ended_ms is None:
            # Cancelled before its first turn, a task runs none of its code, not even what cleans up.
            self._unanswered(487, "Request Terminated", "cancelled")
        self._over()

    def _never(self, status: int, reason: str, kind: LastOutcome, why: str) -> None:
        if not self._begun:
            self._begun = self._given_up = True
            self.announce()
            self.record.note(why)
            self._unanswered(status, reason, kind)
            self._over()

    def _over(self) -> None:
        self.record.status = "hangup"
        self.env.calls.over(self.record)
        self.env.calls.ended(self.record)


def prepare(
    env: FlowEnvironment,
    destination: Address,
    *,
    source: Address | None = None,
    program: Program = NOTHING,
    anonymous: Anonymous = "auto",
    pinned: Sequence[UUID] = (),
    customer_id: UUID = NIL,
    own: dict[str, str] | None = None,
    metadata: dict[str, Any] | None = None,
    groupcall_id: str = "",
    named: NamedBy | None = None,
    branch: Branch | None = None,
) -> OwnCall:
    """A call to `destination`, with its record and its id. Nothing is dialled, and nobody is told, before its `start`.

    `program` runs when it is answered, with the variables `own`. `pinned` are providers to use in place of the routes.
    `named`: who has named the destination, where that is not the customer; `branch`: where in a tree it stands, None:
    at the root of one.
    """
    identity = identity_of(env, source, anonymous) if source else NOBODY
    record = CallRecord(
        str(uuid4()),
        "outgoing",
        source=identity.number,
        source_name=identity.name,
        source_type=source.type if source else "tel",
        destination=destination.target,
        destination_type=destination.type,
        flow=program.title,
        call_flow_id=UUID(program.id) if program is not NOTHING else NIL,
        customer_id=customer_id,
        groupcall_id=groupcall_id,
        created=env.wall(),
        begun=env.clock(),
        metadata=metadata,
    )
    branch = branch or Branch(Tree())
    asked = _Asked(env, record, identity, tuple(pinned), named or named_by(customer_id, customer_id), branch)
    if destination.type != "tel":
        return OwnCall(env, record, partial(asked.destination, destination), program, own, branch)
    missing = missing_numbers(env, destination.target)
    if missing:  # who is asked shows when the store has told
        return OwnCall(env, record, partial(asked.fetched, destination.target), program, own, branch)
    hunt = asked.number(destination.target)

    async def known() -> Any:
        return hunt

    return OwnCall(env, record, known, program, own, branch)


def originate(env: FlowEnvironment, destination: Address, **order: Any) -> tuple[CallRecord, asyncio.Task[CallRecord]]:
    """`prepare` and start in one: gives back the record at once, and the task that fills it in.

    Raises TooManyTasksError when as many calls and webhooks run as may run at once.
    """
    call = prepare(env, destination, **order)
    return call.record, call.start()


@dataclass(slots=True)
class _Asked:
    """Who is asked for the destination of a call. None: nobody, and the record says why."""

    env: FlowEnvironment
    record: CallRecord
    identity: CallerIdentity
    pinned: Sequence[UUID]
    named: NamedBy
    branch: Branch

    async def destination(self, address: Address) -> Any:
        """For what is no number as it stands."""
        env, record = self.env, self.record
        uri, named = address.sip_uri, self.named
        if address.type != "sip":
            found = env.resolve_extension(address, record.customer_id)
            if found is None:
                detail = f"{address.type} {address.target!r} is not known or not reachable"
                return _refused(record, 404, "Not Found", detail)
            uri, named = found.uri, named_by(record.customer_id, found.customer_id)
        way = await way_to(env, uri, named)
        if way.refused:
            env.log.warning("destination refused", call_id=record.id, destination=uri[:200], named_by=named)
            env.directory.count_refusal("destination_refused")
            return _refused(record, *REFUSED, way.refused)
        if way.here:
            return await self.fetched(uri, foreign=not self.branch.tree.guest)
        return UriHunt(uri, self.identity, env.routing.from_domain, way.allows)

    async def fetched(self, text: str, *, foreign: bool = True) -> Any:
        """As `number`, of what may not be in memory. Raises NumberUnavailable."""
        await fetch_numbers(self.env, missing_numbers(self.env, text))
        return self.number(text, foreign=foreign)

    def number(self, text: str, *, foreign: bool = True) -> Any:
        """For a number in any form, or a URI at ourselves that has one; a `foreign` one where that may be."""
        env, record, directory = self.env, self.record, self.env.directory
        verdict = judge(directory, env.routing, _AS_CLIENT, dialled(text, env.routing, directory.numbers))
        if isinstance(verdict, DialOut):
            if not foreign:
                detail = f"{verdict.target} is none of our numbers, and the call comes of a guest's"
                return _refused(record, *REFUSED, detail)
            record.destination = verdict.target
            return env.router.hunt(
                verdict.target,
                caller=self.identity,
                customer_id=record.customer_id,
                pinned=self.pinned,
            )
        if not isinstance(verdict, RunFlow):
            return _refused(record, verdict.status, verdict.reason, verdict.detail)
        record.destination = verdict.number.number
        if not self.branch.run(env, record.id):
            return _refused(
                record, *LOOP_DETECTED, f"too many flows come of one call; {record.destination} is left out"
            )
        # One of our own numbers is never sent to a provider: it is called where it is.
        domain = env.routing.from_domain
        return UriHunt(f"sip:{record.destination}@{domain}", self.identity, domain, origin=Delivery(self.branch))


def _refused(record: CallRecord, status: int, reason: str, detail: str) -> None:
    record.note(detail)
    record.end_status, record.end_reason = status, reason


__all__ = ["NOTHING", "OwnCall", "TooManyTasksError", "originate", "prepare"]
