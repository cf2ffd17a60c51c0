"""Two talk, and one of them asks for a transfer: who asks leaves, and the other is connected with the target.

The target is read and dialled as if the one who asks had dialled it. Until it answers the two stay connected, and they
stay so for good where it does not.

Where the callee leaves, the caller's own call goes on. Where the caller leaves, its call ends, and what remains is a
call of its own, with its own record.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from engine.sip.message.grammar import ParseError
from engine.sip.message.uri import SipUri, TelUri
from flows.calls.address import Address
from flows.calls.causes import CAUSES
from flows.calls.hangup import end
from flows.calls.number_lookup import fetch_numbers, missing_numbers
from flows.calls.ports import CallEnded, OutgoingLeg, Tether
from flows.calls.record import CallRecord
from flows.calls.services import Referrers
from flows.language.options import ConnectOptions
from flows.language.run import Run
from flows.transfer.attended import join, obstacle
from flows.transfer.parties import MAX_TRANSFERS, Part, Reach, Talk
from flows.transfer.successor import OfTask, Remaining, finish, onward_of, supervised
from routing.access.admission import Refuse, Source, judge
from routing.directory.number_source import NumberUnavailable
from routing.numbers.normalise import dialled

if TYPE_CHECKING:
    from engine.bridge import Bridge
    from engine.call import Call
    from engine.transfer_request import TransferRequest

__all__ = ["MAX_TRANSFERS", "Reach", "Referrers", "Tether", "converse", "go_on"]


async def converse(run: Run, leg: OutgoingLeg, close: Callable[[], None], bridge: Any, reach: Reach) -> None:
    """Until the caller or `leg`, who talk, hang up; with the transfers that they ask for and with all that becomes of
    those. `close` gives back what `leg` costs, and may be called again."""
    if run.env.transfers is None:
        await bridge.ended()
    else:
        await go_on(Talk(run, leg, close, bridge, reach), run.env.transfers)


async def go_on(talk: Talk, referrers: Referrers) -> None:
    """As `converse`, from where `talk` is. Raises CallEnded where its caller has left it to others."""
    while True:
        asked = await talk.bridge.event(talk)
        if asked is None:
            await talk.settled()
        elif talk.joining is not None:
            asked.refuse(491, "another transfer of this call is under way")
            continue
        elif await _carry_out(talk, asked, referrers):
            return
        following, talk.next = talk.next, ""
        if following == "holds":
            await talk.outlast()
        elif following == "onward":
            await _outlived(talk, referrers)
        elif following == "beside":
            await talk.bridge.ended()
            return
        elif not following and asked is None:
            return


async def _outlived(talk: Talk, referrers: Referrers) -> None:
    """The caller has left, and what remains is a call of its own. Raises CallEnded."""
    onward, leg = talk.onward, talk.leg
    assert onward is not None
    try:
        await supervised(onward.run, leg, go_on(onward, referrers))
    finally:
        onward.run.variables.let_go(onward.run)
        if leg.ended_at is None:
            leg.hangup(CAUSES["normal"].status, CAUSES["normal"].header)
        finish(onward.run, leg, True, None)
    await talk.gone()


async def _carry_out(talk: Talk, asked: "TransferRequest", referrers: Referrers) -> bool:
    """Whether a transfer that is asked for has parted the two. That to somebody who has been asked before does so
    later: see `Talk.next`."""
    run = talk.run
    try:
        target = await _target(talk, asked, referrers)
    except _Refused as refusal:
        run.record.note(f"transfer asked for by the {asked.by}, refused with {refusal.status}: {refusal.why}")
        if refusal.told:
            asked.accept()
            asked.failed(refusal.status)
            run.budget.transfers += 1
        else:
            asked.refuse(refusal.status, "" if refusal.reason else refusal.why, refusal.reason)
        return False
    if not asked.waits:
        return False
    if isinstance(target, Part):
        await join(Part(talk, asked.by), asked, target)
        return False
    asked.accept()
    run.budget.transfers += 1
    if asked.by == "callee":
        return await _callee_leaves(run, target, asked, talk.leg, talk.close, talk.bridge, talk.reach)
    return await _caller_leaves(run, target, asked, talk.leg, talk.bridge, talk.reach)


# ---- whether


class _Refused(Exception):
    """The transfer is not carried out. `why` is for the record, and for the one who asks unless there is a `reason`
    phrase: what routing says of a number holds what came from the network. `told`: the REFER is taken, and what became
    of it is told: 481 as a response would end the call (RFC 5057 §5.1)."""

    def __init__(self, status: int, why: str, reason: str = "", *, told: bool = False) -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.reason = reason
        self.told = told


async def _target(talk: Talk, asked: "TransferRequest", referrers: Referrers) -> Address | Part:
    """Who is to be dialled; or the one who has been, by whoever asks, and talks with it: it leaves that call as well.
    Raises _Refused."""
    run = talk.run
    source = referrers.source_of(asked, run.record)
    if source is None:
        raise _Refused(603, "this party may not transfer")
    if run.budget.transfers >= MAX_TRANSFERS:
        raise _Refused(603, f"the call has been transferred {MAX_TRANSFERS} times")
    if Part(talk, asked.by).tied:
        raise _Refused(603, "who was called by an order cannot leave its call to another")
    if not asked.reference.replaces:
        return await _address(run, asked.reference.uri, source)
    second = _second(asked, referrers)
    if second.bridged is not None:
        return _joinable(talk, asked, second)
    record = run.env.calls.get(second.id)
    if record is None or second.direction != "incoming":
        raise _Refused(603, "the other call cannot be transferred to")
    address = await _address(run, record.destination, source)
    record.note(f"call {run.record.id} is transferred to who was called here")
    end(second, record, "normal")  # who rings for it would be busy
    return address


def _second(asked: "TransferRequest", referrers: Referrers) -> "Call":
    """The other call of whoever asks. That of a stranger is as unknown as one that is none. Raises _Refused."""
    try:
        second, _ = asked.replaced_call()
    except ParseError as error:
        raise _Refused(400, str(error)) from None
    if second is None or not referrers.same(asked.call, second):
        raise _Refused(481, "there is no such call of whoever asks", told=True)
    if second is asked.call:
        raise _Refused(603, "a call cannot take its own place")
    return second


def _joinable(talk: Talk, asked: "TransferRequest", second: "Call") -> Part:
    bridge = second.bridged
    other = bridge.listener if bridge is not None else None
    if bridge is None or bridge is talk.bridge or not isinstance(other, Talk) or other.joining is not None:
        raise _Refused(491, "the other call is being transferred itself, or has been")
    part = Part(other, "caller" if second is bridge.caller else "callee")
    if why := obstacle(Part(talk, asked.by), part):
        raise _Refused(603, why)
    return part


async def _address(run: Run, asked: SipUri | TelUri | str, source: Source) -> Address:
    """Who is meant, as if `source` had dialled it. Raises _Refused."""
    env = run.env
    try:
        await fetch_numbers(env, missing_numbers(env, asked))
    except NumberUnavailable:
        raise _Refused(503, "the number cannot be looked up now") from None
    meant = dialled(asked, env.routing, env.directory.numbers)
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
        bridge.release()
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
    tether: Tether = run.tether or OfTask(caller)
    onward = onward_of(run, leg, address.target, address.type)
    record = onward.record
    connected = False

    def claim() -> bool:
        nonlocal connected
        connected, onward.dialled = True, None
        _note(run.record, asked, address, f"answered; it goes on as call {record.id}")
        if record.answered_ms is None:
            record.status, record.answered_ms = "progressing", round((env.clock() - record.begun) * 1000)
            env.calls.changed(record)
        bridge.release()
        asked.succeeded()
        return True

    env.calls.begin(record, Remaining(leg, record))
    onward.dialled = lambda new: _follow(new, asked, record, onward)
    tether.loosen()
    bridge.callee_survives = True
    result = None
    try:
        result = await supervised(onward, leg, reach(onward, ConnectOptions(destinations=[address]), address, claim))
    finally:
        bridge.callee_survives = False
        onward.variables.let_go(onward)
        asked.failed(487 if result is None else result.sip_status or 480, "" if result is None else result.reason)
        if connected and leg.ended_at is None:
            leg.hangup(CAUSES["normal"].status, CAUSES["normal"].header)
        finish(onward, leg, connected, result)
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
