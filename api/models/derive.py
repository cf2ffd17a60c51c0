"""Bodies and answers that follow a model of the engine's, so that a field is described in one place only.

@derive_fields(Provider, without={"id"})
class ProviderCreate(Body):
    \"\"\"A new provider.\"\"\"
"""

from collections.abc import Callable, Collection
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError, create_model
from pydantic.fields import FieldInfo

from api.http.errors import invalid
from api.models.fields import absent

M = TypeVar("M", bound=BaseModel)


def derive_fields(
    model: type[BaseModel], *, without: Collection[str] = (), optional: bool = False
) -> Callable[[type[M]], type[M]]:
    """Give the decorated class the fields of `model` before its own. `optional`: each may be left out, as in a PUT,
    and those that have a default may be null. The validators of `model` that see more than one field do not come
    along: `checked` runs them."""

    def decorate(shape: type[M]) -> type[M]:
        fields: dict[str, Any] = {
            name: _optional(field) if optional else (field.rebuild_annotation(), _plain(field))
            for name, field in model.model_fields.items()
            if name not in without and name not in shape.model_fields
        }
        made = create_model(shape.__name__, __base__=shape, __module__=shape.__module__, **fields)
        made.__doc__ = shape.__doc__
        return made

    return decorate


def _plain(field: FieldInfo) -> Any:
    if field.is_required():
        return ...
    return FieldInfo(default_factory=field.default_factory) if field.default_factory else field.default


def _optional(field: FieldInfo) -> Any:
    kind = field.rebuild_annotation()
    return (kind, absent()) if field.is_required() else (kind | None, None)


def checked(model: type[M], values: dict[str, Any], context: dict[str, Any] | None = None) -> M:
    """`values` as `model`, with all of its rules. Raises ApiError with the field that breaks one."""
    try:
        return model.model_validate(values, context=context)
    except ValidationError as error:
        errors = error.errors()
        raise invalid([found | {"loc": ("body", *found["loc"])} for found in errors]) from None


def defaults(model: type[BaseModel], names: Collection[str]) -> dict[str, Any]:
    """What these fields are when nobody gives them: what null puts there. Required ones have none."""
    return {
        name: field.get_default(call_default_factory=True)
        for name, field in model.model_fields.items()
        if name in names and not field.is_required()
    }


__all__ = ["checked", "defaults", "derive_fields"]
