"""The health of providers in the store, as far as it can be reached."""

from collections.abc import Sequence

from sqlalchemy.exc import SQLAlchemyError

from engine.log import Log
from store.database.engines import reason
from store.database.errors import StoreError
from store.resources import health
from store.resources.health import Finding
from store.store import Store


class ProviderHealthStore:
    """A `service.workers.prober.HealthStore`."""

    def __init__(self, store: Store, node: str, log: Log) -> None:
        """`node`: this node's name, the same at every start."""
        self._store = store
        self._node = node
        self._log = log
        self._failing = False

    async def load(self) -> Sequence[Finding]:
        """What was known at the last stop; nothing where that cannot be read."""
        try:
            return await health.load(self._store, self._node)
        except (StoreError, SQLAlchemyError, OSError) as error:
            self._failed(error)
            return ()

    async def save(self, findings: Sequence[Finding]) -> None:
        """Keep it. What is not written now is with the next round."""
        try:
            await health.save(self._store, self._node, list(findings))
            self._failing = False
        except (StoreError, SQLAlchemyError, OSError) as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        if not self._failing:
            self._log.warning("provider health not stored", error=reason(error))
        self._failing = True
