"""The OpenAPI document: what FastAPI makes of the operations, and what no single operation or model says.

That is: 400 where FastAPI would say 422; what the middleware takes and answers; and what the code refuses beyond the
types of fields (`api.openapi.schema`), so that whoever keeps to the document is never refused for the form of a
request.
"""

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.routing import BaseRoute

from api.http import idempotency
from api.openapi.action_schemas import action_schemas, option_shapes
from api.openapi.examples import add_examples
from api.openapi.introduction import summary, tags
from api.openapi.schema import COMPONENTS, JSON_VALUE, Fields, Schema


def install(app: FastAPI, described: Mapping[str, str]) -> None:
    """Let `app` serve the whole document. `described`: the groups of operations, and what they are."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            document["tags"] = tags(described)
            _restore_nulls(document, app.routes)
            for operations in document["paths"].values():
                for method, operation in operations.items():
                    _complete(method, operation)
            schemas = document["components"]["schemas"]
            _complete_schemas(schemas)
            _drop_unfit_defaults(document)
            for operations in document["paths"].values():
                for operation in operations.values():
                    add_examples(operation, schemas)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way of changing the document


def _restore_nulls(document: dict[str, Any], routes: Sequence[BaseRoute]) -> None:
    """FastAPI leaves out what is null; in examples it stands for a field that is emptied."""
    for context in iter_route_contexts(routes):
        route = context.original_route
        given = route.openapi_extra if isinstance(route, APIRoute) else None
        if given and "requestBody" in given and context.path:
            examples = given["requestBody"]["content"]["application/json"]["examples"]
            for method in context.methods or ():
                operation = document["paths"][context.path][method.lower()]
                operation["requestBody"]["content"]["application/json"]["examples"] = examples


def _complete(method: str, operation: dict[str, Any]) -> None:
    name = operation["operationId"]
    if operation["summary"] == name.replace("_", " ").title():  # FastAPI's own, where none was given
        operation["summary"] = summary(name)
    operation["responses"].pop("422", None)
    if "requestBody" in operation:
        operation["responses"] |= {"408": _refused(408), "413": _refused(413)}
    if method == "post" and "x-permission" in operation:
        operation["responses"].setdefault("409", _refused(409))
        idempotency.document(operation)


def _refused(code: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/ErrorEnvelope"}
    return {"description": HTTPStatus(code).phrase, "content": {"application/json": {"schema": schema}}}


def _complete_schemas(schemas: dict[str, Schema]) -> None:
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas |= action_schemas() | {"JsonValue": JSON_VALUE}
    for name, component in COMPONENTS.items():
        if component.base:
            schemas[name] = _alternatives(schemas[component.base] | {"title": name}, component.shapes)
        elif component.fields:
            _add(schemas[name]["properties"], component.fields)
    shapes = {
        name: component.shapes for name, component in COMPONENTS.items() if component.shapes and not component.base
    }
    for name, forms in (*shapes.items(), *option_shapes().items()):
        schemas[name] = _alternatives(schemas[name], forms)


def _add(properties: dict[str, Schema], fields: Fields) -> None:
    for name, keywords in fields.items():
        _value(properties[name]).update(deepcopy(keywords))


def _value(schema: Schema) -> Schema:
    """The part of a field's schema that is not null."""
    inner = [choice for choice in schema.get("anyOf", ()) if choice.get("type") != "null"]
    return inner[0] if len(inner) == 1 else schema


def _alternatives(schema: Schema, shapes: Sequence[Fields]) -> Schema:
    """A schema for whatever has one of these shapes. Each is written out whole: those who read it, people and
    programs, need not put it together of parts."""
    about = {key: schema[key] for key in ("title", "description") if key in schema}
    choices = [_shape(schema, fields) for fields in shapes]
    return about | (choices[0] if len(choices) == 1 else {"anyOf": choices})


def _shape(schema: Schema, fields: Fields) -> Schema:
    made: Schema = deepcopy(
        {key: schema[key] for key in ("type", "properties", "required", "additionalProperties") if key in schema}
    )
    for name, keywords in fields.items():
        keywords = dict(keywords)
        if keywords.pop("required", False):
            made["required"] = [*made.get("required", ()), name]
        if not keywords.pop("nullable", True):
            made["properties"][name] = _value(made["properties"][name])
        made["properties"][name].pop("enum", None)
        _add(made["properties"], {name: keywords})
    return made


def _drop_unfit_defaults(value: Any) -> None:
    """A default that a shape does not allow is not one of it."""
    if isinstance(value, list):
        for item in value:
            _drop_unfit_defaults(item)
    elif isinstance(value, dict):
        if "default" in value and value.keys() & {"type", "anyOf"} and not _allows(value, value["default"]):
            del value["default"]
        for item in value.values():
            _drop_unfit_defaults(item)


def _allows(schema: Schema, value: Any) -> bool:
    """Whether these keywords, which are all that defaults meet here, allow a value."""
    if "anyOf" in schema:
        return any(_allows(choice, value) for choice in schema["anyOf"])
    if "$ref" in schema:
        return isinstance(value, dict)
    kinds = schema["type"] if isinstance(schema.get("type"), list) else [schema.get("type")]
    if not any(type(value) in _TYPES[kind] for kind in kinds if kind):
        return False
    if ("const" in schema and value != schema["const"]) or ("enum" in schema and value not in schema["enum"]):
        return False
    if isinstance(value, str):
        long_enough = len(value) >= int(schema.get("minLength", 0))
        return long_enough and re.search(schema.get("pattern", ""), value) is not None
    if isinstance(value, list):
        return len(value) >= int(schema.get("minItems", 0))
    if isinstance(value, int | float) and not isinstance(value, bool):
        least, above = schema.get("minimum", value), schema.get("exclusiveMinimum", value - 1)
        return bool(value >= least and value > above)
    return True


_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}

__all__ = ["install"]
