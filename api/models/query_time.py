"""Moments in queries."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Query
from pydantic import AfterValidator, AwareDatetime
from pydantic_core import PydanticCustomError


def _in_utc(moment: datetime) -> datetime:
    """Raises PydanticCustomError for what is beyond the calendar in UTC, such as the first hours of the year 1."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError("INVALID_REQUEST_PARAMETER", "is beyond the calendar; write another year") from None


QueryTime = Annotated[
    Annotated[AwareDatetime, AfterValidator(_in_utc)] | None, Query(description="RFC 3339 with its zone.")
]
"""`since: QueryTime = None` as a parameter of a list."""
