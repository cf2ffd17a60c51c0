"""Ringing one agent for a caller, at its addresses, and the talk that becomes of it."""

from collections.abc import Callable, Iterable
from math import ceil
from typing import Any, Final

from flows.connect import Claim, Race, Reached, reach
from flows.language.options import ConnectOptions
from flows.language.run import Run
from flows.queues.model import RING_TIMEOUT, Agent, Queue

MOST_TRIED: Final = 40
"""Hunts that the record of a waiting call keeps: an agent may be rung every few seconds, for hours."""


async def ring(run: Run, queue: Queue, agent: Agent, claim: Claim, wanted: Callable[[], bool]) -> Reached | None:
    """Rings an agent at its addresses, as long as it is `wanted`, and talks. None where nobody answered."""
    if not agent.addresses:
        return None
    _shorten(run.record.tried)
    _shorten(run.record.sip_call_ids)
    option = ConnectOptions(
        destinations=list(agent.addresses),
        ring_timeout=min(ceil(queue.ring_timeout or RING_TIMEOUT), 3600),
        early_media=False,
    )
    if agent.ring_method == "ring_all" and len(agent.addresses) > 1:
        return _answered(await Race(claim, agent.customer_id).run(run, option))
    tried: list[Reached] = []
    for address in agent.addresses:
        tried.append(await reach(run, option, address, claim, agent.customer_id))
        if tried[-1].answered or not wanted():
            break
    return _answered(tried)


def _answered(results: Iterable[Reached]) -> Reached | None:
    return next((result for result in results if result.answered), None)


def _shorten(kept: list[Any]) -> None:
    """Keeps the first of them and the last."""
    if len(kept) >= MOST_TRIED:
        del kept[1]
