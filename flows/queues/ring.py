"""Ringing one agent for a caller, at its addresses, and the talk that becomes of it."""

from collections.abc import Callable, Iterable
from math import ceil
from typing import Any, Final

from flows.calls.context import CallContext
from flows.calls.dial import AnswerClaim, ConnectResult, ConnectTerms
from flows.connect import connect_destination
from flows.fork import ParallelFork
from flows.queues.model import RING_TIMEOUT, Agent, Queue
from routing.access.destinations import named_by

MOST_TRIED: Final = 40
"""Hunts that the record of a waiting call keeps: an agent may be rung every few seconds, for hours."""


async def ring(
    context: CallContext, queue: Queue, agent: Agent, claim: AnswerClaim, wanted: Callable[[], bool]
) -> ConnectResult | None:
    """Rings an agent at its addresses, as long as it is `wanted`, and talks. None where nobody answered."""
    if not agent.addresses:
        return None
    _shorten(context.record.tried)
    _shorten(context.record.sip_call_ids)
    terms = ConnectTerms(
        ring_timeout=min(ceil(queue.ring_timeout or RING_TIMEOUT), 3600), early_media=False, diverts=False
    )
    named = named_by(context.customer_id, agent.customer_id)
    if agent.ring_method == "ring_all" and len(agent.addresses) > 1:
        dials = [
            lambda terms, claim, address=address: connect_destination(context, terms, address, claim, named)
            for address in agent.addresses
        ]
        return _answered(await ParallelFork(claim).run(context, terms, dials))
    tried: list[ConnectResult] = []
    for address in agent.addresses:
        tried.append(await connect_destination(context, terms, address, claim, named))
        if tried[-1].answered or not wanted():
            break
    return _answered(tried)


def _answered(results: Iterable[ConnectResult]) -> ConnectResult | None:
    return next((result for result in results if result.answered), None)


def _shorten(kept: list[Any]) -> None:
    """Keeps the first of them and the last."""
    if len(kept) >= MOST_TRIED:
        del kept[1]
