"""Rows of the tables as the values that routing knows, and back: providers, routes, numbers, flows, customers."""

from collections.abc import Mapping
from typing import Any, Final

from routing.directory.customers import CustomerTerms
from routing.models.number import Number
from routing.models.provider import Provider
from routing.models.route import Route
from store.database import tables

Row = Mapping[str, Any]

_PROVIDER_COLUMNS: Final = frozenset({"id", "name", "detail", "hostname"})
_TIMES: Final = frozenset({"tm_create", "tm_update", "tm_delete"})
_HEALTH: Final = frozenset({"health_status", "health_checked_at"})


def provider_row(provider: Provider) -> dict[str, Any]:
    """The columns of a provider, without its owner, its times and what a prober found: columns of its own, and all
    else in `settings`."""
    settings = provider.model_dump(mode="json", exclude=set(_PROVIDER_COLUMNS | _TIMES | _HEALTH))
    # Pairs: a JSON object has no order, PostgreSQL's keeps none, and headers are sent in theirs.
    settings["tech_headers"] = [[name, value] for name, value in provider.tech_headers.items()]
    return {
        "id": provider.id,
        "name": provider.name,
        "detail": provider.detail,
        "hostname": provider.hostname,
        "settings": settings,
    }


def provider_of(row: Row) -> Provider:
    """The provider in a row of `providers`. Raises pydantic's ValidationError for one that this version refuses."""
    settings = dict(row["settings"])
    settings["tech_headers"] = dict(settings.get("tech_headers", ()))
    return Provider.model_validate(settings | {name: row[name] for name in _PROVIDER_COLUMNS | _TIMES})


def route_row(route: Route) -> dict[str, Any]:
    """The columns of a route, without its times."""
    return route.model_dump(exclude=set(_TIMES))


def route_of(row: Row) -> Route:
    """The route in a row of `routes`. Raises pydantic's ValidationError for one that this version refuses."""
    return Route.model_validate({name: row[name] for name in Route.model_fields})


def number_row(number: Number) -> dict[str, Any]:
    """The columns of a number, without its times (but `tm_purchase`) and its price."""
    return number.model_dump(exclude=set(_TIMES))


def number_of(row: Row) -> Number:
    """The number in a row of `numbers`. Raises pydantic's ValidationError for one that this version refuses."""
    return Number.model_validate({name: row[name] for name in Number.model_fields})


def flow_document(row: Row) -> dict[str, Any]:
    """A row of `flows` as the document that `flows.language.model.read_flow` takes."""
    names = ("id", "customer_id", "name", "detail", "actions", "on_complete_flow_id", "media", *sorted(_TIMES))
    return {name: row[name] for name in names}


def terms_of(row: Row) -> CustomerTerms:
    """What a row of `customers` lets calls do."""
    return CustomerTerms.of(row["id"], suspended=row["suspended"], destination_countries=row["destination_countries"])


TABLES: Final = {
    "number": tables.numbers,
    "provider": tables.providers,
    "route": tables.routes,
    "flow": tables.flows,
    "customer": tables.customers,
    "extension": tables.extensions,
}
"""The tables that calls are decided by, by the kind that a `Change` of theirs has."""
