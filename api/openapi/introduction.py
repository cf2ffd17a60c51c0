"""What the OpenAPI document says of itself: an introduction, what its groups are, and operations in words."""

from collections.abc import Mapping
from typing import Final

INTRODUCTION: Final = """\
Numbers, flows, providers, routes, calls and text messages of a SIP signalling engine. Everything is under `/v1.0`,
JSON in and out.

**Who asks.** `POST /v1.0/auth/login` gives a token for seven days; programs use access keys (`POST
/v1.0/accesskeys`). Either goes into `Authorization: Bearer …`, or `?token=` and `?accesskey=` where a header cannot
be set. There are four permissions, each including those before it: `customer_agent`, `customer_manager`,
`customer_admin`, `project_super_admin`; `x-permission` of an operation says which it takes. What belongs to another
customer does not exist (404).

**Lists** are newest first: `{"result": […], "next_page_token": "…"}`. `next_page_token` goes into `page_token`; it is
empty on the last page.

**Changes.** PUT changes the fields that are given and keeps the others; null, or the nil UUID, empties one. What GET
shows may be sent back whole: `readOnly` fields are passed over where they are as they are now, and refused by name
where they are not. A 200 or 201 is answered when the next call goes by it. DELETE answers with what there was.

**Sending twice.** Any POST takes an `Idempotency-Key`: the same request with the same key is carried out once in 24
hours.

**Errors** are `{"error": {"status", "reason", "message", "request_id", "details"?}}`. Programs branch on `reason`,
which never changes its name; `message` is for people; `details` names each field. `request_id` (also the header
`X-Request-Id`, which a client may choose) is in the engine's log. A 429 or 503 says in `Retry-After` when to come
again.

**Money** is in micro-units (millionths) of the platform's currency, **times** are UTC with microseconds.
"""

_FIRST: Final = ("login", "accesskeys", "agents", "bans", "numbers")
"""The groups that the document begins with; the others follow by name."""
_VERBS: Final = {"list": "List the", "get": "Show", "create": "Create", "update": "Change", "delete": "Delete"}
_NOUNS: Final = {"accesskey": "access key", "accesskeys": "access keys"}


def tags(described: Mapping[str, str]) -> list[dict[str, str]]:
    """The groups of operations with their descriptions, in their order."""
    names = [*_FIRST, *sorted(described.keys() - set(_FIRST))]
    return [{"name": name, "description": described[name]} for name in names]


def summary(operation: str) -> str:
    """An operation that is named like `list_flows`, in words; others are given their `summary`. Raises KeyError for a
    verb that is not known here."""
    verb, _, noun = operation.partition("_")
    noun = _NOUNS.get(noun, noun.replace("_", " "))
    article = "" if verb == "list" else "an " if noun[0] in "aeio" else "a "
    return f"{_VERBS[verb]} {article}{noun}"


__all__ = ["INTRODUCTION", "summary", "tags"]
