"""Text messages and opt-outs, kept in the store."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from flows.calls.address import Address
from flows.messages.model import CLAIMED_FOR, KeptMessage, MessageNotKept, OptOutChange, TextMessage, message_row, party
from store.database.engines import reason
from store.database.errors import StoreError
from store.resources import messages
from store.rows import Row
from store.store import Store

WITHIN: Final = 5.0
"""Seconds that the store may take; whoever sent a message is told to come again after that."""


class StoredMessages:
    """A `flows.messages.model.MessageStore` in the store."""

    def __init__(self, store: Store, node_id: UUID) -> None:
        self._store = store
        self._node_id = node_id

    async def received(self, message: TextMessage, change: OptOutChange | None) -> bool:
        """The message and the change in one transaction."""
        changed = False
        async with _answering(), self._store.write() as transaction:
            if change is not None and change.kind == "stop":
                changed = await messages.opt_out(
                    transaction, message.customer_id, change.number, change.contact, change.keyword
                )
            elif change is not None:
                changed = await messages.opt_in(transaction, change.number, change.contact)
            await messages.add(transaction, message_row(message), self._node_id)
        return changed

    async def sending(self, message: TextMessage) -> None:
        """The message."""
        async with _answering(), self._store.write() as transaction:
            await messages.add(transaction, message_row(message), self._node_id)

    async def ended(self, message: TextMessage) -> None:
        """Its outcome."""
        async with _answering(), self._store.write() as transaction:
            await messages.end(transaction, message_row(message) | {"tm_update": transaction.now})

    async def keep(self, message: KeptMessage) -> None:
        """One more that waits."""
        async with _answering(), self._store.write() as transaction:
            await messages.keep(transaction, _kept_row(message))

    async def all_kept(self) -> list[tuple[UUID, str, UUID, datetime]]:
        """Those of other nodes too: a phone registers with any."""
        async with _answering(), self._store.read() as connection:
            return await messages.all_kept(connection)

    async def find_kept(self, message_id: UUID) -> KeptMessage | None:
        """One that waits, unless another node has delivered it."""
        async with _answering(), self._store.read() as connection:
            row = await messages.find_kept(connection, message_id)
        return None if row is None else _kept(row)

    async def claim_kept(self, message_id: UUID) -> KeptMessage | Literal["elsewhere", "gone"]:
        """By the clock that all nodes have in common."""
        async with _answering(), self._store.write() as transaction:
            now = await self._store.common_now(transaction)
            row = await messages.claim_kept(transaction, message_id, self._node_id, now, CLAIMED_FOR)
            if row is None:
                return "gone" if await messages.find_kept(transaction, message_id) is None else "elsewhere"
        return _kept(row)

    async def release_kept(self, message_id: UUID) -> None:
        """Unless another has it by now."""
        async with _answering(), self._store.write() as transaction:
            await messages.release_kept(transaction, message_id, self._node_id)

    async def drop_kept(self, message_id: UUID) -> None:
        """It is delivered, or too old."""
        async with _answering(), self._store.write() as transaction:
            await messages.drop_kept(transaction, message_id)

    async def opted_out(self, number: str, contacts: Collection[str]) -> bool:
        """Asked of the store each time: another node may have been told."""
        async with _answering(), self._store.read() as connection:
            return await messages.opted_out(connection, number, contacts)


def _kept(row: Row) -> KeptMessage:
    return KeptMessage(
        id=row["id"],
        extension=row["extension"],
        customer_id=row["customer_id"],
        source=None if row["source"] is None else Address.model_validate(row["source"]),
        text=row["text"],
        created=row["tm_create"],
    )


def _kept_row(message: KeptMessage) -> Row:
    return {
        "id": message.id,
        "extension": message.extension,
        "customer_id": message.customer_id,
        "source": None if message.source is None else party(message.source),
        "text": message.text,
        "tm_create": message.created,
    }


@asynccontextmanager
async def _answering() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(WITHIN):
            yield
    except TimeoutError:
        raise MessageNotKept("the store does not answer") from None
    except (StoreError, SQLAlchemyError, OSError) as error:
        raise MessageNotKept(f"the store does not take it: {reason(error)}") from error
