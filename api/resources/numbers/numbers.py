"""Numbers: provisioned from the inventory, made (virtual ones) or ported in; given flows, suspended, released."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query
from pydantic import Field, JsonValue

from api.http.auth import Caller, Who, guarded
from api.http.bodies import router_for
from api.http.errors import ApiError, fault_in
from api.http.listing import Listing, OfCustomer, Pages
from api.http.services import Services, Use
from api.models.carriers import Carriers
from api.models.changes import changes, takes_back
from api.models.fields import Body, Detail, Metadata, Name, Times, Timestamp, refuse_declared
from api.openapi.schema import documented
from api.resources.flows import require_flow
from api.resources.resource import Resource
from api.resources.routing.providers import require_provider
from routing.directory.customers import check_virtual_number_limit
from routing.directory.lifecycle import (
    DELETION,
    check_not_reserved,
    moved,
    provisioned_from,
    released_from,
    returns_to_inventory,
)
from routing.errors import RoutingError
from routing.identifiers import NIL
from routing.models.number import NumberOrigin, NumberStatus, NumberType
from routing.numbers.normalise import normalise_dialled, written_number
from routing.numbers.numbering import (
    NumberKind,
    describe_number,
    in_plan,
    is_e164,
    is_virtual,
    without_separators,
)
from store.database import tables
from store.event_types import EventType
from store.resources import numbers
from store.resources.billing import purchase
from store.resources.extensions import forget_number
from store.rows import Row
from store.store import Transaction

router = router_for("numbers", "Telephone numbers: searched, provisioned, given flows, suspended, released.")
NORMAL_NUMBER = r"^\+([1-79][0-9]{6,14}|8[0-8][0-9]{5,13}|89[0-8][0-9]{4,12})$"
"""E.164, and none of the virtual ones."""
VIRTUAL_NUMBER = r"^\+899([1-9][0-9]{8}|0[1-9][0-9]{7}|00[1-9][0-9]{6})$"
"""But for those that the platform keeps for itself, unless it says otherwise."""
NUMBERS = Resource(tables.numbers, "number")

WrittenNumber = Annotated[str, Field(max_length=64, examples=["+15551234567"])]
"""A number as people write it; `read_number` makes it E.164."""


@documented(example={"status": "active"})
class Number(Times):
    """A number. `kind` is what the search calls `type`: local, toll_free, mobile, national or virtual."""

    id: UUID
    customer_id: UUID
    number: str
    type: NumberType
    name: str
    detail: str
    call_flow_id: UUID
    message_flow_id: UUID
    status: NumberStatus
    metadata: dict[str, JsonValue]
    provider_id: UUID
    origin: NumberOrigin
    country: str
    region: str
    city: str
    kind: NumberKind
    declared_in: str
    """The configuration file that owns it; "" for one of the API."""
    tm_purchase: Timestamp | None


@documented(
    shapes=(
        {"number": {"pattern": NORMAL_NUMBER, "format": "e164", "examples": ["+15551234567"]}},
        {
            "number": {"pattern": VIRTUAL_NUMBER, "examples": ["+899100000001"]},
            "origin": {"enum": ["provisioned"]},
            "provider_id": {"const": str(NIL)},
        },
    )
)
class NumberCreate(Body):
    """A number to be had. A normal one must be on offer, and its price is paid; a virtual one, `+899` and nine digits,
    is free. `origin` other than `provisioned`, and `provider_id`, are for super admins: a number that is brought from
    elsewhere needs no offer, but somebody who knows that it is the customer's."""

    number: WrittenNumber
    customer_id: UUID | None = None
    name: Name = ""
    detail: Detail = ""
    call_flow_id: UUID = NIL
    message_flow_id: UUID = NIL
    metadata: Metadata = Field({})
    provider_id: UUID = NIL
    origin: NumberOrigin = "provisioned"


@takes_back(Number)
class NumberUpdate(Body):
    """What is to change. `provider_id` is for super admins."""

    name: Name | None = None
    detail: Detail | None = None
    call_flow_id: UUID | None = None
    message_flow_id: UUID | None = None
    metadata: Metadata | None = None
    provider_id: UUID | None = None


