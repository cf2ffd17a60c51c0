"""The REST API of an engine: what its requests work with, its metrics, and its listener."""

import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from importlib import metadata

from api.app import make_app
from api.http.clients import Clients
from api.http.limits import RequestLimits
from api.http.refusals import Refusals
from api.http.services import Services
from api.http.tokens import Tokens
from config.settings import ApiSettings
from engine.media.rtpengine.pool import Rtpengines
from engine.rate_limit import RateLimit
from engine.transport.certificates import Certificates
from engine.user_agent import UserAgent
from flows.language.interpreter import Interpreter
from routing.access.bans import BanTable
from routing.hunt.health import HealthBoard
from routing.location import Location
from service.bootstrap import token_secret
from service.certificates import CertificateReader
from service.metrics import all_metrics
from service.metrics.registry import Sources
from service.phones.registrar import Registrar
from service.rest.server import ApiServer
from service.store_parts import StoreParts, StoreWorkers
from service.workers.loop_lag import LoopLag


class RestApi:
    """Made before the first call, which its metrics count; `start` comes when the listeners are open."""

    def __init__(
        self,
        settings: ApiSettings,
        closing: AsyncExitStack,
        *,
        parts: StoreParts,
        workers: StoreWorkers,
        agent: UserAgent,
        flows: Interpreter,
        board: HealthBoard,
        bans: BanTable,
        location: Location,
        registrar: Registrar,
        rtpengines: Rtpengines | None,
        subscriptions: Callable[[], Mapping[str, int]],
        draining: Callable[[], bool],
        settled: Callable[[], Awaitable[None]],
        certificates: CertificateReader | None,
        sip_certificates: Certificates | None,
    ) -> None:
        """subscriptions: those of phones, by package. certificates: what it shows; None for HTTP. sip_certificates:
        what SIP's listeners show. draining: whether the engine is stopping. settled: waits until what is committed
        counts for calls."""
        assert flows.messages is not None
        storage = parts.storage
        self._settings = settings
        self._parts = parts
        self._workers = workers
        self._agent = agent
        self._flows = flows
        self._bans = bans
        self._location = location
        self._draining = draining
        self._settled = settled
        self._certificates = certificates
        self._metrics = all_metrics(
            Sources(
                agent=agent,
                directory=flows.calls.directory,
                board=board,
                bans=bans,
                location=location,
                registrar=registrar,
                rtpengines=rtpengines,
                certificates=[
                    shown for shown in (sip_certificates, certificates and certificates.certificates) if shown
                ],
                subscriptions=subscriptions,
                calls=flows.calls.registry,
                lookups=flows.calls.lookups.counts if flows.calls.lookups is not None else {},
                messages=flows.messages,
                store=storage.store,
                feed=storage.feed,
                call_records=parts.call_records,
                webhooks=workers.webhooks,
            )
        )
        self._lag = LoopLag(self._metrics.lag)
        closing.push_async_callback(self._lag.close)
        self._closing = closing

    async def start(self) -> ApiServer:
        """Serve. Raises StoreError, ListenError."""
        self._lag.start()
        services = await self._services()
        app = make_app(services, version=metadata.version("trunkline"), observe=self._metrics.request)
        server = ApiServer(app, self._settings.listen, services.refusals.tell, self._certificates)
        self._closing.push_async_callback(server.close)
        await server.start()
        return server

    async def _services(self) -> Services:
        settings, storage, now = self._settings, self._parts.storage, self._agent.now
        # When the monotonic clock began, once and for all: what is shown of a moment is always the same.
        zero = datetime.now(UTC) - timedelta(seconds=time.monotonic())
        return Services(
            store=storage.store,
            flows=self._flows,
            tokens=Tokens(await token_secret(storage.store)),
            clock=now,
            moment=lambda seconds: zero + timedelta(seconds=seconds),
            bans=self._bans,
            location=self._location,
            node_name=storage.life.name,
            limits=RequestLimits(
                RateLimit(settings.request_rate.rate, settings.request_rate.burst),
                RateLimit(settings.address_rate.rate, settings.address_rate.burst),
                now,
            ),
            refusals=Refusals(now),
            clients=Clients(settings.trusted_proxies),
            new_events=storage.new_events,
            stored=self._parts.call_records.stored,
            node_id=storage.life.id,
            trace=self._agent.trace,
            health=self._workers.prober.health,
            draining=self._draining,
            settled=self._settled,
            checks=self._workers.readiness.checks,
            metrics=self._metrics.text,
        )
