"""`trunkline message`: sends one text (RFC 3428), shows the ladder, and says how it went."""

import sys

from config.logs import escape
from engine.capture.ladder import entries_of
from engine.dial import Outcome
from service.cli.agent_via import OURSELVES, CannotSend, agent_via
from service.cli.ladder import show
from service.cli.options import MessageOrder

DONE, FAILED = 0, 1


async def message(order: MessageOrder) -> int:
    """Carry the order out; the exit code: 0 when the text was taken, 2 for headers that no message can carry."""
    try:
        async with agent_via(order.via, order.transport, order.headers) as via:
            agent = via.agent
            spec = via.spec(order.recipient, order.sender, order.user, order.password, order.timeout)
            begun = agent.now()
            outcome = await agent.messages.send(spec, order.text)
            took = agent.now() - begun
            show(entries_of([*agent.trace], OURSELVES))
    except CannotSend as error:
        print(f"trunkline: {escape(str(error))}", file=sys.stderr)
        return error.exit_code
    print()
    print(_said(outcome, took))
    return DONE if outcome.kind == "answered" else FAILED


def _said(outcome: Outcome, took: float) -> str:
    if outcome.kind == "answered":
        # RFC 3428 §7: 202 is no word of the recipient's.
        does = "accepted, to be delivered" if outcome.status == 202 else "delivered"
        return f"{does}: {outcome.status} {escape(outcome.reason)} after {took * 1000:.0f} ms"
    status = f"{outcome.status} " if outcome.status else ""
    return f"not delivered: {status}{escape(outcome.reason)}"
