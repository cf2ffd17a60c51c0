"""The lifecycle of a number: available, active, suspended, released."""

import dataclasses
from typing import Literal
from uuid import UUID, uuid4

from routing.directory.directory import Directory
from routing.directory.rows import NumberRow
from routing.errors import RoutingError
from routing.identifiers import NIL
from routing.models.number import NumberOrigin, NumberStatus, NumberType
from routing.numbers.normalise import written_number
from routing.numbers.numbering import is_reserved, is_virtual
from routing.settings import RoutingSettings

NumberEvent = Literal["provision", "suspend", "reactivate", "release"]

# available --provision--> active <--reactivate-- / --suspend--> suspended --release--> released; nothing else.
TRANSITIONS: dict[tuple[NumberStatus, NumberEvent], NumberStatus] = {
    ("available", "provision"): "active",
    ("active", "suspend"): "suspended",
    ("suspended", "reactivate"): "active",
    ("suspended", "release"): "released",
}

# What deleting a number does, by its status. A customer deletes what it has, in use or resting, in one request; the
# number still goes through `suspended` on its way, so that the table above stays the whole truth about moves.
DELETION: dict[NumberStatus, tuple[NumberEvent, ...]] = {
    "active": ("suspend", "release"),
    "suspended": ("release",),
}

_POSSIBLE_FROM: dict[NumberEvent, NumberStatus] = {event: before for before, event in TRANSITIONS}


def moved(status: NumberStatus, event: NumberEvent, number: str = "the number") -> NumberStatus:
    """The status after an event. Raises RoutingError NUMBER_STATE_INVALID for a move that is not in the table."""
    try:
        return TRANSITIONS[status, event]
    except KeyError:
        problem = f"{number} is {status} and cannot be moved by {event}; only an {_POSSIBLE_FROM[event]} number can"
        if _POSSIBLE_FROM[event] == "suspended":
            problem = f"{number} is {status} and cannot be moved by {event}; suspend it first"
        raise RoutingError("NUMBER_STATE_INVALID", problem) from None


def move(directory: Directory, e164: str, event: NumberEvent) -> NumberRow:
    """Move a number on in its life. Raises RoutingError NUMBER_NOT_FOUND or NUMBER_STATE_INVALID.

    A released number keeps neither owner nor flows.
    """

    def change(row: NumberRow | None) -> NumberRow:
        if row is None:
            raise RoutingError("NUMBER_NOT_FOUND", f"{e164} is not in the directory; check the number")
        status = moved(row.status, event, e164)
        if status == "released":
            return dataclasses.replace(row, status=status, call_flow_id=NIL, message_flow_id=NIL, customer_id=NIL)
        return dataclasses.replace(row, status=status)

    return directory.change_number(e164, change)


def released_from(status: NumberStatus, number: str = "the number") -> tuple[NumberEvent, ...]:
    """The moves by which deleting a number of this status releases it. Raises RoutingError NUMBER_STATE_INVALID where
    nobody has it: it is in the inventory, or was released before."""
    try:
        return DELETION[status]
    except KeyError:
        problem = f"{number} is {status} and cannot be deleted; only an active or a suspended number can"
        raise RoutingError("NUMBER_STATE_INVALID", problem) from None


def returns_to_inventory(number_type: NumberType, origin: NumberOrigin, *, purchased: bool) -> bool:
    """Whether a number that is released makes a new entry of the inventory: one that came from there. Virtual ones are
    made when somebody wants them; what was ported, hosted or declared in a file was never on offer."""
    return number_type == "normal" and origin == "provisioned" and purchased


def provisioned_from(status: NumberStatus | None, e164: str) -> Literal["made", "taken"]:
    """How a customer gets a number of this status (None: there is no such number): a virtual number is "made", and
    begins anew with its own id; a normal one is "taken" out of the inventory as it is, and becomes active.

    Raises RoutingError: NUMBER_ALREADY_EXISTS, NUMBER_NOT_AVAILABLE.
    """
    if status == "available":
        return "taken"
    if status == "active" or status == "suspended":
        raise RoutingError("NUMBER_ALREADY_EXISTS", f"{e164} is in use already; choose another number")
    if is_virtual(e164):
        return "made"
    gone = "was released" if status == "released" else "is not on offer"
    raise RoutingError("NUMBER_NOT_AVAILABLE", f"{e164} {gone}; choose one of the available numbers")


def check_offerable(status: NumberStatus | None, e164: str) -> None:
    """Whether the inventory may take a number of this status (None: there is no such number): a new one, or one that
    was released, which so comes back on offer. Raises RoutingError NUMBER_ALREADY_EXISTS for any other."""
    if status == "available":
        raise RoutingError("NUMBER_ALREADY_EXISTS", f"{e164} is in the inventory already; remove it from the list")
    if status == "active" or status == "suspended":
        raise RoutingError("NUMBER_ALREADY_EXISTS", f"{e164} is in use by a customer; remove it from the list")


def provision(directory: Directory, settings: RoutingSettings, number: str, customer_id: UUID) -> NumberRow:
    """Give a number to a customer within this directory alone: for engines without a store.

    However many ask for it at once, one gets it. Raises RoutingError: INVALID_NUMBER, VIRTUAL_NUMBER_FORMAT_INVALID,
    VIRTUAL_NUMBER_RESERVED, NUMBER_ALREADY_EXISTS, NUMBER_NOT_AVAILABLE.
    """
    e164 = written_number(number, settings)
    check_not_reserved(settings, e164)

    def change(row: NumberRow | None) -> NumberRow:
        if provisioned_from(None if row is None else row.status, e164) == "made" or row is None:
            return NumberRow(
                number=e164,
                status="active",
                call_flow_id=NIL,
                message_flow_id=NIL,
                provider_id=NIL,
                customer_id=customer_id,
                key=uuid4().int,
            )
        return dataclasses.replace(row, status=moved(row.status, "provision", e164), customer_id=customer_id)

    return directory.change_number(e164, change)


def check_not_reserved(settings: RoutingSettings, e164: str) -> None:
    """Raises RoutingError VIRTUAL_NUMBER_RESERVED for a number of the platform's own range."""
    if is_reserved(e164, settings.reserved_virtual_prefix):
        problem = f"{e164} belongs to the platform's range {settings.reserved_virtual_prefix}; choose another number"
        raise RoutingError("VIRTUAL_NUMBER_RESERVED", problem)
