"""The actions of flows as JSON Schema: one for each type, made of the models that read their options."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, create_model
from pydantic.json_schema import models_json_schema

from flows.model import Action
from flows.registry import KINDS, LATER

_REF = "#/components/schemas/{model}"
FLOW_ACTION = {"$ref": _REF.format(model="FlowAction")}
ORDER_ACTION = {"$ref": _REF.format(model="OrderAction")}


class _Written(BaseModel):
    model_config = ConfigDict(extra="forbid")


def action_schemas() -> dict[str, dict[str, Any]]:
    """Components of the document: `FlowAction` for flows, `OrderAction` for calls that are ordered with actions, and
    what they are made of."""
    models = [_model(name) for name in KINDS]
    _, found = models_json_schema([(model, "validation") for model in models], ref_template=_REF)
    schemas: dict[str, dict[str, Any]] = found["$defs"]
    later = {
        "type": "object",
        "title": "LaterAction",
        "description": "An action that this version does not know yet and passes over.",
        "properties": _common() | {"type": {"type": "string", "enum": sorted(LATER)}, "option": {"type": "object"}},
        "required": ["type"],
    }
    one_of = [{"$ref": _REF.format(model=model.__name__)} for model in models]
    passed_over: list[dict[str, str]] = []
    if LATER:
        schemas["LaterAction"] = later
        passed_over.append({"$ref": _REF.format(model="LaterAction")})
    schemas |= {
        "FlowAction": {
            "title": "FlowAction",
            "description": "One step. Every step must be reached, and every jump lead to the id of a step.",
            "oneOf": one_of,
        },
        "OrderAction": {
            "title": "OrderAction",
            "description": "One step of an order for calls.",
            "oneOf": [*one_of, *passed_over],
        },
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


def _common() -> dict[str, Any]:
    properties: dict[str, Any] = Action.model_json_schema()["properties"]
    return {name: properties[name] for name in ("id", "next_id")}


__all__ = ["FLOW_ACTION", "ORDER_ACTION", "action_schemas"]
