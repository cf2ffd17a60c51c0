"""A body for each operation that takes one, as Swagger UI and ReDoc show it: sent as it is, it is accepted.

What they would make up themselves holds ids of nothing and actions of no type. Where a body must name something of the
reader's own, the summary says what to put there.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

PROVIDER: Final = "4dbeabd6-f397-4375-95d2-a38411e07ed1"
"""Stands for the reader's own provider."""
CUSTOMER: Final = "6a93f71e-8b2d-4e5f-9a1c-2d3e4f5a6b7c"
"""Stands for a customer of the reader's."""
SOURCE: Final = "+15551234567"
"""Stands for an active normal number of the reader's."""


class Example(NamedTuple):
    """A body, and what it is for."""

    summary: str
    body: Mapping[str, Any]


_GREETING = [
    {"type": "answer"},
    {"type": "play", "option": {"sources": ["tone:480/400,0/200*2"]}},
    {"type": "hangup"},
]
_MENU = [
    {"id": "ask", "type": "play", "option": {"sources": ["tone:350+440/2000"], "digits_stop": True}},
    {"type": "digits_receive", "option": {"length": 1, "duration": 5000}},
    {"type": "branch", "option": {"target_ids": {"1": "desk"}}},
    {"type": "hangup"},
    {
        "id": "desk",
        "type": "connect",
        "option": {"destinations": [{"type": "tel", "target": "+442079460123"}], "ring_timeout": 20},
    },
]
_CALL = {
    "source": {"type": "tel", "target": SOURCE},
    "destinations": [{"type": "tel", "target": "+442079460123"}],
}
_OWN_SOURCE = "the source is an active normal number of yours"
_NAMED = Example("Another name", {"name": "another name"})

EXAMPLES: Mapping[str, tuple[Example, ...]] = {
    "log_in": (Example("Put your own user name and password", {"username": "ann", "password": "correct horse"}),),
    "create_accesskey": (
        Example("A key with all that you may", {"name": "reports"}),
        Example(
            "A key that may only look, until a day",
            {"permission": "customer_agent", "tm_expire": "2199-12-31T00:00:00Z"},
        ),
    ),
    "update_accesskey": (_NAMED,),
    "create_agent": (
        Example(
            "Somebody who may log in",
            {"username": "bob", "password": "a long password", "permission": "customer_manager"},
        ),
    ),
    "update_agent": (_NAMED,),
    "create_billing_account": (
        Example("Put the id of a customer that has no account", {"customer_id": CUSTOMER, "tier": "basic"}),
    ),
    "update_billing_account": (Example("Another tier", {"tier": "professional"}),),
    "top_up_billing_account": (
        Example("5 of the currency, in micro-units", {"amount": 5_000_000, "detail": "invoice 7"}),
    ),
    "create_calls": (
        Example(f"A call that plays something; {_OWN_SOURCE}", _CALL | {"actions": _GREETING}),
        Example(f"A call, hung up when it is answered; {_OWN_SOURCE}", _CALL),
    ),
    "create_conference": (Example("A room for ten", {"name": "all hands", "max_members": 10}),),
    "update_conference": (_NAMED,),
    "create_customer": (
        Example(
            "A customer that may call two countries",
            {"name": "Acme", "tier": "basic", "destination_countries": ["US", "DE"]},
        ),
    ),
    "update_customer": (Example("Another address", {"email": "admin@example.com"}),),
    "create_flow": (
        Example("A greeting", {"name": "greeting", "actions": _GREETING}),
        Example("A menu", {"name": "menu", "actions": _MENU}),
    ),
    "validate_flow": (
        Example("Good", {"actions": _MENU}),
        Example("Wrong in one place", {"actions": [{"type": "answr"}]}),
    ),
    "update_flow": (Example("Other actions", {"actions": _GREETING}),),
    "create_groupcall": (
        Example(
            f"Two at once, the first to answer has the call; {_OWN_SOURCE}",
            _CALL
            | {
                "destinations": [
                    {"type": "tel", "target": "+442079460123"},
                    {"type": "tel", "target": "+442079460124"},
                ],
                "ring_method": "ring_all",
            },
        ),
    ),
    "offer_numbers": (
        Example("A number with its price in micro-units", {"number": "+12125551234", "price": 1_000_000}),
    ),
    "create_message": (
        Example(
            f"A text; {_OWN_SOURCE}, or a virtual one",
            _CALL | {"text": "Your table is ready."},
        ),
    ),
    "create_number": (
        Example("A virtual number, which is free", {"number": "+899123456789", "name": "desk"}),
        Example("A number brought from elsewhere; super admins only", {"number": "+12125550123", "origin": "ported"}),
    ),
    "update_number": (Example("Another name, and no flow for calls", {"name": "spare", "call_flow_id": None}),),
    "create_providercall": (
        Example(
            "A call that plays something; put the id of your provider",
            _CALL | {"provider_id": PROVIDER, "anonymous": "auto", "actions": _GREETING},
        ),
        Example("A call, hung up when it is answered; put the id of your provider", _CALL | {"provider_id": PROVIDER}),
    ),
    "create_provider": (
        Example("A trunk", {"name": "carrier", "hostname": "sip.example.com"}),
        Example(
            "A trunk with a login, a prefix and a header",
            {
                "name": "carrier with a login",
                "hostname": "192.0.2.10:5080",
                "username": "4711",
                "password": "a long password",
                "tech_prefix": "9",
                "tech_headers": {"X-Account": "42"},
                "inbound_addresses": ["192.0.2.0/28"],
            },
        ),
    ),
    "update_provider": (Example("At most 30 calls at once", {"max_channels": 30}),),
    "create_queue": (
        Example("Whoever has waited longest for a call gets it", {"name": "sales", "routing_method": "longest_idle"}),
    ),
    "update_queue": (Example("Nobody waits longer than five minutes", {"wait_timeout": 300_000}),),
    "create_route": (
        Example(
            "All of Britain; put the id of your provider", {"target": "+44", "provider_id": PROVIDER, "rate": 60_000}
        ),
    ),
    "update_route": (Example("Tried last", {"priority": 10}),),
    "create_webhook": (Example("Ends of calls", {"uri": "https://example.com/trunkline", "events": ["call_hangup"]}),),
    "update_webhook": (Example("Nothing more is sent", {"enabled": False}),),
}
"""Operation -> its bodies, the one to be shown first."""


def shown(operation: str) -> dict[str, Any]:
    """The `examples` of a body in the OpenAPI document."""
    return {
        example.summary: {"summary": example.summary, "value": example.body} for example in EXAMPLES.get(operation, ())
    }


__all__ = ["CUSTOMER", "EXAMPLES", "PROVIDER", "SOURCE", "Example", "shown"]
