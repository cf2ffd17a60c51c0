"""Types of fields that the models share, and the errors of their checks.

The models are for files and requests; calls are decided on the compact forms in `routing.directory.rows` and
`routing.directory.trunk`. Every fault is a sentence, and its pydantic error type is the stable reason that the API
reports (INVALID_NUMBER, INVALID_TECH_HEADER, ...).
"""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo
from pydantic_core import PydanticCustomError

from routing.errors import RoutingError
from routing.models.codes import CodeList, canonical_codes
from routing.numbers.normalise import written_number
from routing.settings import RoutingSettings

T = TypeVar("T")

_ANYWHERE = RoutingSettings()
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def refusal(reason: str, message: str) -> PydanticCustomError:
    # The sentence goes in as a value: it may quote braces, which a template would take for its own.
    return PydanticCustomError(reason, "{message}", {"message": message})


def checked(reason: str, check: Callable[[], T]) -> T:
    try:
        return check()
    except ValueError as error:
        raise refusal(reason, str(error)) from None


def numbering_of(info: ValidationInfo) -> RoutingSettings:
    """How numbers are read: the validation context's `numbering`, else without a country of their own."""
    found = info.context.get("numbering") if info.context else None
    return found if isinstance(found, RoutingSettings) else _ANYWHERE


def number_in(text: str, info: ValidationInfo, *, strict: bool | None = None) -> str:
    """A written number in normal form; what is none is refused. `strict`: as `written_number` has it."""
    try:
        return written_number(text, numbering_of(info), strict=strict)
    except RoutingError as error:
        raise refusal(error.reason, str(error)) from None


def _plain_text(value: str) -> str:
    if _CONTROL.search(value):
        raise refusal("INVALID_REQUEST_PARAMETER", "holds a line break or another control character; remove it")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise refusal("INVALID_REQUEST_PARAMETER", "cannot be written as UTF-8; replace the broken character") from None
    return value


def _codes(value: object) -> object:
    if value is None:
        return None
    if not isinstance(value, list | tuple | set | frozenset):
        raise refusal("INVALID_REQUEST_PARAMETER", "is no list of statuses; write one such as [503, 5xx]")
    return checked("INVALID_REQUEST_PARAMETER", lambda: canonical_codes(value))


def _timer(value: float) -> float:
    if not 0 < value <= 3600:
        raise refusal(
            "INVALID_REQUEST_PARAMETER", f"{value:g} s is no time to wait; write seconds above 0 and up to 3600"
        )
    return value


Text = Annotated[str, AfterValidator(_plain_text)]
DialText = Annotated[str, Field(max_length=128), AfterValidator(_plain_text)]
Codes = Annotated[CodeList, BeforeValidator(_codes)]
Timer = Annotated[float, Field(allow_inf_nan=False), AfterValidator(_timer)]


class Resource(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_default=False)

    name: Text = Field(default="", max_length=255)
    detail: str = ""
    tm_create: datetime | None = None
    tm_update: datetime | None = None
    tm_delete: datetime | None = None


def reason_of(error: dict[str, Any]) -> str:
    """The stable reason of one of pydantic's errors, its own ones (missing, extra_forbidden, ...) included."""
    kind = str(error["type"])
    if kind.isupper():
        return kind
    return "MISSING_REQUEST_PARAMETER" if kind == "missing" else "INVALID_REQUEST_PARAMETER"
