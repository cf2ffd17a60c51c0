"""What the OpenAPI document says of itself: an introduction, what its groups are, and operations in words."""

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

TAGS: Final = (
    ("login", "A token for a user name and a password."),
    ("accesskeys", "What programs send in place of a login."),
    ("agents", "People and programs that log in, and whom queues ring."),
    ("bans", "Addresses that are shut out after too many wrong passwords, and how to let them in again."),
    ("numbers", "Telephone numbers: searched, provisioned, given flows, suspended, released."),
    ("billing accounts", "Credit, tiers and every change of a balance."),
    ("calls", "Calls: made, followed, hung up; what was tried for each, and its SIP messages."),
    ("conferences", "Rooms where callers talk together."),
    ("customers", "Whom numbers, flows, calls and money belong to."),
    ("events", "What happens, as it happens."),
    ("flows", "What happens to a call or a message."),
    ("groupcalls", "Several destinations for one purpose: who answers first has it."),
    ("health", "For machines that look after this one."),
    ("inventory", "Numbers on offer; super admins only."),
    ("messages", "Text messages, and who wants none."),
    ("providercalls", "Calls through one provider, whatever the routes say; super admins only."),
    ("providers", "Trunks that calls leave through and come in by; super admins only."),
    ("queues", "Where callers wait until an agent is free."),
    ("recordings", "What was recorded, and its sound."),
    ("routes", "Which provider serves which numbers, in which order, at which rate; super admins only."),
    ("webhooks", "Where events are sent, and how that went."),
)

_SUMMARIES: Final = {
    "healthz": "Say that the process lives",
    "readyz": "Say whether calls should be sent here",
    "metrics": "Show metrics for Prometheus",
    "log_in": "Log in",
    "list_available_numbers": "Search for numbers to be had",
    "list_number_availables": "Search for numbers to be had (older spelling)",
    "list_bans": "List the addresses that are banned",
    "delete_ban": "Let a banned address in again",
    "top_up_billing_account": "Add credit to a billing account",
    "list_ledger": "List every change of an account's balance",
    "create_calls": "Make calls",
    "hang_up_call": "Hang up a call",
    "list_attempts": "List what was tried for a call",
    "get_trace": "Show the SIP messages of a call",
    "list_conference_members": "List who is in a conference",
    "stream_events": "Follow events as they happen",
    "validate_flow": "Check a flow without saving it",
    "create_groupcall": "Call several destinations for one purpose",
    "hang_up_groupcall": "Hang up all calls of a groupcall",
    "list_inventory": "List the numbers on offer",
    "offer_numbers": "Put numbers on offer",
    "withdraw_number": "Take a number off offer",
    "create_message": "Send a text message",
    "create_number": "Provision a number",
    "delete_number": "Release a number",
    "suspend_number": "Let a number rest",
    "reactivate_number": "Let a number take calls again",
    "list_opt_outs": "List who wants no messages",
    "delete_opt_out": "Let somebody get messages again",
    "create_providercall": "Call through one provider",
    "list_queue_callers": "List who waits in a queue",
    "get_recording_audio": "Get the sound of a recording",
    "explain_destination": "Explain where a destination leads",
    "get_statistics": "Show how a provider's calls went",
    "list_deliveries": "List what was sent to a webhook",
    "delete_accesskey": "Revoke an access key",
}
_VERBS: Final = {"list": "List the", "get": "Show", "create": "Create", "update": "Change", "delete": "Delete"}
_NOUNS: Final = {"accesskey": "access key", "accesskeys": "access keys"}


def summary(operation: str) -> str:
    """An operation in words. Raises KeyError for a verb that is not known here."""
    if operation in _SUMMARIES:
        return _SUMMARIES[operation]
    verb, _, noun = operation.partition("_")
    noun = _NOUNS.get(noun, noun.replace("_", " "))
    article = "" if verb == "list" else "an " if noun[0] in "aeio" else "a "
    return f"{_VERBS[verb]} {article}{noun}"


__all__ = ["INTRODUCTION", "TAGS", "summary"]
