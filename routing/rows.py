"""Numbers and routes as calls need them: small, shared where they repeat, ready to be read.

A million `Number` models would take gigabytes. A row holds what a call and its flow may ask for; timestamps stay with
the store and the file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple
from uuid import UUID

from pydantic import JsonValue

from routing.codes import expand_codes
from routing.identifiers import NIL, named_id
from routing.models import Number, NumberStatus, NumberType, Route
from routing.numbering import VIRTUAL_PREFIX, is_virtual


class Place(NamedTuple):
    """What many numbers have in common: where they are from and what they are. Shared between rows."""

    origin: str = "provisioned"
    country: str = ""
    region: str = ""
    city: str = ""
    kind: str = ""


class Notes(NamedTuple):
    """What only few numbers have."""

    detail: str
    metadata: Mapping[str, JsonValue]


_NOWHERE = Place()
_NO_NOTES = Notes("", MappingProxyType({}))


@dataclass(slots=True)
class NumberRow:
    """A number in the directory. Reads like `Number`, without its timestamps.

    Attributes:
        number: `+` and digits.
        key: The id as an integer, 64 bytes less than a UUID; 0 where it is derived from the number, 48 less again.
    """

    number: str
    status: NumberStatus
    call_flow_id: UUID
    message_flow_id: UUID
    provider_id: UUID
    customer_id: UUID
    key: int = 0
    name: str = ""
    place: Place = _NOWHERE
    notes: Notes = _NO_NOTES

    @property
    def id(self) -> UUID:
        """The number's id."""
        return UUID(int=self.key) if self.key else named_id("number", self.number)

    @property
    def type(self) -> NumberType:
        """`virtual` for +899..., else `normal`."""
        return "virtual" if self.number.startswith(VIRTUAL_PREFIX) else "normal"

    @property
    def virtual(self) -> bool:
        """Whether the number exists only here."""
        return is_virtual(self.number)

    @property
    def ours(self) -> bool:
        """Whether calls to it are dealt with here: it is active or suspended."""
        return self.status == "active" or self.status == "suspended"

    @property
    def detail(self) -> str:
        """Free text of its owner."""
        return self.notes.detail

    @property
    def metadata(self) -> Mapping[str, JsonValue]:
        """Free values of its owner."""
        return self.notes.metadata

    @property
    def origin(self) -> str:
        """`provisioned`, `ported` or `hosted`."""
        return self.place.origin

    @property
    def country(self) -> str:
        """ISO 3166 code, or ""."""
        return self.place.country

    @property
    def region(self) -> str:
        """Region, or ""."""
        return self.place.region

    @property
    def city(self) -> str:
        """City, or ""."""
        return self.place.city

    @property
    def kind(self) -> str:
        """`local`, `toll_free`, `mobile`, `national`, `virtual` or ""."""
        return self.place.kind


@dataclass(slots=True)
class Overrides:
    """What a route sets in its provider's place; None leaves the provider's. Shared between routes that agree."""

    no_reply_timeout: float | None = None
    no_progress_timeout: float | None = None
    ring_timeout: float | None = None
    failover: frozenset[int] | None = None
    stop: frozenset[int] | None = None


@dataclass(slots=True)
class RouteRow:
    """A route in the table.

    Attributes:
        prefix: What its numbers begin with; "" for all.
        provider: The provider's id as an integer (hashing a UUID costs ten times as much).
        customer: The owner's id as an integer; 0 is the platform.
        key: The route's id as an integer.
    """

    prefix: str
    provider: int
    priority: int = 0
    weight: int = 1
    customer: int = 0
    enabled: bool = True
    overrides: Overrides | None = None
    key: int = 0
    name: str = ""

    @property
    def id(self) -> UUID:
        """The route's id."""
        return UUID(int=self.key)

    @property
    def target(self) -> str:
        """`all` or the prefix, as it is configured."""
        return self.prefix or "all"


class RowMaker:
    """Makes rows that share what is equal in them. One per load; it is dropped with its tables afterwards."""

    def __init__(self) -> None:
        self._ids: dict[int, UUID] = {0: NIL}
        self._places: dict[Place, Place] = {_NOWHERE: _NOWHERE}
        self._overrides: dict[tuple[object, ...], Overrides] = {}
        self._integers: dict[int, int] = {}

    def number(self, number: Number) -> NumberRow:
        """The row of a checked number."""
        place = Place(number.origin, number.country, number.region, number.city, number.kind)
        notes = Notes(number.detail, number.metadata) if number.detail or number.metadata else _NO_NOTES
        return NumberRow(
            number.number,
            number.status,
            self.shared_id(number.call_flow_id),
            self.shared_id(number.message_flow_id),
            self.shared_id(number.provider_id),
            self.shared_id(number.customer_id),
            number.id.int if "id" in number.model_fields_set else 0,
            number.name,
            self._places.setdefault(place, place),
            notes,
        )

    def route(self, route: Route) -> RouteRow:
        """The row of a checked route."""
        overrides = None
        codes, stop = route.failover_codes, route.stop_codes
        timers = (route.no_reply_timeout, route.no_progress_timeout, route.ring_timeout)
        if codes is not None or stop is not None or timers != (None, None, None):
            key = (*timers, None if codes is None else tuple(codes), None if stop is None else tuple(stop))
            overrides = self._overrides.get(key)
            if overrides is None:
                overrides = self._overrides[key] = Overrides(
                    *timers,
                    None if codes is None else expand_codes(codes),
                    None if stop is None else expand_codes(stop),
                )
        return RouteRow(
            route.prefix,
            self.shared_integer(route.provider_id.int),
            route.priority,
            route.weight,
            self.shared_integer(route.customer_id.int),
            route.enabled,
            overrides,
            route.id.int,
            route.name,
        )

    def shared_id(self, identifier: UUID) -> UUID:
        """One object for all that are equal."""
        return self._ids.setdefault(identifier.int, identifier)

    def shared_integer(self, value: int) -> int:
        """One object for all that are equal."""
        return self._integers.setdefault(value, value)
