"""The search for numbers to be had: those on offer, and virtual ones that nobody has."""

import random
from typing import Annotated, Any, Final, Literal

from fastapi import Depends, Query
from pydantic import BaseModel

from api.http.auth import Who, guarded
from api.http.bodies import router_for
from api.http.errors import fault_in
from api.http.listing import Listing
from api.http.messages import explained
from api.http.services import Services, Use
from api.models.countries import COUNTRY_PATTERN
from api.models.fields import Name
from api.openapi.schema import documented
from routing.numbers.numbering import VIRTUAL_PREFIX, NumberKind, is_reserved
from store.resources import numbers

router = router_for("numbers")

_DIGITS = 9  # of a virtual number, after its prefix
_ROUNDS = 4
_DIGITS_WITHIN = explained(
    r"^[+ ]?[0-9]{1,15}$",
    "must be 1 to 15 digits, such as 555; with + before them, the beginning of a number, such as +1555",
)

Country = Annotated[
    str | None, Query(pattern=COUNTRY_PATTERN, description="ISO 3166 code; not asked for virtual numbers.")
]
Kind = Literal["local", "toll_free", "mobile", "national", "normal", "virtual"]
Place = Annotated[Name | None, Query(description="Not asked for virtual numbers.")]
Contains = Annotated[
    str | None,
    Query(
        pattern=_DIGITS_WITHIN,
        description="Digits anywhere in the number; with + before them, at its beginning.",
    ),
]
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


@documented(example={"type": "local"})
class AvailableNumber(BaseModel):
    """A number that can be had by POST /numbers. `price` is what that costs, in micro-units."""

    number: str
    country: str
    type: NumberKind
    region: str
    city: str
    price: int


# The second path is an older spelling.
@router.get(
    "/available_numbers",
    summary="Search for numbers to be had",
    response_model=Listing[AvailableNumber],
    **guarded("customer_agent"),
)
@router.get(
    "/number_availables",
    summary="Search for numbers to be had (older spelling)",
    name="list_number_availables",
    response_model=Listing[AvailableNumber],
    **guarded("customer_agent"),
)
async def list_available_numbers(
    services: Use,
    caller: Who,
    paging: OfferPages,
    country: Country = None,
    country_code: Country = None,
    type: Annotated[Kind | None, Query()] = None,  # noqa: A002  # the parameter's name
    region: Place = None,
    city: Place = None,
    contains: Contains = None,
) -> Any:
    """The numbers on offer, by country, type and number. With `type=virtual`: some virtual numbers that are free at
    this moment, chosen at random, on a single page."""
    # A + that the client did not escape arrives as a space.
    digits = (contains or "").replace(" ", "+")
    if type == "virtual":
        found = await _virtual(services, digits, paging.size)
        return {"result": [_virtual_answer(number) for number in found], "next_page_token": ""}
    search = numbers.Search(
        country=_one_country(country, country_code),
        kind="" if type in (None, "normal") else type,
        region=region or "",
        city=city or "",
        digits=digits,
    )
    async with services.store.read() as connection:
        page = await numbers.on_offer(connection, search, paging.size, paging.token)
    return {"result": [row | {"type": row["kind"]} for row in page.rows], "next_page_token": page.next_token}


def _one_country(country: str | None, country_code: str | None) -> str:
    """Either spelling. Raises ApiError where they disagree."""
    asked = {code.upper() for code in (country, country_code) if code}
    if len(asked) > 1:
        problem = "country says something else, and they are the same filter; keep one"
        raise fault_in("country_code", "INVALID_REQUEST_PARAMETER", problem)
    return asked.pop() if asked else ""


async def _virtual(services: Services, digits: str, count: int) -> list[str]:
    """Up to `count` virtual numbers that nobody has and that are not the platform's own."""
    reserved = services.routing.reserved_virtual_prefix
    found: dict[str, None] = {}
    for _ in range(_ROUNDS):
        # Few are in use or reserved, and where few are left that have these digits, some are enough.
        some = {number for number in (_virtual_number(digits) for _ in range(count)) if number}
        some = {number for number in some if number not in found and not is_reserved(number, reserved)}
        if some:
            async with services.store.read() as connection:
                some -= await numbers.living_among(connection, list(some))
        found |= dict.fromkeys(some)
        if len(found) >= count:
            break
    return list(found)[:count]


def _virtual_number(digits: str) -> str:
    """A random one with these digits (`+` before them: at its beginning); "" where there is none."""
    own = "".join(random.choices("0123456789", k=_DIGITS))
    if digits in VIRTUAL_PREFIX:
        return VIRTUAL_PREFIX + own
    if digits.startswith("+"):
        if not digits.startswith(VIRTUAL_PREFIX):
            return ""
        digits, place = digits.removeprefix(VIRTUAL_PREFIX), 0
    else:
        place = random.randint(0, max(_DIGITS - len(digits), 0))
    if len(digits) > _DIGITS:
        return ""
    return VIRTUAL_PREFIX + own[:place] + digits + own[place + len(digits) :]


def _virtual_answer(number: str) -> dict[str, Any]:
    return {"number": number, "country": "", "type": "virtual", "region": "", "city": "", "price": 0}
