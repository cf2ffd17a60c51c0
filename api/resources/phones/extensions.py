"""Extensions: whom phones register and log in as, and whom they ring."""

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query
from pydantic import Field

from api.http.auth import Who, guarded
from api.http.bodies import router_for
from api.http.errors import ApiError, fault_in, not_found
from api.http.listing import Listing, OfCustomer, Pages
from api.http.services import Services, Use
from api.models.changes import changes, takes_back
from api.models.derive import checked
from api.models.fields import Body, Detail, Name, Times, absent, refuse_declared
from api.openapi.schema import documented
from api.resources.flows import require_flow
from api.resources.phones.contacts import Contact, end_contacts, with_contacts
from api.resources.resource import Resource, require_owner
from engine.sip.auth.digest import ha1_of_each
from routing.directory.extensions import write_ha1
from routing.identifiers import NIL, PLATFORM
from routing.models.extension import (
    LONGEST_PASSWORD,
    MAILBOX_PATTERN,
    MAX_CALLS,
    MAX_CONTACTS,
    MOST_CALLER_IDS,
    MOST_CALLS,
    MOST_CONTACTS,
    NAME_PATTERN,
    SHORTEST_PASSWORD,
    ExtensionStatus,
    weak_password,
)
from routing.models.extension import Extension as Model
from routing.numbers.short_numbers import emergency_name
from store import rows
from store.database import tables
from store.resources import extensions
from store.rows import IntegrityError, Row
from store.store import Executor, Transaction

router = router_for("extensions", "Whom phones register and log in as, and where they are.")
EXTENSIONS = Resource(tables.extensions, "extension")
MOST_OF_ONE = 10_000
"""Extensions of one customer: every node has all of them in memory. The platform's are not counted."""

_NUMBER_OR_NONE = {"pattern": r"^(\+[1-9][0-9]{6,14})?$", "examples": ["+15551234567"]}
_NUMBER = {"pattern": r"^\+[1-9][0-9]{6,14}$"}

ExtensionName = Annotated[
    str, Field(max_length=64, json_schema_extra={"pattern": NAME_PATTERN, "examples": ["alice", "101"]})
]
Password = Annotated[Name, Field(min_length=SHORTEST_PASSWORD, max_length=LONGEST_PASSWORD)]
CallerId = Annotated[str, Field(max_length=64, json_schema_extra=_NUMBER_OR_NONE)]
CallerIds = Annotated[
    list[Annotated[str, Field(max_length=64, json_schema_extra=_NUMBER)]], Field(max_length=MOST_CALLER_IDS)
]
Contacts = Annotated[int, Field(ge=1, le=MOST_CONTACTS)]
Calls = Annotated[int, Field(ge=0, le=MOST_CALLS)]
Mailbox = Annotated[str, Field(max_length=64, json_schema_extra={"pattern": MAILBOX_PATTERN})]


@documented(example={"name": "alice", "status": "active", "registered": True})
class Extension(Times):
    """An extension. Its password is never shown. `contacts` are the devices that are registered. `declared_in` is the
    configuration file that owns it; "" for one of the API."""

    id: UUID
    customer_id: UUID
    name: str
    detail: str
    display_name: str
    caller_id: str
    caller_ids: list[str]
    max_contacts: int
    max_calls: int
    call_flow_id: UUID
    mailbox: str
    status: ExtensionStatus
    registered: bool
    contacts: list[Contact]
    declared_in: str


class ExtensionCreate(Body):
    """A new extension. Its name is what its phones log in with, with the password, and what it is dialled by; there is
    each name once, whosever it is. `caller_id` and `caller_ids` are numbers of its customer."""

    customer_id: UUID | None = None
    name: ExtensionName
    password: Password
    detail: Detail = ""
    display_name: Name = ""
    caller_id: CallerId = ""
    caller_ids: CallerIds = Field([])
    max_contacts: Contacts = MAX_CONTACTS
    max_calls: Calls = MAX_CALLS
    call_flow_id: UUID = NIL
    mailbox: Mailbox = ""
    status: ExtensionStatus = "active"


