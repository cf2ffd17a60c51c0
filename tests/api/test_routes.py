"""Routes through the API, and the explanation of where a destination leads."""

from uuid import uuid4

import pytest

from routing.models.provider import Provider
from routing.models.route import Route
from tests.api.conftest import Api


async def _provider(api: Api, name: str = "primary") -> str:
    made = await api.root.post("/v1.0/providers", {"name": name, "hostname": "127.0.0.2:5080"})
    identifier: str = made["id"]
    return identifier


async def test_a_route_is_created_read_changed_and_deleted(api: Api) -> None:
    provider = await _provider(api)
    made = await api.root.post("/v1.0/routes", {"provider_id": provider, "target": "+44", "rate": 1200})
    assert (made["target"], made["rate"], made["priority"], made["weight"], made["enabled"]) == (
        "+44",
        1200,
        0,
        1,
        True,
    )
    assert made["customer_id"] == "00000000-0000-0000-0000-000000000000"
    path = f"/v1.0/routes/{made['id']}"
    changed = await api.root.put(path, {"target": "+4420", "failover_codes": [503, "4xx"], "rate": None})
    assert (changed["target"], changed["rate"], changed["provider_id"]) == ("+4420", 0, provider)
    assert changed["failover_codes"]
    assert await api.root.get(path) == changed
    assert (await api.root.get("/v1.0/routes", target="+4420"))["result"] == [changed]
    assert (await api.root.get("/v1.0/routes", provider_id=str(uuid4())))["result"] == []
    await api.root.delete(path)
    assert (await api.root.get(path, 404))["reason"] == "ROUTE_NOT_FOUND"


async def test_a_route_needs_a_provider_that_there_is(api: Api) -> None:
    error = await api.root.post("/v1.0/routes", {"provider_id": str(uuid4())}, 400)
    assert (error["status"], error["reason"]) == ("INVALID_ARGUMENT", "PROVIDER_NOT_FOUND")
    provider = await _provider(api)
    for target in ("44", "+899", "all+1"):
        error = await api.root.post("/v1.0/routes", {"provider_id": provider, "target": target}, 400)
        assert error["details"][0]["field"] == "target"


async def test_an_explanation_lists_what_would_be_tried_and_why(api: Api) -> None:
    provider = Provider(name="primary", hostname="127.0.0.2:5080", tech_prefix="1")
    other = Provider(name="off", hostname="127.0.0.3", enabled=False)
    routes = [Route(provider_id=provider.id, priority=2), Route(provider_id=other.id, priority=1)]
    api.services.flows.calls.directory.replace([], [provider, other], routes)
    found = await api.root.get("/v1.0/routes/explain", destination="+821012345678")
    assert [(entry["provider_name"], entry["tried"]) for entry in found["entries"]] == [
        ("off", False),
        ("primary", True),
    ]
    assert found["entries"][1]["request_uri"] == "sip:1+821012345678@127.0.0.2:5080"
    assert {verdict["source"] for verdict in found["verdicts"]} == {"trunk", "client", "guest"}
    assert (await api.root.get("/v1.0/routes/explain", 400))["reason"] == "MISSING_REQUEST_PARAMETER"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://lcr.example.com/", "is not https; a configuration file may say so"),
        ("https://10.0.0.1/", "leads to 10.0.0.1, which is private; the engine allows it with webhook.allow_private"),
        ("https://localhost/", "leads to localhost, which is private; the engine allows it with webhook.allow_private"),
        ("https://0x7f.1/", "leads to 0x7f.1, which is private; the engine allows it with webhook.allow_private"),
        ("ftp://lcr.example.com/", "'ftp://lcr.example.com/' is no web address"),
        ("https:///", "'https:///' is no web address"),
        ("https://a b/", "'https://a b/' is no web address"),
    ],
)
async def test_only_the_open_internet_is_asked_and_by_https(api: Api, url: str, said: str) -> None:
    provider = await _provider(api)
    error = await api.root.post("/v1.0/routes", {"provider_id": provider, "lookup": {"url": url}}, 400)
    (detail,) = error["details"]
    assert detail["field"] == "lookup.url" and detail["message"].startswith(said)
    made = await api.root.post("/v1.0/routes", {"provider_id": provider})
    error = await api.root.put(f"/v1.0/routes/{made['id']}", {"lookup": {"url": url}}, 400)
    assert error["details"][0]["field"] == "lookup.url"


async def test_a_look_up_is_kept_explained_and_taken_away(api: Api) -> None:
    provider = await _provider(api)
    given = {"url": "https://lcr.example.com/route?key=hush", "timeout": "250ms"}
    made = await api.root.post("/v1.0/routes", {"provider_id": provider, "lookup": given})
    assert made["lookup"] == {"url": given["url"], "timeout": 0.25, "cache": 60.0}
    path = f"/v1.0/routes/{made['id']}"
    assert (await api.root.put(path, {"priority": 4}))["lookup"] == made["lookup"]
    assert await api.root.put(path, await api.root.get(path))
    directory = api.services.flows.calls.directory
    directory.replace([], [Provider(name="p", hostname="h.example")], [])
    directory.put_route(Route.model_validate({"provider_id": directory.providers[0].id, "lookup": given}))
    found = await api.root.get("/v1.0/routes/explain", destination="+821012345678")
    assert found["lookup"].startswith("https://lcr.example.com/route is asked first, 0.25 s at most")
    assert (await api.root.put(path, {"lookup": None}))["lookup"] is None


@pytest.mark.parametrize(
    ("field", "value"), [("timeout", 0), ("timeout", "6s"), ("cache", -1), ("cache", "2d"), ("x", 1)]
)
async def test_a_look_up_has_its_bounds(api: Api, field: str, value: object) -> None:
    provider = await _provider(api)
    lookup = {"url": "https://lcr.example.com/", field: value}
    error = await api.root.post("/v1.0/routes", {"provider_id": provider, "lookup": lookup}, 400)
    assert error["details"][0]["field"] == f"lookup.{field}"
