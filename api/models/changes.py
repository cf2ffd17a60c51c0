"""What a PUT changes: whoever reads a resource, changes a field and sends all of it back has changed that field.

So a body takes what GET shows, read-only fields included (RFC 9110 §9.3.4). Those are compared with the row that is to
be changed, while nobody else changes it: what is as it was is passed over, what is not is named and refused.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from pydantic import BaseModel, Field, create_model

from api.http.errors import ApiError, Violation

B = TypeVar("B", bound=BaseModel)

_PROBLEM: Final = "is read-only and not as it is now; leave it out, or send it as GET shows it"


def takes_back(answer: type[BaseModel]) -> Callable[[type[B]], type[B]]:
    """Give a PUT's body what GET shows beside its own fields, each to be left out."""

    def decorate(update: type[B]) -> type[B]:
        fields: dict[str, Any] = {
            name: (
                field.rebuild_annotation(),
                Field(default_factory=_nothing, json_schema_extra={"readOnly": True}),
            )
            for name, field in answer.model_fields.items()
            if name not in update.model_fields
        }
        made = create_model(update.__name__, __base__=update, __module__=update.__module__, **fields)
        made.__doc__ = update.__doc__
        return made

    return decorate


def _nothing() -> None:
    return None


def read_only(model: type[BaseModel]) -> frozenset[str]:
    """The fields that a body has only because GET shows them."""
    return frozenset(
        name
        for name, field in model.model_fields.items()
        if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("readOnly")
    )


def changes(
    body: BaseModel,
    shown: Mapping[str, Any],
    answer: type[BaseModel],
    cleared: Mapping[str, Any],
    *,
    measured: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The columns that a PUT sets. Fields that are absent, or as they are, keep what they have; null, or the nil UUID,
    puts what `cleared` has for the field, and it has something for each that can be null.

    shown: The resource as GET would show it to this caller now; `answer` is the model that does it.
    measured: Read-only fields that nobody has to change to make them differ, and the field that says when they were
        measured: one that is older than now's is a reading of before.

    Raises ApiError with every read-only field that is not as it is.
    """
    model = answer.model_validate(shown)
    now, current = model.model_dump(mode="json"), dict(model)
    written = body.model_dump(mode="json", exclude_unset=True)
    fixed = read_only(type(body))
    faults: list[Violation] = []
    values: dict[str, Any] = {}
    for name, value in body.model_dump(exclude_unset=True).items():
        if name in fixed:
            if written[name] != now[name] and not _of_before(written, now, (measured or {}).get(name)):
                faults.append(Violation(field=name, reason="INVALID_REQUEST_PARAMETER", message=_PROBLEM))
        elif value is None:
            if name not in current or cleared[name] != current[name]:
                values[name] = cleared[name]
        elif name not in now or written[name] != now[name]:
            values[name] = value
    if faults:
        message = f"{faults[0].field}: {_PROBLEM}"
        raise ApiError("INVALID_REQUEST_PARAMETER", message, details=faults)
    return values


def _of_before(written: Mapping[str, Any], now: Mapping[str, Any], moment: str | None) -> bool:
    # Moments are written so that their order is that of their texts.
    return moment is not None and moment in written and (written[moment] or "") < (now[moment] or "")


__all__ = ["changes", "read_only", "takes_back"]
