"""Lists: newest first, a page at a time."""

from typing import Annotated, Final, Generic, TypeVar
from uuid import UUID

from fastapi import Depends, Query
from pydantic import BaseModel

from api.http.messages import explained

T = TypeVar("T")

PAGE_TOKEN: Final = explained(
    r"^(A[A-Za-f][A-Za-z0-9_-]{30})?$",
    "is no page token of a list; send next_page_token of the page before as it is, or nothing to begin at the newest",
)
"""24 bytes in base64 that begin with microseconds since 1970: before the year 6536, their first seven bits are 0."""


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
            Query(pattern=PAGE_TOKEN, description="next_page_token of the page before; empty for the newest."),
        ] = "",
    ) -> None:
        self.size = page_size
        self.token = page_token


Pages = Annotated[Paging, Depends()]
"""`paging: Pages` as a parameter of a list."""


OfCustomer = Annotated[UUID | None, Query(description="Of this customer only; for super admins.")]
"""`customer_id: OfCustomer = None` as a parameter of a list."""
