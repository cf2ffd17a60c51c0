"""The factory of compact rows, from checked models and from a store's columns.

The second way is for loading a million numbers: what was checked when it was saved is not checked again, and no model
and no UUID is made on the way. Ask the database for `NUMBER_COLUMNS` (`ROUTE_COLUMNS`) in this order and hand on what
it gives, one tuple a row.

Rows are built by position here and by keyword elsewhere: keywords go through a dict when a class is called, and this is
done a million times.
"""

import json
from collections.abc import Mapping, Sequence
from sys import intern
from typing import Any, Final, TypeVar
from uuid import UUID

from pydantic import JsonValue

from routing.directory.extensions import ExtensionRow, KeptHa1, Unlock
from routing.directory.rows import NO_NOTES, NOWHERE, Notes, NumberRow, Overrides, Place, RouteRow
from routing.identifiers import NIL
from routing.models.codes import CodeList, expand_codes
from routing.models.number import Number, NumberStatus
from routing.models.route import Route, is_target
from routing.models.route_lookup import RouteLookup

K = TypeVar("K")
V = TypeVar("V")

StoredId = UUID | str | bytes | int | None
"""An id as a database gives it: a UUID, its 32 or 36 hexadecimal characters, its 16 bytes, an integer; None is nil.

Text and UUIDs that exist already cost the same here. What costs is making a UUID of each text: have SQLite's
CHAR(32) read as plain text (`type_coerce(column, String)`); PostgreSQL's driver makes UUIDs in C, leave it to.
"""

NUMBER_COLUMNS: Final = (
    "number",
    "status",
    "call_flow_id",
    "message_flow_id",
    "provider_id",
    "customer_id",
    "id",
    "name",
    "origin",
    "country",
    "region",
    "city",
    "kind",
    "detail",
    "metadata",
)
"""What `RowFactory.number_from` takes, in this order. `metadata` is a mapping, its JSON text, or None."""

ROUTE_COLUMNS: Final = (
    "target",
    "provider_id",
    "priority",
    "weight",
    "customer_id",
    "enabled",
    "rate",
    "message_rate",
    "short_prefix",
    "lookup",
    "declared_in",
    "id",
    "name",
    "failover_codes",
    "stop_codes",
    "no_reply_timeout",
    "no_progress_timeout",
    "ring_timeout",
)
"""What `RowFactory.route_from` takes, in this order. The codes are lists, their JSON text, or None; times are
seconds."""

EXTENSION_COLUMNS: Final = (
    "id",
    "name",
    "realm",
    "ha1",
    "customer_id",
    "display_name",
    "caller_id",
    "caller_ids",
    "max_calls",
    "max_contacts",
    "call_flow_id",
    "mailbox",
    "status",
)
"""What `RowFactory.extension_from` takes, in this order. `ha1` is a JSON text, as it is kept; `caller_ids` a list, its
JSON text, or None."""

_NO_NUMBERS: Final[frozenset[str]] = frozenset()

# One object for each status in all rows: a database makes a new string every time.
_STATUSES: dict[str, NumberStatus] = {
    "available": "available",
    "active": "active",
    "suspended": "suspended",
    "released": "released",
}

MAX_SHARED: Final = 100_000
"""Ids, places and the like that are remembered to be shared: more than a load has that shares anything."""

_Timers = tuple[float | None, float | None, float | None]


def id_integer(identifier: StoredId) -> int:
    """The id as an integer. Raises ValueError for text that is no id."""
    if isinstance(identifier, str):
        return int(identifier.replace("-", ""), 16) if identifier else 0
    if isinstance(identifier, UUID):
        return identifier.int
    if isinstance(identifier, bytes):
        return int.from_bytes(identifier)
    return identifier or 0


