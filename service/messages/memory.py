"""Opt-outs of an engine without a store, kept in memory."""

from collections import OrderedDict
from collections.abc import Collection
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from flows.messages.model import KeptMessage, MessageNotKept, OptOutChange, TextMessage

MOST_OPT_OUTS: Final = 100_000
"""Opt-outs that are kept in memory; the oldest are forgotten."""


class MessagesInMemory:
    """A `flows.messages.model.MessageStore` without a store: messages are not kept, and opt-outs until the engine
    ends."""

    def __init__(self) -> None:
        self._opt_outs: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def received(self, message: TextMessage, change: OptOutChange | None) -> bool:
        """The change alone."""
        if change is None:
            return False
        key = (change.number, change.contact)
        known = key in self._opt_outs
        if change.kind == "start":
            self._opt_outs.pop(key, None)
            return known
        self._opt_outs[key] = None
        if len(self._opt_outs) > MOST_OPT_OUTS:
            self._opt_outs.popitem(last=False)
        return not known

    async def sending(self, message: TextMessage) -> None:
        """Nothing is kept."""

    async def ended(self, message: TextMessage) -> None:
        """Nothing is kept."""

    async def keep(self, message: KeptMessage) -> None:
        """Nothing is kept, and nobody is told that it were."""
        raise MessageNotKept("there is no store to keep it in")

    async def all_kept(self) -> list[tuple[UUID, str, UUID, datetime]]:
        """None."""
        return []

    async def find_kept(self, message_id: UUID) -> KeptMessage | None:
        """None."""
        return None

    async def claim_kept(self, message_id: UUID) -> KeptMessage | Literal["elsewhere", "gone"]:
        """None."""
        return "gone"

    async def release_kept(self, message_id: UUID) -> None:
        """There is none."""

    async def drop_kept(self, message_id: UUID) -> None:
        """There is none."""

    async def opted_out(self, number: str, contacts: Collection[str]) -> bool:
        """What has been texted to this engine."""
        return any((number, contact) in self._opt_outs for contact in contacts)
