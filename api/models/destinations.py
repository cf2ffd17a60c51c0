"""`sip:` destinations in bodies: what can be refused at once is, by the rules that hold again when it is dialled."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

from api.http.errors import fault_in
from api.http.services import Services
from flows.calls.address import PLACEHOLDER
from routing.access.destinations import NamedBy, named_by


class Named(Protocol):
    """Somebody to be called or texted."""

    @property
    def type(self) -> str: ...
    @property
    def target(self) -> str: ...


def require_destinations(services: Services, owner: UUID, parties: Sequence[Named], field: str) -> None:
    """That `owner` may name these. Raises ApiError DESTINATION_NOT_ALLOWED."""
    named = named_by(owner, owner)
    for index, party in enumerate(parties):
        if party.type == "sip":
            _require(services, sip_uri(party.target), named, f"{field}[{index}].target")


def require_in_actions(services: Services, owner: UUID, actions: Sequence[Mapping[str, Any]]) -> None:
    """That `owner` may name what is written out in these actions. Raises ApiError DESTINATION_NOT_ALLOWED."""
    named = named_by(owner, owner)
    for field, uri in _written(actions, "actions"):
        if PLACEHOLDER not in uri:
            _require(services, sip_uri(uri), named, field)


def leads_here(services: Services, party: Named) -> bool:
    """Whether this is a SIP URI at ourselves, which is as if its user part had been dialled."""
    destinations = services.flows.calls.destinations
    return (
        party.type == "sip"
        and destinations is not None
        and destinations.at_once(sip_uri(party.target), "customer").here
    )


def sip_uri(target: str) -> str:
    """As `flows.calls.address.Address.sip_uri`."""
    return target if target[:5].lower().startswith(("sip:", "sips:")) else f"sip:{target}"


def _require(services: Services, uri: str, named: NamedBy, field: str) -> None:
    destinations = services.flows.calls.destinations
    if destinations is not None and destinations.at_once(uri, named).refused:
        problem = f"{uri[:200]} leads to an address that may not be named here; give a number or a public address"
        raise fault_in(field, "DESTINATION_NOT_ALLOWED", problem)


def _written(value: Any, field: str) -> Iterator[tuple[str, str]]:
    """The SIP URIs in the options of actions, and where they stand."""
    if isinstance(value, Mapping):
        if value.get("type") == "sip" and isinstance(value.get("target"), str):
            yield f"{field}.target", value["target"]
        contacts = value.get("contacts")
        if isinstance(contacts, list):
            yield from ((f"{field}.contacts[{i}]", uri) for i, uri in enumerate(contacts) if isinstance(uri, str))
        for key, item in value.items():
            yield from _written(item, f"{field}.{key}")
    elif isinstance(value, Iterable) and not isinstance(value, str | bytes):
        for index, item in enumerate(value):
            yield from _written(item, f"{field}[{index}]")
