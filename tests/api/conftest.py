"""An API on a store of its own, asked through ASGI without a socket."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache, partial
from typing import Any
from unittest.mock import Mock
from uuid import UUID, uuid4

import httpx
import pytest
import structlog
from fastapi import FastAPI

from api.app import make_app
from api.http.limits import RequestLimits
from api.http.refusals import Refusals
from api.http.requests import Observer, unobserved
from api.http.services import Services
from api.http.tokens import Tokens, key_hash, key_prefix, make_key
from engine.dial import DialSpec, Outcome
from engine.rate_limit import RateLimit
from flows.actions import ACTIONS
from flows.calls.registry import CallRegistry
from flows.calls.services import CallServices
from flows.language.interpreter import Interpreter
from flows.language.library import FlowLibrary
from flows.language.message_run import run_message
from flows.messages.outbox import MessageQueue
from routing.directory.directory import Directory
from routing.hunt.health import HealthBoard
from routing.hunt.router import Router
from routing.settings import RoutingSettings
from service.bootstrap import bootstrap, token_secret
from service.messages.store import StoredMessages
from store import rows
from store.database import tables
from store.resources.events import EventSignal
from store.store import Store
from tests.service.conftest import log as log  # fixtures: an engine and its phones
from tests.service.conftest import run as run


class Client:
    """Asks as somebody. Every answer is checked for what every answer has."""

    def __init__(self, http: httpx.AsyncClient, key: str, customer_id: UUID, agent_id: UUID) -> None:
        self.http = http
        self.key = key
        self.customer_id = customer_id
        self.agent_id = agent_id

    async def ask(self, method: str, path: str, status: int | None = None, **options: Any) -> Any:
        headers = options.pop("headers", {}) | ({"Authorization": f"Bearer {self.key}"} if self.key else {})
        answer = await self.http.request(method, path, headers=headers, **options)
        assert answer.headers["x-request-id"]
        document = json.loads(answer.content)
        assert status is None or answer.status_code == status, f"{method} {path}: {answer.status_code} {document}"
        if answer.status_code >= 400:
            assert set(document) == {"error"}
            assert {"status", "reason", "message", "request_id"} <= set(document["error"])
            assert document["error"]["request_id"] == answer.headers["x-request-id"]
            whole = document["error"]["reason"] in ("INVALID_JSON_BODY", "METHOD_NOT_ALLOWED")
            if document["error"]["status"] == "INVALID_ARGUMENT" and not whole:
                assert document["error"]["details"], f"{method} {path}: {document}"
            return document["error"]
        return document

    async def get(self, path: str, status: int = 200, **params: Any) -> Any:
        return await self.ask("GET", path, status, params=params)

    async def post(self, path: str, body: Any = None, status: int = 201, **options: Any) -> Any:
        return await self.ask("POST", path, status, json={} if body is None else body, **options)

    async def put(self, path: str, body: Any, status: int = 200) -> Any:
        return await self.ask("PUT", path, status, json=body)

    async def delete(self, path: str, status: int = 200) -> Any:
        return await self.ask("DELETE", path, status)


class Api:
    """The application, its services, and clients made as they are needed."""

    def __init__(self, services: Services, http: httpx.AsyncClient, root_key: str, app: FastAPI | None = None) -> None:
        self.app = app or application(services)
        self.services = services
        self.store = services.store
        self.http = http
        self.network = Network()
        self.nobody = Client(http, "", UUID(int=0), UUID(int=0))
        self.root_key = root_key

    async def start(self) -> None:
        async with self.store.read() as connection:
            query = tables.agents.select().where(tables.agents.c.permission == "project_super_admin")
            admin = (await connection.execute(query)).mappings().one()
        self.root = Client(self.http, self.root_key, admin["customer_id"], admin["id"])

    async def customer(self, name: str = "", tier: str = "free", balance: int = 0) -> UUID:
        async with self.store.write() as transaction:
            row = await rows.insert(transaction, tables.customers, {"name": name or "somebody"})
            account = {"customer_id": row["id"], "tier": tier, "balance": balance}
            await rows.insert(transaction, tables.billing_accounts, account)
            transaction.changed("customer", row["id"])
        identifier: UUID = row["id"]
        return identifier

    async def client(self, permission: str = "customer_admin", customer_id: UUID | None = None) -> Client:
        """Somebody with this permission; of a new customer, or of this one."""
        customer_id = customer_id or await self.customer()
        key = make_key()
        async with self.store.write() as transaction:
            agent = await rows.insert(
                transaction,
                tables.agents,
                {
                    "customer_id": customer_id,
                    "username": uuid4().hex,
                    "permission": permission,
                    "password_hash": "",
                    "status": "offline",
                    "ring_method": "ring_all",
                },
            )
            await rows.insert(
                transaction,
                tables.accesskeys,
                {
                    "customer_id": customer_id,
                    "agent_id": agent["id"],
                    "key_hash": key_hash(key),
                    "key_prefix": key_prefix(key),
                    "permission": permission,
                },
            )
        return Client(self.http, key, customer_id, agent["id"])


class Network:
    """Where messages go to: keeps them, and answers as told."""

    def __init__(self) -> None:
        self.sent: list[tuple[DialSpec, str]] = []
        self.outcome = Outcome(kind="answered", status=200, reason="OK", retry_after=0, first_reply=1.0)
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self, spec: DialSpec, text: str) -> Outcome:
        self.sent.append((spec, text))
        await self.go.wait()
        return self.outcome


def environment() -> Interpreter:
    """An engine that dials nobody."""
    directory, routing = Directory(), RoutingSettings()
    router = Router(directory, HealthBoard(), routing, random.Random(1))
    agent: Any = None
    library = FlowLibrary(ACTIONS)
    calls = CallServices(
        dialler=agent,
        router=router,
        directory=directory,
        routing=routing,
        library=library,
        log=structlog.get_logger(),
        registry=CallRegistry(log=structlog.get_logger()),
    )
    return Interpreter(calls=calls, library=library)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Api]:
    """An API on the store of this URL, with a super admin `root`."""
    store = await Store.open(url)
    key = await bootstrap(store)

    services = Services(
        store=store,
        flows=environment(),
        tokens=Tokens(await token_secret(store)),
        clock=time.monotonic,
        limits=RequestLimits(RateLimit(0, 1), RateLimit(0, 1), lambda: services.clock()),
        refusals=Refusals(time.monotonic),
        new_events=EventSignal(store),
    )
    app = application(services)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://trunkline") as http:
        made = Api(services, http, key, app)
        await made.start()
        services.flows.messages = MessageQueue(
            services.flows.calls,
            made.network,
            StoredMessages(store, services.node_id),
            run_flow=partial(run_message, services.flows),
        )
        yield made
        await services.flows.messages.close()
    await store.close()


def application(services: Services, *, version: str = "0", observe: Observer = unobserved) -> FastAPI:
    """What `make_app` makes. There is one for all tests of a process, which takes a quarter of a second to make, and
    its document half a second: it serves whom it was last asked for."""
    app = _app()
    app.version = version
    app.state.services, app.state.observe = services, observe
    app.middleware_stack = None  # made anew with the next request, and with it a logger that goes by today's settings
    return app


@cache
def _app() -> FastAPI:
    def observe(*told: Any) -> None:
        app.state.observe(*told)

    app = make_app(Mock(spec=Services), observe=observe)
    return app


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    """An API on a store in memory, with a super admin `api.root`."""
    async with opened(":memory:") as made:
        yield made


@pytest.fixture
async def api_on(store_url: str) -> AsyncIterator[Api]:
    """The same on SQLite on a disk and on PostgreSQL: for what happens at the same time, and for own SQL."""
    async with opened(store_url) as made:
        yield made
