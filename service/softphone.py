"""`trunkline call`: a small softphone on the engine. It calls, presses keys, shows the ladder, and says how it went."""

import asyncio
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from config.logs import escape
from engine.call import CallEnded
from engine.ladder import LadderEntry, entries_of
from engine.outgoing_call import DialSpec, Outcome, OutgoingCall
from engine.sip.grammar import ParseError
from engine.sip.uri import SipUri, escape_user, parse_uri
from engine.transport.addresses import ROUTES, bracketed
from engine.transport.listeners import ListenError
from engine.transport.resolver import Resolver
from engine.user_agent import AgentSettings, UserAgent
from routing.tech_headers import check_tech_headers
from service.ladder_view import show
from service.orders import CallOrder

DONE, FAILED, WRONG = 0, 1, 2
OURSELVES = "softphone"
KEY_LENGTH = 0.1  # s that a key is held
KEY_GAP = 0.15  # s between two keys
RTP_FIRST, RTP_LAST = 32_000, 32_766  # beside the engine's and the little trunk's, below Linux' ephemeral ports
_CANCEL_WAIT = 1.0  # s for the 487
_CANCEL_LOOKS = 50


async def call(order: CallOrder) -> int:
    """Carry the order out; the exit code: 0 when the call was answered, 2 for headers that no call can carry."""
    try:
        for name, value in order.headers:
            check_tech_headers({name: value})
    except ValueError as error:
        print(f"trunkline: --header: {escape(str(error))}", file=sys.stderr)
        return WRONG
    transport = order.transport
    target = SipUri.parse(f"sip:{order.via};transport={transport}")
    resolver = Resolver(transports=(transport,))
    targets = await resolver.resolve(target)
    await resolver.close()
    if not targets:
        print(
            f"trunkline: {target.host_address} does not resolve: give an address or a name after --via", file=sys.stderr
        )
        return FAILED
    source = ROUTES.source(targets[0].host)
    if not source:
        print(f"trunkline: there is no route to {targets[0].host}: check --via and the network", file=sys.stderr)
        return FAILED
    settings = AgentSettings(rtp_first=RTP_FIRST, rtp_last=RTP_LAST)
    settings.policy.user_agent = "Trunkline softphone"
    agent = UserAgent(_refuse_calls, settings)
    host = bracketed(source)
    try:
        await agent.start([f"{transport}://{host}:0"])
    except ListenError as error:
        print(f"trunkline: {error}", file=sys.stderr)
        return FAILED
    try:
        return await _call(agent, order, str(target), host)
    finally:
        await agent.stop()


def _refuse_calls(incoming: object) -> None:
    """A softphone that calls takes no calls: 480."""


async def _call(agent: UserAgent, order: CallOrder, destination: str, host: str) -> int:
    request_uri = order.number
    if not request_uri[:5].lower().startswith(("sip:", "sips:", "tel:")):
        request_uri = f"sip:{escape_user(order.number)}@{order.via}"
    try:
        parse_uri(request_uri)
    except ParseError as error:
        print(f"trunkline: {escape(order.number)} cannot be dialled: {error}", file=sys.stderr)
        return FAILED
    caller = f"<sip:{escape_user(order.caller)}@{host}>" if order.caller else "<sip:anonymous@anonymous.invalid>"
    spec = DialSpec(
        request_uri,
        destination,
        caller,
        f"<{request_uri}>",
        order.headers,
        order.user,
        order.password,
        no_reply_timeout=min(order.timeout, 32.0),
        no_progress_timeout=order.timeout,
        ring_timeout=order.timeout,
    )
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
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    legs: list[OutgoingCall] = []

    def hang_up() -> None:
        print("trunkline: interrupted", file=sys.stderr)
        let_go()
        for leg in legs:
            leg.hangup(cause="Q.850;cause=16")

    def let_go() -> None:
        for number in numbers:
            loop.remove_signal_handler(number)

    for number in numbers:
        loop.add_signal_handler(number, hang_up)
    try:
        yield legs
    finally:
        let_go()


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
