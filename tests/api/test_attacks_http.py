"""Requests that are no good before anything reads their bodies, and bodies without end: paths, methods, headers."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
import pytest
import structlog
from structlog.testing import capture_logs

from api.app import make_app
from api.http import requests
from api.http.methods import Methods
from tests.api.conftest import Api
from tests.api.test_attacks import JSON, refused

pytestmark = pytest.mark.long  # slow bodies are what is tested


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        ("/v1.0/queues/", 404, "PATH_NOT_FOUND"),
        ("//v1.0/queues", 404, "PATH_NOT_FOUND"),
        ("/v1.0//queues", 404, "PATH_NOT_FOUND"),
        ("/V1.0/queues", 404, "PATH_NOT_FOUND"),
        ("/v1.0/%71ueues/x/y", 404, "PATH_NOT_FOUND"),
        ("/", 404, "PATH_NOT_FOUND"),
        ("/v1.0", 404, "PATH_NOT_FOUND"),
        ("/v1.0/queues/%00", 400, "INVALID_ID"),
        ("/v1.0/queues/%ff", 400, "INVALID_ID"),
        ("/v1.0/queues/..%2f..%2fetc", 404, "PATH_NOT_FOUND"),
        ("/v1.0/queues/" + "x" * 5000, 400, "INVALID_ID"),
        ("/v1.0/queues/7%0d%0aX-Evil:%201", 400, "INVALID_ID"),
    ],
)
async def test_paths_that_lead_nowhere(api: Api, path: str, status: int, reason: str) -> None:
    assert (await refused(api, "GET", path, status))["reason"] == reason


async def test_an_id_is_an_id_however_it_is_written(api: Api) -> None:
    admin = await api.client()
    made = await admin.post("/v1.0/queues", {})
    plain = made["id"]
    for written in (plain.upper(), plain.replace("-", "%2D"), "%7B" + plain + "%7D", plain.replace("-", "")):
        assert (await admin.get(f"/v1.0/queues/{written}"))["id"] == plain


@pytest.mark.parametrize("method", ["OPTIONS", "PATCH", "TRACE", "CONNECT", "PROPFIND", "X"])
async def test_a_method_that_is_not_allowed_is_answered_with_those_that_are(api: Api, method: str) -> None:
    for path, allowed in (
        ("/v1.0/queues", "GET, HEAD, POST"),
        (f"/v1.0/queues/{uuid4()}", "DELETE, GET, HEAD, PUT"),
        ("/v1.0/flows/validate", "POST"),
        ("/v1.0/routes/explain", "GET, HEAD"),
        ("/v1.0/auth/login", "POST"),
    ):
        answer = await api.http.request(method, path)
        assert answer.status_code == 405, path
        assert answer.headers["allow"] == allowed, path
        error = answer.json()["error"]
        assert (error["status"], error["reason"]) == ("INVALID_ARGUMENT", "METHOD_NOT_ALLOWED")


async def test_what_is_written_out_is_no_id(api: Api) -> None:
    for method, path in (("PUT", "/v1.0/flows/validate"), ("DELETE", "/v1.0/routes/explain")):
        await refused(api, method, path, 405, json={})


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "a\tb", "a;b", '"', "caf\xe9", "a\x7fb", "<script>"])
async def test_a_request_id_that_is_not_well_formed_is_replaced(api: Api, given: str) -> None:
    headers = [(b"x-request-id", given.encode("latin-1"))]
    answer = await api.http.get("/v1.0/queues", headers=headers)
    assert answer.headers["x-request-id"].startswith("req_") and answer.headers.get_list("x-request-id", True)
    assert len(answer.headers.get_list("x-request-id")) == 1


async def test_a_request_id_is_in_the_answer_and_in_every_line(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: Any, **_options: Any) -> None:
        structlog.get_logger().warning("before it failed")
        raise ZeroDivisionError

    monkeypatch.setattr("api.resources.resource.rows.page", fail)
    with capture_logs([structlog.contextvars.merge_contextvars]) as lines:
        headers = {"X-Request-Id": "mine-1:2.3_4"}
        error = await refused(api, "GET", "/v1.0/queues", 500, headers=headers)
    assert error["request_id"] == "mine-1:2.3_4" and "mine-1:2.3_4" in error["message"]
    assert "division" not in error["message"]
    assert {line["event"] for line in lines} >= {"before it failed", "request failed", "request"}
    assert {line["request_id"] for line in lines} == {"mine-1:2.3_4"}
    assert not structlog.contextvars.get_contextvars()


async def test_a_line_has_no_key_in_it(api: Api) -> None:
    with capture_logs() as lines:
        await api.http.get(f"/v1.0/queues?token={api.root.key}", headers={"Authorization": f"Bearer {api.root.key}"})
    assert lines and api.root.key not in str(lines)


@pytest.mark.parametrize("host", ["[", "[::1", "a b", "x:y:z", "\xff", "", "a" * 10_000])
async def test_a_host_that_is_none_is_of_no_interest(api: Api, host: str) -> None:
    headers = [(b"host", host.encode("latin-1")), (b"authorization", f"Bearer {api.root.key}".encode())]
    answer = await api.http.get("/v1.0/queues", headers=headers)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "shown",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic eDp5",
        "Bearer \x00",
        "Bearer a b",
        "Bearer a.b.c",
        "Bearer ..",
        "bearer tk_" + "x" * 50_000,
        "Bearer \xff\xfe",
        "Bearer e30.e30.e30",
    ],
    ids=lambda shown: repr(shown[:20]),
)
async def test_credentials_that_are_none(api: Api, shown: str) -> None:
    answer = await api.http.get("/v1.0/queues", headers=[(b"authorization", shown.encode("latin-1"))])
    assert answer.status_code == 401, answer.text


# ---- bodies without end


async def chunks(count: int, size: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b" " * size


async def test_a_body_that_is_announced_too_large_is_not_read(api: Api) -> None:
    headers = JSON | {"Content-Length": str(requests.MAX_BODY + 1)}
    error = await refused(api, "POST", "/v1.0/queues", 413, content=b"{}", headers=headers)
    assert (error["status"], error["reason"]) == ("OUT_OF_RANGE", "REQUEST_TOO_LARGE")
    headers = JSON | {"Content-Length": "9" * 5000}
    await refused(api, "POST", "/v1.0/queues", 413, content=b"{}", headers=headers)


async def test_a_body_of_unknown_length_is_read_as_far_as_it_may_go(api: Api) -> None:
    error = await refused(api, "POST", "/v1.0/queues", 413, content=chunks(17, 65_536), headers=JSON)
    assert (error["status"], error["reason"]) == ("OUT_OF_RANGE", "REQUEST_TOO_LARGE")
    csv = {"Content-Type": "text/csv"}
    await refused(api, "POST", "/v1.0/inventory", 413, content=chunks(65, 1024 * 1024), headers=csv)
    # The kind of body alone does not make it a file: nobody else is given sixty times as much.
    assert await refused(api, "POST", "/v1.0/queues", 413, content=chunks(65, 1024 * 1024), headers=csv)


async def test_a_body_that_does_not_come_is_not_waited_for(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "PATIENCE", 0.05)

    async def never() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    error = await refused(api, "POST", "/v1.0/queues", 408, content=never(), headers=JSON)
    assert (error["status"], error["reason"]) == ("DEADLINE_EXCEEDED", "REQUEST_TIMEOUT")


async def test_a_body_that_trickles_has_an_end(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(requests, "time", SimpleNamespace(monotonic=lambda: clock[0]))

    async def trickle() -> AsyncIterator[bytes]:
        while clock[0] < 10 * requests.LONGEST_BODY:
            clock[0] += requests.PATIENCE / 2  # each part is in time by itself
            await asyncio.sleep(0)
            yield b" "

    await refused(api, "POST", "/v1.0/queues", 408, content=trickle(), headers=JSON)
    assert requests.LONGEST_BODY <= clock[0] <= requests.LONGEST_BODY + requests.PATIENCE


async def test_metrics_count_by_the_path_template_and_nothing_that_clients_make_up(api: Api) -> None:
    told: list[tuple[str, str, int]] = []

    def observe(method: str, route: str, status: int, _seconds: float) -> None:
        told.append((method, route, status))

    transport = httpx.ASGITransport(make_app(api.services, observe=observe))
    async with httpx.AsyncClient(transport=transport, base_url="http://trunkline") as http:
        for path in (f"/v1.0/flows/{uuid4()}", "/v1.0/flows/7", "/v1.0/nothing", "/healthz", "/v1.0/flows"):
            await http.get(path, headers={"Authorization": f"Bearer {api.root.key}"})
        await http.request("PURGE", "/v1.0/flows")
    assert told == [
        ("GET", "/v1.0/flows/{flow_id}", 404),
        ("GET", "/v1.0/flows/{flow_id}", 400),
        ("GET", "", 404),
        ("GET", "/healthz", 200),
        ("GET", "/v1.0/flows", 200),
        ("OTHER", "", 405),
    ]


async def test_an_answer_that_breaks_off_is_not_mended(api: Api) -> None:
    """Half an answer cannot become an error any more: the server is told, and cuts the connection."""
    told: list[tuple[str, str, int]] = []
    sent: list[Any] = []

    async def broken(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise ZeroDivisionError

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    app = requests.Requests(
        broken, Methods([]), lambda: api.services, lambda method, route, status, _: told.append((method, route, status))
    )
    scope = {"type": "http", "method": "GET", "path": "/x", "query_string": b"", "headers": [], "client": None}
    with capture_logs() as lines, pytest.raises(ZeroDivisionError):
        await app(scope, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert told == [("GET", "", 200)]
    assert "request failed" in {line["event"] for line in lines}
