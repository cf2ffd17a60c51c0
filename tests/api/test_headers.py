"""What every answer tells browsers and caches."""

from typing import Any
from uuid import UUID

import pytest

from tests.api.conftest import Api
from tests.api.contract import ask, operations

PAGES = ("/docs", "/redoc")
FILES = ("/docs/static/swagger-ui.css", "/docs/static/swagger-ui-bundle.js", "/docs/static/redoc.standalone.js")


def check(headers: Any, *, page: bool = False) -> None:
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    policy = headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy and (page or policy == "frame-ancestors 'none'")
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 200),
        ("GET", "/metrics", 401),
        ("GET", "/openapi.json", 200),
        ("HEAD", "/openapi.json", 200),
        ("GET", "/", 404),
        ("GET", "/nothing", 404),
        ("DELETE", "/openapi.json", 405),
        ("POST", "/v1.0/auth/login", 400),
        ("GET", "/v1.0/queues", 401),
        ("GET", f"/v1.0/queues/{UUID(int=7)}", 401),
        ("X", "/v1.0/queues", 405),
    ],
)
async def test_every_answer_has_them(api: Api, method: str, path: str, status: int) -> None:
    answer = await api.http.request(method, path)
    assert answer.status_code == status
    check(answer.headers)
    for name in ("cache-control", "content-security-policy", "x-request-id"):
        assert len(answer.headers.get_list(name)) == 1


async def test_every_operation_has_them(api: Api) -> None:
    for operation in operations(api.app.openapi()):
        path = operation.at({name: UUID(int=1) for name in operation.parameters})
        answer = await ask(api.app, operation, path, api.root.key, body={})
        check(answer.headers)


async def test_failures_have_them(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: Any, **_options: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("api.resources.resource.rows.page", fail)
    answer = await api.http.get("/v1.0/queues", headers={"Authorization": f"Bearer {api.root.key}"})
    assert answer.status_code == 500
    check(answer.headers)


@pytest.mark.parametrize("path", PAGES)
async def test_pages_have_a_policy_of_their_own_and_are_framed_by_nobody(api: Api, path: str) -> None:
    answer = await api.http.get(path)
    check(answer.headers, page=True)
    assert "default-src 'self'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("path", FILES)
async def test_files_that_never_change_are_kept(api: Api, path: str) -> None:
    answer = await api.http.get(path)
    assert answer.headers["cache-control"] == "max-age=86400"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "frame-ancestors 'none'"


@pytest.mark.parametrize("accept", ["text/html,application/xhtml+xml,*/*;q=0.8", "application/json, text/html"])
async def test_a_browser_at_the_root_is_led_to_the_pages(api: Api, accept: str) -> None:
    answer = await api.http.get("/", headers={"Accept": accept})
    assert (answer.status_code, answer.headers["location"]) == (302, "/docs")
    check(answer.headers)


@pytest.mark.parametrize("accept", ["*/*", "application/json", ""])
async def test_a_program_at_the_root_gets_404(api: Api, accept: str) -> None:
    answer = await api.http.get("/", headers={"Accept": accept})
    assert (answer.status_code, answer.json()["error"]["reason"]) == (404, "PATH_NOT_FOUND")
