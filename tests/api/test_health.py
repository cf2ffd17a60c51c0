"""What machines that look after this one are told."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx
import pytest

from api.http.limits import RequestLimits
from api.resources import health
from engine.rate_limit import RateLimit
from store.database.errors import StoreError
from tests.api.conftest import Api


async def test_alive_and_ready_need_no_credentials(api: Api) -> None:
    assert await api.nobody.get("/healthz") == {"status": "ok"}
    assert (await api.nobody.get("/readyz"))["status"] == "ready"


async def test_machines_that_look_after_this_one_are_never_limited(api: Api) -> None:
    """They ask from the address of a proxy, which others share."""
    api.services.limits = RequestLimits(RateLimit(0, 1), RateLimit(0.001, 1), api.services.clock)
    assert [(await api.http.get("/openapi.json")).status_code for _ in range(3)] == [200, 429, 429]
    for path in ("/healthz", "/readyz"):
        assert {(await api.http.get(path)).status_code for _ in range(5)} == {200}, path
    for headers, status in (({}, 401), ({"Authorization": f"Bearer {api.root.key}"}, 200)):
        assert {(await api.http.get("/metrics", headers=headers)).status_code for _ in range(5)} == {status}
    # Nor does what they ask count against those who ask from there.
    api.services.limits = RequestLimits(RateLimit(0, 1), RateLimit(0.001, 1), api.services.clock)
    for _ in range(3):
        await api.http.get("/metrics", headers={"Authorization": "Bearer tk_wrong"})
    assert (await api.http.get("/openapi.json")).status_code == 200


async def test_what_is_not_ready_says_why_with_503(api: Api) -> None:
    async def checks() -> Mapping[str, str]:
        return {"listeners": "ok", "store": "cannot be reached"}

    api.services.checks = checks
    answer = await api.http.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "not ready", "checks": {"listeners": "ok", "store": "cannot be reached"}}


async def test_metrics_are_for_those_who_run_the_engine(api: Api) -> None:
    async def metrics() -> bytes:
        return b"trunkline_legs 0\n"

    api.services.metrics = metrics
    admin, watcher = await api.client("customer_admin"), await api.client("customer_agent", api.root.customer_id)
    assert (await admin.get("/metrics", 403))["reason"] == "PERMISSION_DENIED"
    for key in (api.root.key, watcher.key):
        answer = await api.http.get("/metrics", headers={"Authorization": f"Bearer {key}"})
        assert (answer.status_code, answer.text) == (200, "trunkline_legs 0\n")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")


async def test_a_proxy_on_this_machine_opens_metrics_to_nobody(api: Api) -> None:
    """It asks from 127.0.0.1, and many say of themselves nothing at all."""
    transport = api.http._transport
    assert isinstance(transport, httpx.ASGITransport)
    for address in ("127.0.0.1", "::1", "192.0.2.1"):
        transport.client = (address, 5000)
        assert (await api.nobody.get("/metrics", 401))["reason"] == "AUTHENTICATION_REQUIRED"


@pytest.mark.parametrize("silent", [False, True])
async def test_metrics_are_served_while_the_store_is_away(
    api: Api, monkeypatch: pytest.MonkeyPatch, silent: bool
) -> None:
    """It is then that somebody wants to see how many calls wait to be stored."""
    now = 1000.0

    async def metrics() -> bytes:
        return b"trunkline_store_calls_waiting 7\n"

    @asynccontextmanager
    async def away() -> AsyncIterator[None]:
        if silent:
            await asyncio.sleep(60)
        raise StoreError("cannot be reached")
        yield

    async def asked(key: str) -> int:
        return (await api.http.get("/metrics", headers={"Authorization": f"Bearer {key}"})).status_code

    monkeypatch.setattr(api.services, "clock", lambda: now)
    api.services.metrics = metrics
    admin, late = await api.client("customer_admin"), await api.client("project_super_admin")
    assert [await asked(key) for key in (api.root.key, admin.key)] == [200, 403]
    monkeypatch.setattr(health, "PATIENCE", 0.01)
    monkeypatch.setattr(api.services.store, "read", away)
    for key, status in ((api.root.key, 200), (admin.key, 503), (late.key, 503), ("tk_nonsense", 503)):
        assert await asked(key) == status
    now += health.REMEMBERED + 1
    assert await asked(api.root.key) == 503
