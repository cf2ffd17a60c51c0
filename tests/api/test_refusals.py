"""The log has every refusal under the request_id that its answer has."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from api.http.exchange import Exchange
from api.http.limits import RequestLimits
from api.http.refusals import Refusals
from engine.rate_limit import RateLimit
from tests.api.conftest import Api

UNKNOWN = str(uuid4())

# Method, path, options of the request, status, reason; asked by a customer's agent.
REFUSED: Mapping[str, tuple[str, str, dict[str, Any], int, str]] = {
    "a bad body": ("POST", "/v1.0/queues", {"json": {"name": 7}}, 400, "INVALID_REQUEST_PARAMETER"),
    "no JSON": ("POST", "/v1.0/queues", {"content": b"{"}, 400, "INVALID_JSON_BODY"),
    "what nothing can keep": (
        "POST",
        "/v1.0/queues",
        {"content": b'{"name":"\\u0000"}'},
        400,
        "INVALID_REQUEST_PARAMETER",
    ),
    "a key twice": ("POST", "/v1.0/queues", {"content": b'{"a":1,"a":1}'}, 400, "INVALID_JSON_BODY"),
    "a bad id": ("GET", "/v1.0/queues/7", {}, 400, "INVALID_ID"),
    "a bad filter": ("GET", "/v1.0/queues?x=7", {}, 400, "INVALID_REQUEST_PARAMETER"),
    "not allowed": ("POST", "/v1.0/providers", {"json": {"hostname": "192.0.2.1"}}, 403, "PERMISSION_DENIED"),
    "not there": ("GET", f"/v1.0/calls/{UNKNOWN}", {}, 404, "CALL_NOT_FOUND"),
    "no such path": ("GET", "/v1.0/nothing", {}, 404, "PATH_NOT_FOUND"),
    "no such path for a head": ("HEAD", "/v1.0/nothing", {}, 404, "PATH_NOT_FOUND"),
    "no such method": ("PATCH", "/v1.0/queues", {}, 405, "METHOD_NOT_ALLOWED"),
    "no such method at an id": ("POST", f"/v1.0/queues/{UNKNOWN}", {}, 405, "METHOD_NOT_ALLOWED"),
    "no such method at a path that is written out": ("PUT", "/v1.0/flows/validate", {}, 405, "METHOD_NOT_ALLOWED"),
    "too large": ("POST", "/v1.0/queues", {"content": b" " * 1048577}, 413, "REQUEST_TOO_LARGE"),
    "its own": ("DELETE", "/v1.0/agents/{agent}", {}, 409, "RESOURCE_IN_USE"),
}


def line_of(lines: list[Any], request_id: str) -> Any:
    (line,) = [line for line in lines if line["event"] == "request refused" and line["request_id"] == request_id]
    return line


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("own_id", [True, False])
async def test_a_refusal_is_found_by_its_id(api: Api, name: str, own_id: bool) -> None:
    method, path, options, status, reason = REFUSED[name]
    admin = await api.client()
    path = path.format(agent=admin.agent_id)
    headers = {"Authorization": f"Bearer {admin.key}"} | ({"X-Request-Id": "mine:7"} if own_id else {})
    headers |= {"Content-Type": "application/json"}
    with capture_logs() as lines:
        answer = await api.http.request(method, path, headers=headers, **options)
    assert answer.status_code == status
    line = line_of(lines, answer.headers["x-request-id"])
    assert line["log_level"] == "info"
    assert (line["status"], line["reason"], line["method"]) == (status, reason, method)
    assert line["path"] == path.partition("?")[0] and line["address"] == "127.0.0.1"
    assert line["customer"] == str(admin.customer_id) and len(line["key"]) == 36
    assert admin.key not in str(line)
    if own_id:
        assert line["request_id"] == "mine:7"


async def test_what_is_refused_before_anybody_looks_counts_for_nobody_with_good_credentials(api: Api) -> None:
    admin = await api.client()
    api.services.limits = RequestLimits(RateLimit(0, 1), RateLimit(0.001, 1), api.services.clock)
    headers = {"Authorization": f"Bearer {admin.key}"}
    for _ in range(3):
        answer = await api.http.post("/v1.0/queues", content=b"{", headers=headers)
        assert answer.status_code == 400
        assert (await api.http.get("/v1.0/nothing", headers=headers)).status_code == 404
    assert (await api.http.get("/v1.0/queues")).status_code == 401
    assert (await api.http.post("/v1.0/queues", content=b"{")).status_code == 429


async def test_who_logged_in_is_told_by_its_agent(api: Api) -> None:
    admin = await api.client()
    made = await admin.post("/v1.0/agents", {"username": "ben", "password": "correct horse"})
    token = (await api.nobody.post("/v1.0/auth/login", {"username": "ben", "password": "correct horse"}, 200))["token"]
    with capture_logs() as lines:
        answer = await api.http.post("/v1.0/queues?token=" + token, json={})
    line = line_of(lines, answer.headers["x-request-id"])
    assert (line["agent"], line["customer"], line["status"]) == (made["id"], str(admin.customer_id), 403)
    assert "key" not in line and token not in str(lines)


async def test_a_stranger_and_an_address_that_asks_too_much(api: Api) -> None:
    api.services.limits = RequestLimits(RateLimit(0, 1), RateLimit(0.001, 2), api.services.clock)
    with capture_logs() as lines:
        for shown in ("", "tk_wrong", "tk_wrong"):
            await api.http.get("/v1.0/queues", headers={"Authorization": f"Bearer {shown}"} if shown else {})
        await api.http.post("/v1.0/auth/login", json={"username": "ben", "password": "no such password"})
    found = [(line["status"], line["reason"]) for line in lines if line["event"] == "request refused"]
    assert found == [
        (401, "AUTHENTICATION_REQUIRED"),
        (401, "INVALID_CREDENTIALS"),
        (429, "RATE_LIMIT_EXCEEDED"),
        (429, "RATE_LIMIT_EXCEEDED"),
    ]
    assert "tk_wrong" not in str(lines) and "no such password" not in str(lines)


async def test_failures_of_ours_and_of_the_store(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from store.database.errors import StoreError

    admin = await api.client()
    for error, status, reason in (
        (ZeroDivisionError(), 500, "INTERNAL_ERROR"),
        (StoreError("gone"), 503, "SERVICE_UNAVAILABLE"),
    ):

        def fail(*_arguments: Any, _error: Exception = error, **_options: Any) -> None:
            raise _error

        with monkeypatch.context() as patched, capture_logs() as lines:
            patched.setattr("api.resources.resource.rows.page", fail)
            refused = await admin.get("/v1.0/queues", status)
        line = line_of(lines, refused["request_id"])
        assert (line["status"], line["reason"], line["customer"]) == (status, reason, str(admin.customer_id))


async def test_what_was_refused_before_is_refused_again_by_name(api: Api) -> None:
    """The answer to an earlier request with the same Idempotency-Key."""
    admin = await api.client()
    with capture_logs() as lines:
        for _ in range(2):
            headers = {"Authorization": f"Bearer {admin.key}", "Idempotency-Key": "7"}
            answer = await api.http.post("/v1.0/queues", json={"agent_ids": [UNKNOWN]}, headers=headers)
            assert answer.status_code == 400
            # The answer is the first one, whose id is in the log, too.
            for request_id in (answer.headers["x-request-id"], answer.json()["error"]["request_id"]):
                assert line_of(lines, request_id)["reason"] == "AGENT_NOT_FOUND"


async def test_whether_it_is_ready_is_no_refusal(api: Api) -> None:
    async def checks() -> Mapping[str, str]:
        return {"store": "away"}

    api.services.checks = checks
    with capture_logs() as lines:
        assert (await api.http.get("/readyz")).status_code == 503
        assert (await api.http.get("/metrics")).status_code == 401
    assert [line["path"] for line in lines if line["event"] == "request refused"] == ["/metrics"]


@pytest.mark.parametrize(
    "path", ["/v1.0/accesskeys/tk_abc-DEF_0123456789", "/x/eyJhbGciOi.eyJzdWIi.c2ln", "/tk_%61bc/x", "/v1.0/%1b[31m"]
)
async def test_a_path_is_shown_without_secrets_and_in_one_line(api: Api, path: str) -> None:
    with capture_logs() as lines:
        await api.http.get(path)
    (line,) = [line for line in lines if line["event"] == "request refused"]
    for secret in ("tk_abc", "eyJ", "c2ln", "\x1b"):
        assert secret not in line["path"]


# ---- so much of it and no more


def told(refusals: Refusals, count: int, address: str = "192.0.2.7", caller: Any = None) -> list[Any]:
    with capture_logs() as lines:
        for number in range(count):
            exchange = Exchange(f"req_{number}", address, caller=caller, reason="X")
            refusals.tell(exchange, "GET", "/x" * 5000, 401)
    return list(lines)


def test_strangers_are_told_at_a_bounded_rate_with_what_was_left_out() -> None:
    now = [0.0]
    refusals = Refusals(lambda: now[0])
    lines = told(refusals, 1000)
    assert len(lines) == 20 and all(len(line["path"]) < 300 for line in lines)
    now[0] += 1
    first, second = told(refusals, 2)
    assert first["unlogged"] == 980 and "unlogged" not in second


def test_a_thousand_strangers_write_no_more_than_some_do() -> None:
    refusals = Refusals(lambda: 0.0)
    lines = [line for number in range(1000) for line in told(refusals, 1, f"10.0.{number // 256}.{number % 256}")]
    assert len(lines) == 200
    assert len(told(Refusals(lambda: 0.0), 1000, "2001:db8::1")) == 20


async def test_strangers_take_no_line_from_customers(api: Api) -> None:
    from api.http.auth import Caller

    refusals = Refusals(lambda: 0.0)
    told(refusals, 5000)
    caller = Caller(agent_id=uuid4(), customer_id=uuid4(), permission="customer_admin")
    assert len(told(refusals, 100, caller=caller)) == 100
    assert len(told(refusals, 5000, caller=caller)) < 200
    assert (
        len(told(refusals, 100, caller=Caller(agent_id=uuid4(), customer_id=uuid4(), permission="customer_admin")))
        == 100
    )
