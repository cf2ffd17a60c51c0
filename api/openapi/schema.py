"""What the OpenAPI document says of a component beyond the types of its fields: `documented`, beside its model.

What a model refuses is code, which gives better sentences than a pattern does; the document says the same, for people,
generators of clients, and schemathesis, which holds the API to it. Patterns are regular expressions that every dialect
knows (ECMA 262, Python, Rust): no look-around, no flags. U+0085, a space to Python and to Rust, is none to ECMA 262: it
is named beside `\\s`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from pydantic import BaseModel

from flows.values import ONE_LINE

Schema = dict[str, Any]
Fields = Mapping[str, Mapping[str, Any]]
"""Field -> the keywords of JSON Schema that are added to it. A field that may be null keeps that."""
M = TypeVar("M", bound=BaseModel)

ANY_TEXT: Final = r"^[^\x00]*$"
LINE: Final[Mapping[str, Any]] = {"pattern": ONE_LINE}
TEXT: Final[Mapping[str, Any]] = {"pattern": ANY_TEXT}


@dataclass(slots=True, kw_only=True)
class Component:
    """What is said of one component.

    Attributes:
        fields: What is added to its fields.
        shapes: The forms of which a body must have one, because what a field may hold depends on another: keywords of
            fields, and `required`, `nullable`.
        example: Values of fields where an example shows it.
        base: The component that it is a narrower form of, where it has no model of its own; "" where it has.
    """

    fields: Fields = field(default_factory=dict)
    shapes: Sequence[Fields] = ()
    example: Mapping[str, Any] = field(default_factory=dict)
    base: str = ""


COMPONENTS: Final[dict[str, Component]] = {}
"""By name."""


def documented(
    *, fields: Fields | None = None, shapes: Sequence[Fields] = (), example: Mapping[str, Any] | None = None
) -> Callable[[type[M]], type[M]]:
    """A decorator that says this of the component of a model (see `Component`)."""

    def decorate(model: type[M]) -> type[M]:
        COMPONENTS[model.__name__] = Component(fields=fields or {}, shapes=shapes, example=example or {})
        return model

    return decorate


def narrowed(name: str, model: type[BaseModel], shapes: Sequence[Fields]) -> Mapping[str, Any]:
    """A component of its own for those forms of `model` that some body takes; what refers to it."""
    COMPONENTS[name] = Component(shapes=shapes, base=model.__name__)
    return {"$ref": f"#/components/schemas/{name}"}


_PLAIN = {"type": "string", "pattern": ANY_TEXT}
_ANY = {"$ref": "#/components/schemas/JsonValue"}
JSON_VALUE: Schema = {
    "title": "JsonValue",
    "description": "Any JSON, with whole numbers of 64 bits.",
    "anyOf": [
        {"type": ["null", "boolean"]},
        {"type": "number", "minimum": -(2**63), "maximum": 2**63 - 1},
        _PLAIN,
        {"type": "array", "items": _ANY},
        {"type": "object", "propertyNames": {"pattern": ANY_TEXT}, "additionalProperties": _ANY},
    ],
}

__all__ = [
    "ANY_TEXT",
    "COMPONENTS",
    "JSON_VALUE",
    "LINE",
    "TEXT",
    "Component",
    "Fields",
    "Schema",
    "documented",
    "narrowed",
]