_CLEARED = {
    "name": "",
    "detail": "",
    "call_flow_id": NIL,
    "message_flow_id": NIL,
    "metadata": {},
    "provider_id": NIL,
}


@router.get("/numbers", response_model=Listing[Number], **guarded("customer_agent"))
async def list_numbers(
    services: Use,
    caller: Who,
    paging: Pages,
    customer_id: OfCustomer = None,
    number: Annotated[str | None, Query(max_length=64, description="This number, with or without its +.")] = None,
    type: Annotated[NumberType | None, Query()] = None,  # noqa: A002  # the parameter's name
    status: Annotated[NumberStatus | None, Query()] = None,
    name: Annotated[Name | None, Query()] = None,
) -> Any:
    """The numbers, newest first. Super admins see those in the inventory, too. With `status=released`, those that were
    deleted: a customer sees what it had itself."""
    columns = tables.numbers.c
    where = [] if number is None else [columns.number == asked_number(services, number)]
    where += [
        column == value
        for column, value in ((columns.type, type), (columns.status, status), (columns.name, name))
        if value is not None
    ]
    deleted = status == "released"
    page = await NUMBERS.list(services, caller, paging, *where, customer_id=customer_id, deleted=deleted)
    return page | {"result": [_shown(services, caller, row) for row in page["result"]]}


@router.post(
    "/numbers",
    summary="Provision a number",
    status_code=201,
    response_model=Number,
    **guarded(
        "customer_admin",
        402,
        409,
        examples={
            "A virtual number, which is free": {"number": "+899123456789", "name": "desk"},
            "A number brought from elsewhere; super admins only": {"number": "+12125550123", "origin": "ported"},
        },
    ),
)
async def create_number(services: Use, caller: Who, body: NumberCreate) -> Any:
    """Provision a number: take a normal one out of the inventory and pay its price, make a virtual one, or bring one
    from elsewhere (`origin` `ported` or `hosted`; super admins)."""
    owner = caller.owner(None if body.customer_id == NIL else body.customer_id)
    number = read_number(services, body.number)
    _refuse_special(caller, number, body)
    async with services.store.write() as transaction:
        await _hold_owner(transaction, owner, number)
        await _require_references(transaction, owner, body.model_dump())
        row = await _acquire(transaction, owner, number, body)
        _tell(transaction, "number_created", row)
    return _shown(services, caller, row)


@router.get("/numbers/{number_id}", response_model=Number, **guarded("customer_agent"))
async def get_number(services: Use, caller: Who, number_id: UUID) -> Any:
    """One number; also one that was deleted, for those who had it."""
    async with services.store.read() as connection:
        row = await numbers.released(connection, number_id, caller.scope)
        row = row or await NUMBERS.find(connection, caller, number_id)
    return _shown(services, caller, row)


@router.put(
    "/numbers/{number_id}",
    response_model=Number,
    **guarded(
        "customer_manager",
        409,
        examples={"Another name, and no flow for calls": {"name": "spare", "call_flow_id": None}},
    ),
)
async def update_number(services: Use, caller: Who, number_id: UUID, body: NumberUpdate) -> Any:
    """Change a number. Calls that are up go on with what they began with."""
    async with services.store.write() as transaction:
        before = await NUMBERS.find(transaction, caller, number_id)
        values = changes(body, _shown(services, caller, before), Number, _CLEARED)
        _refuse_provider(caller, before["number"], values)
        await _require_references(transaction, before["customer_id"], values)
        row = await _change(transaction, caller, number_id, _Move(numbers.IN_USE, values, "number_updated", _in_use))
    return _shown(services, caller, row)


