"""Calls of our own: nobody waits on the other side, and a flow runs on the leg that answers."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from flows.address import Address
from flows.contracts import OutgoingLeg
from flows.direct import DirectHunt
from flows.environment import FlowEnvironment
from flows.interpreter import run as run_flow
from flows.outbound import place
from flows.program import Program
from flows.reach import identity_of
from flows.record import CallRecord
from flows.tasks import TooManyTasksError
from routing.admission import DialOut, RunFlow, Source, judge
from routing.identifiers import NIL
from routing.identity import NOBODY, Anonymous
from routing.normalise import dialled

NOTHING = Program("", "", [])
"""The flow of a call without one: it is hung up when it is answered."""

_AS_CLIENT = Source("client")


def originate(
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
) -> tuple[CallRecord, asyncio.Task[CallRecord]]:
    """Begins a call to `destination` and gives back its record at once, and the task that fills it in.

    `program` runs when it is answered, with the variables `own`. `pinned` are providers to use in place of the routes.
    Raises TooManyTasksError when as many calls and webhooks run as may run at once.
    """
    identity = identity_of(env, source, anonymous) if source else NOBODY
    record = CallRecord(
        str(uuid4()),
        "outgoing",
        source=identity.number,
        source_name=identity.name,
        destination=destination.target,
        flow=program.title,
        customer_id=customer_id,
        created=env.wall(),
        begun=env.clock(),
        metadata=metadata,
    )
    hunt = _hunt(env, destination, identity, pinned, customer_id, record)
    task = env.tasks.start(_carry_out(env, record, hunt, program, own), f"call {record.id}")
    task.add_done_callback(lambda _: _never_began(env, record))
    env.calls.add(record)
    return record, task


def _never_began(env: FlowEnvironment, record: CallRecord) -> None:
    """A task that is cancelled before its first turn runs none of its code, not even what cleans up."""
    if record.ended_ms is None:
        _unanswered(env, record, 487, "Request Terminated", "cancelled")


def _hunt(
    env: FlowEnvironment,
    destination: Address,
    identity: Any,
    pinned: Sequence[UUID],
    customer_id: UUID,
    record: CallRecord,
) -> Any:
    """Who is asked for this destination. None: nobody, and the record says why."""
    uri: str | None = None
    if destination.type == "tel":
        directory = env.directory
        asked = dialled(destination.target, env.routing, directory.numbers)
        verdict = judge(directory, env.routing, _AS_CLIENT, asked)
        if isinstance(verdict, DialOut):
            record.destination = verdict.target
            return env.router.hunt(
                verdict.target, caller=identity, customer_id=customer_id, pinned=pinned, now=record.begun
            )
        if not isinstance(verdict, RunFlow):
            return _refused(record, verdict.status, verdict.reason, verdict.detail)
        record.destination = verdict.number.number
        if not env.own_address:
            return _refused(record, 480, "Temporarily Unavailable", "no listener of ours takes calls of our own")
        # One of our own numbers is never sent to a provider: it is called where it is, at our own listener.
        uri = f"sip:{verdict.number.number}@{env.own_address}"
    elif destination.type == "sip":
        uri = destination.sip_uri
    else:
        uri = env.resolve_extension(destination)
        if not uri:
            detail = f"{destination.type} {destination.target!r} is not known or not reachable"
            return _refused(record, 404, "Not Found", detail)
    return DirectHunt(uri, identity, env.routing.from_domain)


def _refused(record: CallRecord, status: int, reason: str, detail: str) -> None:
    record.note(detail)
    record.end_status, record.end_reason = status, reason


async def _carry_out(
    env: FlowEnvironment, record: CallRecord, hunt: Any, program: Program, own: dict[str, str] | None
) -> CallRecord:
    if hunt is None:
        _unanswered(env, record, record.end_status, record.end_reason, "")
        return record
    record.tried.append(hunt.records)
    try:
        leg, attempt, kind, status, reason = await place(env, hunt, call_id=record.id)
    except BaseException:
        _unanswered(env, record, 487, "Request Terminated", "cancelled")
        raise
    if leg is None:
        _unanswered(env, record, status, reason, kind)
        return record
    record.status = leg.status
    try:
        await _until_ended(env, record, leg, program, own)
    finally:
        if leg.ended_at is None and leg.status != "terminating":
            leg.hangup()
        hunt.release(attempt)
        record.finish(leg, env.clock())
    return record


async def _until_ended(
    env: FlowEnvironment, record: CallRecord, leg: OutgoingLeg, program: Program, own: dict[str, str] | None
) -> None:
    """Runs the flow until it or the call is over: nobody but us would end it with the call."""
    loop = asyncio.get_running_loop()
    flow = loop.create_task(run_flow(program, leg, env, record=record, own=own), name=f"flow {record.id}")
    ended = loop.create_task(leg.wait_ended(), name=f"end {record.id}")
    try:
        await asyncio.wait((flow, ended), return_when=asyncio.FIRST_COMPLETED)
    finally:
        flow.cancel()
        ended.cancel()
        await asyncio.wait((flow, ended))
    if not flow.cancelled():
        flow.result()


def _unanswered(env: FlowEnvironment, record: CallRecord, status: int, reason: str, kind: str) -> None:
    record.never_answered(status, reason, kind, round((env.clock() - record.begun) * 1000))


__all__ = ["NOTHING", "TooManyTasksError", "originate"]
