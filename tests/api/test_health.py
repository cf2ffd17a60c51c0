"""What machines that look after this one are told."""

from collections.abc import Mapping

import httpx

from api.limits import Limits
from engine.rate_limit import RateLimit
from tests.api.conftest import Api


async def test_alive_and_ready_need_no_credentials(api: Api) -> None:
    assert await api.nobody.get("/healthz") == {"status": "ok"}
    assert (await api.nobody.get("/readyz"))["status"] == "ready"


async def test_whether_it_lives_is_told_however_often_somebody_asks(api: Api) -> None:
    api.services.limits = Limits(RateLimit(0, 1), RateLimit(0.001, 2))
    answers = [(await api.http.get(path)).status_code for path in ("/readyz", "/readyz", "/readyz", "/healthz")]
    assert answers == [200, 200, 429, 200]


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
