"""Mailboxes that live in the store: what one node is told, the phones of all nodes hear."""

import asyncio
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from engine.log import Log
from engine.worker import Worker
from flows.calls.services import MailboxNotKept
from routing.mailboxes import EMPTY, Mailboxes, MailboxKey, MessageCount
from store.database.engines import reason
from store.database.errors import StoreError
from store.feed import ChangeFeed
from store.resources import mailboxes as rows
from store.store import Change, Store

WITHIN: Final = 5.0
"""Seconds that the store may take: a connection that is dead without knowing takes for ever."""
RETRY: Final = 2.0
"""Seconds until changes are read again that could not be read."""


class StoredMailboxes:
    """Keeps `mailboxes` like the store. A `MailboxWriter`."""

    def __init__(self, store: Store, feed: ChangeFeed, mailboxes: Mailboxes, log: Log) -> None:
        self._store = store
        self._mailboxes = mailboxes
        self._log = log
        self._changed: dict[MailboxKey, None] = {}
        self._all = True
        self._worker = Worker("mailboxes", self._read, failed=self._failed)
        feed.subscribe(rows.KIND, self._told)

    def start(self) -> None:
        """Read what there is, and follow it."""
        self._worker.start()

    async def close(self) -> None:
        """Follow it no more."""
        await self._worker.close()

    async def write(self, key: MailboxKey, count: MessageCount) -> None:
        """See `MailboxWriter`."""
        try:
            async with asyncio.timeout(WITHIN), self._store.write() as transaction:
                await rows.write(transaction, key.customer_id, key.name, count.new, count.old)
        except TimeoutError:
            raise MailboxNotKept("the store does not answer") from None
        except (StoreError, SQLAlchemyError, OSError) as error:
            raise MailboxNotKept(f"the store does not take it: {reason(error)}") from error

    def _told(self, change: Change | None) -> None:
        if change is None:
            self._all = True
        else:
            self._changed[MailboxKey.named(change.resource_id, change.key)] = None
        self._worker.wake()

    async def _read(self) -> None:
        if self._all:
            self._all = False
            self._changed.clear()
            try:
                async with asyncio.timeout(WITHIN), self._store.read() as connection:
                    found = await rows.read(connection)
            except Exception:
                self._all = True
                raise
            self._mailboxes.replace(
                (MailboxKey(row["customer_id"], row["name"]), MessageCount(row["new"], row["old"])) for row in found
            )
        for key in tuple(self._changed):
            async with asyncio.timeout(WITHIN), self._store.read() as connection:
                found = await rows.read(connection, key.customer_id, key.name)
            self._changed.pop(key, None)
            self._mailboxes.put(key, MessageCount(found[0]["new"], found[0]["old"]) if found else EMPTY)

    def _failed(self, error: Exception) -> float:
        self._log.warning("mailboxes not read", error=f"{type(error).__name__}: {error}"[:500])
        return RETRY
