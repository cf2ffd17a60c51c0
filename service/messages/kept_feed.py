"""Texts that wait for a phone: what one node keeps or has delivered, all nodes on the store know."""

from typing import Final
from uuid import UUID

from engine.log import Log
from engine.worker import Worker
from flows.messages.kept import KeptMessages
from store.feed import ChangeFeed
from store.resources.messages import KEPT
from store.store import Change

RETRY: Final = 2.0
"""Seconds until changes are read again that could not be read."""


class KeptMessagesFeed:
    """Keeps `kept` like the store, from `start` to `close`."""

    def __init__(self, feed: ChangeFeed, kept: KeptMessages, log: Log) -> None:
        self._kept = kept
        self._log = log
        self._changed: dict[UUID, str] = {}
        self._all = False
        self._worker = Worker("kept messages", self._read, failed=self._failed)
        feed.subscribe(KEPT, self._told)

    def start(self) -> None:
        """Follow the store."""
        self._worker.start()

    async def close(self) -> None:
        """Follow it no more."""
        await self._worker.close()

    def _told(self, change: Change | None) -> None:
        if change is None:
            self._all = True
        else:
            self._changed[change.resource_id] = change.key
        self._worker.wake()

    async def _read(self) -> None:
        if self._all:
            self._all = False
            self._changed.clear()
            try:
                await self._kept.reload()
            except Exception:
                self._all = True
                raise
        for message_id, extension in tuple(self._changed.items()):
            self._changed.pop(message_id, None)
            try:
                await self._kept.refresh(message_id, extension)
            except Exception:
                self._changed.setdefault(message_id, extension)
                raise

    def _failed(self, error: Exception) -> float:
        self._log.warning("kept messages not read", error=f"{type(error).__name__}: {error}"[:500])
        return RETRY
