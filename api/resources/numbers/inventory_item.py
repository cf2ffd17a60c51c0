"""An inventory item: the body that puts a number on offer, and the row that it becomes."""

from typing import Annotated, Literal

from pydantic import Field

from api.http.errors import fault_in
from api.http.services import Services
from api.models.countries import CountryOrNone
from api.models.fields import NIL, UUID, Body, Money, Name
from api.resources.numbers.numbers import NORMAL_NUMBER, WrittenNumber, read_number
from routing.numbers.numbering import describe_number, is_virtual
from store.rows import Row


class InventoryCreate(Body):
    """A number to be put on offer. Country and kind follow from the number where they are not given."""

    number: Annotated[WrittenNumber, Field(json_schema_extra={"pattern": NORMAL_NUMBER, "format": "e164"})]
    provider_id: UUID = NIL
    price: Money = 0
    name: Name = ""
    country: CountryOrNone = ""
    region: Name = ""
    city: Name = ""
    kind: Literal["", "local", "toll_free", "mobile", "national"] = ""


def inventory_row(services: Services, body: InventoryCreate) -> Row:
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
