"""The actions of flows as JSON Schema: one for each type, made of the models that read their options."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, create_model
from pydantic.json_schema import models_json_schema

from flows.actions import ACTIONS
from flows.language.model import Action
from flows.language.options import Shape
from flows.language.registry import ActionType

_REF = "#/components/schemas/{model}"


class _Written(BaseModel):
    model_config = ConfigDict(extra="forbid")


def action_schemas() -> dict[str, dict[str, Any]]:
    """Components of the document: `FlowAction`, and what it is made of."""
    models = [_model(action) for action in ACTIONS.values()]
    _, found = models_json_schema([(model, "validation") for model in models], ref_template=_REF)
    schemas: dict[str, dict[str, Any]] = found["$defs"]
    schemas["FlowAction"] = {
        "title": "FlowAction",
        "description": "One step. Every step must be reached, and every jump lead to the id of a step.",
        "oneOf": [{"$ref": _REF.format(model=model.__name__)} for model in models],
    }
    return schemas


def option_shapes() -> Mapping[str, Sequence[Shape]]:
    """The options of which not every combination is allowed: component -> the shapes that it may have."""
    return {action.options.__name__: action.options.shapes for action in ACTIONS.values() if action.options.shapes}


def _model(action: ActionType) -> type[BaseModel]:
    """An action of this type with its options, which may be left out where none is required."""
    name, options = action.name, action.options
    required = any(field.is_required() for field in options.model_fields.values())
    fields: dict[str, Any] = {
        field: (Action.model_fields[field].rebuild_annotation(), "") for field in ("id", "next_id")
    }
    fields |= {"type": (Literal[name], ...), "option": (options, ... if required else options.model_construct())}
    made = create_model(f"{name.title().replace('_', '')}Action", __base__=_Written, **fields)
    made.__doc__ = (action.function.__doc__ or "").strip() or None
    return made


__all__ = ["action_schemas", "option_shapes"]
