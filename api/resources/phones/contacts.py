"""Contacts of extensions: the devices that are registered, and how one is sent away."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from api.http.services import Services
from api.models.fields import Timestamp
from api.openapi.schema import documented
from engine.sip.binding import Binding
from engine.transport.addresses import bracketed


@documented(
    example={
        "contact": "<sip:alice@192.168.1.20:5060>",
        "source": "198.51.100.7:40312",
        "transport": "udp",
        "user_agent": "Yealink SIP-T46U 108.86.0.20",
        "node": "sip1",
        "rtt_ms": 24,
    }
)
class Contact(BaseModel):
    """A device that is registered: what it called itself (`contact`), where its REGISTER came from (`source`), and at
    which node. `rtt_ms` is how long its last answer to a keep-alive took, null where none was asked for."""

    id: UUID
    contact: str
    source: str
    transport: str
    user_agent: str
    expires_at: Timestamp
    node: str
    rtt_ms: int | None


def contacts_of(services: Services, name: str) -> list[dict[str, Any]]:
    """Those of the extension with this name, the oldest first."""
    now = services.clock()
    return [_shown(services, one) for one in services.location.bindings(name) if one.expires_at > now]


def with_contacts(services: Services, row: Mapping[str, Any]) -> dict[str, Any]:
    """An extension with where its phones are."""
    # One that has just been suspended is about to lose them.
    contacts = contacts_of(services, row["name"]) if row["status"] == "active" else []
    return {**row, "registered": bool(contacts), "contacts": contacts}


def end_contacts(services: Services, name: str, contact_id: UUID | None = None) -> bool:
    """End this one, or all; whether there was any. The device knows nothing of it until it registers again."""
    wanted = None if contact_id is None else str(contact_id)
    ended = [one for one in services.location.bindings(name) if wanted in (None, one.id)]
    for binding in ended:
        services.location.remove(name, binding, "unregistered", "by the API")
    return bool(ended)


def _shown(services: Services, binding: Binding) -> dict[str, Any]:
    flow = binding.flow
    # A device behind a proxy has the address that the proxy noted, and the port of nobody.
    direct = flow is not None and flow.host == binding.source
    return {
        "id": UUID(binding.id),
        "contact": binding.contact,
        "source": f"{bracketed(binding.source)}:{flow.port}" if flow is not None and direct else binding.source,
        "transport": binding.transport,
        "user_agent": binding.user_agent,
        "expires_at": services.moment(binding.expires_at),
        "node": services.node_name,
        "rtt_ms": None if binding.rtt is None else round(binding.rtt * 1000),
    }


__all__ = ["Contact", "contacts_of", "end_contacts", "with_contacts"]
