"""What the models of the engine, of flows and of routing refuse beyond the types of their fields, as JSON Schema.

The rules themselves are code (of `routing.models`, `flows.calls.address`), which gives better sentences than a pattern
does; here the OpenAPI document says the same. What the options of actions refuse is said beside their models. `RULES`
has keywords for single fields, `ALTERNATIVES` the shapes among which a body has one, because what a field may hold
depends on another.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from api.openapi import patterns
from flows.calls.address import DIALLED
from flows.language.options import FLOW_ACTION
from flows.language.values import ONE_LINE, or_variable
from routing.identifiers import NIL

Schema = dict[str, Any]
Fields = Mapping[str, Mapping[str, Any]]

_LINE = {"pattern": ONE_LINE}
_TEXT = {"pattern": patterns.ANY_TEXT}
_SECONDS = {"exclusiveMinimum": 0, "maximum": 3600}
_CODES = {
    "items": {
        "anyOf": [
            {"type": "integer", "minimum": 300, "maximum": 699},
            {"type": "string", "pattern": patterns.STATUS_OR_CLASS},
        ]
    }
}
_TIMERS: Fields = {"no_reply_timeout": _SECONDS, "no_progress_timeout": _SECONDS, "ring_timeout": _SECONDS}

# Those that the dialog and the transaction live by, with their short forms (RFC 3261 §7.3.3).
DIALOG_HEADERS = (
    *("via", "v", "from", "f", "to", "t", "call-id", "i", "cseq", "contact", "m", "max-forwards", "route"),
    *("record-route", "content-length", "l", "content-type", "c", "require"),
)
_PROVIDER: Fields = {
    "name": _LINE,
    "detail": _TEXT,
    "hostname": {"pattern": patterns.HOST_PORT, "format": "host-port", "examples": ["sip.example.com:5060"]},
    "from_domain": {"pattern": patterns.HOST_PORT_OR_NONE, "format": "host-port"},
    "inbound_addresses": {
        "items": {"type": "string", "format": "ip-network"},
        "examples": [["192.0.2.1", "2001:db8::/32"]],
    },
    "tech_prefix": _LINE,
    "tech_postfix": {"pattern": patterns.POSTFIX},
    "tech_headers": {
        "propertyNames": {"pattern": patterns.HEADER_NAME, "maxLength": 128} | patterns.but_for(DIALOG_HEADERS),
        "additionalProperties": {"type": "string", "pattern": patterns.HEADER_VALUE, "maxLength": 4096},
    },
    "username": _LINE,
    "password": _LINE,
    "realm": _LINE,
    "from_user": _LINE,
    "codecs": {"pattern": patterns.CODEC_LIST, "examples": ["PCMA,PCMU"]},
    "failover_codes": _CODES,
    "stop_codes": _CODES,
    **_TIMERS,
}
_ROUTE: Fields = {
    "name": _LINE,
    "detail": _TEXT,
    "target": {"pattern": patterns.ROUTE_TARGET, "examples": ["all", "+44"]},
    "failover_codes": _CODES,
    "stop_codes": _CODES,
    **_TIMERS,
}
_FLOW: Fields = {"actions": {"items": FLOW_ACTION}, "detail": {"maxLength": 4096}}
_ORDER: Fields = {"actions": {"items": FLOW_ACTION}}

RULES: Mapping[str, Fields] = {
    "ProviderCreate": _PROVIDER,
    "ProviderUpdate": _PROVIDER,
    "RouteCreate": _ROUTE,
    "RouteUpdate": _ROUTE,
    "FlowCreate": _FLOW,
    "FlowUpdate": _FLOW,
    "CallCreate": _ORDER,
    "GroupCallCreate": _ORDER,
    "ProviderCallCreate": _ORDER,
    "Address": {"target_name": _LINE},
}
"""Component -> field -> keywords that are added to it. A field that may be null keeps that."""


_NIL = str(NIL)


def _party(tel: str, sip: str, other: str) -> Sequence[Fields]:
    return (
        {"type": {"const": "tel"}, "target": {"pattern": tel, "examples": ["+15551234567"]}},
        {"type": {"const": "sip"}, "target": {"pattern": sip, "examples": ["sip:alice@example.com"]}},
        {"type": {"enum": ["extension", "agent"]}, "target": {"pattern": other, "examples": ["alice"]}},
    )


_FLOW_OR_ACTIONS: Sequence[Fields] = ({"actions": {"maxItems": 0}}, {"flow_id": {"const": _NIL}})
_CALLED = _party(patterns.CALLED_NUMBER, patterns.SIP_URI, patterns.NAME_OR_ID)

ALTERNATIVES: Mapping[str, Sequence[Fields]] = {
    "Party": _party(DIALLED, patterns.SIP_URI, patterns.NAME_OR_ID),
    "Address": _party(or_variable(DIALLED), or_variable(patterns.SIP_TEXT), ONE_LINE),
    "NumberCreate": (
        {"number": {"pattern": patterns.NORMAL_NUMBER, "format": "e164", "examples": ["+15551234567"]}},
        {
            "number": {"pattern": patterns.VIRTUAL_NUMBER, "examples": ["+899100000001"]},
            "origin": {"enum": ["provisioned"]},
            "provider_id": {"const": _NIL},
        },
    ),
    "CallCreate": _FLOW_OR_ACTIONS,
    "GroupCallCreate": _FLOW_OR_ACTIONS,
    "ProviderCallCreate": _FLOW_OR_ACTIONS,
}
"""Component -> what makes each shape that it may have: keywords of fields, and `required`, `nullable`."""

PARTS: Mapping[str, Sequence[Fields]] = {
    "Destination": _CALLED,
    "NumberDestination": _CALLED[:1],
    "MessageDestination": _CALLED[:2],
}
"""New component -> shapes of a Party that it may have."""


def _destinations(part: str) -> Fields:
    return {"destinations": {"items": {"$ref": f"#/components/schemas/{part}"}}}


ORDERED: Mapping[str, Fields] = {
    "CallCreate": _destinations("Destination"),
    "GroupCallCreate": _destinations("Destination"),
    "ProviderCallCreate": _destinations("NumberDestination"),
    "MessageCreate": _destinations("MessageDestination"),
}
"""Component -> which parts its destinations are."""

_PLAIN = {"type": "string", "pattern": patterns.ANY_TEXT}
_ANY = {"$ref": "#/components/schemas/JsonValue"}
JSON_VALUE: Schema = {
    "title": "JsonValue",
    "description": "Any JSON, with whole numbers of 64 bits.",
    "anyOf": [
        {"type": ["null", "boolean"]},
        {"type": "number", "minimum": -(2**63), "maximum": 2**63 - 1},
        _PLAIN,
        {"type": "array", "items": _ANY},
        {"type": "object", "propertyNames": {"pattern": patterns.ANY_TEXT}, "additionalProperties": _ANY},
    ],
}

__all__ = ["ALTERNATIVES", "JSON_VALUE", "ORDERED", "PARTS", "RULES", "Fields", "Schema"]
