"""The answer to a route's look-up: the attempts of a call, as somebody elsewhere wants them."""

import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

from routing.directory.customers import barred, barred_sentence
from routing.directory.directory import Directory
from routing.directory.rows import RouteRow
from routing.directory.trunk import Trunk
from routing.errors import RoutingError
from routing.hunt.candidate import Candidate
from routing.hunt.failover import MAX_ATTEMPTS
from routing.numbers.normalise import written_number
from routing.numbers.numbering import is_virtual
from routing.settings import RoutingSettings

_MEMBERS: Final = {"provider", "target"}
_SHOWN = 60  # characters of what came that a fault repeats


class LookupFault(ValueError):
    """The answer cannot be used; says why, in words."""


class AskedAttempt(NamedTuple):
    """One attempt of an answer: a provider by its name or id, and the number that it gets; "" for the one dialled."""

    provider: str
    target: str


def parse_answer(body: bytes) -> tuple[AskedAttempt, ...]:
    """The attempts in `{"attempts": [{"provider": ..., "target": ...}, ...]}`, in their order. Raises LookupFault."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        raise LookupFault("the answer is no JSON") from None
    rows = answer.get("attempts") if isinstance(answer, dict) else None
    if not isinstance(rows, list):
        raise LookupFault('the answer has no list of "attempts"')
    if len(rows) > MAX_ATTEMPTS:
        raise LookupFault(f"{len(rows)} attempts; a call makes at most {MAX_ATTEMPTS}")
    return tuple(_attempt(place, row) for place, row in enumerate(rows))


def _attempt(place: int, row: Any) -> AskedAttempt:
    if not isinstance(row, dict) or row.keys() - _MEMBERS:
        raise LookupFault(f"attempts[{place}] is no object of provider and target alone")
    provider, target = row.get("provider"), row.get("target", "")
    if not isinstance(provider, str) or not provider or not isinstance(target, str):
        raise LookupFault(f"attempts[{place}]: provider is the name or the id of one, target a number in text")
    return AskedAttempt(provider, target)


def read_attempts(
    directory: Directory,
    settings: RoutingSettings,
    route: RouteRow,
    attempts: Sequence[AskedAttempt],
    customer_id: UUID,
) -> list[Candidate]:
    """See `Router.candidates`. The route's rate and codes count for each."""
    return [
        Candidate(trunk.key, trunk, route, _target(directory, settings, attempt.target, place, customer_id))
        for place, attempt in enumerate(attempts)
        for trunk in (_trunk(directory, attempt.provider, place),)
    ]


def _trunk(directory: Directory, name: str, place: int) -> Trunk:
    provider = directory.provider_named(name)
    if provider is None:
        try:
            trunk = directory.trunk(UUID(name).int)
        except ValueError:
            trunk = None
    else:
        trunk = directory.trunk(provider.id.int)
    if trunk is None:
        raise LookupFault(f"attempts[{place}]: there is no provider {name[:_SHOWN]!r}")
    return trunk


def _target(directory: Directory, settings: RoutingSettings, text: str, place: int, customer_id: UUID) -> str:
    if not text:
        return ""
    try:
        number = written_number(text[:256], settings)
    except RoutingError as error:
        raise LookupFault(f"attempts[{place}]: {error}") from None
    if is_virtual(number) or directory.own(number):
        raise LookupFault(f"attempts[{place}]: {number} is one of our own numbers, which are never sent to a provider")
    terms = directory.customer(customer_id.int)
    if terms is not None and barred(terms, number):
        raise LookupFault(f"attempts[{place}]: {barred_sentence(terms, number)}")
    return number
