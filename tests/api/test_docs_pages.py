"""The pages about the API come whole from this machine."""

import re

import pytest

from tests.api.conftest import Api


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
async def test_a_page_and_all_that_it_loads_are_served_here(api: Api, page: str) -> None:
    answer = await api.http.get(page)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    loaded = re.findall(r'(?:src|href)="([^"]+)"', answer.text)
    assert any(path.endswith(".js") for path in loaded)
    for path in loaded:
        assert path.startswith(("/", "data:")), path
        if path.startswith("/"):
            found = await api.http.get(path)
            assert found.status_code == 200 and len(found.content) > 10_000
    assert (await api.http.get("/openapi.json")).json()["openapi"].startswith("3.")


async def test_redoc_asks_no_other_host_for_its_logo(api: Api) -> None:
    """A browser says so in its console: the page's policy forbids it."""
    script = (await api.http.get("/docs/static/redoc.standalone.js")).text
    assert re.findall(r'src:"(https?:[^"]+)"', script) == []
