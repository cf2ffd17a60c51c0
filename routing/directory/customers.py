"""The terms of a customer: whether it is suspended, the countries that it may call, and the limits of its tier."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Self
from uuid import UUID

from routing.errors import RoutingError
from routing.numbers.numbering import country_of, is_virtual
from routing.numbers.short_numbers import is_emergency
from routing.settings import RoutingSettings

Barred = Literal["", "customer_suspended", "destination_not_allowed"]
"""Why a call is not for a customer to make; "" where it is."""

Tier = Literal["free", "basic", "professional", "unlimited"]

# How many virtual numbers a customer may have at once, active or suspended; None is no limit.
VIRTUAL_NUMBER_LIMITS: dict[Tier, int | None] = {
    "free": 5,
    "basic": 50,
    "professional": 500,
    "unlimited": None,
}


@dataclass(slots=True, frozen=True)
class CustomerTerms:
    """One customer, as the decisions of a call need it.

    Attributes:
        key: The customer's id as an integer.
        suspended: Its calls to foreign numbers are refused.
        destination_countries: ISO 3166 codes in capitals of the countries that it may call; empty: all.
    """

    key: int
    suspended: bool = False
    destination_countries: frozenset[str] = frozenset()

    @classmethod
    def of(cls, customer_id: UUID, *, suspended: bool = False, destination_countries: Iterable[str] = ()) -> Self:
        """The terms of a customer, country codes in any case."""
        return cls(customer_id.int, suspended, frozenset(code.upper() for code in destination_countries))


def barred(terms: CustomerTerms, number: str) -> Barred:
    """Why this customer's calls to a foreign number in normal form are refused; "" where they are not.

    A limited customer does not reach what belongs to no country (a satellite phone, a code that nobody has): such
    numbers are what premium-rate fraud likes best. Virtual numbers lie nowhere, but never leave for a provider.
    """
    if terms.suspended:
        return "customer_suspended"
    countries = terms.destination_countries
    if countries and not is_virtual(number) and country_of(number) not in countries:
        return "destination_not_allowed"
    return ""


def short_barred(terms: CustomerTerms, number: str, settings: RoutingSettings) -> Barred:
    """As `barred`, for a short number, which belongs to the country whose plan it is of. Nothing bars an emergency
    call."""
    if is_emergency(number, settings):
        return ""
    if terms.suspended:
        return "customer_suspended"
    countries = terms.destination_countries
    return "destination_not_allowed" if countries and settings.default_country not in countries else ""


def destination_allowed(terms: CustomerTerms, number: str) -> bool:
    """Whether this customer may call a foreign number in normal form. Numbers of our own are not asked about: they are
    dealt with here and cost nothing."""
    return not barred(terms, number)


def barred_sentence(terms: CustomerTerms, number: str, settings: RoutingSettings | None = None) -> str:
    """Why the call is refused, for logs and people; "" where it is not. `settings`: of a short number."""
    why = barred(terms, number) if settings is None else short_barred(terms, number, settings)
    customer = UUID(int=terms.key)
    if why == "customer_suspended":
        return f"customer {customer} is suspended and may not call {number}; reactivate it first"
    if why:
        where = (settings.default_country if settings is not None else country_of(number)) or "no country"
        allowed = ", ".join(sorted(terms.destination_countries))
        return f"destination not allowed: {number} is in {where}, and customer {customer} may call {allowed} only"
    return ""


def check_virtual_number_limit(tier: Tier, held: int) -> None:
    """Whether a customer that holds so many virtual numbers may have one more. Raises RoutingError
    VIRTUAL_NUMBER_LIMIT where it may not."""
    limit = VIRTUAL_NUMBER_LIMITS[tier]
    if limit is not None and held >= limit:
        problem = f"the tier {tier} has {limit} virtual numbers and all are in use; delete one or move to a higher tier"
        raise RoutingError("VIRTUAL_NUMBER_LIMIT", problem)
