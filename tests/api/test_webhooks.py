"""Webhooks: how many a customer may have."""

import pytest

from api.resources import webhooks
from tests.api.conftest import Api

PATH, BODY = "/v1.0/webhooks", {"uri": "https://example.com/"}


async def test_a_customer_has_so_many_and_no_more(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes its part of every event, of other customers' too: ten thousand would hold up all deliveries."""
    monkeypatch.setattr(webhooks, "MOST_OF_ONE", 2)
    mine, other = await api.client(), await api.client()
    first, _ = [await mine.post(PATH, BODY) for _ in range(2)]
    error = await mine.post(PATH, BODY, 429)
    assert (error["status"], error["reason"]) == ("RESOURCE_EXHAUSTED", "WEBHOOK_LIMIT")
    assert "2 webhooks" in error["message"]
    await api.root.post(PATH, BODY | {"customer_id": str(mine.customer_id)}, 429)
    await other.post(PATH, BODY)
    await mine.put(f"{PATH}/{first['id']}", {"enabled": False})
    await mine.post(PATH, BODY, 429)
    await mine.delete(f"{PATH}/{first['id']}")
    await mine.post(PATH, BODY)


async def test_the_platform_has_as_many_as_it_likes(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "MOST_OF_ONE", 1)
    for _ in range(3):
        await api.root.post(PATH, BODY)