@router.delete(
    "/numbers/{number_id}", summary="Release a number", response_model=Number, **guarded("customer_admin", 409)
)
async def delete_number(services: Use, caller: Who, number_id: UUID) -> Any:
    """Release a number, for good; the answer is what it was, with `tm_delete`. What it cost is not paid back. One that
    came from the inventory is on offer again, as a new number with an id of its own."""
    async with services.store.write() as transaction:
        released = {"tm_delete": transaction.now, "status": "released", "call_flow_id": NIL, "message_flow_id": NIL}
        move = _Move(tuple(DELETION), released, "number_deleted", released_from)
        row = await _change(transaction, caller, number_id, move)
        await forget_number(transaction, row["customer_id"], row["number"])
        if returns_to_inventory(row["type"], row["origin"], purchased=row["tm_purchase"] is not None):
            offered = await numbers.offer_again(transaction, row)
            if offered is not None:
                transaction.changed("number", offered["id"], offered["number"])
    return _shown(services, caller, row)


@router.post(
    "/numbers/{number_id}/suspend",
    summary="Let a number rest",
    response_model=Number,
    **guarded("customer_manager", 409),
)
async def suspend_number(services: Use, caller: Who, number_id: UUID) -> Any:
    """Let an active number rest: calls to it are refused until it is reactivated."""
    async with services.store.write() as transaction:
        row = await _change(transaction, caller, number_id, _SUSPEND)
    return _shown(services, caller, row)


@router.post(
    "/numbers/{number_id}/reactivate",
    summary="Let a number take calls again",
    response_model=Number,
    **guarded("customer_manager", 409),
)
async def reactivate_number(services: Use, caller: Who, number_id: UUID) -> Any:
    """Let a suspended number take calls again."""
    async with services.store.write() as transaction:
        row = await _change(transaction, caller, number_id, _REACTIVATE)
    return _shown(services, caller, row)


def _shown(services: Services, caller: Caller, row: Row) -> Row:
    """The number as this caller sees it: the trunk that it arrives on is the platform's."""
    return row if caller.is_super else Carriers(services.flows.calls.directory).number(row)


# ---- having one


async def _hold_owner(transaction: Transaction, owner: UUID, number: str) -> None:
    """Raises ApiError CUSTOMER_NOT_FOUND, RoutingError VIRTUAL_NUMBER_LIMIT."""
    virtual = is_virtual(number)
    tier = await numbers.hold_customer(transaction, owner, alone=virtual)
    if tier is None:
        problem = f"there is no customer {owner}; list the customers to find its id"
        raise fault_in("customer_id", "CUSTOMER_NOT_FOUND", problem)
    if virtual and tier != "unlimited":
        check_virtual_number_limit(tier, await numbers.virtual_held(transaction, owner))


async def _acquire(transaction: Transaction, owner: UUID, number: str, body: NumberCreate) -> Row:
    """The number as the owner's. Raises RoutingError NUMBER_ALREADY_EXISTS, NUMBER_NOT_AVAILABLE; ApiError
    DECLARED_IN_FILE; InsufficientBalance."""
    wanted = body.model_dump(include={"name", "detail", "metadata", "call_flow_id", "message_flow_id", "origin"})
    if body.provider_id != NIL:
        wanted["provider_id"] = body.provider_id
    if body.origin == "provisioned":
        row = await numbers.take(transaction, number, owner, wanted)
        if row is not None:
            await purchase(transaction, owner, row["price"], row["id"], f"number {number}")
            return row
        known = await numbers.living(transaction, number)
        if known is not None and known["status"] == "available":
            refuse_declared(known, "number")
        provisioned_from(None if known is None else known["status"], number)
    country, kind = describe_number(number)
    made = wanted | {
        "customer_id": owner,
        "number": number,
        "type": "virtual" if is_virtual(number) else "normal",
        "status": "active",
        "country": country,
        "kind": kind,
        "tm_purchase": transaction.now,
    }
    row = await numbers.make(transaction, made)
    if row is None:
        problem = f"{number} exists here already; choose another number"
        raise fault_in("number", "NUMBER_ALREADY_EXISTS", problem)
    return row


def read_number(services: Services, text: str) -> str:
    """A number of a body, in normal form. Raises ApiError INVALID_NUMBER, VIRTUAL_NUMBER_FORMAT_INVALID,
    VIRTUAL_NUMBER_RESERVED."""
    try:
        number = written_number(text, services.routing)
        check_not_reserved(services.routing, number)
    except RoutingError as error:
        raise fault_in("number", error.reason, str(error)) from None
    return number


