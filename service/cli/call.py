"""`trunkline call`: a small softphone on the engine. It calls, or registers and is called, presses keys, shows the
ladder, and says how it went."""

import asyncio
import re
import sys
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from config.logs import escape
from service.cli.support import interrupts
from service.cli.support.options import sent_with
from service.cli.support.running import DONE, FAILED, run

if TYPE_CHECKING:
    from engine.call import Call
    from engine.capture.ladder import LadderEntry
    from engine.dial import Outcome, OutgoingCall
    from service.cli.support.agent_via import Via

POSITION = 4
KEY_LENGTH = 0.1  # s that a key is held
KEY_GAP = 0.15  # s between two keys
_CANCEL_WAIT = 1.0  # s for the 487
_CANCEL_LOOKS = 50


@dataclass(slots=True)
class CallOrder:
    """One call of the softphone.

    Attributes:
        number: What to dial: a number, an extension, or a whole SIP URI; "" to be called.
        via: HOST or HOST:PORT that the INVITE is sent to.
        caller: User part of From; "" is anonymous.
        user, password: Digest credentials; "" where there are none.
        digits: DTMF to send once answered, `,` for a pause of a second.
        duration: Seconds from the answer until the softphone hangs up; 0 leaves that to the other end.
        timeout: Seconds to wait for an answer before it gives up.
        transport: "udp" or "tcp".
        headers: Added to the INVITE.
        dtmf: How: "rfc4733" (INFO where the other end takes no telephone-event), or "info" in any case.
        register: The extension that it registers as, with `password`; "" for none.
    """

    number: str
    via: str
    caller: str = "trunkline"
    user: str = ""
    password: str = ""
    digits: str = ""
    duration: float = 5.0
    timeout: float = 60.0
    transport: str = "udp"
    headers: Sequence[tuple[str, str]] = ()
    dtmf: Literal["rfc4733", "info"] = "rfc4733"
    register: str = ""


def call(
    via: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where the INVITE is sent.")],
    number: Annotated[
        str, typer.Argument(metavar="[NUMBER]", help="A number, an extension or a SIP URI; none: wait for a call.")
    ] = "",
    register: Annotated[str, typer.Option(metavar="NAME", help="Register as this extension first.")] = "",
    caller: Annotated[str, typer.Option("--from", metavar="NUMBER", help="Who calls.")] = "trunkline",
    user: Annotated[str, typer.Option(help="User name, where credentials are asked for.")] = "",
    password: Annotated[str, typer.Option(envvar="TRUNKLINE_PASSWORD", help="Its password.")] = "",
    digits: Annotated[str, typer.Option(help="Keys to press once answered; a comma pauses.")] = "",
    dtmf: Annotated[str, typer.Option(metavar="rfc4733|info", help="How the keys are sent.")] = "rfc4733",
    duration: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Hang up after it; 0 waits for the other end.")
    ] = 5.0,
    timeout: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Longest wait for an answer.")] = 60.0,
    transport: Annotated[str, typer.Option(metavar="udp|tcp")] = "udp",
    header: Annotated[list[str] | None, typer.Option(metavar="'NAME: VALUE'", help="Repeatable.")] = None,
) -> int:
    """Call a number, send digits, and show the ladder and the outcome."""
    headers = sent_with(via, transport, header)
    if set(digits) - set("0123456789*#ABCDabcd,"):
        raise typer.BadParameter("only 0-9, *, #, A-D and commas can be sent", param_hint="'--digits'")
    if dtmf not in ("rfc4733", "info"):
        problem = f"{dtmf!r} is not known; use rfc4733 (telephone-events, once RFC 2833) or info"
        raise typer.BadParameter(problem, param_hint="'--dtmf'")
    if not number and not register:
        raise typer.BadParameter("name whom to call, or --register to be called", param_hint="NUMBER")
    if register and not password:
        password = typer.prompt(f"Password of {register}", hide_input=True, err=True)
    order = CallOrder(
        number,
        via,
        caller,
        user,
        password,
        digits,
        duration,
        timeout,
        transport,
        headers,
        cast(Literal["rfc4733", "info"], dtmf),
        register,
    )
    return run(place_call(order))


async def place_call(order: CallOrder) -> int:
    """Carry the order out; the exit code: 0 when the call was answered, 2 for headers that no call can carry."""
    from service.cli.support.agent_via import CannotSend, agent_via
    from service.cli.support.registered import registered

    waiting = Callee(order)
    try:
        async with agent_via(order.via, order.transport, order.headers, None if order.number else waiting) as via:
            if not order.register:
                return await _place(via, order)
            async with registered(via, order.register, order.password):
                return await (_place(via, order) if order.number else waiting.wait(via))
    except CannotSend as error:
        print(f"trunkline: {escape(str(error))}", file=sys.stderr)
        return error.exit_code