@takes_back(Extension)
class ExtensionUpdate(Body):
    """What is to change. A new password counts from the next login on. One that is suspended is registered no more.
    `registered` and `contacts` are the phones' doing: what is sent of them is passed over."""

    password: Password = absent()
    detail: Detail | None = None
    display_name: Name | None = None
    caller_id: CallerId | None = None
    caller_ids: CallerIds | None = None
    max_contacts: Contacts = absent()
    max_calls: Calls = absent()
    call_flow_id: UUID | None = None
    mailbox: Mailbox | None = None
    status: ExtensionStatus = absent()
    registered: bool = absent()
    contacts: list[Contact] = absent()


_MADE_HERE = {"id", "tm_create", "tm_update", "tm_delete"}
_CLEARED = {"detail": "", "display_name": "", "caller_id": "", "caller_ids": [], "call_flow_id": NIL, "mailbox": ""}


@router.get("/extensions", response_model=Listing[Extension], **guarded("customer_agent"))
async def list_extensions(
    services: Use,
    caller: Who,
    paging: Pages,
    customer_id: OfCustomer = None,
    name: Annotated[Name | None, Query()] = None,
    status: Annotated[ExtensionStatus | None, Query()] = None,
) -> Any:
    """The extensions, newest first, with where their phones are."""
    columns = tables.extensions.c
    given = ((columns.name, name), (columns.status, status))
    where = [column == value for column, value in given if value is not None]
    page = await EXTENSIONS.list(services, caller, paging, *where, customer_id=customer_id)
    return page | {"result": await with_contacts(services, page["result"])}


@router.post(
    "/extensions",
    status_code=201,
    response_model=Extension,
    **guarded(
        "customer_admin",
        409,
        examples={
            "A desk phone": {"name": "101", "password": "a long password"},
            "Somebody with three phones": {
                "name": "alice",
                "password": "another long password",
                "display_name": "Alice Adams",
                "max_contacts": 3,
            },
        },
    ),
)
async def create_extension(services: Use, caller: Who, body: ExtensionCreate) -> Any:
    """Create an extension."""
    owner = caller.owner(body.customer_id)
    model = checked(Model, body.model_dump(exclude={"password", "customer_id"}), {"numbering": services.routing})
    if problem := emergency_name(model.name, services.routing):
        raise fault_in("name", "INVALID_REQUEST_PARAMETER", problem)
    values = model.model_dump(exclude=_MADE_HERE) | {"customer_id": owner}
    values |= _login(services, model.name, body.password)
    try:
        async with services.store.write() as transaction:
            await require_owner(transaction, owner)
            await _require_room(transaction, owner)
            await _require_references(transaction, owner, values)
            row = await rows.insert(transaction, tables.extensions, values)
            transaction.changed("extension", row["id"], extensions.change_key(row["name"]))
    except IntegrityError:
        problem = f"there is an extension {model.name} already; choose another name"
        raise fault_in("name", "EXTENSION_ALREADY_EXISTS", problem) from None
    return await _shown(services, row)


@router.get("/extensions/{extension_id}", response_model=Extension, **guarded("customer_agent"))
async def get_extension(services: Use, caller: Who, extension_id: UUID) -> Any:
    """One extension."""
    return await _shown(services, await EXTENSIONS.get(services, caller, extension_id))


@router.put(
    "/extensions/{extension_id}",
    response_model=Extension,
    **guarded("customer_admin", 409, examples={"Another password": {"password": "a new long password"}}),
)
async def update_extension(services: Use, caller: Who, extension_id: UUID, body: ExtensionUpdate) -> Any:
    """Change an extension. Calls that are up go on with what they began with."""
    async with services.store.write() as transaction:
        before = await EXTENSIONS.find(transaction, caller, extension_id)
        values = changes(body, before | {"registered": False, "contacts": []}, Extension, _CLEARED)
        for name in ("registered", "contacts"):
            values.pop(name, None)
        refuse_declared(before, "extension")
        if "password" in values:
            values |= _login(services, before["name"], values.pop("password"))
        # A name that it has had for long need not be one that is given today.
        model = checked(
            Model,
            {"name": "any"} | {key: values[key] for key in values.keys() & Model.model_fields.keys()},
            {"numbering": services.routing},
        )
        values |= model.model_dump(include=set(values))
        await _require_references(transaction, before["customer_id"], values)
        row = await rows.update(transaction, tables.extensions, extension_id, values)
        transaction.changed("extension", extension_id, extensions.change_key(before["name"]))
    assert row is not None  # it was found in this transaction
    return await _shown(services, row)


