"""The actions of flows as JSON Schema: one for each type, made of the models that read their options."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, create_model
from pydantic.json_schema import models_json_schema

from flows.language.model import Action
from flows.language.registry import KINDS

_REF = "#/components/schemas/{model}"
FLOW_ACTION = {"$ref": _REF.format(model="FlowAction")}


class _Written(BaseModel):
    model_config = ConfigDict(extra="forbid")


def action_schemas() -> dict[str, dict[str, Any]]:
    """Components of the document: `FlowAction`, and what it is made of."""
    models = [_model(name) for name in KINDS]
    _, found = models_json_schema([(model, "validation") for model in models], ref_template=_REF)
    schemas: dict[str, dict[str, Any]] = found["$defs"]
    schemas["FlowAction"] = {
        "title": "FlowAction",
        "description": "One step. Every step must be reached, and every jump lead to the id of a step.",
        "oneOf": [{"$ref": _REF.format(model=model.__name__)} for model in models],
    }
    return schemas


def _model(name: str) -> type[BaseModel]:
    """An action of this type with its options, which may be left out where none is required."""
    options = KINDS[name].options
    required = any(field.is_required() for field in options.model_fields.values())
    fields: dict[str, Any] = {
        field: (Action.model_fields[field].rebuild_annotation(), "") for field in ("id", "next_id")
    }
    fields |= {"type": (Literal[name], ...), "option": (options, ... if required else options.model_construct())}
    made = create_model(f"{name.title().replace('_', '')}Action", __base__=_Written, **fields)
    made.__doc__ = (KINDS[name].function.__doc__ or "").strip() or None
    return made


__all__ = ["FLOW_ACTION", "action_schemas"]
