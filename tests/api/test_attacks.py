"""What an enemy sends: each gets the envelope and none a 500. On both databases, as each refuses other things."""

import json
from typing import Any
from uuid import UUID

import pytest
from fastapi.routing import APIRoute, iter_route_contexts

from api.http.bodies import StrictRoute
from tests.api.conftest import Api
from tests.api.contract import operations

pytestmark = pytest.mark.long  # every operation, attacked in every way

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


@pytest.mark.parametrize(
    "content",
    [
        b'{"name": "\\u0000", "name": "good"}',
        b'{"name": "a", "name": "a"}',
        b'{"name": "a", "n\\u0061me": "b"}',
        b'{"name": "a", "detail": {"x": 1, "y": [{"z": 1, "z": 2}]}}',
        b'{"metadata": {"a": 1, "a": 1}}',
        b'{"": 1, "": 2}',
    ],
)
@pytest.mark.parametrize("path", ["/v1.0/queues", "/v1.0/inventory", "/v1.0/auth/login", "/v1.0/flows/validate"])
async def test_a_key_twice_in_one_object_is_refused(api: Api, path: str, content: bytes) -> None:
    """RFC 8259 §4 leaves open which counts; whoever checks a body on its way may have read the other one."""
    error = await refused(api, "POST", path, content=content, headers=JSON)
    assert error["reason"] == "INVALID_JSON_BODY" and "twice" in error["message"]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('{"name": 1e400}', "name"),
        ('{"name": -1E+999}', "name"),
        ('{"name": [0, ' + "9" * 400 + ".0]}", "name[1]"),
        ('{"name": NaN}', "name"),
        ('{"name": {"a": [-Infinity]}}', "name.a[0]"),
        ('{"name": "\\ud800"}', "name"),
        ('{"name": ["\\uDFFF"]}', "name[0]"),
        ('{"name": "\\u0000"}', "name"),
        ('{"a": {"b\\u0000": 1}}', "a.b?"),
    ],
)
async def test_what_nothing_can_keep_is_named_by_every_operation_with_a_body(api: Api, text: str, field: str) -> None:
    asked = 0
    for operation in operations(api.app.openapi()):
        if operation.method not in ("POST", "PUT") or not operation.fields:
            continue
        path = operation.at({name: UUID(int=1) for name in operation.parameters})
        error = await refused(api, operation.method, path, content=text.encode(), headers=JSON)
        assert error["reason"] == "INVALID_REQUEST_PARAMETER", str(operation)
        assert [fault["field"] for fault in error["details"]] == [field], str(operation)
        asked += 1
    assert asked > 25


def test_every_operation_reads_its_body_strictly(api: Api) -> None:
    for route in iter_route_contexts(list(api.app.routes)):
        if isinstance(route.original_route, APIRoute):
            assert isinstance(route.original_route, StrictRoute), (
                f"{route.path}: make its router by api.bodies.router_for"
            )


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


async def test_no_text_breaks_the_store_nor_a_list_that_shows_it(api_on: Api) -> None:
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
    for path, methods in api_on.app.openapi()["paths"].items():
        special = "{" in path or not path.startswith("/v1.0") or path.endswith(("/explain", "/events"))
        if "get" in methods and not special:
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
