"""Messages for extensions that nobody is registered for: kept, and delivered in their order when a phone registers.

Who sent one has been told that it is accepted (202): until a phone has taken it, or its time is over, it is in the
store, also when the engine dies while it delivers it. Then a phone may get it twice.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, NamedTuple
from uuid import UUID, uuid4

from flows.calls.services import CallServices
from flows.messages.model import KeptMessage, MessageNotKept, MessageStore, TextMessage
from routing.identifiers import NIL, PLATFORM

KEPT_FOR: Final = timedelta(days=7)
MOST_KEPT: Final = 10_000
MOST_OF_ONE: Final = 100
"""Messages that are kept in all, and for one extension."""
MOST_OF_CUSTOMER: Final = 2_500
"""Of one customer's extensions, so that nobody's texts are all that can be kept; the platform has no such share."""
RETRY: Final = 5.0
"""Seconds until the store is asked again that did not answer."""

Fate = Literal["taken", "refused", "unreachable"]
"""What a delivery came to. `unreachable`: no phone has said anything, and it is kept on."""


class _Waiting(NamedTuple):
    """One that is kept."""

    message_id: UUID
    customer_id: UUID
    created: datetime


class KeptMessages:
    """Keeps messages, and delivers them. `start` reads what earlier runs have kept; `close` ends it.

    Attributes:
        tasks: What delivers, one for each extension whose phone has registered, as long as there is anything.
    """

    def __init__(
        self, services: CallServices, store: MessageStore, deliver: Callable[[KeptMessage], Awaitable[Fate]]
    ) -> None:
        self._services = services
        self._store = store
        self._deliver = deliver
        self._waiting: dict[str, deque[_Waiting]] = {}
        self._count = 0
        self._of_customer: Counter[UUID] = Counter()
        self._closing = False
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        """How many there are."""
        return self._count

    async def start(self) -> None:
        """Read what is kept. Raises MessageNotKept."""
        for message_id, extension, customer_id, created in await self._store.all_kept():
            self._enter(extension, _Waiting(message_id, customer_id, created))
        await self._drop_old()

    async def _drop_old(self) -> None:
        """Give those up whose time is over: of an extension that nobody registers for, there is no other end."""
        now = self._now()
        for extension in [name for name, waiting in self._waiting.items() if now - waiting[0].created >= KEPT_FOR]:
            if extension not in self.tasks:  # which sees to it itself
                for entry in list(self._waiting.get(extension, ())):
                    if now - entry.created >= KEPT_FOR:
                        await self._store.drop_kept(entry.message_id)
                        self._leave(extension, entry.message_id)

    def waits(self, extension: str) -> bool:
        """Whether any is kept for it: a new one is kept behind it, as none overtakes another."""
        return extension in self._waiting

    async def keep(self, message: TextMessage, extension: str, customer_id: UUID) -> bool:
        """Keep one more; False where as many are kept as may be. Raises MessageNotKept."""
        for old in list(self._waiting.get(extension, ())):
            if old.customer_id != customer_id:  # of who had the name before: nobody gets it any more
                await self._store.drop_kept(old.message_id)
                self._leave(extension, old.message_id)
        if self._full(extension, customer_id):
            await self._drop_old()
        if self._full(extension, customer_id):
            return False
        kept = KeptMessage(
            id=uuid4(),
            extension=extension,
            customer_id=customer_id,
            source=None if message.private else message.source,
            text=message.text,
            created=self._now(),
        )
        self._count_in(customer_id, 1)  # before it is waited for: what is counted is bounded
        try:
            await self._store.keep(kept)
        finally:
            self._count_in(customer_id, -1)
        self._enter(extension, _Waiting(kept.id, customer_id, kept.created))
        return True

    def _full(self, extension: str, customer_id: UUID) -> bool:
        if self._count >= MOST_KEPT or len(self._waiting.get(extension, ())) >= MOST_OF_ONE:
            return True
        return customer_id not in (NIL, PLATFORM) and self._of_customer[customer_id] >= MOST_OF_CUSTOMER

    def _count_in(self, customer_id: UUID, more: int) -> None:
        self._count += more
        self._of_customer[customer_id] += more
        if not self._of_customer[customer_id]:
            del self._of_customer[customer_id]

    def registered(self, extension: str) -> None:
        """A phone of this extension is there."""
        if extension not in self._waiting or extension in self.tasks or self._closing:
            return
        task = asyncio.get_running_loop().create_task(self._drain(extension), name=f"kept messages for {extension}")
        self.tasks[extension] = task
        task.add_done_callback(lambda _: self.tasks.pop(extension, None))

    async def close(self) -> None:
        """End. What is kept stays so."""
        self._closing = True
        while self.tasks:
            left = list(self.tasks.values())
            for task in left:
                task.cancel()
            await asyncio.wait(left)

    async def _drain(self, extension: str) -> None:
        while waiting := self._waiting.get(extension):
            message_id, _, created = waiting[0]
            try:
                message = await self._store.find_kept(message_id)
                over = self._now() - created >= KEPT_FOR
                if message is not None and not over and await self._deliver(message) == "unreachable":
                    return  # until the next one registers
                if message is not None:
                    await self._store.drop_kept(message_id)
            except MessageNotKept as error:
                self._services.log.warning("kept messages not delivered", extension=extension, error=str(error))
                await asyncio.sleep(RETRY)
                continue
            if over:
                self._services.log.info("kept message dropped", extension=extension, message_id=str(message_id))
            self._leave(extension, message_id)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._services.wall(), UTC)

    def _enter(self, extension: str, entry: _Waiting) -> None:
        self._waiting.setdefault(extension, deque()).append(entry)
        self._count_in(entry.customer_id, 1)

    def _leave(self, extension: str, message_id: UUID) -> None:
        waiting = self._waiting.get(extension)
        if waiting is None:
            return
        left = deque(entry for entry in waiting if entry.message_id != message_id)
        for entry in waiting:
            if entry.message_id == message_id:
                self._count_in(entry.customer_id, -1)
        if left:
            self._waiting[extension] = left
        else:
            del self._waiting[extension]