@router.delete("/extensions/{extension_id}", response_model=Extension, **guarded("customer_admin", 409))
async def delete_extension(services: Use, caller: Who, extension_id: UUID) -> Any:
    """Delete an extension; its phones are registered no more."""
    async with services.store.write() as transaction:
        before = await EXTENSIONS.find(transaction, caller, extension_id)
        refuse_declared(before, "extension")
        row = await rows.soft_delete(transaction, tables.extensions, extension_id)
        transaction.changed("extension", extension_id, extensions.change_key(before["name"]))
    assert row is not None  # it was found in this transaction
    return {**row, "registered": False, "contacts": []}


@router.delete(
    "/extensions/{extension_id}/contacts",
    summary="End all registrations of an extension",
    response_model=Extension,
    **guarded("customer_manager"),
)
async def delete_contacts(services: Use, caller: Who, extension_id: UUID) -> Any:
    """End the registrations of all of its devices: none is rung until it registers again, which it does by itself."""
    row = await EXTENSIONS.get(services, caller, extension_id)
    await end_contacts(services, row["name"])
    return await _shown(services, row)


@router.delete(
    "/extensions/{extension_id}/contacts/{contact_id}",
    summary="End the registration of a device",
    response_model=Extension,
    **guarded("customer_manager"),
)
async def delete_contact(services: Use, caller: Who, extension_id: UUID, contact_id: UUID) -> Any:
    """End the registration of one of its devices."""
    row = await EXTENSIONS.get(services, caller, extension_id)
    if not await end_contacts(services, row["name"], contact_id):
        raise not_found("contact", contact_id)
    return await _shown(services, row)


async def _shown(services: Services, row: Row) -> Row:
    return (await with_contacts(services, [row]))[0]


def _login(services: Services, name: str, password: str) -> Row:
    """What is kept of a password. Raises ApiError INVALID_REQUEST_PARAMETER for one that is guessed soon."""
    if weakness := weak_password(name, password):
        problem = f"{weakness}: whoever guesses it calls at your cost; choose a longer one, made by a program"
        raise fault_in("password", "INVALID_REQUEST_PARAMETER", problem)
    realm = services.routing.realm
    return {"realm": realm, "ha1": services.store.vault.seal(write_ha1(ha1_of_each(name, realm, password)))}


async def _require_room(transaction: Transaction, owner: UUID) -> None:
    """Raises ApiError EXTENSION_LIMIT."""
    if owner not in (NIL, PLATFORM) and await extensions.held(transaction, owner) >= MOST_OF_ONE:
        raise ApiError("EXTENSION_LIMIT", f"a customer has {MOST_OF_ONE} extensions at most; delete some first")


async def _require_references(executor: Executor, owner: UUID, values: Mapping[str, Any]) -> None:
    """Raises ApiError FLOW_NOT_FOUND, NUMBER_NOT_FOUND as faults of the body."""
    await require_flow(executor, owner, values.get("call_flow_id", NIL), "call_flow_id")
    wanted = {"caller_id": values.get("caller_id") or None}
    wanted |= {f"caller_ids[{place}]": number for place, number in enumerate(values.get("caller_ids", ()))}
    named = {field: number for field, number in wanted.items() if number is not None}
    if not named:
        return
    own = await extensions.own_numbers(executor, owner, set(named.values()))
    for field, number in named.items():
        if number not in own:
            problem = f"{number} is no number of this customer; list the numbers to find one"
            raise fault_in(field, "NUMBER_NOT_FOUND", problem)


__all__ = ["router"]
