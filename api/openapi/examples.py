"""Examples of what operations answer, as Swagger UI and ReDoc show them: made of the answer's schema.

Values stand here by the names of fields, as names mean the same everywhere; where they do not, `documented` beside the
model has them. Bodies have their examples beside the operation that takes them.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final

from api.openapi.schema import COMPONENTS, Schema
from routing.identifiers import NIL

PROVIDER: Final = "4dbeabd6-f397-4375-95d2-a38411e07ed1"
"""Stands for the reader's own provider."""
CUSTOMER: Final = "6a93f71e-8b2d-4e5f-9a1c-2d3e4f5a6b7c"
"""Stands for a customer of the reader's."""
SOURCE: Final = "+15551234567"
"""Stands for an active normal number of the reader's."""

_MOMENT: Final = "2026-04-21T23:15:00.000000Z"
_LATER: Final = "2026-04-21T23:16:30.000000Z"
_ID: Final = "f0d1a2b3-4c5d-4e6f-8a9b-0c1d2e3f4a5b"
_FLOW: Final = "b7c8d9e0-1f2a-4b3c-9d4e-5f6a7b8c9d0e"
_CALL: Final = "9a8b7c6d-5e4f-4a3b-8c2d-1e0f9a8b7c6d"
_AGENT: Final = "1c2d3e4f-5a6b-4c7d-8e9f-0a1b2c3d4e5f"
_FAR: Final = {"type": "tel", "target": "+442079460123", "target_name": ""}
_OURS: Final = {"type": "tel", "target": SOURCE, "target_name": "Acme"}

_VALUES: Final[Mapping[str, Any]] = {
    "id": _ID,
    "customer_id": CUSTOMER,
    "provider_id": PROVIDER,
    "provider_name": "carrier",
    "flow_id": _FLOW,
    "call_flow_id": _FLOW,
    "message_flow_id": str(NIL),
    "on_complete_flow_id": str(NIL),
    "overflow_flow_id": str(NIL),
    "number_id": "7b6a5c4d-3e2f-4a1b-9c8d-7e6f5a4b3c2d",
    "groupcall_id": str(NIL),
    "answer_call_id": _CALL,
    "call_id": _CALL,
    "call_ids": [_CALL],
    "agent_id": _AGENT,
    "agent_ids": [_AGENT],
    "tag_ids": [],
    "billing_account_id": "3e2d1c0b-9a8f-4e7d-8c6b-5a4f3e2d1c0b",
    "number": SOURCE,
    "name": "desk",
    "detail": "",
    "metadata": {"ticket": 7},
    "media": {},
    "notes": [],
    "details": None,
    "source": _OURS,
    "destination": _FAR,
    "destinations": [_FAR],
    "target": "+44",
    "username": "ann",
    "email": "billing@example.com",
    "country": "US",
    "region": "New York",
    "city": "New York",
    "kind": "local",
    "type": "normal",
    "origin": "provisioned",
    "permission": "customer_manager",
    "declared_in": "",
    "music": "waltz.ogg",
    "uri": "https://example.com/trunkline",
    "hostname": "sip.example.com:5060",
    "request_uri": "sip:+442079460123@sip.example.com",
    "outcome": "answered",
    "sip_status": 200,
    "sip_reason": "OK",
    "reason": "OK",
    "skipped": "",
    "hangup_by": "remote",
    "hangup_reason": "normal",
    "tm_create": _MOMENT,
    "tm_update": _MOMENT,
    "tm_delete": None,
    "tm_purchase": _MOMENT,
    "tm_expire": None,
    "tm_ringing": _MOMENT,
    "tm_progressing": _MOMENT,
    "tm_hangup": _LATER,
    "tm_next": None,
    "next_page_token": "",
}
_TEXTS: Final[Mapping[str, str]] = {
    "text/plain": "trunkline_calls 3\n",
    "text/event-stream": 'id: 7\nevent: number_created\ndata: {"id":7,"type":"number_created","data":{}}\n\n',
    "audio/wav": "RIFF",
}


def add_examples(operation: dict[str, Any], components: Mapping[str, Schema]) -> None:
    """Give each success of an operation an example."""
    for code, answer in operation["responses"].items():
        if not code.startswith("2"):
            continue
        for kind, content in answer.get("content", {}).items():
            if "example" in content or "examples" in content:
                continue
            if kind != "application/json":
                content["example"] = _TEXTS[kind.partition(";")[0]]
                continue
            made = example(content["schema"], components)
            if operation["operationId"].startswith("delete_") and "tm_delete" in made:
                made |= {"tm_update": _LATER, "tm_delete": _LATER}
            content["example"] = made


def example(schema: Schema, components: Mapping[str, Schema], field: str = "", owner: str = "") -> Any:
    """What such a value could be. `field` is its name in the component `owner`."""
    component = COMPONENTS.get(owner)
    if component is not None and field in component.example:
        return deepcopy(component.example[field])
    if "$ref" in schema and field not in _VALUES:
        name = schema["$ref"].rpartition("/")[2]
        return example(components[name], components, owner=name)
    if field in _VALUES and _takes(schema, _VALUES[field]):
        return deepcopy(_VALUES[field])
    for keyword in ("const", "default"):
        if keyword in schema:
            return schema[keyword]
    for keyword in ("examples", "enum"):
        if schema.get(keyword):
            return schema[keyword][0]
    if "$ref" in schema:
        return example({"$ref": schema["$ref"]}, components)
    if "anyOf" in schema:
        return example(schema["anyOf"][0], components, owner=owner)
    kind = schema.get("type")
    if kind == "object":
        return {name: example(inner, components, name, owner) for name, inner in schema.get("properties", {}).items()}
    if kind == "array":
        return [example(schema["items"], components, owner=owner)]
    return _PLAIN.get(schema.get("format", "")) or _PLAIN.get(str(kind))


_PLAIN: Final[Mapping[str, Any]] = {
    "uuid": _ID,
    "date-time": _MOMENT,
    "string": "",
    "integer": 0,
    "number": 0.0,
    "boolean": False,
}


def _takes(schema: Schema, value: Any) -> bool:
    """Whether the type of a field is that of a value."""
    kinds = {choice.get("type") for choice in schema.get("anyOf", (schema,))}
    if value is None:
        return "null" in kinds
    if isinstance(value, Mapping):
        return bool(kinds & {"object"}) or "$ref" in str(schema)
    wanted = {bool: "boolean", int: "integer", str: "string", list: "array"}[type(value)]
    return wanted in kinds and ("enum" not in schema or value in schema["enum"])


__all__ = ["CUSTOMER", "PROVIDER", "SOURCE", "add_examples", "example"]
