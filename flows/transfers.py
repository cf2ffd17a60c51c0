"""Two talk, and one of them asks for a transfer: who asks leaves, and the other is connected with the target.

The target is read and dialled as if the one who asks had dialled it. Until it answers the two stay connected, and they
stay so for good where it does not.

Where the callee leaves, the caller's own call goes on. Where the caller leaves, its call ends, and what remains is a
call of its own, with its own record.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Protocol
from uuid import uuid4

from flows.address import Address
from flows.causes import CAUSES
from flows.contracts import CallEnded, OutgoingLeg
from flows.hang_up import end
from flows.known_numbers import fetch_numbers, missing_numbers
from flows.options import ConnectOptions
from flows.record import CallRecord
from flows.run import Run
from routing.admission import Refuse, Source, judge
from routing.normalise import dialled
from routing.number_source import NumberUnavailable

if TYPE_CHECKING:
    from engine.bridge import Bridge
    from engine.transfer import TransferRequest

MAX_TRANSFERS: Final = 5
"""Transfers of one call, and of what becomes of it."""

Reach = Callable[[Run, ConnectOptions, Address, Callable[[], bool]], Awaitable[Any]]
"""`flows.reach.reach`, which carries a transfer out, and whose calls may be transferred."""


class Referrers(Protocol):
    """Who may transfer (`service.referrers.Referrers`)."""

    def source_of(self, asked: "TransferRequest", record: CallRecord) -> Source | None:
        """Who asks, as if it were dialling. None: it may not."""


class Tether(Protocol):
    """What ends a run with its caller."""

    def loosen(self) -> None:
        """From now on the run goes on without its caller."""

    def fasten(self) -> None:
        """Again it does not."""

    def cut(self) -> None:
        """The caller is gone, and what ran for it ends."""


async def converse(run: Run, leg: OutgoingLeg, close: Callable[[], None], bridge: Any, reach: Reach) -> None:
    """Until the caller or `leg`, who talk, hang up; with the transfers that they ask for and with all that becomes of
    those. `close` gives back what `leg` costs, and may be called again."""
    referrers = run.env.transfers
    if referrers is None:
        await bridge.ended()
        return
    while (asked := await bridge.event()) is not None:
        try:
            address = await _target(run, leg, asked, referrers)
        except _Refused as refusal:
            run.record.note(f"transfer asked for by the {asked.by}, refused with {refusal.status}: {refusal.why}")
            asked.refuse(refusal.status, "" if refusal.reason else refusal.why, refusal.reason)
            continue
        if not asked.waits:
            continue
        asked.accept()
        run.budget.transfers += 1
        if asked.by == "callee":
            parted = await _callee_leaves(run, address, asked, leg, close, bridge, reach)
        else:
            parted = await _caller_leaves(run, address, asked, leg, bridge, reach)
        if parted:
            return


# ---- whether


class _Refused(Exception):
    """The transfer is not carried out. `why` is for the record, and for the one who asks unless there is a `reason`
    phrase: what routing says of a number holds what came from the network."""

    def __init__(self, status: int, why: str, reason: str = "") -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.reason = reason


async def _target(run: Run, leg: OutgoingLeg, asked: "TransferRequest", referrers: Referrers) -> Address:
    """Who is to be dialled. Raises _Refused."""
    env, reference = run.env, asked.reference
    source = referrers.source_of(asked, run.record)
    if source is None:
        raise _Refused(603, "this party may not transfer")
    if reference.replaces:
        raise _Refused(603, "only a transfer without asking before is carried out here")
    if run.budget.transfers >= MAX_TRANSFERS:
        raise _Refused(603, f"the call has been transferred {MAX_TRANSFERS} times")
    if asked.by == "caller" and leg.anchored() is not None:
        raise _Refused(603, "a caller whose media is anchored here cannot leave its call to another")
    if asked.by == "caller" and run.tether is None and run.caller.task is None:
        raise _Refused(603, "who was called by an order cannot leave its call to another")
    try:
        await fetch_numbers(env, missing_numbers(env, reference.uri))
    except NumberUnavailable:
        raise _Refused(503, "the number cannot be looked up now") from None
    meant = dialled(reference.uri, env.routing, env.directory.numbers)
    if meant.kind == "extension" and source.kind == "client":
        address = Address(type="extension", target=meant.text)
        if env.resolve_extension(address, run.customer_id):
            return address
    verdict = judge(env.directory, env.routing, source, meant)
    if isinstance(verdict, Refuse):
        raise _Refused(verdict.status, verdict.detail, verdict.reason)
    return Address(type="tel", target=meant.number)


# ---- the callee leaves


async def _callee_leaves(
    run: Run,
    address: Address,
    asked: "TransferRequest",
    leg: OutgoingLeg,
    close: Callable[[], None],
    bridge: "Bridge",
    reach: Reach,
) -> bool:
    connected = False
    leg.on_end = lambda _leg: close()  # what it costs ends with it, however long the caller goes on to talk

    def claim() -> bool:
        nonlocal connected
        connected, run.dialled = True, None
        _note(run.record, asked, address, "answered")
        bridge.part()
        asked.succeeded()
        return True

    run.dialled = lambda new: _follow(new, asked, None, run)
    try:
        result = await reach(run, ConnectOptions(destinations=[address]), address, claim)
    except BaseException:
        asked.failed(487, "Request Terminated")
        raise
    finally:
        run.dialled = None
    if not connected:
        _note(run.record, asked, address, f"{result.status} ({result.sip_status})")
        asked.failed(result.sip_status or 480, result.reason)
    return connected


# ---- the caller leaves


async def _caller_leaves(
    run: Run, address: Address, asked: "TransferRequest", leg: OutgoingLeg, bridge: "Bridge", reach: Reach
) -> bool:
    env, caller = run.env, run.caller
    tether: Tether = run.tether or _OfTask(caller)
    onward = _onward(run, leg, address)
    record = onward.record
    connected = False

    def claim() -> bool:
        nonlocal connected
        connected, onward.dialled = True, None
        _note(run.record, asked, address, f"answered; it goes on as call {record.id}")
        if record.answered_ms is None:
            record.status, record.answered_ms = "progressing", round((env.clock() - record.begun) * 1000)
            env.calls.changed(record)
        bridge.part()
        asked.succeeded()
        return True

    env.calls.begin(record, _Running(leg, record))
    onward.dialled = lambda new: _follow(new, asked, record, onward)
    tether.loosen()
    bridge.keeps_callee = True
    result = None
    try:
        result = await _supervised(onward, leg, reach(onward, ConnectOptions(destinations=[address]), address, claim))
    finally:
        bridge.keeps_callee = False
        onward.variables.let_go(onward)
        asked.failed(487 if result is None else result.sip_status or 480, "" if result is None else result.reason)
        if connected and leg.ended_at is None:
            leg.hangup(CAUSES["normal"].status, CAUSES["normal"].header)
        _finish(onward, leg, connected, result)
    if not connected:
        words = "given up" if result is None else f"{result.status} ({result.sip_status})"
        _note(run.record, asked, address, words)
        if caller.ended_at is None:
            tether.fasten()
            return False
    if leg.ended_at is None:
        leg.hangup(CAUSES["normal"].status, CAUSES["normal"].header)
    end(caller, run.record, "normal")
    tether.cut()
    await asyncio.sleep(0)
    raise CallEnded("the caller has left its call")


def _onward(run: Run, leg: OutgoingLeg, address: Address) -> Run:
    """What remains of a call when its caller leaves: a run of its own, in which `leg` is the caller."""
    env = run.env
    record = CallRecord(
        str(uuid4()),
        "outgoing",
        source=run.destination,
        destination=address.target,
        destination_type=address.type,
        customer_id=run.customer_id,
        flow=run.program.title,
        call_flow_id=run.record.call_flow_id,
        created=env.wall(),
        begun=env.clock(),
    )
    record.note(f"the caller of call {run.record.id} has transferred it")
    onward = Run(run.program, leg, env, record, run.number)
    onward.step = run.step
    onward.budget = run.budget
    onward.depth = run.depth
    onward.anchored = run.anchored
    onward.tether = _OfTurn()
    return onward


class _Running:
    """What remains of a call, as somebody from outside may end it."""

    __slots__ = ("leg", "record")

    def __init__(self, leg: OutgoingLeg, record: CallRecord) -> None:
        self.leg = leg
        self.record = record

    def hang_up(self, cause: str) -> None:
        """Ends it."""
        end(self.leg, self.record, cause)


class _OfTask:
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


class _OfTurn:
    """What runs for a leg that became a caller; see `_supervised`."""

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


async def _supervised(onward: Run, leg: OutgoingLeg, work: Awaitable[Any]) -> Any:
    """The result of `work`, which ends with `leg`; None where it did so."""
    loop = asyncio.get_running_loop()
    tether = onward.tether
    task = loop.create_task(_awaited(work), name=f"transfer {onward.record.id}")
    ended = loop.create_task(leg.wait_ended(), name=f"end {onward.record.id}")
    try:
        await asyncio.wait((task, ended), return_when=asyncio.FIRST_COMPLETED)
        if isinstance(tether, _OfTurn) and tether.loose:
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


def _finish(onward: Run, leg: OutgoingLeg, connected: bool, result: Any) -> None:
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


# ---- both


def _follow(new: OutgoingLeg, asked: "TransferRequest", record: CallRecord | None, run: Run) -> None:
    """Tells whoever asks of what is dialled for it, and the record where it has one of its own."""
    env = run.env

    def turned(dialled_leg: OutgoingLeg) -> None:
        if dialled_leg.status == "ringing":
            asked.rings()
        if record is not None and record.follow(dialled_leg, env.clock()):
            env.calls.changed(record)

    new.on_status = turned


def _note(record: CallRecord, asked: "TransferRequest", address: Address, words: str) -> None:
    record.note(f"transfer to {address.target} asked for by the {asked.by}: {words}")