async def _place(via: "Via", order: CallOrder) -> int:
    from engine.capture.ladder import entries_of
    from service.cli.support.agent_via import OURSELVES, show_ladder

    agent, name = via.agent, order.register
    spec = via.spec(
        order.number,
        name or order.caller,
        order.user or name,
        order.password,
        order.timeout,
        registered=bool(name),
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
    show_ladder(entries)
    print()
    print(_said(outcome, leg))
    return DONE if outcome.kind == "answered" else FAILED


class Callee:
    """Takes the first call: it rings, is answered, and hears itself until the other end, or the order, ends it."""

    def __init__(self, order: CallOrder) -> None:
        self._order = order
        self._came: asyncio.Future[Call] | None = None

    def __call__(self, call: "Call") -> "Coroutine[Any, Any, None] | None":
        """What becomes of a call: `OnCall`."""
        if self._came is None or self._came.done():
            return None  # 480: one is enough
        self._came.set_result(call)
        return self._take(call)

    async def _take(self, call: "Call") -> None:
        print(f"call from {escape(call.invite.get('From'))}", flush=True)
        call.ringing()
        await call.echo(self._order.duration or None)
        if not call.ended:
            call.hangup(cause="Q.850;cause=16")

    async def wait(self, via: "Via") -> int:
        """Wait for the call, and for its end."""
        from engine.capture.ladder import entries_of
        from service.cli.support.agent_via import OURSELVES, show_ladder

        self._came = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(self._order.timeout):
                call = await self._came
        except TimeoutError:
            print("nobody called")
            return FAILED
        with _hung_up_by_signals() as legs:
            legs.append(call)
            await call.wait_ended()
        await via.agent.settle()
        show_ladder(entries_of(via.agent.trace.of_calls(call.signalling_ids), OURSELVES))
        print()
        if call.answered_at is None or call.ended_at is None:
            print(f"not answered: {call.end_status} {escape(call.end_reason)}")
            return FAILED
        by = "the other end" if call.ended_by == "remote" else "us"
        print(f"answered, {call.ended_at - call.answered_at:.1f} s long, hung up by {by}")
        return DONE


@contextmanager
def _hung_up_by_signals() -> "Iterator[list[Call]]":
    """Ctrl-C and SIGTERM hang up, and what was heard until then is shown; a second one ends the program."""
    legs: list[Call] = []
    with ExitStack() as handled:

        def hang_up() -> None:
            print("trunkline: interrupted", file=sys.stderr)
            handled.close()
            for leg in legs:
                leg.hangup(cause="Q.850;cause=16")

        handled.enter_context(interrupts.handled_by(hang_up))
        yield legs


async def _told(leg: "OutgoingCall") -> None:
    """Wait for the peer's word on our CANCEL, which belongs into the ladder."""
    for _ in range(_CANCEL_LOOKS):
        if leg.session.ended or leg.session.first_reply is None:
            return
        await asyncio.sleep(_CANCEL_WAIT / _CANCEL_LOOKS)


async def _talk(leg: "OutgoingCall", order: CallOrder, pressed: "list[LadderEntry]") -> None:
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


async def _press(leg: "OutgoingCall", order: CallOrder, pressed: "list[LadderEntry]") -> None:
    """Keys by RFC 4733; by SIP INFO, with the body that FreeSWITCH, Asterisk and most phones read, where the other end
    takes no telephone-event or the order wants it. `pressed` gets each: in RTP no message tells of it."""
    from engine.call import CallEnded
    from engine.capture.ladder import LadderEntry
    from service.cli.support.agent_via import OURSELVES

    with suppress(CallEnded):
        for group in filter(None, re.split("(,+)", order.digits)):
            began = leg.agent.now()
            await leg.send_keys(group, KEY_LENGTH, KEY_GAP, info=order.dtmf == "info")
            if group[0] != ",":
                pressed.append(LadderEntry(began, OURSELVES, OURSELVES, f"keys {group} in RTP"))


def _said(outcome: "Outcome", leg: "OutgoingCall") -> str:
    if outcome.kind != "answered":
        status = f"{outcome.status} " if outcome.status else ""
        return f"not answered: {status}{escape(outcome.reason)}"
    assert leg.answered_at is not None
    assert leg.ended_at is not None
    setup = round((leg.answered_at - leg.created) * 1000)
    talked = leg.ended_at - leg.answered_at
    by = "the other end" if leg.ended_by == "remote" else "us"
    return f"answered after {setup} ms, {talked:.1f} s long, hung up by {by}"