class RowFactory:
    """Makes rows that share what is equal in them: one per load, or one for all the changes that come after it. It
    remembers at most `MAX_SHARED` values of a sort and then begins anew, which costs memory for copies and no more."""

    __slots__ = ("_ids", "_integers", "_overrides", "_places", "_stored_ids")

    def __init__(self) -> None:
        self._ids: dict[int, UUID] = {0: NIL}
        self._places: dict[tuple[str, ...], Place] = {NOWHERE: NOWHERE}
        self._overrides: dict[tuple[object, ...], Overrides] = {}
        self._integers: dict[int, int] = {}
        # Ids of flows, trunks and customers as the database writes them: each is read once.
        self._stored_ids: dict[object, UUID] = {None: NIL, "": NIL}

    @property
    def shared(self) -> tuple[int, ...]:
        """How many values of each sort are remembered."""
        tables: tuple[dict[Any, Any], ...] = (
            self._ids,
            self._stored_ids,
            self._places,
            self._integers,
            self._overrides,
        )
        return tuple(map(len, tables))

    def number(self, number: Number) -> NumberRow:
        """The row of a checked number."""
        place = Place(
            origin=number.origin, country=number.country, region=number.region, city=number.city, kind=number.kind
        )
        notes = Notes(number.detail, number.metadata) if number.detail or number.metadata else NO_NOTES
        return NumberRow(
            number.number,
            number.status,
            self.shared_id(number.call_flow_id),
            self.shared_id(number.message_flow_id),
            self.shared_id(number.provider_id),
            self.shared_id(number.customer_id),
            number.id.int if "id" in number.model_fields_set else 0,
            number.name,
            self._places.get(place) or _remember(self._places, place, place),
            notes,
        )

    def number_from(self, columns: Sequence[Any]) -> NumberRow:
        """The row of a stored number, `columns` being the values of `NUMBER_COLUMNS`. What the store checked is not
        checked again. Raises ValueError for columns that are too few, too many, or not in this order."""
        number, status, call, message, trunk, owner, key, name, *place, detail, metadata = columns
        where = tuple(place)
        known = self._stored_ids.get
        if metadata == "{}":
            metadata = None
        return NumberRow(
            number,
            _STATUSES.get(status) or _no_status(status),
            known(call) or self._stored_id(call),
            known(message) or self._stored_id(message),
            known(trunk) or self._stored_id(trunk),
            known(owner) or self._stored_id(owner),
            id_integer(key),
            name,
            self._places.get(where) or self._place(where),
            _notes(detail, metadata) if detail or metadata else NO_NOTES,
        )

    def route(self, route: Route) -> RouteRow:
        """The row of a checked route of a configuration file."""
        timers = (route.no_reply_timeout, route.no_progress_timeout, route.ring_timeout)
        return RouteRow(
            route.prefix,
            self.shared_integer(route.provider_id.int),
            route.priority,
            route.weight,
            self.shared_integer(route.customer_id.int),
            route.enabled,
            self._overridden(timers, route.failover_codes, route.stop_codes),
            route.id.int,
            route.name,
            self.shared_integer(route.rate),
            self.shared_integer(route.message_rate),
            route.short_prefix,
            route.lookup,
            True,
        )

    def route_from(self, columns: Sequence[Any]) -> RouteRow:
        """The row of a stored route, `columns` being the values of `ROUTE_COLUMNS`. What the store checked is not
        checked again. Raises ValueError for columns that are too few, too many, or not in this order."""
        target, provider, priority, weight, customer, enabled, rate, texts, prefixed, asked, file, *rest = columns
        if len(rest) != 7 or (target[:1] != "+" and not is_target(target)):
            raise ValueError(f"these are no columns of a route; select {', '.join(ROUTE_COLUMNS)}")
        key, name, codes, stop, *timers = rest
        known = self._stored_ids.get
        return RouteRow(
            "" if target == "all" else target,
            self.shared_integer((known(provider) or self._stored_id(provider)).int),
            priority,
            weight,
            self.shared_integer((known(customer) or self._stored_id(customer)).int),
            bool(enabled),
            self._overridden((timers[0], timers[1], timers[2]), _stored_codes(codes), _stored_codes(stop)),
            id_integer(key),
            name,
            self.shared_integer(rate),
            self.shared_integer(texts),
            bool(prefixed),
            _stored_lookup(asked),
            bool(file),
        )

    def extension_from(self, columns: Sequence[Any], unlock: Unlock = lambda kept, _name: kept) -> ExtensionRow:
        """The row of a stored extension, `columns` being the values of `EXTENSION_COLUMNS`. What the store checked is
        not checked again. Raises ValueError for columns that are too few, too many, or not in this order."""
        key, name, realm, ha1, owner, shown, number, others, calls, contacts, flow, mailbox, status = columns
        if status not in ("active", "suspended"):
            raise ValueError(f"{status!r} is no status of an extension; select {', '.join(EXTENSION_COLUMNS)}")
        if isinstance(others, str):
            others = json.loads(others) if others != "[]" else None
        known = self._stored_ids.get
        return ExtensionRow(
            id=UUID(int=id_integer(key)),
            name=name,
            realm=intern(realm),
            ha1=KeptHa1(ha1, name, unlock),
            customer_id=known(owner) or self._stored_id(owner),
            display_name=shown,
            caller_id=number,
            caller_ids=frozenset(others) if others else _NO_NUMBERS,
            max_calls=calls,
            max_contacts=contacts,
            call_flow_id=known(flow) or self._stored_id(flow),
            mailbox=mailbox,
            active=status == "active",
        )

    def shared_id(self, identifier: UUID) -> UUID:
        """One object for all that are equal."""
        ids = self._ids
        return ids.get(identifier.int) or _remember(ids, identifier.int, identifier)

    def shared_integer(self, value: int) -> int:
        """One object for all that are equal."""
        integers = self._integers
        return integers[value] if value in integers else _remember(integers, value, value)

    def _stored_id(self, stored: StoredId) -> UUID:
        # A UUID of our own even where the driver has a class for them: rows of all doors hold the same.
        value = id_integer(stored)
        identifier = self._ids.get(value) or self.shared_id(UUID(int=value))
        return _remember(self._stored_ids, stored, identifier)

    def _place(self, where: tuple[str, ...]) -> Place:
        if len(where) != len(Place._fields):
            raise ValueError(f"these are no columns of a number; select {', '.join(NUMBER_COLUMNS)}")
        place = Place(*where)
        return _remember(self._places, place, place)

    def _overridden(self, timers: _Timers, codes: CodeList | None, stop: CodeList | None) -> Overrides | None:
        """What a route sets in its provider's place; None where that is nothing."""
        if codes is None and stop is None and timers == (None, None, None):
            return None
        key = (*timers, None if codes is None else tuple(codes), None if stop is None else tuple(stop))
        overrides = self._overrides.get(key)
        if overrides is None:
            failover = None if codes is None else expand_codes(codes)
            stopping = None if stop is None else expand_codes(stop)
            overrides = _remember(self._overrides, key, Overrides(*timers, failover, stopping))
        return overrides


def _remember(table: dict[K, V], key: K, value: V) -> V:
    if len(table) >= MAX_SHARED:
        table.clear()
    table[key] = value
    return value


def _no_status(status: object) -> NumberStatus:
    raise ValueError(f"{status!r} is no status of a number; select {', '.join(NUMBER_COLUMNS)}, in this order")


def _notes(detail: str, metadata: Mapping[str, JsonValue] | str | None) -> Notes:
    values: Mapping[str, JsonValue] = NO_NOTES.metadata
    if metadata:
        values = (json.loads(metadata) if isinstance(metadata, str) else metadata) or values
    return Notes(detail, values) if detail or values else NO_NOTES


def _stored_lookup(lookup: Mapping[str, JsonValue] | str | None) -> RouteLookup | None:
    values = json.loads(lookup) if isinstance(lookup, str) and lookup else lookup
    return RouteLookup.model_validate(values) if values else None


def _stored_codes(codes: CodeList | str | None) -> CodeList | None:
    if isinstance(codes, str):
        read: CodeList | None = json.loads(codes) if codes else None
        return read
    return codes
