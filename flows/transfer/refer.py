"""Transfers by REFER (RFC 3515, RFC 5589): the transferor leaves, and the other of the two is connected with the
target.

The target is read and dialled as if the transferor had dialled it. Until it answers the two stay connected, and they
stay so for good where it does not.

Where the callee leaves, the caller's own call goes on. Where the caller leaves, its call ends, and what remains is a
call of its own, with its own record.
"""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

from engine.call import Call
from engine.sip.message.grammar import ParseError
from engine.sip.message.uri import SipUri, TelUri
from engine.transfer_request import TransferRequest
from flows.calls.address import Address
from flows.calls.context import CallContext
from flows.calls.dial import ConnectResult
from flows.calls.hangup import CAUSES, end_leg
from flows.calls.ports import CallEnded, CallerBinding, OutgoingLeg
from flows.calls.record import CallRecord
from flows.calls.services import TransferPolicy
from flows.transfer.attended import join_calls, obstacle
from flows.transfer.parties import MAX_TRANSFERS, Connect, ConnectedPair, Transferor
from flows.transfer.successor import SuccessorCall, TaskBinding, finish, make_successor, run_with_leg
from routing.access.admission import Refuse, RingExtension, Source, judge
from routing.directory.number_source import NumberUnavailable
from routing.identifiers import same_customer
from routing.numbers.normalise import normalise_dialled


async def converse(
    context: CallContext, leg: OutgoingLeg, close: Callable[[], None], bridge: Any, connect: Connect
) -> None:
    """Until the caller or `leg`, who talk, hang up; with the transfers that they ask for and with all that becomes of
    those. `close` gives back what `leg` costs, and may be called again."""
    policy = context.services.transfers
    if policy is None:
        await bridge.ended()
    else:
        await go_on(ConnectedPair(context=context, leg=leg, close=close, bridge=bridge, connect=connect), policy)


async def go_on(pair: ConnectedPair, policy: TransferPolicy) -> None:
    """As `converse`, from where `pair` is. Raises CallEnded where its caller has left it to others."""
    while True:
        request = await pair.bridge.event(pair)
        if request is None:
            await pair.settled()
        elif pair.joining is not None:
            request.refuse(491, "another transfer of this call is under way")
            continue
        elif await _carry_out(pair, request, policy):
            return
        continuation, pair.continuation = pair.continuation, ""
        if continuation == "wait_for_callee":
            await pair.wait_callee()
        elif continuation == "successor":
            await _outlived(pair, policy)
        elif continuation == "bridge_only":
            await pair.bridge.ended()
            return
        elif not continuation and request is None:
            return


async def _outlived(pair: ConnectedPair, policy: TransferPolicy) -> None:
    """The caller has left, and what remains is a call of its own. Raises CallEnded."""
    successor, leg = pair.successor, pair.leg
    assert successor is not None
    try:
        await run_with_leg(successor.context, leg, go_on(successor, policy))
    finally:
        if leg.ended_at is None:
            leg.hangup(CAUSES["normal"].status, CAUSES["normal"].header)
        finish(successor.context, leg, True, None)
    await pair.abandon()


async def _carry_out(pair: ConnectedPair, request: TransferRequest, policy: TransferPolicy) -> bool:
    """Whether a transfer that is asked for has parted the two. That to somebody who has been asked before does so
    later: see `ConnectedPair.continuation`."""
    context = pair.context
    try:
        target = await _target(pair, request, policy)
    except _Refused as refusal:
        context.record.note(f"transfer asked for by the {request.by}, refused with {refusal.status}: {refusal.why}")
        if refusal.accepted:
            request.accept()
            request.failed(refusal.status)
            context.budget.transfers += 1
        else:
            request.refuse(refusal.status, "" if refusal.reason else refusal.why, refusal.reason)
        return False
    if not request.waits:
        return False
    if isinstance(target, Transferor):
        await join_calls(Transferor(pair, request.by), request, target)
        return False
    request.accept()
    context.budget.transfers += 1
    if request.by == "callee":
        return await _callee_leaves(pair, target, request, policy)
    return await _caller_leaves(pair, target, request)


# ---- whether


class _Refused(Exception):
    """The transfer is not carried out. `why` is for the record, and for the one who asks unless there is a `reason`
    phrase: what routing says of a number holds what came from the network. `accepted`: the REFER is taken, and what
    became of it is told: 481 as a response would end the call (RFC 5057 §5.1)."""

    def __init__(self, status: int, why: str, reason: str = "", *, accepted: bool = False) -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.reason = reason
        self.accepted = accepted


async def _target(pair: ConnectedPair, request: TransferRequest, policy: TransferPolicy) -> Address | Transferor:
    """Who is to be dialled; or the one who has been, by whoever asks, and talks with it: it leaves that call as well.
    Raises _Refused."""
    context = pair.context
    source = policy.source_of(request, context.record)
    if source is None:
        raise _Refused(603, "this party may not transfer")
    if context.budget.transfers >= MAX_TRANSFERS:
        raise _Refused(603, f"the call has been transferred {MAX_TRANSFERS} times")
    if Transferor(pair, request.by).tied:
        raise _Refused(603, "who was called by an order cannot leave its call to another")
    if not request.reference.replaces:
        return await _address(context, request.reference.uri, source)
    second = _second(request, policy)
    if second.bridged is not None:
        return _joinable(pair, request, second)
    record = context.services.registry.get(second.id)
    if record is None or second.direction != "incoming":
        raise _Refused(603, "the other call cannot be transferred to")
    address = await _address(context, record.destination, source)
    record.note(f"call {context.record.id} is transferred to who was called here")
    end_leg(second, record, "normal")  # who rings for it would be busy
    return address


