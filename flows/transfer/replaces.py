"""A call that takes the place of one of two that talk: an INVITE with Replaces (RFC 3891).

The other of the two is offered what the new call offers. Where it takes that, it talks with the new call from then on,
and the one that was replaced is hung up; where not, all is as it was.
"""

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from engine.bridge import Bridge
from engine.rejoin import PATIENCE, MediaNotAgreed, ask_for_offer, give_back, offer, put_back
from flows.calls.inbound import IncomingCall
from flows.calls.record import CallRecord
from flows.calls.services import FlowEnvironment
from flows.language.interpreter import run as run_program
from flows.language.program import HUNG_UP, Program, Step
from flows.language.run import Run
from flows.transfer.attended import leaving, obstacle
from flows.transfer.parties import Part, Talk
from flows.transfer.refer import go_on

if TYPE_CHECKING:
    from engine.call import Call


def take_over(
    call: "Call", replaced: "Call", env: FlowEnvironment, record: CallRecord
) -> Coroutine[Any, Any, CallRecord] | None:
    """What becomes of `call`, whose record is `record`, and which may take the place of `replaced`; None where it
    cannot, and has been refused."""
    part, status, why = _part(replaced)
    if part is None:
        call.reject(status, headers=[("Warning", f'399 trunkline "{why}"')])
        return None
    run = part.talk.run
    record.customer_id = run.customer_id
    record.destination, record.destination_type = run.destination, run.record.destination_type
    record.note(f"takes the place of the {part.by} of call {run.record.id}")
    IncomingCall(env, call, record).begin()
    program = Program("", "take over", [Step("", "connect", _take_over, replaced, 1, True)])
    return run_program(program, call, env, record=record)


def _part(replaced: "Call") -> tuple[Part | None, int, str]:
    """The one of two that is replaced; or why it cannot be."""
    bridge = replaced.bridged
    if bridge is None:
        return None, 603, "only one of two who talk can be replaced"
    talk = bridge.listener
    if not isinstance(talk, Talk) or talk.joining is not None:
        return None, 491, "the call is being transferred, or has been"
    part = Part(talk, "caller" if replaced is bridge.caller else "callee")
    why = obstacle(part)
    return (None, 603, why) if why else (part, 0, "")


async def _take_over(run: Run, replaced: "Call") -> int | None:
    part, status, why = _part(replaced)
    if part is None:
        run.call.reject(status, headers=[("Warning", f'399 trunkline "{why}"')])
        return HUNG_UP
    talk = part.talk
    reason = ""
    with leaving(part) as joined:
        try:
            async with asyncio.timeout(PATIENCE):
                bridge = await _connected(run.caller, part)
            joined.append(True)
        except MediaNotAgreed as error:
            status, reason = error.status, error.reason
        except TimeoutError:
            status = 480
        else:
            talk.next = "holds" if part.by == "caller" else "beside"
            talk.bridge = bridge
        words = "has taken" if joined else f"did not take ({status}{f' {reason}' if reason else ''})"
        talk.run.record.note(f"call {run.record.id} {words} the place of the {part.by}")
    if not joined:
        run.call.reject(status, reason)
        return HUNG_UP
    part.hang_up()
    run.budget = talk.run.budget
    run.branch = talk.run.branch
    referrers = talk.run.env.transfers
    if part.by == "callee" or referrers is None:
        await bridge.ended()
    else:
        await go_on(Talk(run, talk.leg, talk.close, bridge, talk.reach), referrers)
    return None


async def _connected(call: "Call", part: Part) -> Bridge:
    """The bridge between `call`, which is answered, and the one who stays. Raises MediaNotAgreed."""
    stays, offered = part.stays, call.invite.body
    stays.talks_with(call)
    if offered:
        answer = await offer(stays, offered)
        if call.ended or stays.ended:
            put_back(stays)
            raise MediaNotAgreed(480, "it has hung up")
        call.answer(answer)
        return _bridge(call, part)
    fresh = await ask_for_offer(stays)
    if call.ended or stays.ended or not fresh.cseq:
        give_back(stays, fresh)
        raise MediaNotAgreed(488, "it makes no offer")
    stays.peer_body = fresh.body
    call.answer(fresh.body)
    bridge = _bridge(call, part)
    bridge.expect_answer(stays, fresh.cseq)
    return bridge


def _bridge(call: "Call", part: Part) -> Bridge:
    if part.by == "caller":
        return Bridge.join(call, part.stays)
    bridge = Bridge.join(part.stays, call)
    bridge.callee_survives = True
    return bridge
