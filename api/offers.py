"""What is put on offer: the fields of one number, and the row that they become."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from api.errors import fault_in
from api.fields import NIL, UUID, Body, Money, Name
from api.numbers import WrittenNumber, read_number
from api.services import Services
from routing.numbering import describe_number, is_country, is_virtual
from store.rows import Row


def _country(code: str) -> str:
    code = code.upper()
    if code and not is_country(code):
        problem = f"{code!r} is no country; write the two letters of ISO 3166, such as US"
        raise PydanticCustomError("INVALID_REQUEST_PARAMETER", "{message}", {"message": problem})
    return code


class InventoryCreate(Body):
    """A number to be put on offer. Country and kind follow from the number where they are not given."""

    number: WrittenNumber
    provider_id: UUID = NIL
    price: Money = 0
    name: Name = ""
    country: Annotated[str, Field(max_length=2), AfterValidator(_country)] = ""
    region: Name = ""
    city: Name = ""
    kind: Literal["", "local", "toll_free", "mobile", "national"] = ""


def offer_of(services: Services, body: InventoryCreate) -> Row:
    """The columns of a number on offer, always the same ones. Raises ApiError."""
    number = read_number(services, body.number)
    if is_virtual(number):
        problem = f"{number} is virtual: such numbers are made when somebody provisions them; remove it"
        raise fault_in("number", "INVALID_NUMBER", problem)
    row = body.model_dump() | {"number": number, "type": "normal", "status": "available", "origin": "provisioned"}
    if not body.country or not body.kind:
        country, kind = describe_number(number)
        row |= {"country": body.country or country, "kind": body.kind or kind}
    return row
