"""Numbers and routes as a configuration file declares them, with providers and flows by name."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple, Self
from uuid import UUID

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from routing.identifiers import NIL, route_id
from routing.models.number import Number
from routing.models.provider import Provider
from routing.models.route import Route
from routing.numbers.numbering import is_virtual


class DeclaredNumber(Number):
    """A number with `provider`, `call_flow` and `message_flow` by name."""

    provider: str = ""
    call_flow: str = ""
    message_flow: str = ""


class DeclaredRoute(Route):
    """A route with its `provider` by name."""

    provider_id: UUID = NIL
    provider: str = Field(default="", max_length=255)

    @model_validator(mode="after")
    def _identified(self) -> Self:
        if not self.provider and self.provider_id == NIL:
            problem = "the route names no provider; write the name of one, such as provider: primary"
            raise PydanticCustomError("PROVIDER_NOT_FOUND", "{message}", {"message": problem})
        return self


class Fault(NamedTuple):
    """What is wrong between resources that are right by themselves.

    Attributes:
        path: Section, position and field, such as ("routes", 2, "provider").
        problem: A sentence: what is wrong and what to do.
    """

    path: tuple[str | int, ...]
    problem: str


class Resolved(NamedTuple):
    """Declarations with ids in place of names; what has a fault is left out."""

    numbers: list[Number]
    providers: list[Provider]
    routes: list[Route]
    faults: list[Fault]


def resolve(
    numbers: Sequence[DeclaredNumber],
    providers: Sequence[Provider],
    routes: Sequence[DeclaredRoute],
    flows: Mapping[str, UUID],
) -> Resolved:
    """Put ids in place of names, and find what does not fit together.

    flows: Ids of the flows there are, by name.
    """
    faults: list[Fault] = []
    for position, provider in enumerate(providers):
        if not provider.name:
            problem = "the provider has no name; give it one, so that routes can name it"
            faults.append(Fault(("providers", position, "name"), problem))
    faults += _repeated("providers", "name", ((provider.name, provider.name) for provider in providers))
    by_name = {provider.name: provider.id for provider in providers if provider.name}
    ids = set(by_name.values()) | {provider.id for provider in providers}

    faults += _repeated("numbers", "number", ((number.number, number.number) for number in numbers))
    made_numbers = []
    for position, declared in enumerate(numbers):
        found = _number_faults(declared, position, by_name, ids, flows)
        faults += found
        if not found:
            made_numbers.append(_number(declared, by_name, flows))

    made_routes = []
    for position, route in enumerate(routes):
        problem = _unknown_provider(route.provider, route.provider_id, by_name, ids)
        if problem:
            faults.append(Fault(("routes", position, "provider"), problem))
        else:
            made_routes.append(_route(route, by_name))
    if len(made_routes) == len(routes):
        faults += _repeated("routes", "target", ((route.id, route.target) for route in made_routes))
    return Resolved(made_numbers, list(providers), made_routes, faults)


def _repeated(section: str, field: str, items: Iterable[tuple[Hashable, str]]) -> list[Fault]:
    first: dict[Hashable, int] = {}
    faults = []
    for position, (key, shown) in enumerate(items):
        earlier = first.setdefault(key, position)
        if earlier != position and shown:
            if section == "routes":
                problem = f"this route to {shown} is entry {earlier + 1} again; remove one, or give it another priority"
            else:
                problem = f"{shown} is listed twice, first as entry {earlier + 1}; keep one"
            faults.append(Fault((section, position, field), problem))
    return faults


def _number_faults(
    declared: DeclaredNumber, position: int, providers: Mapping[str, UUID], ids: set[UUID], flows: Mapping[str, UUID]
) -> list[Fault]:
    faults = []
    if declared.provider and is_virtual(declared.number):
        problem = f"{declared.number} is virtual and arrives on no trunk; leave its provider out"
        faults.append(Fault(("numbers", position, "provider"), problem))
    elif declared.provider or declared.provider_id != NIL:
        problem = _unknown_provider(declared.provider, declared.provider_id, providers, ids)
        if problem:
            faults.append(Fault(("numbers", position, "provider"), problem))
    for field, name, identifier in (
        ("call_flow", declared.call_flow, declared.call_flow_id),
        ("message_flow", declared.message_flow, declared.message_flow_id),
    ):
        if problem := flow_problem(field, name, identifier, flows):
            faults.append(Fault(("numbers", position, field), problem))
    return faults


def flow_problem(field: str, name: str, identifier: UUID, flows: Mapping[str, UUID]) -> str:
    """What is wrong with a field that refers to a flow by its name, or with the other one that does by its id; ""
    where nothing is."""
    if name and identifier != NIL:
        return f"{field} and {field}_id are both given; keep one"
    if name and name not in flows:
        return f"there is no flow named {name!r}; {_choices(flows)}"
    if identifier != NIL and identifier not in flows.values():
        return f"there is no flow with the id {identifier}; {_choices(flows)}"
    return ""


def _unknown_provider(name: str, identifier: UUID, by_name: Mapping[str, UUID], ids: set[UUID]) -> str:
    if name and identifier != NIL:
        return "provider and provider_id are both given; keep one"
    if name:
        return "" if name in by_name else f"there is no provider named {name!r}; {_choices(by_name)}"
    return "" if identifier in ids else f"there is no provider with the id {identifier}; {_choices(by_name)}"


def _choices(known: Mapping[str, UUID]) -> str:
    names = sorted(name for name in known if name)
    if not names:
        return "there are none yet: add one"
    return f"use one of {', '.join(names[:8])}{' ...' if len(names) > 8 else ''}"


def _number(declared: DeclaredNumber, providers: Mapping[str, UUID], flows: Mapping[str, UUID]) -> Number:
    values = {name: getattr(declared, name) for name in Number.model_fields}
    if declared.provider:
        values["provider_id"] = providers[declared.provider]
    if declared.call_flow:
        values["call_flow_id"] = flows[declared.call_flow]
    if declared.message_flow:
        values["message_flow_id"] = flows[declared.message_flow]
    return Number.model_construct(declared.model_fields_set, **values)


def _route(declared: DeclaredRoute, providers: Mapping[str, UUID]) -> Route:
    values = {name: getattr(declared, name) for name in Route.model_fields}
    if declared.provider:
        values["provider_id"] = providers[declared.provider]
    if declared.id == NIL:
        values["id"] = route_id(declared.customer_id, declared.target, values["provider_id"], declared.priority)
    return Route.model_construct(**values)
