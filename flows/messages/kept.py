"""Messages for extensions that nobody is registered for: kept, and delivered in their order when a phone registers.

Who sent one has been told that it is accepted (202): until a phone has taken it, or its time is over, it is in the
store, also when the engine dies while it delivers it. Then a phone may get it twice.

All nodes on one store know what is kept, whichever has taken it (`refresh`, `reload`), and a node claims each in the
store before it delivers it: it is delivered where the phone registers, by one node alone, and in order.
"""

import asyncio
from bisect import insort
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, NamedTuple
from uuid import UUID, uuid4

from flows.calls.services import CallServices
from flows.messages.model import CLAIMED_FOR, KeptMessage, MessageNotKept, MessageStore, TextMessage
from routing.identifiers import NIL, PLATFORM

KEPT_FOR: Final = timedelta(days=7)
MOST_KEPT: Final = 10_000
MOST_OF_ONE: Final = 100
"""Messages that are kept in all, and for one extension."""
MOST_OF_CUSTOMER: Final = 2_500
"""Of one customer's extensions, so that nobody's texts are all that can be kept; the platform has no such share."""
RETRY: Final = 5.0
"""Seconds until the store is asked again: it did not answer, or another node delivers the message."""
WITHIN: Final = CLAIMED_FOR - 15.0
"""Seconds that a delivery may take: while it lasts, the message is no other node's."""

Fate = Literal["taken", "refused", "unreachable"]
"""What a delivery came to. `unreachable`: no phone has said anything, and it is kept on."""


class _Waiting(NamedTuple):
    """One that is kept."""

    created: datetime
    message_id: UUID
    customer_id: UUID


class KeptMessages:
    """Keeps messages, and delivers them. `start` reads what earlier runs have kept; `close` ends it.

    Attributes:
        tasks: What delivers, one for each extension whose phone has registered, as long as there is anything.
    """

    def __init__(
        self,
        services: CallServices,
        store: MessageStore,
        deliver: Callable[[KeptMessage], Awaitable[Fate]],
        reachable: Callable[[str], Awaitable[bool]],
    ) -> None:
        """`reachable`: whether this node has a way to a phone of the extension."""
        self._services = services
        self._store = store
        self._deliver = deliver
        self._reachable = reachable
        self._registered_again: set[str] = set()
        self._waiting: dict[str, list[_Waiting]] = {}
        self._count = 0
        self._of_customer: Counter[UUID] = Counter()
        self._closing = False
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        """How many there are."""
        return self._count

    async def start(self) -> None:
        """Read what is kept. Raises MessageNotKept."""
        await self._read_all()
        await self._drop_old()

    async def reload(self) -> None:
        """What is kept may be anything by now. Raises MessageNotKept."""
        await self._read_all()
        for extension in list(self._waiting):
            await self._drain_if_reachable(extension)

    async def _read_all(self) -> None:
        found = {
            _Waiting(created, message_id, customer_id): extension
            for message_id, extension, customer_id, created in await self._store.all_kept()
        }
        for extension, waiting in list(self._waiting.items()):
            for entry in [entry for entry in waiting if entry not in found]:
                self._leave(extension, entry.message_id)
        for entry, extension in found.items():
            self._enter(extension, entry)

    async def refresh(self, message_id: UUID, extension: str) -> None:
        """One for this extension is kept by some node, or is no longer. Raises MessageNotKept."""
        message = await self._store.find_kept(message_id)
        if message is None:
            self._leave(extension, message_id)
            return
        self._enter(extension, _Waiting(message.created, message.id, message.customer_id))
        await self._drain_if_reachable(extension)

    async def _drain_if_reachable(self, extension: str) -> None:
        if extension not in self.tasks and await self._reachable(extension):
            self.registered(extension)

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
        self._enter(extension, _Waiting(kept.created, kept.id, customer_id))
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
        if extension not in self._waiting or self._closing:
            return
        if extension in self.tasks:
            self._registered_again.add(extension)  # what is tried at its other phones may be tried at this one
            return
        task = asyncio.get_running_loop().create_task(self._drain(extension), name=f"kept messages for {extension}")
        self.tasks[extension] = task
        task.add_done_callback(lambda _: self._drained(extension))

    async def close(self) -> None:
        """End. What is kept stays so."""
        self._closing = True
        while self.tasks:
            left = list(self.tasks.values())
            for task in left:
                task.cancel()
            await asyncio.wait(left)

    def _drained(self, extension: str) -> None:
        self.tasks.pop(extension, None)
        self._registered_again.discard(extension)

    async def _drain(self, extension: str) -> None:
        done: UUID | None = None  # the one that is to be dropped, whatever the store says meanwhile
        while waiting := self._waiting.get(extension):
            created, message_id, _ = waiting[0]
            over = self._now() - created >= KEPT_FOR
            try:
                if done != message_id and not over:
                    fate = await self._attempt(extension, message_id)
                    if fate == "elsewhere":
                        await asyncio.sleep(RETRY)
                        continue
                    if fate == "unreachable":
                        if extension not in self._registered_again:
                            return  # until the next one registers
                        self._registered_again.discard(extension)
                        continue
                    done = message_id
                await self._store.drop_kept(message_id)
            except MessageNotKept as error:
                self._services.log.warning("kept messages not delivered", extension=extension, error=str(error))
                await asyncio.sleep(RETRY)
                continue
            if over:
                self._services.log.info("kept message dropped", extension=extension, message_id=str(message_id))
            self._leave(extension, message_id)

    async def _attempt(self, extension: str, message_id: UUID) -> Fate | Literal["elsewhere"]:
        """What became of the one that is the next."""
        self._registered_again.discard(extension)
        if not await self._reachable(extension):
            return "unreachable"
        message = await self._store.claim_kept(message_id)
        if message == "elsewhere":
            return message
        if message == "gone":
            return "taken"
        fate: Fate = "unreachable"
        try:
            async with asyncio.timeout(WITHIN):
                fate = await self._deliver(message)
        except TimeoutError:
            pass  # no phone has said anything for so long
        if fate == "unreachable":
            await self._store.release_kept(message_id)
        return fate

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._services.wall(), UTC)

    def _enter(self, extension: str, entry: _Waiting) -> None:
        waiting = self._waiting.setdefault(extension, [])
        if entry not in waiting:
            insort(waiting, entry)  # nodes hear of one another's in any order
            self._count_in(entry.customer_id, 1)

    def _leave(self, extension: str, message_id: UUID) -> None:
        waiting = self._waiting.get(extension)
        if waiting is None:
            return
        left = [entry for entry in waiting if entry.message_id != message_id]
        for entry in waiting:
            if entry.message_id == message_id:
                self._count_in(entry.customer_id, -1)
        if left:
            self._waiting[extension] = left
        else:
            del self._waiting[extension]
