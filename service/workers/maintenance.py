"""Maintenance of a store: calls of dead nodes closed, and what has become old deleted."""

import asyncio
import time
from dataclasses import asdict
from pathlib import Path
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from config.settings import RetentionSettings
from engine.log import Log
from engine.worker import Worker
from service.cdr.recording_files import sweep
from service.cdr.recordings import mend
from store.cluster.heartbeat import NodeHeartbeat
from store.cluster.recovery import recover
from store.database.engines import reason
from store.database.errors import StoreError
from store.maintenance.retention import prune
from store.resources import messages
from store.resources.recordings import close_lost
from store.store import Store

RECOVER_EVERY: Final = 30.0  # s
PRUNE_EVERY: Final = 3600.0  # s


class Maintenance:
    """Two workers, which a store that does not answer only delays."""

    def __init__(
        self, store: Store, life: NodeHeartbeat, retention: RetentionSettings, log: Log, recordings: Path | None = None
    ) -> None:
        """`recordings`: the folder of this node's recordings, where it has any."""
        self._store = store
        self._life = life
        self._retention = retention
        self._log = log
        self._recordings = recordings
        self._workers = [
            Worker("recovery", self.recover, first=RECOVER_EVERY, every=RECOVER_EVERY, failed=self._recovery_failed),
            Worker("retention", self.prune, first=PRUNE_EVERY, every=PRUNE_EVERY, failed=self._prune_failed),
        ]

    async def recover(self, *, starting: bool = False) -> None:
        """Close what nodes that are gone left open: those that give no sign of life and, `starting`, earlier runs of
        this one. Raises StoreError, or SQLAlchemy's errors."""
        if starting:
            await self._mend()
        found = await recover(self._store, self._life.id, self._life.name if starting else "")
        if unsure := await messages.close_lost(self._store, self._life.id, self._life.name if starting else ""):
            self._log.warning("messages of a dead node failed", messages=unsure)
        if lost := await close_lost(self._store, self._life.id):
            self._log.warning("recordings of a dead node failed", recordings=lost)
        if found:
            self._log.warning(
                "dead node recovered",
                calls=found.calls,
                groupcalls=found.groupcalls,
                reservations=found.reservations,
                agents=found.agents,
            )

    async def prune(self) -> None:
        """Delete what is older than the settings say. Raises StoreError, or SQLAlchemy's errors."""
        keep = self._retention
        await self.sweep()
        await self._mend()
        done = await prune(self._store, calls_for=keep.calls, events_for=keep.events, recordings_for=keep.recordings)
        if done:
            self._log.info("old rows deleted", **asdict(done))

    async def sweep(self) -> None:
        """Delete files of recordings that are older than the settings say."""
        if self._recordings is None:
            return
        deleted = await asyncio.to_thread(sweep, self._recordings, self._retention.recordings, time.time())
        if deleted:
            self._log.info("old recordings deleted", files=deleted)

    async def _mend(self) -> None:
        """Make whole what killed processes have left half written."""
        if self._recordings is None:
            return
        # Before its calls are closed: what it recorded is known by its node alone.
        done = await mend(self._store, self._life.id, self._life.name, self._recordings, time.time())
        if done.kept or done.empty:
            self._log.warning("recordings repaired", kept=done.kept, empty=done.empty)

    def start(self) -> None:
        """Begin to do both now and then."""
        for worker in self._workers:
            worker.start()

    async def close(self) -> None:
        """End."""
        for worker in self._workers:
            await worker.close()

    def _recovery_failed(self, error: Exception) -> float:
        return self._failed("recover", error, RECOVER_EVERY)

    def _prune_failed(self, error: Exception) -> float:
        return self._failed("prune", error, PRUNE_EVERY)

    def _failed(self, work: str, error: Exception, again: float) -> float:
        if not isinstance(error, StoreError | SQLAlchemyError | OSError):
            raise error
        self._log.warning(f"{work} waits for the store", error=reason(error))
        return again
