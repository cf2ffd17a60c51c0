"""Countries in bodies: the two letters of ISO 3166."""

from string import ascii_uppercase
from typing import Annotated, Final

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from api.http.messages import explained
from routing.numbers.numbering import is_country

COUNTRY_CODES: list[str] = [
    first + second for first in ascii_uppercase for second in ascii_uppercase if is_country(first + second)
]
"""Those of the countries with telephone numbers."""
COUNTRY_PATTERN: Final = explained(r"^[A-Za-z]{2}$", "is no country; write the two letters of ISO 3166, such as US")
"""Of a parameter that may name any country, and finds nothing for one that there is not."""


def _country(code: str) -> str:
    code = code.upper()
    if not is_country(code):
        problem = f"{code!r} is no country; write the two letters of ISO 3166, such as US"
        raise PydanticCustomError("INVALID_REQUEST_PARAMETER", "{message}", {"message": problem})
    return code


def _country_or_none(code: str) -> str:
    return code and _country(code)


Country = Annotated[
    str, Field(max_length=2, examples=["US"], json_schema_extra={"enum": [*COUNTRY_CODES]}), AfterValidator(_country)
]
CountryOrNone = Annotated[
    str,
    Field(max_length=2, examples=["US"], json_schema_extra={"enum": ["", *COUNTRY_CODES]}),
    AfterValidator(_country_or_none),
]
"""A country, or ""."""

__all__ = ["COUNTRY_CODES", "COUNTRY_PATTERN", "Country", "CountryOrNone"]
