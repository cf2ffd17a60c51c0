"""The call that remains after its caller has transferred it: its successor, with a record of its own.

What runs for a call ends with its caller, because the engine cancels the caller's task, or because `run_with_leg` sees
to that. What is to outlive the caller has to be detached from it first.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar
from uuid import uuid4

from flows.calls.context import CallContext
from flows.calls.dial import ConnectResult
from flows.calls.hangup import end_leg
from flows.calls.ports import CallEnded, OutgoingLeg
from flows.calls.record import CallRecord

T = TypeVar("T")


def make_successor(context: CallContext, leg: OutgoingLeg, destination: str, type_: str) -> CallContext:
    """What remains of a call when its caller leaves: a call of its own, in which `leg` is the caller."""
    services = context.services
    record = CallRecord(
        str(uuid4()),
        "outgoing",
        source=context.destination,
        destination=destination,
        destination_type=type_,
        customer_id=context.customer_id,
        flow="" if context.flow is None else context.flow.title,
        call_flow_id=context.record.call_flow_id,
        created=services.wall(),
        begun=services.clock(),
    )
    before = context.record
    if before.phone is not None:
        # Who has ordered the transfer pays for it, and shows its own number.
        record.phone, record.shown, record.anonymous = before.phone, before.shown, before.anonymous
        record.customer_id = before.phone.customer_id
    record.note(f"the caller of call {before.id} has transferred it")
    successor = CallContext(
        flows=context.flows,
        call=leg,
        record=record,
        number=context.number,
        extension=context.extension,
        budget=context.budget,
        branch=context.branch,
        depth=context.depth,
    )
    successor.diverted = context.diverted
    successor.flow, successor.step = context.flow, context.step
    if record.phone is not None:
        successor.payer = record.phone.customer_id
    successor.anchored = context.anchored
    successor.binding = TurnBinding()
    return successor


class SuccessorCall:
    """A successor, as somebody from outside may end it (`Running`)."""

    __slots__ = ("leg", "record")

    def __init__(self, leg: OutgoingLeg, record: CallRecord) -> None:
        self.leg = leg
        self.record = record

    def hang_up(self, cause: str) -> None:
        """Ends it."""
        end_leg(self.leg, self.record, cause)


class TaskBinding:
    """Binds what runs for an incoming call to its caller: the engine cancels the call's task when the caller hangs
    up."""

    __slots__ = ("_caller", "_task")

    def __init__(self, caller: Any) -> None:
        self._caller = caller
        self._task: asyncio.Task[Any] | None = None

    def detach(self) -> None:
        """See `CallerBinding`."""
        self._task, self._caller.task = self._caller.task, None

    def reattach(self) -> None:
        """See `CallerBinding`."""
        self._caller.task = self._task

    def cancel(self) -> None:
        """See `CallerBinding`."""
        if self._task is not None:
            self._task.cancel()


class TurnBinding:
    """Binds what runs for a successor to the leg that became its caller; see `run_with_leg`."""

    __slots__ = ("detached",)

    def __init__(self) -> None:
        self.detached = False

    def detach(self) -> None:
        """See `CallerBinding`."""
        self.detached = True

    def reattach(self) -> None:
        """See `CallerBinding`."""
        self.detached = False

    def cancel(self) -> None:
        """See `CallerBinding`: what ran is over by itself."""


async def run_with_leg(successor: CallContext, leg: OutgoingLeg, work: Awaitable[T]) -> T | None:
    """The result of `work`, which ends with `leg`; None where it did so."""
    loop = asyncio.get_running_loop()
    binding = successor.binding
    task = loop.create_task(_awaited(work), name=f"transfer {successor.record.id}")
    ended = loop.create_task(leg.wait_ended(), name=f"end {successor.record.id}")
    try:
        await asyncio.wait((task, ended), return_when=asyncio.FIRST_COMPLETED)
        if isinstance(binding, TurnBinding) and binding.detached:
            await asyncio.wait((task,))
    finally:
        task.cancel()
        ended.cancel()
        await asyncio.wait((task, ended))
    try:
        return task.result()
    except (asyncio.CancelledError, CallEnded):
        return None


async def _awaited(work: Awaitable[T]) -> T:
    return await work


def finish(successor: CallContext, leg: OutgoingLeg, connected: bool, result: ConnectResult | None) -> None:
    """Completes the record of a successor that is over."""
    services, record = successor.services, successor.record
    if connected:
        answered = record.answered_ms
        record.finish(leg, services.clock())
        record.answered_ms = answered
    else:
        milliseconds = round((services.clock() - record.begun) * 1000)
        record.cause = record.cause or ("cancel" if result is None else result.word)
        status, reason = (487, "Request Terminated") if result is None else (result.sip_status, result.reason)
        record.never_answered(status, reason, "", milliseconds)
    services.registry.over(record)
    services.registry.ended(record)
