"""Contacts of extensions: the devices that are registered, and how one is sent away."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from api.http.services import Services
from api.models.fields import Timestamp
from api.openapi.schema import documented
from engine.sip.binding import Binding
from engine.transport.addresses import bracketed
from store.resources import bindings


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
    which node. `rtt_ms` is how long its last answer to a keep-alive took, null where none was asked for, or
    another node asks."""

    id: UUID
    contact: str
    source: str
    transport: str
    user_agent: str
    expires_at: Timestamp
    node: str
    rtt_ms: int | None


async def with_contacts(services: Services, some: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Extensions with where their phones are, the oldest first: at this node as it is, at others as of a second ago."""
    async with services.store.read() as connection:
        elsewhere = await bindings.of_extensions(
            connection, [row["name"] for row in some], services.store.clock(), other_than=services.node_name
        )
    shown = []
    for row in some:
        contacts: list[dict[str, Any]] = []
        if row["status"] == "active":  # one that has just been suspended is about to lose them
            contacts = _here(services, row["name"]) + [_elsewhere(kept) for kept in elsewhere.get(row["name"], ())]
        shown.append({**row, "registered": bool(contacts), "contacts": contacts})
    return shown


async def end_contacts(services: Services, name: str, contact_id: UUID | None = None) -> bool:
    """End this one, or all; whether there was any. The device knows nothing of it until it registers again."""
    wanted = None if contact_id is None else str(contact_id)
    ended = [one for one in services.location.bindings(name) if wanted in (None, one.id)]
    for binding in ended:
        services.location.remove(name, binding, "unregistered", "by the API")
    async with services.store.write() as transaction:
        found = await bindings.of_extensions(transaction, [name], services.store.clock(), other_than=services.node_name)
        others = [row for row in found.get(name, ()) if wanted in (None, row["id"])]
        await bindings.end(transaction, others)
    return bool(ended or others)


def _here(services: Services, name: str) -> list[dict[str, Any]]:
    now = services.clock()
    return [_shown(services, one) for one in services.location.bindings(name) if one.expires_at > now]


def _shown(services: Services, binding: Binding) -> dict[str, Any]:
    flow = binding.flow
    host, port = (flow.host, flow.port) if flow is not None else ("", 0)
    return {
        "id": UUID(binding.id),
        "contact": binding.contact,
        "source": source_of(binding.source, host, port),
        "transport": binding.transport,
        "user_agent": binding.user_agent,
        "expires_at": services.moment(binding.expires_at),
        "node": services.node_name,
        "rtt_ms": None if binding.rtt is None else round(binding.rtt * 1000),
    }


def _elsewhere(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": UUID(row["id"]),
        "contact": row["contact"],
        "source": source_of(row["source"], row["host"], row["port"]),
        "transport": row["listener"].partition("/")[0],
        "user_agent": row["user_agent"],
        "expires_at": row["tm_expire"],
        "node": row["node"],
        "rtt_ms": None,  # which only its own node knows
    }


def source_of(source: str, host: str, port: int) -> str:
    """Where a REGISTER came from, as text. A device behind a proxy has the address that the proxy noted, and no
    port."""
    return f"{bracketed(source)}:{port}" if host == source else source


__all__ = ["Contact", "end_contacts", "source_of", "with_contacts"]
