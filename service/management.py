"""What runs on the store beside the calls: their records, their price, the providers' health, news, and the API."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib import metadata
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from api.app import make_app
from api.http.clients import Clients
from api.http.limits import Limits
from api.http.refusals import Refusals
from api.http.services import Services
from api.http.tokens import Tokens
from engine.rate_limit import RateLimit
from routing.identifiers import NIL, PLATFORM
from routing.models.provider import Provider
from service.api_server import ApiServer
from service.billing.charging import Charging
from service.bootstrap import bootstrap, token_secret
from service.cdr.journal import Journal
from service.cdr.recordings import RecordingList
from service.contact_center.setup import Rooms
from service.message_store import StoredMessages
from service.metrics.metrics import Metrics, Reading
from service.storage import Storage
from service.workers.health_keeper import StoredHealth
from service.workers.loop_lag import LoopLag
from service.workers.maintenance import Upkeep
from service.workers.prober import Prober
from service.workers.webhook_sender import WebhookSender
from store.database.engines import reason
from store.database.errors import StoreError
from store.database.file import disk_problem
from store.resources import deliveries

if TYPE_CHECKING:
    from service.node import Node

_CHECK_WITHIN: Final = 2.0  # s
_SETTLED_WITHIN: Final = 1.0  # s


class Management:
    """Made on an open store. `prepare` comes before the first call, `start` after the listeners are open.

    Attributes:
        made_up_key: The access key of a first start, to be shown once; "" at every other.
        server: The API's listener; None where it is switched off.
    """

    def __init__(self, node: "Node", storage: Storage) -> None:
        self._node = node
        self._storage = storage
        self._settings = node.configuration.settings
        self.metrics = Metrics()
        self.journal = Journal(storage.store, node.env, storage.life.id, node.log)
        self.rooms = Rooms(node, storage)
        self.charging = Charging(storage.store, storage.life.id, node.log)
        self.prober = Prober(
            node.agent,
            node.directory,
            node.board,
            node.log,
            interval=self._settings.sip.probe_interval,
            domain=lambda: node.env.routing.from_domain,
            utc_now=storage.store.clock,
            changed=self._provider_changed,
            keeper=StoredHealth(storage.store, storage.life.name, node.log),
        )
        self.webhooks = WebhookSender(storage.store, node.env, storage.bell, PLATFORM, node.log)
        self.lag = LoopLag(self.metrics.lag)
        self.upkeep = Upkeep(
            storage.store,
            storage.life,
            self._settings.retention,
            node.log,
            node.env.recordings.folder if node.env.recordings is not None else None,
        )
        self.server: ApiServer | None = None
        self.made_up_key = ""
        self._waiting_deliveries = 0
        # When the monotonic clock began, once and for all: what is shown of a moment is always the same.
        self._zero = datetime.now(UTC) - timedelta(seconds=time.monotonic())
        self._checking: asyncio.Task[Mapping[str, str]] | None = None
        self._news: set[asyncio.Task[None]] = set()

    async def prepare(self) -> None:
        """Be ready to take calls down. Raises StoreError."""
        try:
            self.made_up_key = await bootstrap(self._storage.store, self._settings.api.admin_key)
            await self.rooms.start()
            await self.prober.restore()
        except SQLAlchemyError as error:
            raise self._unusable(error) from error
        self.journal.start()
        self.charging.start()
        self._node.env.charging = self.charging
        if self._node.env.post is not None:
            self._node.env.post.keep_in(StoredMessages(self._storage.store, self._storage.life.id))
        if self._node.env.recordings is not None:
            self._node.env.recordings.keeper = RecordingList(self._storage.store, self._storage.life.id, self._node.log)
        if self._settings.api.listen:
            self._node.env.calls.observers.append(self.metrics)

    async def start(self) -> None:
        """Close what earlier runs left open, and begin with everything else. Raises StoreError, ApiListenError."""
        try:
            # Not before the listeners are open: on them, another engine of this name would still have its calls.
            await self.upkeep.recover(starting=True)
        except SQLAlchemyError as error:
            raise self._unusable(error) from error
        await self.upkeep.sweep()
        self.upkeep.start()
        self.webhooks.start()
        if self._settings.sip.probe_interval:
            self.prober.start()
        if not self._settings.api.listen:
            return
        self._read_metrics()
        self.lag.start()
        services = await self._services()
        app = make_app(services, version=metadata.version("trunkline"), observe=self.metrics.request)
        self.server = ApiServer(app, self._settings.api.listen, services.refusals.tell)
        await self.server.start()

    def _unusable(self, error: SQLAlchemyError) -> StoreError:
        return StoreError(f"{self._storage.store.url} cannot be used: {reason(error)}")

    async def close_api(self) -> None:
        """Before the calls end: no new work comes in."""
        self._storage.bell.ring()  # streams see that the engine is stopping
        if self.server is not None:
            await self.server.close()

    async def close(self) -> None:
        """After the calls have ended: write what is left of them."""
        self.lag.close()
        if self._checking is not None:
            await asyncio.wait((self._checking,))
        await self.prober.close()
        await self.webhooks.close()
        await self.upkeep.close()
        if self._news:
            await asyncio.wait(self._news)
        await self.rooms.close()
        await self.charging.close()
        await self.journal.close()

    # ---- what the API works with

    async def _services(self) -> Services:
        node, api = self._node, self._settings.api
        return Services(
            store=self._storage.store,
            env=node.env,
            tokens=Tokens(await token_secret(self._storage.store)),
            clock=node.agent.now,
            moment=self._moment,
            bans=node.peers.bans,
            limits=Limits(
                RateLimit(api.request_rate.rate, api.request_rate.burst),
                RateLimit(api.address_rate.rate, api.address_rate.burst),
                node.agent.now,
            ),
            refusals=Refusals(node.agent.now),
            clients=Clients(api.trusted_proxies),
            bell=self._storage.bell,
            stored=self.journal.stored,
            node_id=self._storage.life.id,
            trace=node.agent.trace,
            health=self.prober.health,
            draining=lambda: node.draining,
            settled=self._settled,
            checks=self._checks,
            metrics=self._metrics_text,
        )

    def _moment(self, seconds: float) -> datetime:
        return self._zero + timedelta(seconds=seconds)

    async def _settled(self) -> None:
        await self._storage.feed.settled()
        # The store may go away between a commit and the look at it, and nobody may answer for a name.
        with suppress(TimeoutError):
            async with asyncio.timeout(_SETTLED_WITHIN):
                await self.rooms.directory.settled()
                await self._node.names_settled()

    async def _checks(self) -> Mapping[str, str]:
        """One look at a time, for all who ask meanwhile: anybody may, and as often as they like."""
        if self._checking is None or self._checking.done():
            self._checking = asyncio.get_running_loop().create_task(self._checked(), name="readiness")
        return await asyncio.shield(self._checking)

    async def _checked(self) -> Mapping[str, str]:
        node, feed = self._node, self._storage.feed
        checks = {
            "engine": "stopping" if node.draining else "ok" if node.agent.listeners else "not listening",
            "store": await self._store_answers(),
            "directory": "ok" if feed.healthy else f"not current for {feed.lag:.0f} s",
        }
        if problem := await self._recordings_disk():
            checks["recordings"] = problem
        return checks

    async def _store_answers(self) -> str:
        try:
            async with asyncio.timeout(_CHECK_WITHIN), self._storage.store.read() as connection:
                await connection.execute(sa.select(1))
        except TimeoutError:
            return f"no answer within {_CHECK_WITHIN:g} s"
        except (StoreError, SQLAlchemyError, OSError) as error:
            return reason(error)
        life = self._storage.life
        problem = life.problem or self.journal.problem or await life.disk_problem()
        return f"cannot be written: {problem}" if problem else "ok"

    async def _recordings_disk(self) -> str:
        recordings = self._node.env.recordings
        return "" if recordings is None else await asyncio.to_thread(disk_problem, recordings.folder)

    def _read_metrics(self) -> None:
        node, feed, journal = self._node, self._storage.feed, self.journal
        self.metrics.read_engine(node.agent, node.directory, node.board)
        self.metrics.read(
            [
                Reading("store_calls_waiting", "Calls with something not stored yet.", lambda: journal.waiting),
                Reading("store_calls_written", "Rows of calls stored.", lambda: journal.written, grows=True),
                Reading("store_calls_lost", "Calls that could not be stored.", lambda: journal.dropped, grows=True),
                Reading("rtp_ports_in_use", "RTP ports that calls hold.", lambda: node.agent.ports.in_use),
                Reading("rtp_ports_idle", "RTP ports kept open for the next calls.", lambda: node.agent.ports.idle),
                Reading("bans", "Addresses that are banned.", lambda: len(node.peers.bans.bans())),
                Reading("feed_lag_seconds", "How old what calls go by can be.", lambda: feed.lag),
                Reading("feed_changes", "Changes taken over.", lambda: feed.applied, grows=True),
                Reading("feed_resynchronisations", "Full ones.", lambda: feed.resynchronisations, grows=True),
                Reading(
                    "messages_waiting",
                    "Destinations of text messages that wait.",
                    lambda: 0 if node.env.post is None else node.env.post.waiting,
                ),
                Reading("webhooks_waiting", "Deliveries that wait.", lambda: self._waiting_deliveries),
                Reading("webhooks_delivered", "Deliveries taken.", lambda: self.webhooks.delivered, grows=True),
                Reading("webhooks_failed", "Deliveries given up.", lambda: self.webhooks.failed, grows=True),
            ]
        )

    async def _metrics_text(self) -> bytes:
        # Whoever looks while the store is away has to see just that: the one number asked of it stays as it was.
        with suppress(StoreError, SQLAlchemyError, OSError):
            async with asyncio.timeout(_CHECK_WITHIN):
                self._waiting_deliveries = await deliveries.waiting(self._storage.store)
        return self.metrics.text()

    # ---- news of our own

    def _provider_changed(self, provider: Provider, healthy: bool, why: str) -> None:
        task = asyncio.get_running_loop().create_task(self._tell(provider, healthy, why), name="provider event")
        self._news.add(task)
        task.add_done_callback(self._news.discard)

    async def _tell(self, provider: Provider, healthy: bool, why: str) -> None:
        now = self._storage.store.clock()
        data = {"id": str(provider.id), "name": provider.name, "hostname": provider.hostname, "reason": why}
        try:
            async with self._storage.store.write() as transaction:
                transaction.event("provider_healthy" if healthy else "provider_unhealthy", NIL, data, now)
        except (StoreError, SQLAlchemyError, OSError) as error:
            self._node.log.error("event not stored", provider=provider.name, error=reason(error))
