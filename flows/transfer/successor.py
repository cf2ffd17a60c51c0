"""What remains of a call when its caller leaves it to another: a run of its own, with a record of its own.

A run ends with its caller, because the engine cancels the caller's task, or because whoever runs it sees to that. What
is to outlive the caller has to be loosened from it first.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any
from uuid import uuid4

from flows.calls.hangup import end
from flows.calls.ports import CallEnded, OutgoingLeg
from flows.calls.record import CallRecord
from flows.language.run import Run


def onward_of(run: Run, leg: OutgoingLeg, destination: str, type_: str) -> Run:
    """What remains of a call when its caller leaves: a run of its own, in which `leg` is the caller."""
    env = run.env
    record = CallRecord(
        str(uuid4()),
        "outgoing",
        source=run.destination,
        destination=destination,
        destination_type=type_,
        customer_id=run.customer_id,
        flow=run.program.title,
        call_flow_id=run.record.call_flow_id,
        created=env.wall(),
        begun=env.clock(),
    )
    if run.record.phone is not None:
        # Who has ordered the transfer pays for it, and shows its own number.
        record.phone, record.shown, record.anonymous = run.record.phone, run.record.shown, run.record.anonymous
        record.customer_id = run.record.phone.customer_id
    record.note(f"the caller of call {run.record.id} has transferred it")
    onward = Run(run.program, leg, env, record, run.number)
    onward.step = run.step
    onward.budget = run.budget
    onward.depth = run.depth
    onward.branch = run.branch
    if record.phone is not None:
        onward.payer = record.phone.customer_id
    onward.anchored = run.anchored
    onward.tether = OfTurn()
    return onward


class Remaining:
    """What remains of a call, as somebody from outside may end it."""

    __slots__ = ("leg", "record")

    def __init__(self, leg: OutgoingLeg, record: CallRecord) -> None:
        self.leg = leg
        self.record = record

    def hang_up(self, cause: str) -> None:
        """Ends it."""
        end(self.leg, self.record, cause)


class OfTask:
    """The task of an incoming call."""

    __slots__ = ("_caller", "_task")

    def __init__(self, caller: Any) -> None:
        self._caller = caller
        self._task: asyncio.Task[Any] | None = None

    def loosen(self) -> None:
        """See `Tether`."""
        self._task, self._caller.task = self._caller.task, None

    def fasten(self) -> None:
        """See `Tether`."""
        self._caller.task = self._task

    def cut(self) -> None:
        """See `Tether`."""
        if self._task is not None:
            self._task.cancel()


class OfTurn:
    """What runs for a leg that became a caller; see `supervised`."""

    __slots__ = ("loose",)

    def __init__(self) -> None:
        self.loose = False

    def loosen(self) -> None:
        """See `Tether`."""
        self.loose = True

    def fasten(self) -> None:
        """See `Tether`."""
        self.loose = False

    def cut(self) -> None:
        """See `Tether`: what ran is over by itself."""


async def supervised(onward: Run, leg: OutgoingLeg, work: Awaitable[Any]) -> Any:
    """The result of `work`, which ends with `leg`; None where it did so."""
    loop = asyncio.get_running_loop()
    tether = onward.tether
    task = loop.create_task(_awaited(work), name=f"transfer {onward.record.id}")
    ended = loop.create_task(leg.wait_ended(), name=f"end {onward.record.id}")
    try:
        await asyncio.wait((task, ended), return_when=asyncio.FIRST_COMPLETED)
        if isinstance(tether, OfTurn) and tether.loose:
            await asyncio.wait((task,))
    finally:
        task.cancel()
        ended.cancel()
        await asyncio.wait((task, ended))
    try:
        return task.result()
    except (asyncio.CancelledError, CallEnded):
        return None


async def _awaited(work: Awaitable[Any]) -> Any:
    return await work


def finish(onward: Run, leg: OutgoingLeg, connected: bool, result: Any) -> None:
    """The record of what remained is complete."""
    env, record = onward.env, onward.record
    if connected:
        answered = record.answered_ms
        record.finish(leg, env.clock())
        record.answered_ms = answered
    else:
        milliseconds = round((env.clock() - record.begun) * 1000)
        record.cause = record.cause or ("cancel" if result is None else result.word)
        status, reason = (487, "Request Terminated") if result is None else (result.sip_status, result.reason)
        record.never_answered(status, reason, "", milliseconds)
    env.calls.over(record)
    env.calls.ended(record)
