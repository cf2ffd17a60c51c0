"""What each node has found of each provider's health: for its own next start."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from routing.hunt.health import HealthStatus
from store.database.bulk import BulkWrite
from store.database.tables import provider_health
from store.store import Store

KEPT: Final = timedelta(days=30)
"""Findings that nobody has renewed for so long are of nodes, or providers, that are gone."""
_FINDINGS = BulkWrite(provider_health, upsert=True)


@dataclass(slots=True, frozen=True, kw_only=True)
class Finding:
    """Of one provider. `destination`: where it was asked; the rest is that of `routing.hunt.health.TrunkState`."""

    provider_id: UUID
    destination: str
    status: HealthStatus
    answered: bool
    missed: int
    silent: int
    checked_at: datetime | None


async def load(store: Store, node: str) -> list[Finding]:
    """What this node found last, and of providers of which it has found nothing what another one has: a node that runs
    on another host, or in a new container, has another name."""
    table = provider_health
    async with store.write() as transaction:
        await transaction.execute(sa.delete(table).where(table.c.tm_update < transaction.now - KEPT))
        rows = (await transaction.execute(sa.select(table).order_by(table.c.tm_update))).all()
    found = {row.provider_id: row for row in rows} | {row.provider_id: row for row in rows if row.node == node}
    return [
        Finding(
            provider_id=row.provider_id,
            destination=row.destination,
            status=row.status,
            answered=row.answered,
            missed=row.missed,
            silent=row.silent,
            checked_at=row.tm_check,
        )
        for row in found.values()
    ]


async def save(store: Store, node: str, findings: list[Finding]) -> None:
    """Keep these."""
    async with store.write() as transaction:
        rows = [
            {
                "node": node,
                "provider_id": found.provider_id,
                "destination": found.destination,
                "status": found.status,
                "answered": found.answered,
                "missed": found.missed,
                "silent": found.silent,
                "tm_check": found.checked_at,
                "tm_update": transaction.now,
            }
            for found in findings
        ]
        await _FINDINGS.write(transaction.connection, rows)
