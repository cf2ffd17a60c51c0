"""Mailboxes by the API: how many messages wait for an extension, and whose they are."""

from typing import Any

from tests.api.conftest import Api, Client

PATH = "/v1.0/extensions"


async def extension(client: Client, name: str, **more: Any) -> str:
    made = await client.post(PATH, {"name": name, "password": "a long password"} | more)
    return f"{PATH}/{made['id']}/mailbox"


async def test_it_is_empty_until_somebody_says_otherwise(api_on: Api) -> None:
    mine = await api_on.client()
    path = await extension(mine, "alice")
    assert await mine.get(path) == {"name": "alice", "new": 0, "old": 0}
    assert await mine.put(path, {"new": 2, "old": 5}) == {"name": "alice", "new": 2, "old": 5}
    assert await mine.get(path) == {"name": "alice", "new": 2, "old": 5}
    assert await mine.put(path, {"new": 1}) == {"name": "alice", "new": 1, "old": 5}  # what is left out stays


async def test_extensions_of_one_customer_may_share_one(api_on: Api) -> None:
    mine, others = await api_on.client(), await api_on.client()
    one, two = await extension(mine, "one", mailbox="team"), await extension(mine, "two", mailbox="team")
    elsewhere = await extension(others, "three", mailbox="team")
    await mine.put(one, {"new": 3})
    assert (await mine.get(two))["new"] == 3
    assert (await others.get(elsewhere))["new"] == 0
    assert (await others.put(one, {"new": 9}, 404))["reason"] == "EXTENSION_NOT_FOUND"
    assert (await others.get(one, 404))["reason"] == "EXTENSION_NOT_FOUND"


async def test_what_is_no_count_is_refused(api_on: Api) -> None:
    mine = await api_on.client()
    path = await extension(mine, "alice")
    for body in ({"new": -1}, {"new": 1_000_001}, {"new": 1, "old": -1}, {"new": "many"}, {"new": 1, "more": 1}):
        await mine.put(path, body, 400)
    assert (await mine.get(path))["new"] == 0
