"""`trunkline message`: sends one text (RFC 3428), shows the ladder, and says how it went."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from config.logs import escape
from engine.sip.message.text_message import MAX_TEXT
from service.cli.support.options import sent_with
from service.cli.support.running import DONE, FAILED, run

if TYPE_CHECKING:
    from engine.dial import Outcome

POSITION = 5


@dataclass(kw_only=True, slots=True)
class MessageOrder:
    """One text of `trunkline message`. What is not here is as in `CallOrder`.

    Attributes:
        sender, recipient: User part of From, and whom it is for; or whole SIP URIs.
        text: What is sent.
        timeout: Seconds to wait for the answer.
        headers: Added to the MESSAGE.
    """

    sender: str
    recipient: str
    text: str
    via: str
    user: str = ""
    password: str = ""
    timeout: float = 32.0
    transport: str = "udp"
    headers: Sequence[tuple[str, str]] = ()


def message(
    sender: Annotated[str, typer.Argument(metavar="FROM", help="Who sends it: a number or a SIP URI.")],
    recipient: Annotated[str, typer.Argument(metavar="TO", help="A number, an extension or a SIP URI.")],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What is sent.")],
    via: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where the MESSAGE is sent.")],
    user: Annotated[str, typer.Option(help="User name, where credentials are asked for.")] = "",
    password: Annotated[str, typer.Option(envvar="TRUNKLINE_PASSWORD", help="Its password.")] = "",
    timeout: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Longest wait for the answer.")] = 32.0,
    transport: Annotated[str, typer.Option(metavar="udp|tcp")] = "udp",
    header: Annotated[list[str] | None, typer.Option(metavar="'NAME: VALUE'", help="Repeatable.")] = None,
) -> int:
    """Send a text message, and show the ladder and the outcome."""
    headers = sent_with(via, transport, header)
    if not text.strip():
        raise typer.BadParameter("there is nothing in it; write a word", param_hint="'TEXT'")
    if len(text.encode("utf-8", "replace")) > MAX_TEXT:
        raise typer.BadParameter(f"it is longer than {MAX_TEXT} octets; write less", param_hint="'TEXT'")
    return run(
        send_message(
            MessageOrder(
                sender=sender,
                recipient=recipient,
                text=text,
                via=via,
                user=user,
                password=password,
                timeout=timeout,
                transport=transport,
                headers=headers,
            )
        )
    )


async def send_message(order: MessageOrder) -> int:
    """Carry the order out; the exit code: 0 when the text was taken, 2 for headers that no message can carry."""
    from engine.capture.ladder import entries_of
    from service.cli.support.agent_via import OURSELVES, CannotSend, agent_via, show_ladder

    try:
        async with agent_via(order.via, order.transport, order.headers) as via:
            agent = via.agent
            spec = via.spec(order.recipient, order.sender, order.user, order.password, order.timeout)
            begun = agent.now()
            outcome = await agent.messages.send(spec, order.text)
            took = agent.now() - begun
            show_ladder(entries_of([*agent.trace], OURSELVES))
    except CannotSend as error:
        print(f"trunkline: {escape(str(error))}", file=sys.stderr)
        return error.exit_code
    print()
    print(_said(outcome, took))
    return DONE if outcome.kind == "answered" else FAILED


def _said(outcome: "Outcome", took: float) -> str:
    if outcome.kind == "answered":
        # RFC 3428 §7: 202 is no word of the recipient's.
        does = "accepted, to be delivered" if outcome.status == 202 else "delivered"
        return f"{does}: {outcome.status} {escape(outcome.reason)} after {took * 1000:.0f} ms"
    status = f"{outcome.status} " if outcome.status else ""
    return f"not delivered: {status}{escape(outcome.reason)}"
