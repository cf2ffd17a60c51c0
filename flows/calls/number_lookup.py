"""Numbers that a decision is about and that are not in memory: fetched from the store before it is made.

Routing looks at what is in memory and never waits. Where that is not all there is, whoever decides about a call makes
sure first that each number in question is there, or does not exist.
"""

from collections.abc import Iterable

from engine.sip.message.uri import Uri
from flows.calls.services import FlowEnvironment
from routing.numbers.normalise import numbers_asked


def missing_numbers(env: FlowEnvironment, uri: Uri | str) -> list[str]:
    """The numbers that reading `uri` depends on and that memory does not tell of; [] nearly always."""
    directory = env.directory
    if directory.complete or env.fetch_number is None:
        return []
    return [e164 for e164 in numbers_asked(uri, env.routing) if directory.number(e164) is None]


async def fetch_numbers(env: FlowEnvironment, numbers: Iterable[str]) -> None:
    """Ask the store for each. Raises routing's NumberUnavailable when it cannot tell now."""
    for e164 in numbers:
        if env.fetch_number is not None:
            await env.fetch_number(e164)