def _second(request: TransferRequest, policy: TransferPolicy) -> Call:
    """The other call of whoever asks. That of a stranger is as unknown as one that is none. Raises _Refused."""
    try:
        second, _ = request.replaced_call()
    except ParseError as error:
        raise _Refused(400, str(error)) from None
    if second is None or not policy.same_peer(request.call, second):
        raise _Refused(481, "there is no such call of whoever asks", accepted=True)
    if second is request.call:
        raise _Refused(603, "a call cannot take its own place")
    return second


def _joinable(pair: ConnectedPair, request: TransferRequest, second: Call) -> Transferor:
    bridge = second.bridged
    other = bridge.listener if bridge is not None else None
    if bridge is None or bridge is pair.bridge or not isinstance(other, ConnectedPair) or other.joining is not None:
        raise _Refused(491, "the other call is being transferred itself, or has been")
    transferor = Transferor(other, "caller" if second is bridge.caller else "callee")
    if why := obstacle(Transferor(pair, request.by), transferor):
        raise _Refused(603, why)
    return transferor


async def _address(context: CallContext, target: SipUri | TelUri | str, source: Source) -> Address:
    """Who is meant, as if `source` had dialled it. Raises _Refused."""
    services = context.services
    try:
        await services.fetch_numbers(services.missing_numbers(target))
    except NumberUnavailable:
        raise _Refused(503, "the number cannot be looked up now") from None
    meant = normalise_dialled(target, services.routing, services.directory.numbers)
    verdict = judge(services.directory, services.routing, source, meant)
    if isinstance(verdict, Refuse):
        raise _Refused(verdict.status, verdict.detail, verdict.reason)
    if isinstance(verdict, RingExtension):
        return Address(type="extension", target=verdict.extension.name)
    return Address(type="tel", target=meant.number)


# ---- the callee leaves


async def _callee_leaves(
    pair: ConnectedPair, address: Address, request: TransferRequest, policy: TransferPolicy
) -> bool:
    context, close = pair.context, pair.close
    connected = False
    payer, context.payer = context.payer, _payer(context, policy.source_of(request, context.record))
    # What the callee costs ends with it, however long the caller goes on to talk.
    pair.leg.on_end = lambda _leg: close()

    def claim() -> bool:
        nonlocal connected
        connected, context.on_dialled = True, None
        _note(context.record, request, address, "answered")
        pair.bridge.release()
        request.succeeded()
        return True

    context.on_dialled = lambda new: _follow(new, request, None, context)
    try:
        result = await pair.connect(context, address, claim)
    except BaseException:
        request.failed(487, "Request Terminated")
        raise
    finally:
        context.on_dialled, context.payer = None, payer
    if not connected:
        _note(context.record, request, address, f"{result.status} ({result.sip_status})")
        request.failed(result.sip_status or 480, result.reason)
    return connected


def _payer(context: CallContext, source: Source | None) -> UUID | None:
    """`CallContext.payer` while that is dialled which a callee has asked for. The platform's flows ring everybody's
    phones: one of a customer orders at that customer's cost."""
    asks = None if source is None else source.customer_id
    return context.payer if asks is None or same_customer(asks, context.customer_id) else asks


# ---- the caller leaves


async def _caller_leaves(pair: ConnectedPair, address: Address, request: TransferRequest) -> bool:
    context, leg, bridge = pair.context, pair.leg, pair.bridge
    services, caller = context.services, context.caller
    binding: CallerBinding = context.binding or TaskBinding(caller)
    successor = make_successor(context, leg, address.target, address.type)
    record = successor.record
    connected = False

    def claim() -> bool:
        nonlocal connected
        connected, successor.on_dialled = True, None
        _note(context.record, request, address, f"answered; it goes on as call {record.id}")
        if record.answered_ms is None:
            record.status, record.answered_ms = "progressing", round((services.clock() - record.begun) * 1000)
            services.registry.changed(record)
        bridge.release()
        request.succeeded()
        return True

    services.registry.begin(record, SuccessorCall(leg, record))
    successor.on_dialled = lambda new: _follow(new, request, record, successor)
    binding.detach()
    bridge.callee_survives = True
    result: ConnectResult | None = None
    try:
        result = await run_with_leg(successor, leg, pair.connect(successor, address, claim))
    finally:
        bridge.callee_survives = False
        request.failed(487 if result is None else result.sip_status or 480, "" if result is None else result.reason)
        if connected and leg.ended_at is None:
            leg.hangup(CAUSES["normal"].status, CAUSES["normal"].header)
        finish(successor, leg, connected, result)
    if not connected:
        words = "given up" if result is None else f"{result.status} ({result.sip_status})"
        _note(context.record, request, address, words)
        if caller.ended_at is None:
            binding.reattach()
            return False
    if leg.ended_at is None:
        leg.hangup(CAUSES["normal"].status, CAUSES["normal"].header)
    end_leg(caller, context.record, "normal")
    binding.cancel()
    await asyncio.sleep(0)
    raise CallEnded("the caller has left its call")


# ---- both


def _follow(new: OutgoingLeg, request: TransferRequest, record: CallRecord | None, context: CallContext) -> None:
    """Tells whoever asks of what is dialled for it, and the record where it has one of its own."""
    services = context.services

    def turned(dialled_leg: OutgoingLeg) -> None:
        if dialled_leg.status == "ringing":
            request.rings()
        if record is not None and record.follow(dialled_leg, services.clock()):
            services.registry.changed(record)

    new.on_status = turned


def _note(record: CallRecord, request: TransferRequest, address: Address, words: str) -> None:
    record.note(f"transfer to {address.target} asked for by the {request.by}: {words}")
