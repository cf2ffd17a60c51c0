"""Extensions and where their phones are, read from the store, whether an engine runs on it or not."""

from datetime import datetime
from typing import Any

from api.resources.phones.contacts import source_of
from routing.identifiers import NIL, PLATFORM
from store.database.timestamps import api_time
from store.resources import bindings, extensions
from store.store import Store


async def extensions_with_contacts(store: Store) -> list[dict[str, Any]]:
    """All of them by name, as JSON has them: `name`, `customer` (its name), `status`, `registered` and `contacts`.
    Raises StoreError, or SQLAlchemy's DBAPIError."""
    now = store.clock()
    async with store.read() as connection:
        rows = await extensions.listed(connection)
        found = await bindings.of_extensions(connection, [row["name"] for row in rows], now)
    return [
        {
            "name": row["name"],
            "customer": "platform" if row["customer_id"] in (NIL, PLATFORM) else row["customer"] or "",
            "status": row["status"],
            "registered": row["name"] in found,
            "contacts": [_contact(kept, now) for kept in found.get(row["name"], ())],
        }
        for row in rows
    ]


def _contact(row: dict[str, Any], now: datetime) -> dict[str, Any]:
    return {
        "contact": row["contact"],
        "source": source_of(row["source"], row["host"], row["port"]),
        "transport": row["listener"].partition("/")[0],
        "user_agent": row["user_agent"],
        "expires_at": api_time(row["tm_expire"]),
        "expires_in": round((row["tm_expire"] - now).total_seconds()),
        "node": row["node"],
    }
