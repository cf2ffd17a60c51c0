"""The outgoing message queue: messages are kept first, and then sent, in order to each destination.

Nothing is sent that is not kept, and nothing is sent twice: what was under way when the engine died is told as failed
at the next start (`store.resources.messages.close_lost`).
"""

import asyncio
from collections import deque
from collections.abc import Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid4

from engine.rate_limit import RateLimit
from flows.calls.address import Address
from flows.calls.services import CallServices
from flows.calls.tree import Branch, Tree
from flows.messages.delivery import Delivery, Send
from flows.messages.inbox import AcceptedMessage, FlowOnMessage, Inbox
from flows.messages.model import (
    MessageNotKept,
    MessageQueueFullError,
    MessageRequest,
    MessageStore,
    Target,
    TextMessage,
    TooManyMessagesError,
)
from flows.messages.opt_out import contact_of
from routing.identifiers import NIL, PLATFORM
from routing.numbers.normalise import normalise_dialled

MOST_WAITING: Final = 10_000
"""Destinations that wait or are being sent to; a further message is refused."""
AT_ONCE: Final = 100
"""Destinations that are sent to at the same time."""
MOST_PROCESSED: Final = 1_000
"""Flows that run at once on messages between our own numbers."""
CLOSING: Final = 5.0
"""Seconds that what is under way has to end when the service stops."""
PAUSES: Final = (0.1, 0.5, 2.0, 5.0, 15.0)
"""Seconds between attempts to keep an outcome, where the store does not write."""
CUSTOMER_RATE: Final = 10.0
CUSTOMER_BURST: Final = 500
"""Messages a second, and in a row, that a customer may send, by the API and by flows; each destination counts."""
AUTOMATIC_RATE: Final = 0.2
AUTOMATIC_BURST: Final = 30
"""Messages a second, and in a row, that flows may send from one number to one contact: two machines that answer each
other would never end."""

_STOPPED = "the engine stopped before it was sent"
_UNDER_WAY = "the engine stopped before it was answered; it may have arrived"


