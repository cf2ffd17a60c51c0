"""Delivery of webhooks: signed, a few at a time, again until one is taken or a day has passed."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from api.models.carriers import Carriers
from engine.log import Log
from engine.worker import Worker
from flows.faults import ActionError
from flows.language.services import FlowServices
from flows.web import exchange
from store.database.engines import reason
from store.database.errors import StoreError
from store.database.vault import SecretUnreadable
from store.resources import deliveries
from store.resources.deliveries import Due
from store.resources.events import EventSignal, event_document
from store.store import Store

AT_ONCE: Final = 64
AT_ONCE_EACH: Final = 8
"""To one webhook: a slow one must not hold up the others. Of one call one is on its way at a time: where a few of them
are not taken, there is room for the others'."""
ROUND: Final = 500
"""Webhooks that have had their turn and wait for the others', at most."""
GATHERING: Final = 0.1
"""Seconds between a signal and the look that it is for, while nothing is on its way."""
SIGNATURE: Final = "X-Trunkline-Signature"


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """`t=<Unix seconds>,v1=<HMAC-SHA-256 of "<t>.<body>" in hexadecimal>`: whoever knows the secret can tell that we
    sent it, and when, so that a copy sent again later is noticed."""
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


class WebhookSender:
    """A worker that turns events into deliveries and starts due ones, and a bounded set of deliveries on their way."""

    def __init__(self, store: Store, flows: FlowServices, new_events: EventSignal, platform: UUID, log: Log) -> None:
        self._store = store
        self._flows = flows
        self._new_events = new_events
        self._platform = platform
        self._log = log
        self._worker = Worker("webhooks", self._turn, every=0.0)
        self._failing = False
        self._sending: dict[asyncio.Task[None], UUID] = {}
        self._served: set[UUID] = set()
        self._silent: set[UUID] = set()  # those that did not answer last time: one at a time is enough to find out
        self._wake = asyncio.Event()
        self.delivered = 0
        self.failed = 0

    def start(self) -> None:
        """Begin."""
        self._worker.start()

    async def close(self) -> None:
        """End. What is on its way and not answered is sent again after the next start."""
        await self._worker.close()
        tasks = [*self._sending]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _turn(self) -> None:
        self._wake.clear()
        woken = self._new_events.next_signal()
        try:
            more = await deliveries.spread(self._store, self._platform)
            started = await self._start_due()
            self._failing = False
        except (StoreError, SQLAlchemyError, OSError) as error:
            if not self._failing:
                self._log.error("webhooks wait for the store", error=reason(error))
            self._failing, more, started = True, 0, 0
        if not more and not started:
            await self._until_woken(woken)
            if not self._sending:
                # Under load every commit of calls signals: a look for several of them at once costs less.
                await asyncio.sleep(GATHERING)

    async def _until_woken(self, woken: Callable[[], Awaitable[None]]) -> None:
        waits = [asyncio.ensure_future(woken()), asyncio.ensure_future(self._wake.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _start_due(self) -> int:
        """Begin to send what is due; how many."""
        free = AT_ONCE - len(self._sending)
        if free <= 0:
            return 0  # the first that is done wakes us
        going = list(self._sending.values())
        busy = [
            webhook
            for webhook in set(going)
            if going.count(webhook) >= (1 if webhook in self._silent else AT_ONCE_EACH)
        ]
        # In turn: what one is owed by the thousand must not come before the little that others are.
        most = min(free, AT_ONCE_EACH)
        found = await deliveries.claim(self._store, most, [*busy, *self._served])
        if not found and self._served:
            self._served.clear()
            found = await deliveries.claim(self._store, most, busy)
        if len(self._served) >= ROUND:
            self._served.clear()
        self._served.update(due.webhook_id for due in found)
        for due in found:
            task = asyncio.get_running_loop().create_task(self._send(due), name=f"webhook {due.id}")
            self._sending[task] = due.webhook_id
            task.add_done_callback(self._sent)
        return len(found)

    def _sent(self, task: "asyncio.Task[None]") -> None:
        self._sending.pop(task, None)
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("webhook", error=repr(error))

    async def _send(self, due: Due) -> None:
        # Which trunks there are is the platform's business.
        data = due.data
        if due.customer_id != self._platform:
            data = Carriers(self._flows.calls.directory).event(due.type, data)
        body = json.dumps(
            event_document(due.event_id, due.type, data, due.tm) | {"sequence": due.sequence},
            ensure_ascii=False,
            separators=(",", ":"),
        ).encode()
        status, problem = 0, ""
        try:
            status, _ = await exchange(self._flows.web, "POST", due.uri, body, self._headers(due, body))
            if not 200 <= status < 300:
                problem = f"answered {status}"
        except (ActionError, SecretUnreadable) as error:
            problem = str(error)
        if status or len(self._silent) >= ROUND:
            self._silent.discard(due.webhook_id)
        else:
            self._silent.add(due.webhook_id)
        # Not told, it is sent again after its lease: twice is better than never.
        with suppress(StoreError, SQLAlchemyError, OSError):
            again = await deliveries.done(self._store, due, status, problem)
            if not problem:
                self.delivered += 1
            elif not again:
                self.failed += 1
                self._log.warning("webhook given up", webhook=str(due.webhook_id), type=due.type, error=problem)

    def _headers(self, due: Due, body: bytes) -> dict[str, str]:
        """Raises SecretUnreadable."""
        secret = self._store.vault.open(due.secret)
        return {
            "Content-Type": "application/json",
            "User-Agent": "Trunkline",
            "X-Trunkline-Event": due.type,
            "X-Trunkline-Event-Id": str(due.event_id),
            "X-Trunkline-Delivery": str(due.id),
            SIGNATURE: signature(secret, int(self._flows.calls.wall()), body),
        }
