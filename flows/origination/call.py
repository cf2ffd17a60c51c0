"""Originated calls (click to dial): nobody waits on the other side, and a flow runs on the leg that answers."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from flows.calls.address import Address
from flows.calls.context import FlowRunner
from flows.calls.destinations import LONGEST_WAIT, REFUSED
from flows.calls.dial import dial_hunt
from flows.calls.hangup import CAUSES, end_leg, note_cause
from flows.calls.identity import identity_of
from flows.calls.phone_dialogs import WITHHELD, PhoneDialog
from flows.calls.ports import FlowProgram, OutgoingLeg, ProviderHunt, Reservation
from flows.calls.record import CallRecord
from flows.calls.services import CallServices
from flows.calls.tasks import TooManyTasksError
from flows.calls.tree import LOOP_DETECTED, Branch, LocalOrigin, Tree
from flows.calls.uri_hunt import UriHunt
from routing.access.admission import (
    DialOut,
    Refuse,
    RunFlow,
    Source,
    client_of,
    extension_for,
    judge,
    reached_extension,
)
from routing.access.destinations import NamedBy, named_by
from routing.directory.number_source import NumberUnavailable
from routing.hunt.attempt import Attempt
from routing.hunt.identity import NO_CALLER, Anonymous, CallerIdentity
from routing.hunt.outcome import LastOutcome
from routing.identifiers import NIL
from routing.numbers.normalise import normalise_dialled

_AS_CLIENT = Source("client")


class Plan(NamedTuple):
    """Who is asked for the destination of a call, one after another. Without hunts: nobody, and the record says why.
    `extension`: whose devices they are; "" for none."""

    hunts: Sequence[ProviderHunt]
    extension: str = ""


class OriginatedCall:
    """A call of our own: prepared, started, and in the end a record.

    Attributes:
        record: Its id may be given away before anything is dialled.
        task: What carries the call out; None before the start.
        claim: Asked when it is answered; False means that another call was quicker, and this one is hung up.
    """

    __slots__ = (
        "_begun",
        "_branch",
        "_dialog",
        "_flow",
        "_flows",
        "_given_up",
        "_heard_of",
        "_leg",
        "_own",
        "_plan",
        "_withheld",
        "claim",
        "record",
        "services",
        "task",
    )

    def __init__(
        self,
        *,
        flows: FlowRunner,
        record: CallRecord,
        plan: Callable[[], Awaitable[Plan]],
        flow: FlowProgram | None,
        own: dict[str, str] | None,
        branch: Branch,
        withheld: bool = False,
    ) -> None:
        """`withheld`: whoever watches the extension that is called is not told who calls."""
        self.services = flows.calls
        self.record = record
        self.task: asyncio.Task[CallRecord] | None = None
        self.claim: Callable[[], bool] | None = None
        self._plan = plan
        self._withheld = withheld
        self._dialog: PhoneDialog | None = None
        self._flows = flows
        self._flow = flow
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
            self.services.registry.begin(self.record, self)

    def start(self) -> asyncio.Task[CallRecord]:
        """Begins to dial; the task gives the record back when the call is over.

        Raises TooManyTasksError, and nothing has begun, when as many calls and webhooks run as may at once.
        """
        task = self.services.tasks.start(self._carry_out(), f"call {self.record.id}")
        self.task = task
        self._begun = True
        task.add_done_callback(self._done)
        over = self.services.accounts.orders.began(self.record.customer_id)
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
            end_leg(leg, record, cause)
            return
        note_cause(record, cause, False)
        if leg is not None and leg.ended_at is None:
            leg.cancel(CAUSES[cause].header)
        else:  # between two attempts
            record.status = "canceling"
            self.services.registry.changed(record)
            self.task.cancel()

    # ---- how it goes

    def _dialled(self, leg: OutgoingLeg) -> None:
        self._leg = leg
        leg.on_status = self._turned

    def _turned(self, leg: OutgoingLeg) -> None:
        if leg is not self._leg or not self.record.follow(leg, self.services.clock()):
            return
        self.services.registry.changed(self.record)
        if self._dialog is not None and leg.status == "ringing":
            self.services.phone_dialogs.rings(self._dialog)

    async def _carry_out(self) -> CallRecord:
        services, record = self.services, self.record
        try:
            hunts, extension = await self._plan()
        except NumberUnavailable as error:
            record.note(f"{record.destination} cannot be looked up: {error}")
            self._unanswered(503, "Service Unavailable", "")
            return record
        except BaseException:
            self._unanswered(487, "Request Terminated", "cancelled")
            raise
        if not hunts:
            self._unanswered(record.end_status, record.end_reason, "")
            return record
        if extension:
            caller = (WITHHELD, "") if self._withheld else (record.source, record.source_name)
            self._dialog = services.phone_dialogs.begin(extension, "recipient", "trying", *caller)
        try:
            for hunt in hunts:
                record.tried.append(hunt.records)
                leg, attempt, kind, status, reason, reservation, _ = await dial_hunt(
                    services, hunt, record, customer_id=record.customer_id, dialled=self._dialled, branch=self._branch
                )
                if leg is not None or status >= 600 or self._given_up:
                    break
        except BaseException:
            self._unanswered(487, "Request Terminated", "cancelled")
            raise
        if leg is None:
            self._unanswered(status, reason, kind)
            return record
        assert attempt is not None
        await self._carry_on(hunt, leg, attempt, reservation)
        return record

    async def _carry_on(
        self, hunt: ProviderHunt, leg: OutgoingLeg, attempt: Attempt, reservation: Reservation | None
    ) -> None:
        """The leg has answered: its flow runs, where nobody else was quicker and nobody has given the call up."""
        services, record = self.services, self.record
        try:
            self._turned(leg)
            if self._given_up:
                pass  # in the moment of the answer
            elif self.claim is not None and not self.claim():
                record.note("another destination was quicker")
            else:
                if self._dialog is not None:
                    services.phone_dialogs.turn(self._dialog, "confirmed")
                if reservation is not None:
                    reservation.answered(partial(end_leg, leg, record, "timeout"))
                if self._flow is None or self._branch.run(services.log, services.clock(), record.id):
                    await self._until_ended(leg)
                else:
                    record.note("too many flows come of one call; its own does not run")
        finally:
            if leg.ended_at is None and leg.status != "terminating":
                leg.hangup()
            hunt.release(attempt)
            # Who is called here is no leg to anybody: it is a flow run, and counts as one.
            if attempt.origin is None:
                self._branch.tree.legs -= 1
            if reservation is not None:
                reservation.close()
            record.finish(leg, services.clock())

    async def _until_ended(self, leg: OutgoingLeg) -> None:
        """Runs the flow until it or the call is over: nobody but us would end it with the call."""
        loop = asyncio.get_running_loop()
        record = self.record
        work = self._flows.run(self._flow, leg, record, own=self._own, branch=self._branch)
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
        record.never_answered(status, reason, kind, round((self.services.clock() - record.begun) * 1000))

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
        if self._dialog is not None:
            self.services.phone_dialogs.end(self._dialog)
        self.record.status = "hangup"
        self.services.registry.over(self.record)
        self.services.registry.ended(self.record)


def prepare(
    flows: FlowRunner,
    destination: Address,
    *,
    source: Address | None = None,
    flow: FlowProgram | None = None,
    anonymous: Anonymous = "auto",
    pinned: Sequence[UUID] = (),
    customer_id: UUID = NIL,
    own: dict[str, str] | None = None,
    metadata: dict[str, Any] | None = None,
    groupcall_id: str = "",
    named: NamedBy | None = None,
    branch: Branch | None = None,
) -> OriginatedCall:
    """A call to `destination`, with its record and its id. Nothing is dialled, and nobody is told, before its `start`.

    `flow` runs when it is answered, with the variables `own`; None: it is hung up then. `pinned` are providers to use
    in place of the routes.
    `named`: who has named the destination, where that is not the customer; `branch`: where in a tree it stands, None:
    at the root of one.
    """
    services = flows.calls
    identity = identity_of(services, source, anonymous) if source else NO_CALLER
    record = CallRecord(
        str(uuid4()),
        "outgoing",
        source=identity.number,
        source_name=identity.name,
        source_type=source.type if source else "tel",
        destination=destination.target,
        destination_type=destination.type,
        flow="" if flow is None else flow.title,
        call_flow_id=NIL if flow is None else UUID(flow.id),
        customer_id=customer_id,
        groupcall_id=groupcall_id,
        created=services.wall(),
        begun=services.clock(),
        metadata=metadata,
    )
    branch = branch or Branch(Tree())
    planner = _HuntPlanner(
        services=services,
        record=record,
        identity=identity,
        pinned=tuple(pinned),
        named=named or named_by(customer_id, customer_id),
        branch=branch,
    )
    hunts: Callable[[], Awaitable[Sequence[ProviderHunt]]]
    if destination.type != "tel":
        hunts = partial(planner.destination, destination)
    elif (extension := planner.extension(destination.target)) is not None:
        hunts = partial(planner.destination, extension)
    elif services.missing_numbers(destination.target):  # whose number it is, the store has to say
        hunts = partial(planner.fetched, destination.target)
    else:
        found = planner.number(destination.target)

        async def known() -> Sequence[ProviderHunt]:
            return found

        hunts = known

    async def plan() -> Plan:
        return Plan(await hunts(), planner.phone)

    withheld = anonymous == "yes"
    return OriginatedCall(flows=flows, record=record, plan=plan, flow=flow, own=own, branch=branch, withheld=withheld)


def originate(flows: FlowRunner, destination: Address, **order: Any) -> tuple[CallRecord, asyncio.Task[CallRecord]]:
    """`prepare` and start in one: gives back the record at once, and the task that fills it in.

    Raises TooManyTasksError when as many calls and webhooks run as may run at once.
    """
    call = prepare(flows, destination, **order)
    return call.record, call.start()


@dataclass(slots=True, kw_only=True)
class _HuntPlanner:
    """Who is asked for the destination of a call, one after another. []: nobody, and the record says why.

    Attributes:
        phone: The extension whose devices they are; "" for none.
    """

    services: CallServices
    record: CallRecord
    identity: CallerIdentity
    pinned: Sequence[UUID]
    named: NamedBy
    branch: Branch
    phone: str = ""

    async def destination(self, address: Address) -> Sequence[ProviderHunt]:
        """For what is no number as it stands. Of several contacts the preferred one is dialled first: who answers
        first would have to be asked of all, and a call of our own follows one leg (RFC 3261 §16.6 allows both)."""
        record = self.record
        if address.type == "sip":
            return await self._uri(address.sip_uri, self.named)
        resolver = self.services.contacts
        contacts = await resolver.resolve(address, record.customer_id)
        extension = None
        if not contacts and address.type == "extension":
            extension = extension_for(self.services.directory, address.target, record.customer_id)
            if extension is not None and await resolver.returned(extension.name, LONGEST_WAIT):
                contacts = await resolver.resolve(address, record.customer_id)
        if not contacts:
            if extension is not None:
                detail = f"no phone of extension {address.target} is registered"
                return _refused(record, 480, "Temporarily Unavailable", detail)
            detail = f"{address.type} {address.target!r} is not known or not reachable"
            return _refused(record, 404, "Not Found", detail)
        self.phone = contacts[0].extension
        hunts: list[ProviderHunt] = []
        for contact in sorted(contacts, key=lambda contact: -contact.q):
            if contact.flow is None and not contact.path:
                hunts += await self._uri(contact.uri, named_by(record.customer_id, contact.customer_id))
            else:
                hunt = await UriHunt.to(contact, self.identity, self.services)
                if isinstance(hunt, str):
                    hunts += _refused(record, 480, "Temporarily Unavailable", hunt)
                else:
                    hunts.append(hunt)
        return hunts

    async def _uri(self, uri: str, named: NamedBy) -> Sequence[ProviderHunt]:
        services, record = self.services, self.record
        way = await services.way_to(uri, named)
        if way.refused:
            services.log.warning("destination refused", call_id=record.id, destination=uri[:200], named_by=named)
            services.directory.count_refusal("destination_refused")
            return _refused(record, *REFUSED, way.refused)
        if way.here:
            return await self.fetched(uri, foreign=not self.branch.tree.guest)
        return [UriHunt(uri, self.identity, services.routing.from_domain, way.allows)]

    async def fetched(self, text: str, *, foreign: bool = True) -> Sequence[ProviderHunt]:
        """As `number`, of what may not be in memory; of an extension, as `destination`. Raises NumberUnavailable."""
        if (extension := self.extension(text)) is not None:
            return await self.destination(extension)
        await self.services.fetch_numbers(self.services.missing_numbers(text))
        return self.number(text, foreign=foreign)

    def extension(self, text: str) -> Address | None:
        """The extension that digits, or a URI at ourselves, lead to; None where they lead to none."""
        directory, routing = self.services.directory, self.services.routing
        dialled = normalise_dialled(text, routing, directory.numbers)
        row = reached_extension(directory, routing, client_of(self.record.customer_id), dialled)
        return None if row is None else Address(type="extension", target=row.name)

    def number(self, text: str, *, foreign: bool = True) -> Sequence[ProviderHunt]:
        """For a number in any form, or a URI at ourselves that has one; a `foreign` one where that may be."""
        services, record, directory = self.services, self.record, self.services.directory
        verdict = judge(
            directory, services.routing, _AS_CLIENT, normalise_dialled(text, services.routing, directory.numbers)
        )
        if isinstance(verdict, DialOut):
            if not foreign:
                detail = f"{verdict.target} is none of our numbers, and the call comes of a guest's"
                return _refused(record, *REFUSED, detail)
            record.destination = verdict.target
            hunt = services.router.hunt(
                verdict.target, caller=self.identity, customer_id=record.customer_id, pinned=self.pinned
            )
            return [hunt]
        if isinstance(verdict, Refuse):
            return _refused(record, verdict.status, verdict.reason, verdict.detail)
        assert isinstance(verdict, RunFlow)  # for extensions it has been looked before
        record.destination = verdict.number.number
        if not self.branch.run(services.log, services.clock(), record.id):
            return _refused(
                record, *LOOP_DETECTED, f"too many flows come of one call; {record.destination} is left out"
            )
        # One of our own numbers is never sent to a provider: it is called where it is.
        domain = services.routing.from_domain
        return [UriHunt(f"sip:{record.destination}@{domain}", self.identity, domain, origin=LocalOrigin(self.branch))]


def _refused(record: CallRecord, status: int, reason: str, detail: str) -> Sequence[ProviderHunt]:
    record.note(detail)
    record.end_status, record.end_reason = status, reason
    return []


__all__ = ["OriginatedCall", "TooManyTasksError", "originate", "prepare"]