class MessageQueue:
    """Sends messages and takes those for our numbers. `close` ends it.

    Attributes:
        store: Where messages and opt-outs are kept.
        inbox: Takes messages for our numbers.
        kept: Those that wait for a phone to register.
        waiting: Destinations that wait or are being sent to.
        tasks: What sends, a task for each pair of numbers as long as there is anything.
        processing: Messages for our numbers whose flows run.
    """

    def __init__(self, services: CallServices, send: Send, store: MessageStore, *, run_flow: FlowOnMessage) -> None:
        self._services = services
        self.store = store
        self.inbox = Inbox(services, store, run_flow=run_flow, send=self.send)
        self._delivery = Delivery(services, send, self.inbox, self._process, store)
        self.kept = self._delivery.kept
        self.waiting = 0
        # From and to -> what goes that way, in this order; there is a task for each as long as there is anything.
        self._lanes: dict[tuple[str, str], deque[tuple[TextMessage, Target]]] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.processing: set[asyncio.Task[None]] = set()
        self._free = asyncio.Semaphore(AT_ONCE)
        self._automatic = RateLimit(AUTOMATIC_RATE, AUTOMATIC_BURST)
        self._customers = RateLimit(CUSTOMER_RATE, CUSTOMER_BURST)
        self._closing = False

    def _may_send(self, customer_id: UUID, count: int) -> bool:
        """Whether a customer may send to so many destinations now; they are counted then. The platform always may."""
        if customer_id in (NIL, PLATFORM):
            return True
        return self._customers.allows_all(str(customer_id.int), count, self._services.clock())

    async def send(self, order: MessageRequest) -> TextMessage:
        """Keeps a message and sends it afterwards; returns once it is kept. Raises MessageNotKept and
        MessageQueueFullError."""
        count = len(order.destinations)
        if self._closing:
            raise MessageQueueFullError("the message is not sent: the service is stopping")
        if not self._may_send(order.customer_id, count):
            problem = f"a customer may send {CUSTOMER_RATE:g} messages a second, and {CUSTOMER_BURST} in a row"
            raise TooManyMessagesError(f"the message is not sent: {problem}; try again later")
        if self.waiting + count > MOST_WAITING:
            raise MessageQueueFullError(
                f"the message is not sent: {self.waiting} destinations wait already; try again later"
            )
        message = TextMessage(
            id=uuid4(),
            customer_id=order.customer_id,
            direction="outgoing",
            source=order.source,
            destinations=list(order.destinations),
            text=order.text,
            created=datetime.fromtimestamp(self._services.wall(), UTC),
            status="sending",
            number_id=order.number_id,
            targets=[Target(destination, via=order.via) for destination in order.destinations],
            private=order.private,
            confirmation=order.confirmation,
            automatic=order.automatic,
            named=order.named,
            asserted=order.asserted,
            branch=order.branch or Branch(Tree()),
        )
        self.waiting += count
        try:
            await self.store.sending(message)
        except BaseException:
            self.waiting -= count
            raise
        for target in message.targets:
            self._queue(message, target)
        return message

    async def close(self) -> None:
        """Takes nothing more; what is under way has a moment to end, and the rest is told as failed."""
        self._closing = True
        await self.kept.close()
        for lane in self._lanes.values():
            for _, target in lane:
                target.status, target.reason = "failed", _STOPPED
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=CLOSING)
        while self.tasks or self.processing:
            left = [*self.tasks, *self.processing]
            for task in left:
                task.cancel()
            await asyncio.wait(left)

    # ---- the queue

    def _queue(self, message: TextMessage, target: Target) -> None:
        key = ("" if message.source is None else self._contact(message.source), self._contact(target.destination))
        lane = self._lanes.get(key)
        if lane is not None:
            lane.append((message, target))
            return
        self._lanes[key] = deque([(message, target)])
        self._own(self.tasks, self._drain(key), f"messages to {key[1]}")

    def _contact(self, address: Address) -> str:
        """Whom an opt-out would be about: a number in normal form, however it was written."""
        if address.type != "tel":
            return contact_of(address)
        return normalise_dialled(
            address.target, self._services.routing, self._services.directory.numbers
        ).number or contact_of(address)

    def _own(self, tasks: set["asyncio.Task[None]"], work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _drain(self, key: tuple[str, str]) -> None:
        """Sends what goes one way, one message after the other."""
        lane = self._lanes[key]
        try:
            while lane:
                message, target = lane.popleft()
                try:
                    if target.status == "sending":
                        async with self._free:
                            await self._deliver(message, target, key)
                except asyncio.CancelledError:
                    if target.status == "sending":
                        target.status, target.reason = "failed", _UNDER_WAY
                    lane.appendleft((message, target))
                    await self._give_up(lane)
                    raise
                await self._over(message, PAUSES)
        finally:
            del self._lanes[key]

    async def _give_up(self, lane: deque[tuple[TextMessage, Target]]) -> None:
        """The service stops: what has not been sent is told as failed, which is tried once."""
        while lane:
            message, target = lane.popleft()
            if target.status == "sending":
                target.status, target.reason = "failed", _STOPPED
            with suppress(MessageNotKept):
                await self._over(message, ())

    async def _deliver(self, message: TextMessage, target: Target, key: tuple[str, str]) -> None:
        services = self._services
        number, contact = key
        try:
            if message.automatic and not self._automatic.allows(f"{number} {contact}", services.clock()):
                target.status, target.reason = (
                    "failed",
                    "too many messages of flows to this contact within a short time",
                )
            elif not message.confirmation and await self._opted_out(message, number, contact):
                target.status, target.reason = "opted_out", "the contact wants no messages from this number"
            else:
                await self._delivery.deliver(message, target)
        except MessageNotKept as error:
            target.status, target.reason = "failed", f"nobody could say whether the contact wants messages: {error}"
        except Exception as error:  # whatever it is, the others wait for their turn
            services.log.error("message delivery failed", message_id=str(message.id), error=repr(error)[:500])
            target.status, target.reason = "failed", f"{type(error).__name__}: {error}"[:300]

    async def _opted_out(self, message: TextMessage, number: str, contact: str) -> bool:
        return await self.store.opted_out(number, (contact,))

    async def _over(self, message: TextMessage, pauses: tuple[float, ...]) -> None:
        """One destination less; after the last one, the outcome is kept."""
        self.waiting -= 1
        if any(target.status == "sending" for target in message.targets) or message.over.is_set():
            return
        message.settle()
        message.over.set()
        for pause in (*pauses, None):
            try:
                await self.store.ended(message)
            except MessageNotKept as error:
                if pause is None:
                    self._services.log.error(
                        "message outcome not stored",
                        message_id=str(message.id),
                        status=message.status,
                        error=str(error),
                    )
                    return
                await asyncio.sleep(pause)
            else:
                return

    # ---- messages between our own numbers

    def _process(self, accepted: AcceptedMessage) -> None:
        if len(self.processing) >= MOST_PROCESSED or self._closing:
            self._services.log.warning(
                "message flow not run", message_id=str(accepted.message.id), error="too many run"
            )
            return
        self._own(self.processing, self._processed(accepted), f"message {accepted.message.id}")

    async def _processed(self, accepted: AcceptedMessage) -> None:
        try:
            await self.inbox.process(accepted)
        except Exception as error:
            self._services.log.error(
                "message flow failed", message_id=str(accepted.message.id), error=repr(error)[:500]
            )
