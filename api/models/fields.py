"""Types of fields that many bodies share, and what a PUT does with them."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from api.http.errors import ApiError, spoken
from api.openapi.schema import ANY_TEXT
from flows.values import ONE_LINE
from routing.identifiers import NIL
from routing.models.fields import Text
from store.database.timestamps import api_time

DEEPEST = 32
LARGEST_METADATA = 64 * 1024  # characters
ALL_TEXT = {"values": "text"}
"""Context for values that come from where everything is text, such as CSV: a number in quotes is one."""


# JSON can write one half of a pair (RFC 8259 §8.2), and nothing can keep it: it is no character.
_SURROGATE = re.compile("[\ud800-\udfff]")


class Body(BaseModel):
    """A request's body: what is not known is refused, and what is of another type is not bent into shape."""

    model_config = ConfigDict(extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _as_the_document_says(cls, value: Any, info: ValidationInfo) -> Any:
        """A number is no text and no truth value, a truth value is nothing else, a moment is a text: pydantic would
        take `false` for 0, `"yes"` for true and 0 for the year 1970. And a text is one that can be kept."""
        if isinstance(value, str):
            _printable(value)
        if info.field_name is None or info.context == ALL_TEXT:
            return value
        if value is None:
            if _ever_null(cls, info.field_name):
                return value
            raise PydanticCustomError("INVALID_REQUEST_PARAMETER", "cannot be null; write a value, or leave it out")
        kind = _kind(cls, info.field_name)
        if kind == "number" and (isinstance(value, bool | str)):
            raise PydanticCustomError("INVALID_REQUEST_PARAMETER", "is no number; write it without quotes")
        if kind == "boolean" and not isinstance(value, bool):
            raise PydanticCustomError("INVALID_REQUEST_PARAMETER", "is neither true nor false; write one of them")
        if kind == "text" and not isinstance(value, str):
            raise PydanticCustomError("INVALID_REQUEST_PARAMETER", "is no text; write it in quotes")
        return value


_KINDS: Mapping[Any, str] = {int: "number", float: "number", bool: "boolean", datetime: "text", UUID: "text"}


@cache
def _kind(model: type[BaseModel], name: str) -> str:
    """What JSON has to have for this field; "" where pydantic sees to it, or it may be several things."""
    kinds = {_KINDS.get(found, "") for found in _members(model.model_fields[name].annotation) if found is not NoneType}
    return kinds.pop() if len(kinds) == 1 else ""


@cache
def _ever_null(model: type[BaseModel], name: str) -> bool:
    """Whether this field may be null."""
    return NoneType in _members(model.model_fields[name].annotation)


def _members(annotation: Any) -> Iterator[Any]:
    """The types of a union, without what is annotated to them."""
    if get_origin(annotation) in (Union, UnionType):
        for inner in get_args(annotation):
            yield from _members(inner)
    elif get_origin(annotation) is Annotated:
        yield from _members(get_args(annotation)[0])
    elif annotation is AwareDatetime:
        yield datetime
    else:
        yield annotation


def _printable(text: str) -> str:
    # PostgreSQL keeps no NUL, and nobody means one.
    if "\x00" in text:
        raise PydanticCustomError("INVALID_REQUEST_PARAMETER", "holds a NUL character; remove it")
    if _SURROGATE.search(text):
        raise PydanticCustomError("INVALID_REQUEST_PARAMETER", "holds half a character; write it as UTF-8")
    return text


def _keepable(value: JsonValue, depth: int = 0) -> JsonValue:
    if depth > DEEPEST:
        raise PydanticCustomError("INVALID_REQUEST_PARAMETER", "is nested too deeply; write it flatter")
    if isinstance(value, str):
        _printable(value)
    elif isinstance(value, float) and value - value != 0:
        raise PydanticCustomError("INVALID_REQUEST_PARAMETER", "holds a number that JSON has not (NaN, Infinity)")
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise PydanticCustomError("INVALID_REQUEST_PARAMETER", "holds a number beyond 64 bits; write it as text")
    elif isinstance(value, list):
        for item in value:
            _keepable(item, depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            _printable(key)
            _keepable(item, depth + 1)
    return value


def _small(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    _keepable(value)
    if len(str(value)) > LARGEST_METADATA:
        raise PydanticCustomError("INVALID_REQUEST_PARAMETER", "is larger than 64 KiB; keep less")
    return value


# What the code of a type refuses, for the document.
_ONE_LINE: JsonDict = {"pattern": ONE_LINE}
_ANY_TEXT: JsonDict = {"pattern": ANY_TEXT}
Name = Annotated[Text, Field(max_length=255, json_schema_extra=_ONE_LINE)]
"""One line."""
Detail = Annotated[str, Field(max_length=65_536, json_schema_extra=_ANY_TEXT), AfterValidator(_printable)]
"""Any text."""
Metadata = Annotated[
    dict[str, JsonValue], Field(json_schema_extra={"propertyNames": _ANY_TEXT}), AfterValidator(_small)
]
"""Free values of the owner."""
Timestamp = Annotated[
    datetime,
    PlainSerializer(api_time, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-04-21T23:15:00.000000Z"]}),
]
"""`YYYY-MM-DDTHH:MM:SS.ffffffZ`."""
Money = Annotated[int, Field(ge=0, le=10**15)]
"""Micro-units of the platform's currency."""


class Times(BaseModel):
    """What every resource's answer ends with. Whoever reads one finds its `id` first and its moments last, in the order
    of a life; pydantic by itself has the fields of a base class before all others."""

    tm_create: Timestamp | None
    tm_update: Timestamp | None
    tm_delete: Timestamp | None

    @classmethod
    def __pydantic_init_subclass__(cls, **_options: Any) -> None:
        """Puts the fields in their order, for answers and for the document."""
        fields = cls.__pydantic_fields__
        cls.__pydantic_fields__ = {name: fields[name] for name in sorted(fields, key=_place)}
        cls.model_rebuild(force=True)


def _place(name: str) -> int:
    """Where a field stands in an answer; those of one place keep the order that they are declared in."""
    return _PLACES.get(name, 2 if name.startswith("tm_") else 0)


_PLACES: Mapping[str, int] = {"id": -1, "tm_create": 1, "tm_update": 3, "tm_delete": 4}


def absent() -> Any:
    """The default of a PUT's field that cannot be cleared: `tier: Tier = absent()`. Left out, it keeps what it is; null
    is refused, and the document does not have it."""
    return Field(default_factory=_nothing)


def _nothing() -> None:
    return None


def refuse_declared(row: Mapping[str, Any], resource: str) -> None:
    """What a configuration file owns is changed there. Raises ApiError DECLARED_IN_FILE."""
    if row.get("declared_in"):
        problem = f"this {spoken(resource)} is declared in {row['declared_in']}; change it there and reload"
        raise ApiError("DECLARED_IN_FILE", problem)


__all__ = [
    "ALL_TEXT",
    "NIL",
    "UUID",
    "Body",
    "Detail",
    "Metadata",
    "Money",
    "Name",
    "Times",
    "Timestamp",
    "absent",
    "refuse_declared",
]
