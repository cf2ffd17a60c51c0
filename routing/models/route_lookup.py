"""The model of a route's look-up: who is asked, before the routes are, which providers a call is to take."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from routing.models.durations import Seconds
from routing.models.fields import refusal

LONGEST_WAIT: Final = 5.0
"""Seconds that a caller waits at most for an answer."""
LONGEST_KEPT: Final = 86_400.0
_ADDRESS = re.compile(r"https?://[^\s/?#\\]+(?:[/?#]\S*)?", re.IGNORECASE | re.ASCII)


def _web_address(url: str) -> str:
    if not _ADDRESS.fullmatch(url):
        problem = f"{url!r} is no web address; write it like https://lcr.example.com/route"
        raise refusal("INVALID_REQUEST_PARAMETER", problem)
    return url


class RouteLookup(BaseModel):
    """Whom to ask, for how long, and how long an answer is good. Seconds, or text such as `500ms`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[str, Field(max_length=2000), AfterValidator(_web_address)]
    """POST with JSON: `caller`, `destination`, `customer_id`."""
    timeout: Seconds = Field(default=0.5, gt=0, le=LONGEST_WAIT, allow_inf_nan=False)
    """Without an answer by then, the routes say where the call goes."""
    cache: Seconds = Field(default=60.0, ge=0, le=LONGEST_KEPT, allow_inf_nan=False)
    """How long the same question gets the same answer without being asked again; 0: it is always asked."""
