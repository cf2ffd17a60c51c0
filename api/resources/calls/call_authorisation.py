"""What a customer may call, as whom, and whether its credit pays for a beginning: asked before a call is made.

The call itself is judged again when it is dialled, by the same rules; here a client gets its answer at once, and
nothing is kept of what could not have been.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from api.http.auth import Caller
from api.http.errors import ApiError, fault_in
from api.http.services import Services
from api.models.destinations import leads_here
from api.models.parties import Party
from routing.access.admission import DialOut, client_of, judge
from routing.directory.customers import CustomerTerms, barred, barred_sentence, short_barred
from routing.directory.directory import Directory
from routing.directory.number_source import NumberUnavailable
from routing.directory.rows import RouteRow
from routing.identifiers import NIL
from routing.models.route import prefixes_of_short
from routing.numbers.normalise import DialledNumber, normalise_dialled
from routing.numbers.short_numbers import is_emergency, is_short, short_digits
from routing.settings import RoutingSettings
from store import rows
from store.database import tables
from store.resources.billing import account_of
from store.resources.reservations import price
from store.store import Executor

_REFUSALS: Mapping[str, str] = {
    "customer_suspended": "CUSTOMER_SUSPENDED",
    "destination_not_allowed": "DESTINATION_NOT_ALLOWED",
}


async def require_dialled(services: Services, text: str, field: str) -> DialledNumber:
    """A number of a body, in any form, as a call would read it. Raises ApiError INVALID_NUMBER."""
    calls = services.flows.calls
    try:
        await calls.fetch_numbers(calls.missing_numbers(text))
    except NumberUnavailable as error:
        raise fault_in(field, "SERVICE_UNAVAILABLE", f"cannot be looked up: {error}", retry_after=1) from None
    asked = normalise_dialled(text, services.routing, calls.directory.numbers)
    if asked.kind != "number" and not is_short(short_digits(asked.text), services.routing):
        raise fault_in(field, "INVALID_NUMBER", f"{text} is no number; write it like +15551234567")
    return asked


async def require_rights(
    services: Services, caller: Caller, owner: UUID, source: Party, destinations: Sequence[Party]
) -> None:
    """That `owner` may call these destinations as this source, and could pay for the first second of each.

    Raises ApiError: CUSTOMER_NOT_FOUND, SOURCE_NOT_ALLOWED, INVALID_NUMBER, DESTINATION_NOT_ALLOWED,
    CUSTOMER_SUSPENDED, NO_ROUTE_AVAILABLE, INSUFFICIENT_BALANCE.
    """
    await services.settled()
    async with services.store.read() as connection:
        terms = await _terms(connection, owner)
        await require_source(services, connection, caller, owner, source)
    rates = [await _rate(services, terms, party, index) for index, party in enumerate(destinations)]
    charging = services.flows.calls.accounts.charging
    cost = sum(price(rate, 1) for rate in rates)
    if cost and charging is not None and charging.rated(owner):
        await _require_credit(services, owner, cost, "a second of this")


async def require_message_rights(services: Services, owner: UUID, destinations: Sequence[Party]) -> None:
    """That `owner` may text these destinations, and could pay for it.

    Raises ApiError: CUSTOMER_NOT_FOUND, INVALID_NUMBER, DESTINATION_NOT_ALLOWED, CUSTOMER_SUSPENDED,
    INSUFFICIENT_BALANCE.
    """
    await services.settled()
    async with services.store.read() as connection:
        terms = await _terms(connection, owner)
    cost = 0
    for index, party in enumerate(destinations):
        number = await _foreign(services, terms, party, index)
        if number:
            cost += first_rate(services.flows.calls.directory, number, terms.key, services.routing, message=True) or 0
    charging = services.flows.calls.accounts.charging
    if cost and charging is not None and charging.rated(owner):
        await _require_credit(services, owner, cost, "this")


async def _terms(executor: Executor, owner: UUID) -> CustomerTerms:
    row = await rows.one(executor, tables.customers, owner)
    if row is None:
        problem = f"there is no customer {owner}; list the customers to find its id"
        raise fault_in("customer_id", "CUSTOMER_NOT_FOUND", problem)
    return CustomerTerms.of(owner, suspended=row["suspended"], destination_countries=row["destination_countries"])


async def require_source(
    services: Services, executor: Executor, caller: Caller, owner: UUID, source: Party, *, virtual: bool = False
) -> None:
    """That the source is an active number of the owner's, and a normal one (`virtual`: or a virtual one). Raises
    ApiError SOURCE_NOT_ALLOWED."""
    number = normalise_dialled(source.target, services.routing, services.flows.calls.directory.numbers).number
    # What a file declares belongs to the platform, and so do its super admins.
    owners = (owner, NIL) if caller.is_super and owner == caller.customer_id else (owner,)
    columns = tables.numbers.c
    query = sa.select(columns.id).where(
        columns.number == number,
        columns.status == "active",
        columns.customer_id.in_(owners),
        columns.tm_delete.is_(None),
    )
    if not virtual:
        query = query.where(columns.type == "normal")
    if source.type != "tel" or not number or (await executor.execute(query)).first() is None:
        kind = "number" if virtual else "normal number"
        problem = f"{source.target} is no active {kind} of this customer; list the numbers for one that is"
        raise fault_in("source", "SOURCE_NOT_ALLOWED", problem)


async def _rate(services: Services, terms: CustomerTerms, party: Party, index: int) -> int:
    """What a minute to this destination costs to begin with; 0 where it does not leave through a provider."""
    number = await _foreign(services, terms, party, index)
    if not number:
        return 0
    rate = first_rate(services.flows.calls.directory, number, terms.key, services.routing)
    if rate is None:
        field = f"destinations[{index}].target"
        raise fault_in(field, "NO_ROUTE_AVAILABLE", f"no route leads to {number}; ask the platform for one")
    return rate


async def _foreign(services: Services, terms: CustomerTerms, party: Party, index: int) -> str:
    """The foreign number that a destination is, which this customer may reach; "" for what leaves by no provider."""
    if party.type != "tel" and not leads_here(services, party):
        return ""
    field, directory = f"destinations[{index}].target", services.flows.calls.directory
    source = client_of(UUID(int=terms.key))
    verdict = judge(directory, services.routing, source, await require_dialled(services, party.target, field))
    if not isinstance(verdict, DialOut):
        return ""
    target, short = verdict.target, None if verdict.target[:1] == "+" else services.routing
    if why := barred(terms, target) if short is None else short_barred(terms, target, short):
        raise fault_in(field, _REFUSALS[why], barred_sentence(terms, target, short))
    return target


def first_rate(
    directory: Directory, number: str, customer: int, settings: RoutingSettings, *, message: bool = False
) -> int | None:
    """The rate of the route that a call, or a message, to a foreign number takes first; the least where several take
    turns. None: there is no route with a provider that is switched on. An emergency call is free."""

    def usable(row: RouteRow) -> bool:
        trunk = directory.trunk(row.provider)
        return row.enabled and trunk is not None and trunk.provider.enabled

    short = number[:1] != "+"
    buckets = (
        directory.routes.matches_of(prefixes_of_short(number, settings), customer)
        if short
        else directory.routes.matches(number, customer)
    )
    for bucket in buckets:
        routes = [row for row in bucket if usable(row)]
        if routes:
            if short and is_emergency(number, settings):
                return 0
            rank = _rank(routes[0])
            return min(row.message_rate if message else row.rate for row in routes if _rank(row) == rank)
    return None


def _rank(row: RouteRow) -> tuple[int, bool]:
    return row.priority, row.customer == 0


async def _require_credit(services: Services, owner: UUID, cost: int, what: str) -> None:
    async with services.store.read() as connection:
        account: dict[str, Any] | None = await account_of(connection, owner)
    available = 0 if account is None else account["balance"] - account["reserved"]
    if available < cost:
        problem = f"{what} costs {cost} micro-units, and the account can spend {available}; top it up first"
        raise ApiError("INSUFFICIENT_BALANCE", problem)


__all__ = ["first_rate", "require_dialled", "require_message_rights", "require_rights", "require_source"]
