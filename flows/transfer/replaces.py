"""Replacing a call by an INVITE with Replaces (RFC 3891): the new call takes the place of one of two who talk.

The other of the two is offered what the new call offers. Where it takes that, it talks with the new call from then on,
and the one that was replaced is hung up; where not, all is as it was.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from engine.bridge import Bridge
from engine.call import Call
from engine.rejoin import PATIENCE, MediaNotAgreed, ask_for_offer, decline_offer, offer, restore_media
from flows.calls.context import CallContext, FlowRunner
from flows.calls.inbound import InboundCallTracker
from flows.calls.record import CallRecord
from flows.transfer.attended import leaving, obstacle
from flows.transfer.parties import ConnectedPair, Transferor
from flows.transfer.refer import go_on


def accept_replaces(
    call: Call, replaced: Call, flows: FlowRunner, record: CallRecord
) -> Coroutine[Any, Any, CallRecord] | None:
    """What becomes of `call`, whose record is `record`, and which may take the place of `replaced`; None where it
    cannot, and has been refused."""
    transferor, status, why = _transferor(replaced)
    if transferor is None:
        call.reject(status, headers=[("Warning", f'399 trunkline "{why}"')])
        return None
    context = transferor.pair.context
    record.customer_id = context.customer_id
    record.destination, record.destination_type = context.destination, context.record.destination_type
    record.note(f"takes the place of the {transferor.by} of call {context.record.id}")
    InboundCallTracker(flows.calls, call, record).begin()
    return flows.run_action("take over", _replace, replaced, call, record)


def _transferor(replaced: Call) -> tuple[Transferor | None, int, str]:
    """The one of two that is replaced; or why it cannot be."""
    bridge = replaced.bridged
    if bridge is None:
        return None, 603, "only one of two who talk can be replaced"
    pair = bridge.listener
    if not isinstance(pair, ConnectedPair) or pair.joining is not None:
        return None, 491, "the call is being transferred, or has been"
    transferor = Transferor(pair, "caller" if replaced is bridge.caller else "callee")
    why = obstacle(transferor)
    return (None, 603, why) if why else (transferor, 0, "")


async def _replace(context: CallContext, replaced: Call) -> bool:
    """Whether the new call has been refused."""
    transferor, status, why = _transferor(replaced)
    if transferor is None:
        context.call.reject(status, headers=[("Warning", f'399 trunkline "{why}"')])
        return True
    pair = transferor.pair
    reason = ""
    with leaving(transferor) as joined:
        try:
            async with asyncio.timeout(PATIENCE):
                bridge = await _connected(context.caller, transferor)
            joined.append(True)
        except MediaNotAgreed as error:
            status, reason = error.status, error.reason
        except TimeoutError:
            status = 480
        else:
            pair.continuation = "wait_for_callee" if transferor.by == "caller" else "bridge_only"
            pair.bridge = bridge
        words = "has taken" if joined else f"did not take ({status}{f' {reason}' if reason else ''})"
        pair.context.record.note(f"call {context.record.id} {words} the place of the {transferor.by}")
    if not joined:
        context.call.reject(status, reason)
        return True
    transferor.hang_up()
    context.budget = pair.context.budget
    context.branch = pair.context.branch
    policy = pair.context.services.transfers
    if transferor.by == "callee" or policy is None:
        await bridge.ended()
    else:
        taken_over = ConnectedPair(context=context, leg=pair.leg, close=pair.close, bridge=bridge, connect=pair.connect)
        await go_on(taken_over, policy)
    return False


async def _connected(call: Call, transferor: Transferor) -> Bridge:
    """The bridge between `call`, which is answered, and the one who stays. Raises MediaNotAgreed."""
    return await agree(call, transferor.stays, partial(_bridge, call, transferor))


async def agree(call: Call, stays: Call, join: Callable[[], Bridge]) -> Bridge:
    """Answer `call` with what `stays`, which is answered, takes of its offer; the bridge that `join` makes between the
    two. Raises MediaNotAgreed."""
    offered = call.invite.body
    stays.talks_with(call)
    if offered:
        answer = await offer(stays, offered)
        if call.ended or stays.ended:
            restore_media(stays)
            raise MediaNotAgreed(480, "it has hung up")
        call.answer(answer)
        return join()
    fresh = await ask_for_offer(stays)
    if call.ended or stays.ended or not fresh.cseq:
        decline_offer(stays, fresh)
        raise MediaNotAgreed(488, "it makes no offer")
    stays.peer_body = fresh.body
    call.answer(fresh.body)
    bridge = join()
    bridge.expect_answer(stays, fresh.cseq)
    return bridge


def _bridge(call: Call, transferor: Transferor) -> Bridge:
    if transferor.by == "caller":
        return Bridge.join(call, transferor.stays)
    bridge = Bridge.join(transferor.stays, call)
    bridge.callee_survives = True
    return bridge
