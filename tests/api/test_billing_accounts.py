"""Credit through the API: who sees it, who adds it, what it was spent on."""

import asyncio
from uuid import UUID, uuid4

import pytest

from store import rows
from store.database import tables
from store.resources.billing import MOST, account_of, purchase, top_up
from store.resources.reservations import reserve, settle
from tests.api.conftest import Api


async def made(api: Api, **fields: object) -> tuple[UUID, str]:
    """A customer of the API and the path of its account."""
    customer = await api.root.post("/v1.0/customers", {"name": "somebody"} | fields)
    return UUID(customer["id"]), f"/v1.0/billing_accounts/{customer['billing_account_id']}"


async def test_a_customer_sees_its_own_account_and_no_other(api: Api) -> None:
    mine, path = await made(api, tier="basic")
    _, others = await made(api)
    manager = await api.client("customer_manager", mine)
    account = await manager.get(path)
    assert (account["customer_id"], account["tier"], account["balance"], account["reserved"]) == (
        str(mine),
        "basic",
        0,
        0,
    )
    assert (await manager.get("/v1.0/billing_accounts"))["result"] == [account]
    for asked in (others, f"{others}/ledger"):
        assert (await manager.get(asked, 404))["reason"] == "BILLING_ACCOUNT_NOT_FOUND"
    assert {path, others} <= {
        f"/v1.0/billing_accounts/{row['id']}" for row in (await api.root.get("/v1.0/billing_accounts"))["result"]
    }
    agent = await api.client("customer_agent", mine)
    await agent.get(path, 403)


async def test_a_top_up_is_for_super_admins_and_stands_in_the_ledger(api_on: Api) -> None:
    api = api_on
    mine, path = await made(api)
    admin = await api.client("customer_admin", mine)
    await admin.post(f"{path}/top_up", {"amount": 5}, 403)
    account = await api.root.post(f"{path}/top_up", {"amount": 5_000, "detail": "invoice 7"}, 200)
    assert account["balance"] == 5_000
    await api.root.post(f"{path}/top_up", {"amount": 70}, 200)
    call, number = uuid4(), uuid4()
    async with api.store.write() as t:
        await purchase(t, mine, 1_000, number, "number +15551234567")
        held = await reserve(t, mine, call, 600, 60)
        assert held is not None
    assert (await admin.get(path))["reserved"] == 600
    async with api.store.write() as t:
        await settle(t, held, 33)
    account = await admin.get(path)
    assert (account["balance"], account["reserved"]) == (3_740, 0)
    entries = (await admin.get(f"{path}/ledger"))["result"]
    assert [(entry["kind"], entry["amount"], entry["balance"], entry["reference_id"]) for entry in entries] == [
        ("call", -330, 3_740, str(call)),
        ("purchase", -1_000, 4_070, str(number)),
        ("top_up", 70, 5_070, str(UUID(int=0))),
        ("top_up", 5_000, 5_000, str(UUID(int=0))),
    ]
    assert entries[-1]["detail"] == "invoice 7"
    first = await admin.get(f"{path}/ledger", page_size=3)
    second = await admin.get(f"{path}/ledger", page_size=3, page_token=first["next_page_token"])
    assert first["result"] + second["result"] == entries and second["next_page_token"] == ""
    assert (await admin.get(f"{path}/ledger", kind="call"))["result"] == entries[:1]


@pytest.mark.parametrize("amount", [0, -1, 10**15 + 1, 1.5, "much", None])
async def test_what_is_no_amount_is_refused(api: Api, amount: object) -> None:
    _, path = await made(api)
    error = await api.root.post(f"{path}/top_up", {"amount": amount}, 400)
    assert error["details"][0]["field"] == "amount"


async def test_a_balance_has_an_end(api_on: Api) -> None:
    mine, path = await made(api_on)
    async with api_on.store.write() as t:
        account = await account_of(t, mine)
        assert account is not None
        await top_up(t, account["id"], MOST)
    error = await api_on.root.post(f"{path}/top_up", {"amount": 1}, 400)
    assert error["details"][0]["field"] == "amount"
    await api_on.root.post(f"/v1.0/billing_accounts/{uuid4()}/top_up", {"amount": 1}, 404)


async def test_an_admin_names_the_account_and_only_a_super_admin_moves_its_tier(api: Api) -> None:
    mine, path = await made(api)
    admin = await api.client("customer_admin", mine)
    manager = await api.client("customer_manager", mine)
    await manager.put(path, {"name": "x"}, 403)
    assert (await admin.put(path, {"name": "ours", "detail": "main"}))["name"] == "ours"
    assert "tier" in (await admin.put(path, {"tier": "unlimited"}, 403))["message"]
    changed = await api.root.put(path, {"tier": "professional", "detail": None})
    assert (changed["tier"], changed["name"], changed["detail"]) == ("professional", "ours", "")
    await api.root.put(path, {"tier": None}, 400)
    await api.root.put(path, {"balance": 10**9}, 400)


async def test_an_account_lives_as_long_as_its_customer(api: Api) -> None:
    mine, path = await made(api)
    error = await api.root.post("/v1.0/billing_accounts", {"customer_id": str(mine)}, 409)
    assert error["reason"] == "BILLING_ACCOUNT_ALREADY_EXISTS"
    assert (await api.root.delete(path, 409))["reason"] == "RESOURCE_IN_USE"
    await api.root.delete(f"/v1.0/customers/{mine}")
    assert (await api.root.delete(path))["tm_delete"]
    await api.root.get(path, 404)
    missing = await api.root.post("/v1.0/billing_accounts", {"customer_id": str(mine)}, 400)
    assert missing["reason"] == "CUSTOMER_NOT_FOUND"


async def test_a_customer_that_has_no_account_gets_one(api: Api) -> None:
    async with api.store.write() as t:
        row = await rows.insert(t, tables.customers, {"name": "an old one"})
    path = f"/v1.0/customers/{row['id']}"
    assert (await api.root.get(path))["billing_account_id"] == str(UUID(int=0))
    account = await api.root.post("/v1.0/billing_accounts", {"customer_id": str(row["id"]), "tier": "basic"})
    assert (await api.root.get(path))["billing_account_id"] == account["id"]


async def test_top_ups_at_once_all_count(api_on: Api) -> None:
    _, path = await made(api_on)
    await asyncio.gather(*(api_on.root.post(f"{path}/top_up", {"amount": 7}, 200) for _ in range(40)))
    assert (await api_on.root.get(path))["balance"] == 280
    entries = (await api_on.root.get(f"{path}/ledger"))["result"]
    assert [entry["balance"] for entry in entries] == [7 * number for number in range(40, 0, -1)]
