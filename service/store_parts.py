"""The parts of an engine that live on its store. They are loaded, as SQLAlchemy is, only where there is one."""

import time
from collections.abc import Callable
from contextlib import AsyncExitStack

from sqlalchemy.exc import SQLAlchemyError

from config.settings import Settings
from engine.log import Log
from engine.media.pacer import Pacer
from engine.user_agent import UserAgent
from flows.calls.registry import CallRegistry
from flows.language.interpreter import Interpreter
from flows.messages.kept import KeptMessages
from routing.hunt.health import HealthBoard
from routing.identifiers import PLATFORM
from routing.mailboxes import Mailboxes
from service.billing.charging import Charging
from service.bootstrap import bootstrap
from service.cdr.record_writer import CallRecordWriter
from service.cdr.recordings import RecordingList
from service.contact_center.setup import ContactCenter
from service.messages.kept_feed import KeptMessagesFeed
from service.messages.store import StoredMessages
from service.phones.mailboxes import StoredMailboxes
from service.readiness import Readiness
from service.storage import Storage
from service.workers.maintenance import Maintenance
from service.workers.prober import Prober
from service.workers.provider_events import ProviderEvents
from service.workers.provider_health import ProviderHealthStore
from service.workers.webhook_sender import WebhookSender


class StoreParts:
    """What calls and messages need of the store: made before them, and closed after them, by `closing`."""

    def __init__(
        self,
        storage: Storage,
        closing: AsyncExitStack,
        *,
        calls: CallRegistry,
        mailboxes: Mailboxes,
        pacer: Callable[[], Pacer],
        log: Log,
    ) -> None:
        """`pacer` gives what paces the engine's media."""
        store, node_id = storage.store, storage.life.id
        self.storage = storage
        self.call_records = CallRecordWriter(store, calls, node_id, log, time.monotonic)
        self.charging = Charging(store, node_id, log)
        self.contact_center = ContactCenter(storage, pacer, time.time, log)
        self.messages = StoredMessages(store, node_id)
        self.mailboxes = StoredMailboxes(store, storage.feed, mailboxes, log)
        self.recordings = RecordingList(store, node_id, log)
        for part in (self.call_records, self.charging, self.contact_center, self.mailboxes):
            closing.push_async_callback(part.close)

    def start(self) -> None:
        """Take calls down from now on."""
        self.call_records.start()
        self.charging.start()
        self.mailboxes.start()


class StoreWorkers:
    """What runs on the store beside the calls: `prepare` comes before the first of them, `start` after the listeners
    are open."""

    def __init__(
        self,
        parts: StoreParts,
        closing: AsyncExitStack,
        *,
        agent: UserAgent,
        board: HealthBoard,
        flows: Interpreter,
        kept: KeptMessages,
        settings: Settings,
        engine_state: Callable[[], str],
    ) -> None:
        """`engine_state`: "ok", or what is wrong with the engine itself, for `/readyz`."""
        storage, store, log = parts.storage, parts.storage.store, flows.calls.log
        recordings = None if flows.calls.media.recordings is None else flows.calls.media.recordings.folder
        self._parts = parts
        self._settings = settings
        self.provider_events = ProviderEvents(store, log)
        self.maintenance = Maintenance(store, storage.life, settings.retention, log, recordings)
        self.kept_messages = KeptMessagesFeed(storage.feed, kept, log)
        self.webhooks = WebhookSender(store, flows, storage.new_events, PLATFORM, log)
        self.prober = Prober(
            agent,
            flows.calls.directory,
            board,
            log,
            interval=settings.sip.probe_interval,
            domain=lambda: flows.calls.routing.from_domain,
            utc_now=store.clock,
            changed=self.provider_events.changed,
            health_store=ProviderHealthStore(store, storage.life.name, log),
        )
        self.readiness = Readiness(
            storage, engine=engine_state, unwritten=lambda: parts.call_records.problem, recordings=recordings
        )
        for part in (
            self.provider_events,
            self.maintenance,
            self.kept_messages,
            self.webhooks,
            self.prober,
            self.readiness,
        ):
            closing.push_async_callback(part.close)

    async def prepare(self) -> str:
        """Read what calls need. Returns the access key of a first start, "" at every other. Raises StoreError."""
        storage = self._parts.storage
        try:
            made_up_key = await bootstrap(storage.store, self._settings.api.admin_key)
            await self._parts.contact_center.start()
            await self.prober.restore()
        except SQLAlchemyError as error:
            raise storage.unusable(error) from error
        return made_up_key

    async def start(self) -> None:
        """Close what earlier runs left open, and begin. Raises StoreError."""
        try:
            # Not before the listeners are open: on them, another engine of this name would still have its calls.
            await self.maintenance.recover(starting=True)
        except SQLAlchemyError as error:
            raise self._parts.storage.unusable(error) from error
        await self.maintenance.sweep()
        self.maintenance.start()
        self.kept_messages.start()
        self.webhooks.start()
        if self._settings.sip.probe_interval:
            self.prober.start()
