"""Routes through the API, and the explanation of where a destination leads."""

from uuid import uuid4

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
