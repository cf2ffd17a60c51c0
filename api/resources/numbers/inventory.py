"""The inventory: numbers on offer, brought in one by one or by a CSV file. Super admins only."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Request, Response

from api.http.auth import Who, guarded
from api.http.bodies import read_json, router_for
from api.http.errors import ApiError
from api.http.listing import Listing, Pages
from api.http.services import Use
from api.models.countries import COUNTRY_PATTERN
from api.models.derive import checked
from api.models.fields import Times, refuse_declared
from api.resources.numbers.csv_upload import Upload, UploadResult
from api.resources.numbers.inventory_item import InventoryCreate, inventory_row
from api.resources.numbers.numbers import NUMBERS, asked_number
from api.resources.routing.providers import require_provider
from routing.directory.lifecycle import check_offerable
from routing.identifiers import NIL
from routing.models.number import NumberType
from routing.numbers.numbering import NumberKind
from store.database import tables
from store.resources import numbers

router = router_for("inventory", "Numbers on offer; super admins only.")


class InventoryNumber(Times):
    """A number on offer. `price` is what provisioning it costs, in micro-units."""

    id: UUID
    number: str
    type: NumberType
    name: str
    provider_id: UUID
    price: int
    country: str
    region: str
    city: str
    kind: NumberKind
    declared_in: str


@router.get(
    "/inventory",
    summary="List the numbers on offer",
    response_model=Listing[InventoryNumber],
    **guarded("project_super_admin"),
)
async def list_inventory(
    services: Use,
    caller: Who,
    paging: Pages,
    number: Annotated[str | None, Query(max_length=64)] = None,
    country: Annotated[str | None, Query(pattern=COUNTRY_PATTERN)] = None,
    provider_id: Annotated[UUID | None, Query()] = None,
) -> Any:
    """The numbers on offer, newest first."""
    columns = tables.numbers.c
    where = [columns.status == "available"]
    where += [] if number is None else [columns.number == asked_number(services, number)]
    where += [] if country is None else [columns.country == country.upper()]
    where += [] if provider_id is None else [columns.provider_id == provider_id]
    # They are nobody's: the index of customers finds them among all numbers.
    return await NUMBERS.list(services, caller, paging, *where, customer_id=NIL)


# A sound file; the columns may come in any order.
_CSV_SCHEMA = {
    "type": "string",
    "pattern": "^number(,provider)?(,price)?(,name)?(,country)?(,region)?(,city)?(,kind)?\\r?\\n",
    "examples": ["number,provider,price\n+15551234567,primary,1000000\n"],
}


def _two_bodies() -> dict[str, Any]:
    """The options of the operation that takes JSON or CSV: FastAPI knows bodies of one kind only."""
    example = {"A number with its price in micro-units": {"number": "+12125551234", "price": 1_000_000}}
    options = guarded("project_super_admin", 409, examples=example)
    schema = InventoryCreate.model_json_schema()
    content = options["openapi_extra"]["requestBody"]["content"]
    options["openapi_extra"]["requestBody"] = {
        "required": True,
        "content": {
            "application/json": {"schema": schema, **content["application/json"]},
            "text/csv": {"schema": _CSV_SCHEMA},
        },
    }
    options["responses"] |= {200: {"model": UploadResult, "description": "What has become of a CSV file's lines."}}
    return options


@router.post(
    "/inventory", summary="Put numbers on offer", status_code=201, response_model=InventoryNumber, **_two_bodies()
)
async def offer_numbers(services: Use, caller: Who, request: Request) -> Any:
    """Put a number on offer (JSON), or many (`Content-Type: text/csv`, UTF-8).

    The first line of a CSV file names its columns: `number`, and any of `provider` (its name or id), `price`, `name`,
    `country`, `region`, `city`, `kind`. Good lines are taken, a few hundred at a time; the others are in the answer,
    each with its reason. Numbers that are on offer already take over what the file says, so the same file can be sent
    again, also after a connection was lost.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == "text/csv":
        result = await Upload(services).run(await request.body())
        return Response(result.model_dump_json(), media_type="application/json")
    row = inventory_row(services, checked(InventoryCreate, _object(await request.body())))
    async with services.store.write() as transaction:
        if row["provider_id"] != NIL:
            await require_provider(transaction, row["provider_id"])
        made = await numbers.make(transaction, row)
        if made is None:
            known = await numbers.living(transaction, row["number"])
            check_offerable(None if known is None else known["status"], row["number"])
            raise ApiError("NUMBER_ALREADY_EXISTS", f"{row['number']} was changed at the same time; try again")
        transaction.changed("number", made["id"], made["number"])
    return made


@router.delete(
    "/inventory/{number_id}",
    summary="Take a number off offer",
    response_model=InventoryNumber,
    **guarded("project_super_admin", 409),
)
async def withdraw_number(services: Use, caller: Who, number_id: UUID) -> Any:
    """Take a number out of the inventory; the answer is what it was, with `tm_delete`."""
    async with services.store.write() as transaction:
        row = await numbers.withdraw(transaction, number_id)
        if row is None:
            known = await NUMBERS.find(transaction, caller, number_id)
            refuse_declared(known, "number")
            problem = f"{known['number']} is {known['status']} and no more on offer; DELETE /numbers/{number_id} it"
            raise ApiError("NUMBER_STATE_INVALID", problem)
        transaction.changed("number", row["id"], row["number"])
    return row


def _object(body: bytes) -> dict[str, Any]:
    """Raises ApiError for what is no JSON object, as FastAPI does for other operations."""
    document = read_json(body)
    if not isinstance(document, dict):
        problem = "the body is no JSON object; send one with Content-Type: application/json, or a file as text/csv"
        raise ApiError("INVALID_JSON_BODY", problem)
    return document
