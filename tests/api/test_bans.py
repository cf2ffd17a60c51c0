"""Bans in the API: shown to super admins, newest first, and ended by their address in any spelling."""

from collections.abc import Iterator
from urllib.parse import quote
from uuid import UUID

import pytest

from routing.access.bans import BAN_SCORE, BAN_SECONDS, BanTable
from tests.api.conftest import Api, Client


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.25

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def table(api: Api, clock: Clock) -> Iterator[BanTable]:
    before, api.services.bans = api.services.bans, BanTable(clock)
    yield api.services.bans
    api.services.bans = before


def ban(table: BanTable, address: str) -> None:
    for _ in range(BAN_SCORE):
        table.add(address, "credentials")
    assert table.find(address) is not None


async def test_a_ban_is_shown_with_its_end(api: Api, table: BanTable, clock: Clock) -> None:
    assert await api.root.get("/v1.0/bans") == {"result": [], "next_page_token": ""}
    ban(table, "192.0.2.1")
    (found,) = (await api.root.get("/v1.0/bans"))["result"]
    assert found == {
        "id": str(UUID(found["id"])),
        "address": "192.0.2.1",
        "score": 10,
        "reason": "credentials",
        "web_pages": False,
        "tm_create": "2027-01-15T08:00:00.250000Z",
        "tm_expire": "2027-01-15T09:00:00.250000Z",
    }
    clock.now += BAN_SECONDS
    assert (await api.root.get("/v1.0/bans"))["result"] == []


@pytest.mark.parametrize(
    ("banned", "spelling", "shown"),
    [
        ("192.0.2.1", "192.0.2.1", "192.0.2.1"),
        ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1"),
        ("192.0.2.1", "192.0.2.1/32", "192.0.2.1"),
        ("2001:db8:0:7::1", "2001:db8:0:7::/64", "2001:db8:0:7::/64"),
        ("2001:db8:0:7::1", "2001:DB8:0:7:0:0:0:99", "2001:db8:0:7::/64"),
        ("2001:db8:0:7:ffff::1", quote("2001:db8:0:7::/64", safe=""), "2001:db8:0:7::/64"),
    ],
)
async def test_a_ban_is_ended_by_its_address(api: Api, table: BanTable, banned: str, spelling: str, shown: str) -> None:
    ban(table, banned)
    assert (await api.root.delete(f"/v1.0/bans/{spelling}"))["address"] == shown
    assert table.find(banned) is None
    assert (await api.root.delete(f"/v1.0/bans/{spelling}", 404))["reason"] == "BAN_NOT_FOUND"
    for _ in range(BAN_SCORE - 1):  # it begins anew
        assert table.add(banned, "credentials") is None


@pytest.mark.parametrize("other", ["192.0.2.2", "192.0.2.0/24", "2001:db8::/32", "::/64", "2001:db8:0:8::1"])
async def test_nothing_else_is_ended(api: Api, table: BanTable, other: str) -> None:
    ban(table, "192.0.2.1")
    ban(table, "2001:db8:0:7::1")
    assert (await api.root.delete(f"/v1.0/bans/{other}", 404))["reason"] == "BAN_NOT_FOUND"
    assert len(table.bans()) == 2


@pytest.mark.parametrize("address", ["nobody", "192.0.2.1/24", "192.0.2.999", "2001:db8::1/64", "%20", "a/b/c"])
async def test_what_is_no_address_is_said_to_be_none(api: Api, table: BanTable, address: str) -> None:
    error = await api.root.delete(f"/v1.0/bans/{address}", 400)
    assert error["reason"] == "INVALID_REQUEST_PARAMETER"
    assert error["details"][0]["field"] == "address"


@pytest.mark.parametrize("size", [1, 3, 7, 100])
async def test_pages_lose_and_repeat_none(api: Api, table: BanTable, clock: Clock, size: int) -> None:
    made = [f"192.0.2.{number}" for number in range(1, 11)]
    for number, address in enumerate(made):
        ban(table, address)
        clock.now += number % 2  # some at the same moment
    seen: list[str] = []
    token = ""
    while True:
        page = await api.root.get("/v1.0/bans", page_size=size, page_token=token)
        seen += [found["address"] for found in page["result"]]
        token = page["next_page_token"]
        if not token:
            break
        assert len(page["result"]) == size
    assert sorted(seen) == sorted(made)
    assert seen[0] in made[-2:]


@pytest.mark.parametrize("permission", ["customer_admin", "customer_manager", "customer_agent"])
async def test_customers_neither_see_nor_end_them(api: Api, table: BanTable, permission: str) -> None:
    client: Client = await api.client(permission)
    ban(table, "192.0.2.1")
    assert (await client.get("/v1.0/bans", 403))["reason"] == "PERMISSION_DENIED"
    assert (await client.delete("/v1.0/bans/192.0.2.1", 403))["reason"] == "PERMISSION_DENIED"
    assert table.find("192.0.2.1") is not None
