"""Lists: newest first, a page at a time."""

from typing import Annotated, Generic, TypeVar
from uuid import UUID

from fastapi import Depends, Query
from pydantic import BaseModel

from api.openapi import patterns

T = TypeVar("T")


class Listing(BaseModel, Generic[T]):
    """A page. `next_page_token` goes into `page_token` of the next request; "" on the last page."""

    result: list[T]
    next_page_token: str


class Paging:
    """The parameters that every list has."""

    def __init__(
        self,
        page_size: Annotated[int, Query(ge=1, le=1000, description="Rows at most.")] = 100,
        page_token: Annotated[
            str,
            Query(pattern=patterns.PAGE_TOKEN, description="next_page_token of the page before; empty for the newest."),
        ] = "",
    ) -> None:
        self.size = page_size
        self.token = page_token


Pages = Annotated[Paging, Depends()]
"""`paging: Pages` as a parameter of a list."""


class OfferPaging:
    """The same for the list of numbers on offer, which has an order of its own."""

    def __init__(
        self,
        page_size: Annotated[int, Query(ge=1, le=1000, description="Rows at most.")] = 100,
        page_token: Annotated[
            str,
            Query(pattern=patterns.OFFER_TOKEN, description="next_page_token of the page before; empty for the first."),
        ] = "",
    ) -> None:
        self.size = page_size
        self.token = page_token


OfferPages = Annotated[OfferPaging, Depends()]

OfCustomer = Annotated[UUID | None, Query(description="Of this customer only; for super admins.")]
"""`customer_id: OfCustomer = None` as a parameter of a list."""