def _refuse_special(caller: Caller, number: str, body: NumberCreate) -> None:
    if body.provider_id != NIL:
        _refuse_provider(caller, number, body.model_dump())
    if body.origin == "provisioned":
        return
    if not caller.is_super:
        # Calls to a number of ours stay here: whoever could claim any number would get other people's calls.
        problem = f"only a super admin brings in {body.origin} numbers; ask the platform to do it"
        raise fault_in("origin", "PERMISSION_DENIED", problem)
    if is_virtual(number):
        problem = "virtual numbers exist only here and are neither ported nor hosted; leave origin out"
        raise fault_in("origin", "INVALID_REQUEST_PARAMETER", problem)


def _refuse_provider(caller: Caller, number: str, values: Mapping[str, Any]) -> None:
    if "provider_id" not in values:
        return
    if not caller.is_super:
        raise fault_in("provider_id", "PERMISSION_DENIED", "only a super admin sets it; leave it out")
    if values["provider_id"] != NIL and is_virtual(number):
        problem = "a virtual number arrives on no provider; leave provider_id out"
        raise fault_in("provider_id", "INVALID_REQUEST_PARAMETER", problem)


async def _require_references(transaction: Transaction, owner: UUID, values: Mapping[str, Any]) -> None:
    """Raises ApiError FLOW_NOT_FOUND, INVALID_ACTION, PROVIDER_NOT_FOUND as faults of the body."""
    await require_flow(transaction, owner, values.get("call_flow_id", NIL), "call_flow_id")
    await require_flow(transaction, owner, values.get("message_flow_id", NIL), "message_flow_id", medium="message")
    if values.get("provider_id", NIL) != NIL:
        await require_provider(transaction, values["provider_id"])


# ---- changing one


@dataclass(slots=True, frozen=True)
class _Move:
    """A change of a number in one of the statuses `before`. `refuse` raises for a number in any other."""

    before: tuple[NumberStatus, ...]
    values: dict[str, Any]
    news: EventType
    refuse: Callable[[NumberStatus, str], Any]


def _in_use(status: NumberStatus, number: str) -> None:
    if status not in numbers.IN_USE:
        raise RoutingError("NUMBER_STATE_INVALID", f"{number} is {status} and nobody's; provision it first")


_SUSPEND = _Move(
    ("active",), {"status": "suspended"}, "number_suspended", lambda status, number: moved(status, "suspend", number)
)
_REACTIVATE = _Move(
    ("suspended",),
    {"status": "active"},
    "number_reactivated",
    lambda status, number: moved(status, "reactivate", number),
)


async def _change(transaction: Transaction, caller: Caller, number_id: UUID, move: _Move) -> Row:
    """Raises ApiError NUMBER_NOT_FOUND, DECLARED_IN_FILE, and NUMBER_STATE_INVALID (this one RoutingError, too)."""
    row = await numbers.change(transaction, number_id, caller.scope, move.before, move.values)
    if row is None:
        now = await NUMBERS.find(transaction, caller, number_id)
        refuse_declared(now, "number")
        move.refuse(now["status"], now["number"])
        # It has just become what it was to be.
        raise ApiError("NUMBER_STATE_INVALID", f"{now['number']} was changed at the same time; try again")
    _tell(transaction, move.news, row)
    return row


def _tell(transaction: Transaction, news: EventType, row: Row) -> None:
    transaction.changed("number", row["id"], row["number"])
    transaction.event(news, row["customer_id"], Number.model_validate(row).model_dump(mode="json"))


def asked_number(services: Services, text: str) -> str:
    """A number in a query, in normal form, with or without its `+`, which arrives as a space if the client did not
    escape it; "" for what is none."""
    digits = without_separators(text.removeprefix("tel:")).removeprefix("+").removesuffix("#")
    if digits[:1] == "0":
        return normalise_dialled(digits, services.routing).number
    return in_plan(f"+{digits}") if is_e164(f"+{digits}") else ""


__all__ = ["NUMBERS", "Number", "WrittenNumber", "asked_number", "read_number", "router"]
