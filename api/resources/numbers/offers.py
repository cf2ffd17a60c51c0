"""Numbers on offer: the body and the row of one, and the paging of their lists."""

from typing import Annotated, Final, Literal

from fastapi import Depends, Query
from pydantic import Field

from api.http.errors import fault_in
from api.http.messages import explained
from api.http.services import Services
from api.models.countries import CountryOrNone
from api.models.fields import NIL, UUID, Body, Money, Name
from api.resources.numbers.numbers import NORMAL_NUMBER, WrittenNumber, read_number
from routing.numbers.numbering import describe_number, is_virtual
from store.rows import Row

_TOKEN: Final = explained(
    r"^(([A-Z]{2})?[.](local|toll_free|mobile|national)?[.][1-9][0-9]{6,14})?$",
    "is no page token of this list; send next_page_token of the page before as it is, or nothing to begin",
)


class OfferPaging:
    """The parameters of a list of numbers on offer, which has an order of its own."""

    def __init__(
        self,
        page_size: Annotated[int, Query(ge=1, le=1000, description="Rows at most.")] = 100,
        page_token: Annotated[
            str,
            Query(pattern=_TOKEN, description="next_page_token of the page before; empty for the first."),
        ] = "",
    ) -> None:
        self.size = page_size
        self.token = page_token


OfferPages = Annotated[OfferPaging, Depends()]


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
