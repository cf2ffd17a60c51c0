"""`trunkline call`: a small softphone on the engine. It calls, presses keys, shows the ladder, and says how it went."""

import asyncio
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from config.logs import escape
from engine.call import CallEnded
from engine.capture.ladder import LadderEntry, entries_of
from engine.dial import Outcome, OutgoingCall
from service.cli import interrupts
from service.cli.agent_via import OURSELVES, CannotSend, Via, agent_via
from service.cli.ladder import show
from service.cli.options import CallOrder

DONE, FAILED = 0, 1
KEY_LENGTH = 0.1  # s that a key is held
KEY_GAP = 0.15  # s between two keys
_CANCEL_WAIT = 1.0  # s for the 487
_CANCEL_LOOKS = 50


async def call(order: CallOrder) -> int:
    """Carry the order out; the exit code: 0 when the call was answered, 2 for headers that no call can carry."""
    try:
        async with agent_via(order.via, order.transport, order.headers) as via:
            return await _call(via, order)
    except CannotSend as error:
        print(f"trunkline: {escape(str(error))}", file=sys.stderr)
        return error.exit_code


async def _call(via: Via, order: CallOrder) -> int:
    agent, spec = via.agent, via.spec(order.number, order.caller, order.user, order.password, order.timeout)
    with _hung_up_by_signals() as legs:
        leg = agent.dial(spec)
        legs.append(leg)
        outcome = await leg.outcome()
        pressed: list[LadderEntry] = []
        if outcome.kind == "answered":
            await _talk(leg, order, pressed)
    await _told(leg)
    await agent.settle()
    entries = entries_of(agent.trace.of_calls(leg.signalling_ids), OURSELVES)
    if not any(entry.text.startswith("INFO ") for entry in entries):
        entries = sorted([*entries, *pressed], key=lambda entry: entry.time)
    show(entries)
    print()
    print(_said(outcome, leg))
    return DONE if outcome.kind == "answered" else FAILED


@contextmanager
def _hung_up_by_signals() -> Iterator[list[OutgoingCall]]:
    """Ctrl-C and SIGTERM hang up, and what was heard until then is shown; a second one ends the program."""
    legs: list[OutgoingCall] = []
    with ExitStack() as handled:

        def hang_up() -> None:
            print("trunkline: interrupted", file=sys.stderr)
            handled.close()
            for leg in legs:
                leg.hangup(cause="Q.850;cause=16")

        handled.enter_context(interrupts.handled_by(hang_up))
        yield legs


async def _told(leg: OutgoingCall) -> None:
    """Wait for the peer's word on our CANCEL, which belongs into the ladder."""
    for _ in range(_CANCEL_LOOKS):
        if leg.session.ended or leg.session.first_reply is None:
            return
        await asyncio.sleep(_CANCEL_WAIT / _CANCEL_LOOKS)


async def _talk(leg: OutgoingCall, order: CallOrder, pressed: list[LadderEntry]) -> None:
    """Press the keys, then wait for the time that was asked for, or for the other end."""
    over = asyncio.ensure_future(leg.wait_ended())
    keys = asyncio.ensure_future(_press(leg, order, pressed))
    try:
        await asyncio.wait((over, keys), return_when=asyncio.FIRST_COMPLETED)
        if not over.done():
            await asyncio.wait((over,), timeout=order.duration or None)
    finally:
        keys.cancel()
        over.cancel()
        if not leg.ended:
            leg.hangup(cause="Q.850;cause=16")


async def _press(leg: OutgoingCall, order: CallOrder, pressed: list[LadderEntry]) -> None:
    """Keys by RFC 4733; by SIP INFO, with the body that FreeSWITCH, Asterisk and most phones read, where the other end
    takes no telephone-event or the order wants it. `pressed` gets each: in RTP no message tells of it."""
    with suppress(CallEnded):
        for group in filter(None, re.split("(,+)", order.digits)):
            began = leg.agent.now()
            await leg.send_keys(group, KEY_LENGTH, KEY_GAP, info=order.dtmf == "info")
            if group[0] != ",":
                pressed.append(LadderEntry(began, OURSELVES, OURSELVES, f"keys {group} in RTP"))


def _said(outcome: Outcome, leg: OutgoingCall) -> str:
    if outcome.kind != "answered":
        status = f"{outcome.status} " if outcome.status else ""
        return f"not answered: {status}{escape(outcome.reason)}"
    assert leg.answered_at is not None
    assert leg.ended_at is not None
    setup = round((leg.answered_at - leg.created) * 1000)
    talked = leg.ended_at - leg.answered_at
    by = "the other end" if leg.ended_by == "remote" else "us"
    return f"answered after {setup} ms, {talked:.1f} s long, hung up by {by}"
