"""Compact rows of numbers and routes, which share what is equal in them.

A million `Number` models would take gigabytes. A row holds what a call and its flow may ask for; timestamps stay with
the store and the file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple
from uuid import UUID

from pydantic import JsonValue

from routing.identifiers import named_id
from routing.models.number import NumberStatus, NumberType
from routing.models.route_lookup import RouteLookup
from routing.numbers.numbering import VIRTUAL_PREFIX, is_virtual


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


NOWHERE = Place()
NO_NOTES = Notes("", MappingProxyType({}))


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
    place: Place = NOWHERE
    notes: Notes = NO_NOTES

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
        rate: Micro-units of the currency a minute; 0 is free.
        message_rate: Micro-units a text message.
        short_prefix: Whether the provider's prefix goes before short numbers.
        lookup: Who is asked first for the attempts of its calls; None: nobody.
        declared: Whether it is of a configuration file, whose author may have this network asked.
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
    rate: int = 0
    message_rate: int = 0
    short_prefix: bool = False
    lookup: RouteLookup | None = None
    declared: bool = False

    @property
    def id(self) -> UUID:
        """The route's id."""
        return UUID(int=self.key)

    @property
    def target(self) -> str:
        """`all` or the prefix, as it is configured."""
        return self.prefix or "all"
