"""The events `provider_healthy` and `provider_unhealthy`, written when the prober finds one."""

import asyncio

from sqlalchemy.exc import SQLAlchemyError

from engine.log import Log
from routing.identifiers import NIL
from routing.models.provider import Provider
from store.database.engines import reason
from store.database.errors import StoreError
from store.store import Store


class ProviderEvents:
    """Writes each event in a task of its own; `close` waits for them."""

    def __init__(self, store: Store, log: Log) -> None:
        self._store = store
        self._log = log
        self._writing: set[asyncio.Task[None]] = set()

    def changed(self, provider: Provider, healthy: bool, why: str) -> None:
        """A provider has become healthy or unhealthy."""
        task = asyncio.get_running_loop().create_task(self._write(provider, healthy, why), name="provider event")
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def close(self) -> None:
        """Wait for what is being written."""
        if self._writing:
            await asyncio.wait(self._writing)

    async def _write(self, provider: Provider, healthy: bool, why: str) -> None:
        now = self._store.clock()
        data = {"id": str(provider.id), "name": provider.name, "hostname": provider.hostname, "reason": why}
        try:
            async with self._store.write() as transaction:
                transaction.event("provider_healthy" if healthy else "provider_unhealthy", NIL, data, now)
        except (StoreError, SQLAlchemyError, OSError) as error:
            self._log.error("event not stored", provider=provider.name, error=reason(error))
