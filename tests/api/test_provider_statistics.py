"""A provider's figures through the API, from attempts as calls leave them."""

from datetime import timedelta
from uuid import UUID, uuid4

from store.database import tables
from tests.api.conftest import Api


async def _attempts(api: Api, provider: str, *attempts: tuple[str, int, int | None, int | None]) -> None:
    """(kind, status, milliseconds until it rang, milliseconds of talk) each, a minute ago."""
    async with api.store.write() as transaction:
        moment = transaction.now - timedelta(minutes=1)
        await transaction.execute(
            tables.attempts.insert(),
            [
                {
                    "call_id": uuid4(),
                    "place": 0,
                    "provider_id": UUID(provider),
                    "kind": kind,
                    "status": status,
                    "start_ms": 0,
                    "first_reply_ms": ring,
                    "talk_ms": talk,
                    "tm_create": moment,
                    "tm_start": moment,
                }
                for kind, status, ring, talk in attempts
            ],
        )


async def test_a_providers_figures_are_counted_over_a_window(api: Api) -> None:
    provider = (await api.root.post("/v1.0/providers", {"name": "primary", "hostname": "127.0.0.2"}))["id"]
    await _attempts(
        api, provider, ("answered", 200, 100, 30_000), ("answered", 200, 300, 60_000), ("refused", 486, 200, None),
        ("refused", 503, None, None),
    )  # fmt: skip
    path = f"/v1.0/providers/{provider}/statistics"
    found = await api.root.get(path)
    assert (found["attempts"], found["answered"], found["answer_seizure_ratio"]) == (4, 2, 0.5)
    assert found["network_effectiveness_ratio"] == 0.75
    assert found["average_call_duration"] == 45
    assert found["codes"] == {"200": 2, "486": 1, "503": 1}
    assert found["post_dial_delay"] == {"p50": 200, "p95": 300, "p99": 300}
    nothing = {"attempts": 0, "answered": 0, "answered_ratio": None, "codes": {}, "outcomes": {}, "skipped": {}}
    assert found["messages"] == nothing
    earlier = await api.root.get(path, until="2020-01-01T00:00:00Z")
    assert earlier["attempts"] == 0 and earlier["answer_seizure_ratio"] is None
    error = await api.root.get(path, 400, since="2020-01-02T00:00:00Z", until="2020-01-01T00:00:00Z")
    assert error["reason"] == "INVALID_REQUEST_PARAMETER"
    await api.root.get(path, 400, since="0001-01-01T00:00:00Z", until="0001-01-01T00:00:00Z")
    await api.root.get(path, 400, since="0001-01-01T00:00:00+14:00")
    await api.root.get(f"/v1.0/providers/{uuid4()}/statistics", 404)
