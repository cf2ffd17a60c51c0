"""What an enemy sends: each gets the envelope and none a 500. On both databases, as each refuses other things."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
import structlog
from structlog.testing import capture_logs

from api import requests
from api.app import make_app
from tests.api.conftest import Api

NUL, LONE = "a\x00b", '"\\ud800"'
DEEP = "[" * 100_000 + "]" * 100_000
JSON = {"Content-Type": "application/json"}


async def refused(api: Api, method: str, path: str, status: int = 400, *, key: str = "", **options: Any) -> Any:
    """The error that this gets. By default a super admin asks, who gets furthest."""
    headers = {"Authorization": f"Bearer {key or api.root.key}"} | options.pop("headers", {})
    answer = await api.http.request(method, path, headers=headers, **options)
    assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
    error = json.loads(answer.content)["error"]
    assert error["request_id"] == answer.headers["x-request-id"]
    return error


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "INVALID_JSON_BODY"),
        (b"{", "INVALID_JSON_BODY"),
        (b"\xff\xfe", "INVALID_JSON_BODY"),
        (b'{"name": "\xff"}', "INVALID_JSON_BODY"),
        (b'"text"', "INVALID_JSON_BODY"),
        (b"null", "INVALID_JSON_BODY"),
        (b"[]", "INVALID_JSON_BODY"),
        (DEEP.encode(), "INVALID_JSON_BODY"),
        (b'{"name": ' + DEEP.encode() + b"}", "INVALID_JSON_BODY"),
        (b'{"wait_timeout": NaN}', "INVALID_REQUEST_PARAMETER"),
        (b'{"wait_timeout": Infinity}', "INVALID_REQUEST_PARAMETER"),
        (b'{"wait_timeout": 1e400}', "INVALID_REQUEST_PARAMETER"),
        (b'{"wait_timeout": 9223372036854775808}', "INVALID_REQUEST_PARAMETER"),
        (b'{"wait_timeout": ' + b"9" * 5000 + b"}", "INVALID_JSON_BODY"),
        (b'{"wait_timeout": true}', "INVALID_REQUEST_PARAMETER"),
        (b'{"wait_timeout": "1"}', "INVALID_REQUEST_PARAMETER"),
        (b'{"name": 1}', "INVALID_REQUEST_PARAMETER"),
        (b'{"name": "\\ud800"}', "INVALID_REQUEST_PARAMETER"),
        (b'{"detail": "\\ud800"}', "INVALID_REQUEST_PARAMETER"),
        (b'{"name": "\\u0000"}', "INVALID_REQUEST_PARAMETER"),
        (b'{"detail": "\\u0000"}', "INVALID_REQUEST_PARAMETER"),
        (b'{"\\ud800": 1}', "INVALID_REQUEST_PARAMETER"),
        (b'{"agent_ids": [1]}', "INVALID_REQUEST_PARAMETER"),
        (b'{"__class__": {}}', "INVALID_REQUEST_PARAMETER"),
    ],
    ids=lambda value: value if isinstance(value, str) else repr(value[:40]),
)
async def test_bodies_that_are_none(api: Api, content: bytes, reason: str) -> None:
    error = await refused(api, "POST", "/v1.0/queues", content=content, headers=JSON)
    assert error["reason"] == reason


@pytest.mark.parametrize(
    "kind", ["text/plain", "", "application/xml", "multipart/form-data; boundary=x", "\x00", "a/b;"]
)
async def test_bodies_of_another_kind(api: Api, kind: str) -> None:
    error = await refused(api, "POST", "/v1.0/queues", content=b'{"name": "x"}', headers={"Content-Type": kind})
    assert error["reason"] == "INVALID_JSON_BODY"


async def test_of_keys_that_repeat_the_last_counts(api: Api) -> None:
    """RFC 8259 §4 leaves it open; whatever is checked is also what is kept."""
    admin = await api.client()
    body = b'{"name": "\\u0000", "name": "good"}'
    made = await admin.ask("POST", "/v1.0/queues", 201, content=body, headers=JSON)
    assert made["name"] == "good"


@pytest.mark.parametrize(
    "metadata",
    [
        '{"a": NaN}',
        '{"a": 1e400}',
        '{"a": -1e400}',
        '{"a": 99999999999999999999}',
        '{"a": "\\u0000"}',
        '{"\\u0000": 1}',
        f'{{"a": {LONE}}}',
        f"{{{LONE}: 1}}",
        '{"a": ' + "[" * 40 + "]" * 40 + "}",
        '{"a": "' + "x" * 70_000 + '"}',
        "[]",
        '"a"',
    ],
    ids=lambda value: value[:24],
)
async def test_free_values_are_not_free_of_rules(api_on: Api, metadata: str) -> None:
    body = f'{{"number": "+899100000001", "metadata": {metadata}}}'.encode()
    await refused(api_on, "POST", "/v1.0/numbers", content=body, headers=JSON)


# Every text that a client can send to be kept or looked for, with what PostgreSQL or UTF-8 cannot hold.
TEXTS = [
    ("POST", "/v1.0/auth/login", {"username": "?", "password": "a long password"}),
    ("POST", "/v1.0/auth/login", {"username": "somebody", "password": "?"}),
    ("POST", "/v1.0/agents", {"username": "?", "password": "a long password"}),
    ("POST", "/v1.0/agents", {"username": "x", "password": "?ong password"}),
    ("POST", "/v1.0/agents", {"username": "x", "password": "a long password", "detail": "?"}),
    ("POST", "/v1.0/accesskeys", {"name": "?"}),
    ("POST", "/v1.0/customers", {"name": "?"}),
    ("POST", "/v1.0/customers", {"email": "?"}),
    ("POST", "/v1.0/customers", {"detail": "?"}),
    ("POST", "/v1.0/flows", {"name": "?", "actions": [{"type": "answer"}]}),
    ("POST", "/v1.0/flows", {"actions": [{"type": "?"}]}),
    ("POST", "/v1.0/flows", {"actions": [{"type": "answer", "id": "?"}]}),
    ("POST", "/v1.0/flows", {"actions": [{"type": "answer", "option": {"?": 1}}]}),
    ("POST", "/v1.0/flows", {"actions": [{"type": "talk", "option": {"text": "?"}}]}),
    ("POST", "/v1.0/inventory", {"number": "+15551234567", "city": "?"}),
    ("POST", "/v1.0/numbers", {"number": "?"}),
    ("POST", "/v1.0/providers", {"hostname": "192.0.2.1", "name": "?"}),
    ("POST", "/v1.0/providers", {"hostname": "192.0.2.1", "detail": "?"}),
    ("POST", "/v1.0/providers", {"hostname": "192.0.2.1", "username": "?"}),
    ("POST", "/v1.0/providers", {"hostname": "192.0.2.1", "password": "?"}),
    ("POST", "/v1.0/providers", {"hostname": "192.0.2.1", "codecs": "?"}),
    ("POST", "/v1.0/providers", {"hostname": "192.0.2.1", "tech_prefix": "?"}),
    ("POST", "/v1.0/providers", {"hostname": "192.0.2.1", "tech_headers": {"X-A": "?"}}),
    ("POST", "/v1.0/providers", {"hostname": "?"}),
    ("POST", "/v1.0/routes", {"provider_id": "?", "name": "x"}),
    ("POST", "/v1.0/webhooks", {"uri": "https://example.com/?"}),
    ("POST", "/v1.0/webhooks", {"uri": "https://example.com/", "secret": "sixteen letters ?"}),
    ("GET", "/v1.0/flows", "name"),
    ("GET", "/v1.0/providers", "name"),
    ("GET", "/v1.0/numbers", "name"),
    ("GET", "/v1.0/numbers", "number"),
    ("GET", "/v1.0/routes", "target"),
    ("GET", "/v1.0/routes/explain", "destination"),
    ("GET", "/v1.0/available_numbers", "city"),
    ("GET", "/v1.0/available_numbers", "region"),
    ("GET", "/v1.0/available_numbers", "contains"),
    ("GET", "/v1.0/inventory", "number"),
    ("GET", "/v1.0/queues", "page_token"),
    ("GET", "/v1.0/available_numbers", "page_token"),
]


async def test_no_text_breaks_the_store(api_on: Api) -> None:
    for method, path, where in TEXTS:
        for bad in (NUL, "\ud800", "\U0010ffff", "\u202e", "x" * 300_000, "%00", "'; DROP TABLE flows; --"):
            if isinstance(where, dict):
                body = json.loads(json.dumps(where).replace("?", json.dumps(bad)[1:-1]))
                options: dict[str, Any] = {"content": json.dumps(body).encode(), "headers": JSON}
            elif bad == "\ud800":
                continue  # cannot be written into a URL
            else:
                options = {"params": {where: bad[:20_000]}}
            headers = {"Authorization": f"Bearer {api_on.root.key}"} | options.pop("headers", {})
            answer = await api_on.http.request(method, path, headers=headers, **options)
            assert answer.status_code < 500, f"{method} {path} {where} {bad[:20]!r}: {answer.text[:300]}"
            json.loads(answer.content)  # and what comes back can be read
            if bad in (NUL, "\ud800") and isinstance(where, dict):
                assert answer.status_code in (400, 401), (
                    f"{method} {path} takes {bad!r} in {where}: {answer.text[:300]}"
                )


async def test_every_list_can_be_read_after_all_that(api_on: Api) -> None:
    await test_no_text_breaks_the_store(api_on)
    for path, operations in make_app(api_on.services).openapi()["paths"].items():
        special = "{" in path or not path.startswith("/v1.0") or path.endswith(("/explain", "/events"))
        if "get" in operations and not special:
            await api_on.root.get(path)


@pytest.mark.parametrize(
    "query",
    [
        "page_size=0",
        "page_size=1001",
        "page_size=99999999999999999999",
        "page_size=1e3",
        "page_size=",
        "page_size=%FF",
        "page_token=%FF%FE",
        "page_token=%00",
        "page_token=" + "A" * 32,
        "page_token=________________________________",
        "page_token=" + "A" * 100,
        "customer_id=x",
        "customer_id=%ff",
        "%ff=%ff",
        "%00",
        "=",
        "&".join(str(n) for n in range(10_000)),
        "page_size=" + "9" * 50_000,
        "__proto__=1",
    ],
    ids=lambda query: query[:30],
)
async def test_queries_that_are_none(api_on: Api, query: str) -> None:
    admin = api_on.root
    answer = await api_on.http.get(f"/v1.0/queues?{query}", headers={"Authorization": f"Bearer {admin.key}"})
    assert answer.status_code in (200, 400), answer.text[:300]
    if "page_token" not in query and query != "=":
        assert answer.json()["error"]["reason"] == "INVALID_REQUEST_PARAMETER"


async def test_thousands_of_credentials_are_one_wrong_one(api: Api) -> None:
    query = "&".join(["token=x"] * 7000)
    answer = await api.http.get(f"/v1.0/queues?{query}")
    assert answer.status_code == 401


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


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT", "PROPFIND", "X"])
async def test_methods_that_are_not_taken_are_told_which_are(api: Api, method: str) -> None:
    for path, allowed in (
        ("/v1.0/queues", "GET, POST"),
        (f"/v1.0/queues/{uuid4()}", "DELETE, GET, PUT"),
        ("/v1.0/flows/validate", "POST"),
        ("/v1.0/routes/explain", "GET"),
        ("/v1.0/auth/login", "POST"),
    ):
        answer = await api.http.request(method, path)
        assert answer.status_code == 405, path
        assert answer.headers["allow"] == allowed, path
        assert method == "HEAD" or answer.json()["error"]["reason"] == "METHOD_NOT_ALLOWED"


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

    monkeypatch.setattr("api.resource.rows.page", fail)
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
    assert error["reason"] == "REQUEST_TOO_LARGE"
    headers = JSON | {"Content-Length": "9" * 5000}
    await refused(api, "POST", "/v1.0/queues", 413, content=b"{}", headers=headers)


async def test_a_body_of_unknown_length_is_read_as_far_as_it_may_go(api: Api) -> None:
    error = await refused(api, "POST", "/v1.0/queues", 413, content=chunks(17, 65_536), headers=JSON)
    assert error["reason"] == "REQUEST_TOO_LARGE"
    csv = {"Content-Type": "text/csv"}
    await refused(api, "POST", "/v1.0/inventory", 413, content=chunks(65, 1024 * 1024), headers=csv)
    # The kind of body alone does not make it a file: nobody else is given sixty times as much.
    assert await refused(api, "POST", "/v1.0/queues", 413, content=chunks(65, 1024 * 1024), headers=csv)


async def test_a_body_that_does_not_come_is_not_waited_for(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "PATIENCE", 0.05)

    async def never() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(30)

    error = await refused(api, "POST", "/v1.0/queues", 408, content=never(), headers=JSON)
    assert error["reason"] == "REQUEST_TIMEOUT"


async def test_a_body_that_trickles_has_an_end(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "LONGEST_BODY", 0.2)

    async def trickle() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.02)

    async with asyncio.timeout(10):
        await refused(api, "POST", "/v1.0/queues", 408, content=trickle(), headers=JSON)


async def test_metrics_are_told_the_template_and_nothing_that_clients_make_up(api: Api) -> None:
    told: list[tuple[str, str, int]] = []

    def observe(method: str, route: str, status: int, _seconds: float) -> None:
        told.append((method, route, status))

    import httpx

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
