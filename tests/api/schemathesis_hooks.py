"""What schemathesis cannot know from the document: what there is in the world.

A body that the document allows may name a provider that does not exist, an access key that has expired before it is
made, a flow whose steps lead nowhere; the API refuses these with 400, and rightly. So the data that is to be accepted
gets ids of what exists, moments to come, and flows that hang together; then no 400 is left that is not a fault.
Loaded by `st` in its own process (`hooks` in its configuration); ids come in the environment variable THERE_IS.
"""

import json
import os
from typing import Any
from uuid import uuid4

import schemathesis
from hypothesis import strategies

NIL = "00000000-0000-0000-0000-000000000000"
THERE_IS: dict[str, str] = json.loads(os.environ["THERE_IS"])
KINDS = {
    "provider_id": "provider",
    "customer_id": "customer",
    "flow_id": "flow",
    "call_flow_id": "flow",
    "message_flow_id": "texts",
    "on_complete_flow_id": "flow",
    "overflow_flow_id": "flow",
}
# The operations that take nobody's id for none.
NEEDS_PROVIDER = ("/v1.0/routes", "/v1.0/providercalls")

# ---- the formats that the document names

schemathesis.openapi.format(
    "e164", strategies.from_regex(r"\A\+(1[2-9][0-9]{9}|4930[0-9]{8}|8210[0-9]{8})\Z", alphabet="+0123456789")
)
_hosts = strategies.sampled_from(["127.0.0.1", "sip.example.com", "a.b-c.example.", "[2001:db8::1]", "trunk"])
schemathesis.openapi.format(
    "host-port",
    strategies.tuples(_hosts, strategies.none() | strategies.integers(1, 65535)).map(
        lambda pair: pair[0] if pair[1] is None else f"{pair[0]}:{pair[1]}"
    ),
)
schemathesis.openapi.format(
    "ip-network",
    strategies.ip_addresses().map(str) | strategies.sampled_from(["192.0.2.0/24", "10.0.0.0/8", "2001:db8::/32"]),
)
schemathesis.openapi.format(
    "sound", strategies.sampled_from(["", "waltz.ogg", "tone:425/1000,0/4000*", "https://example.com/waltz.mp3"])
)
schemathesis.openapi.format("time-zone", strategies.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]))


# ---- the document, where there is little time

BRIEF = ("AnswerAction", "SleepAction", "GotoAction")
BRIEF_IN = ("FlowUpdate", "CallCreate", "GroupCallCreate", "ProviderCallCreate", "CallOptions")


@schemathesis.hook
def before_load_schema(_context: Any, document: dict[str, Any]) -> None:
    """Every action there is takes many seconds for each operation that takes actions: POST /flows has them all, the
    others these few."""
    if "BRIEF" not in os.environ:
        return
    schemas = document["components"]["schemas"]
    items = {"oneOf": [{"$ref": f"#/components/schemas/{name}"} for name in BRIEF]}
    for name in BRIEF_IN:
        for shape in schemas[name].get("anyOf", [schemas[name]]):
            shape["properties"]["actions"]["items"] = items


# ---- what there is


_USED_KEYS: set[str] = set()


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Only data that is to be accepted is touched: what is to be refused stays as wrong as it is."""
    key = str(case.headers.get("Idempotency-Key", "")) if case.headers else ""
    if key in _USED_KEYS:
        case.headers["Idempotency-Key"] = uuid4().hex  # one that was used before says nothing of this request
    elif key:
        _USED_KEYS.add(key)
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    path = case.operation.path
    if isinstance(case.body, dict):
        case.body = _of_this_world(case.body, path)
    if case.query and path.endswith("/statistics") and "since" in case.query:
        case.query["since"] = "1970-01-01T00:00:00Z"  # before `until`, or now
        if "until" in case.query:
            case.query["until"] = "2100-01-01T00:00:00Z"
    if case.query and "country" in case.query and "country_code" in case.query:
        case.query["country_code"] = case.query["country"]


def _of_this_world(body: dict[str, Any], path: str) -> dict[str, Any]:
    body, creates, needs_provider = dict(body), "{" not in path, path.startswith(NEEDS_PROVIDER)
    for name, kind in KINDS.items():
        needed = name == "customer_id" or (name == "provider_id" and needs_provider)
        if body.get(name) is not None and (needed or body[name] != NIL):
            body[name] = THERE_IS[kind]
    if path.startswith("/v1.0/numbers/") and body.get("provider_id"):
        body["provider_id"] = NIL  # most of the numbers there are virtual ones, which have none
    if body.get("agent_ids"):
        body["agent_ids"] = [THERE_IS["agent"]] if creates else []  # agents of the queue's own customer only
    if path.startswith("/v1.0/extensions"):
        # What comes by chance is easily guessed, and no number of its customer.
        body |= {"password": "a long password"} if body.get("password") else {}
        body |= {"caller_id": ""} if body.get("caller_id") else {}
        body |= {"caller_ids": []} if body.get("caller_ids") else {}
    if body.get("announce_language"):
        body["announce_language"] = "de-DE"  # one in which there are words for what is announced
    if body.get("tm_expire"):
        body["tm_expire"] = "2199-12-31T23:59:59Z"
    if body.get("actions"):
        body["actions"] = [_step(body["actions"][0])]
    if isinstance(source := body.get("source"), dict) and source.get("type") == "tel":
        # Of those that come by chance, no one is the caller's own: nothing behind the 403 would be seen.
        body["source"] = source | {"target": THERE_IS["source"]}
    return body


def _step(action: Any) -> Any:
    """One action that is a flow by itself: it jumps to nobody but itself, and the flows that it names exist."""
    if not isinstance(action, dict) or not isinstance(action.get("option", {}), dict):
        return action
    action = {name: value for name, value in action.items() if name != "next_id"} | {"id": "only"}
    option = dict(action.get("option", {}))
    for name in ("target_id", "false_target_id", "default_target_id"):
        if option.get(name):
            option[name] = "only"
    if isinstance(option.get("target_ids"), dict):
        option["target_ids"] = dict.fromkeys(option["target_ids"], "only")
    for name in ("flow_id", "queue_id", "conference_id"):
        if option.get(name):
            option[name] = THERE_IS[name.removesuffix("_id")]
    if option.get("actions"):
        option["actions"] = [_step({"type": "answer"})]
    return action | ({"option": option} if "option" in action else {})
