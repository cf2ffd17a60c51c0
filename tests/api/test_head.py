"""HEAD (RFC 9110 §9.3.2): wherever there is a GET, its answer without the body."""

from uuid import uuid4

import httpx

from tests.api.conftest import Api
from tests.api.live_api import LiveApi


async def test_the_head_is_that_of_the_get(api: Api) -> None:
    queue = (await api.root.post("/v1.0/queues", {"name": "sales"}))["id"]
    headers = {"Authorization": f"Bearer {api.root.key}", "X-Request-Id": "same"}
    for path, status in (
        ("/healthz", 200),
        ("/readyz", 200),
        ("/openapi.json", 200),
        ("/v1.0/queues", 200),
        (f"/v1.0/queues/{queue}", 200),
        (f"/v1.0/queues/{uuid4()}", 404),
        ("/v1.0/queues?page_size=0", 400),
        ("/v1.0/nothing", 404),
    ):
        head = await api.http.head(path, headers=headers)
        whole = await api.http.get(path, headers=headers)
        assert (head.status_code, head.content) == (status, b""), path
        assert dict(head.headers) == dict(whole.headers), path
        assert int(head.headers["content-length"]) == len(whole.content)


async def test_it_takes_what_the_get_takes(api: Api) -> None:
    assert (await api.http.head("/v1.0/queues")).status_code == 401
    agent = await api.client("customer_agent")
    assert (await api.http.head("/v1.0/providers", headers={"Authorization": f"Bearer {agent.key}"})).status_code == 403


async def test_where_there_is_no_get_there_is_no_head(api: Api) -> None:
    for path in ("/v1.0/flows/validate", "/v1.0/auth/login", f"/v1.0/calls/{uuid4()}/hangup"):
        answer = await api.http.head(path, headers={"Authorization": f"Bearer {api.root.key}"})
        assert (answer.status_code, answer.headers["allow"], answer.content) == (405, "POST", b""), path


def test_a_real_server_sends_it(store_url: str) -> None:
    """It would cut the connection if more or less came than it expects."""
    with LiveApi.on(store_url) as live, httpx.Client(base_url=live.address, timeout=10) as http:
        http.headers["Authorization"] = f"Bearer {live.api.root_key}"
        for path, status in (("/v1.0/queues", 200), ("/healthz", 200), ("/docs", 200), ("/v1.0/nothing", 404)):
            answer = http.head(path)
            assert (answer.status_code, answer.content) == (status, b""), path
        # A stream has no end.
        assert (http.head("/v1.0/events").status_code, http.head("/v1.0/events").headers["allow"]) == (405, "GET")
