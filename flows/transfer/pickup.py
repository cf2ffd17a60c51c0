"""Directed pickup: what rings at an extension is answered by another phone, which asks for it by the names that it was
told (RFC 4235, RFC 3891)."""

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any

from engine.bridge import Bridge
from engine.call import MEDIA_FAILURES, Call, CallEnded
from engine.rejoin import PATIENCE, MediaNotAgreed
from engine.sip.message.grammar import ParseError
from engine.sip.sdp.crossed import crossed
from engine.sip.sdp.description import parse
from flows.calls.context import CallContext, FlowRunner
from flows.calls.dial import AnswerClaim, ConnectResult, unanswered
from flows.calls.hangup import CAUSES, ELSEWHERE
from flows.calls.inbound import InboundCallTracker
from flows.calls.phone_dialogs import PhoneDialog
from flows.calls.record import CallRecord
from flows.transfer.replaces import agree

GONE = (481, "that call rings no more")


def accept_pickup(
    call: Call, dialog: PhoneDialog, flows: FlowRunner, record: CallRecord
) -> Coroutine[Any, Any, CallRecord]:
    """What becomes of `call`, whose record is `record`, and which may have what rings as `dialog`."""
    record.destination, record.destination_type = dialog.extension, "extension"
    record.note(f"picks up a call for extension {dialog.extension}")
    InboundCallTracker(flows.calls, call, record).begin()
    return flows.run_action("pick up", _pick_up, dialog, call, record)


async def _pick_up(context: CallContext, dialog: PhoneDialog) -> bool:
    """Whether it has been ended."""
    call = context.caller
    if not context.services.phone_dialogs.pick_up(dialog, call):
        call.reject(GONE[0], headers=[("Warning", f'399 trunkline "{GONE[1]}"')])
        return True
    await call.wait_ended()  # whoever let it ring connects the two
    return True


async def ring_or_hand_over(
    context: CallContext, dialog: PhoneDialog, ringing: Coroutine[Any, Any, ConnectResult], claim: AnswerClaim
) -> ConnectResult:
    """The result of `ringing`; where another phone picks the call up before, the devices that ring are given up and the
    caller talks with that phone."""
    loop = asyncio.get_running_loop()
    picked: asyncio.Future[Call] = loop.create_future()
    dialog.picker = picked.set_result
    task = loop.create_task(ringing, name=f"ring {context.record.id}")
    try:
        try:
            await asyncio.wait((task, picked), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError as error:
            task.cancel(*error.args)
            raise
        finally:
            dialog.picker = None
            if not task.done():
                task.cancel(ELSEWHERE)
                await asyncio.wait((task,))
        if not picked.done():
            return task.result()
        context.services.phone_dialogs.end(dialog)
        return await _hand_over(context, picked.result(), claim)
    finally:
        if picked.done() and not picked.result().ended:
            picked.result().hangup(480, CAUSES["normal"].header)


async def _hand_over(context: CallContext, picker: Call, claim: AnswerClaim) -> ConnectResult:
    """Let the caller talk with the phone that has picked its call up, until one of the two hangs up."""
    caller, clock = context.caller, context.services.clock
    if not claim():
        picker.reject(GONE[0])
        return unanswered(487, "Request Terminated", "cancelled")
    began = clock()
    context.record.note(f"picked up by call {picker.id}")
    try:
        bridge = None if context.call.answered else _cross(context, picker)
        if bridge is None:
            if not context.call.answered:
                context.call.answer()
            async with asyncio.timeout(PATIENCE):
                bridge = await agree(picker, caller, partial(Bridge.join, caller, picker))
    except (MediaNotAgreed, CallEnded, TimeoutError, *MEDIA_FAILURES) as error:
        status = getattr(error, "status", 0) or 480
        context.record.note(f"the phone that has picked it up is not connected: {error}"[:500])
        if not picker.ended and not picker.answered:
            picker.reject(status)
        if caller.ended_at is not None:
            raise CallEnded("the caller is gone") from error
        return unanswered(status, "")
    caller.close_media()
    await bridge.ended()
    return ConnectResult(status="answered", sip_status=200, reason="OK", duration=clock() - began, word="normal")


def _cross(context: CallContext, picker: Call) -> Bridge | None:
    """Answer the caller and the phone that has picked it up, each with what the other has offered. None where that does
    not go: they need media that they have not offered yet, and one of them has to be asked again."""
    caller = context.caller
    offers = caller.peer_body, picker.peer_body
    try:
        theirs, ours = parse(offers[0]), parse(offers[1])
        to_caller, to_picker = crossed(theirs, ours, "active"), crossed(ours, theirs, "passive")
    except ParseError:
        return None
    context.call.answer(to_caller)
    picker.answer(to_picker)
    return Bridge.join(caller, picker)
