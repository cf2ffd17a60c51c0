"""The types of events: what customers are told of by webhooks and streams. An emitter that names another fails mypy."""

from collections.abc import Mapping
from typing import Final, Literal, get_args

EventType = Literal[
    "number_created",
    "number_updated",
    "number_deleted",
    "number_suspended",
    "number_reactivated",
    "call_created",
    "call_ringing",
    "call_progressing",
    "call_hangup",
    "message_received",
    "message_sent",
    "recording_started",
    "recording_finished",
    "provider_healthy",
    "provider_unhealthy",
    "extension_registered",
    "extension_unregistered",
    "extension_expired",
]
EVENT_TYPES: Final[tuple[EventType, ...]] = get_args(EventType)

PAYLOADS: Final[Mapping[str, str]] = {
    "number": "the number, as GET /numbers/{number_id} shows it",
    "call": "the call, as GET /calls/{call_id} shows it",
    "message": "the message, as GET /messages/{message_id} shows it; of one that was sent, when its outcome is known",
    "recording": "the recording, as GET /recordings/{recording_id} shows it",
    "extension": "`id` and `name` of the extension, the `contact` as GET /extensions/{extension_id} shows it, and the "
    "`cause`: why it has expired",
    "provider": "`id`, `name` and `hostname` of the provider, and the `reason`; for the platform alone",
}
"""First word of a type -> what `data` of such an event is."""

__all__ = ["EVENT_TYPES", "PAYLOADS", "EventType"]
