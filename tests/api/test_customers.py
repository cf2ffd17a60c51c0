"""Customers through the API: made with an account, limited, suspended, and deleted when nothing of theirs is left."""

from collections.abc import Sequence
from uuid import UUID, uuid4

import sqlalchemy as sa

from store import rows
from store.database import tables
from store.store import Change
from tests.api.conftest import Api, Client
from tests.api.contract import NOBODYS, body_of, operations

SHOWN = {
    "id",
    "name",
    "detail",
    "email",
    "suspended",
    "destination_countries",
    "request_rate",
    "billing_account_id",
    "tm_create",
    "tm_update",
    "tm_delete",
}


async def test_a_customer_is_made_with_an_account(api_on: Api) -> None:
    api = api_on
    body = {"name": "ACME", "email": "a@example.com", "destination_countries": ["us", "DE", "US"], "tier": "basic"}
    made = await api.root.post("/v1.0/customers", body)
    assert set(made) == SHOWN
    assert (made["name"], made["email"], made["suspended"]) == ("ACME", "a@example.com", False)
    assert made["destination_countries"] == ["DE", "US"]
    account = await api.root.get(f"/v1.0/billing_accounts/{made['billing_account_id']}")
    assert (account["customer_id"], account["tier"], account["name"]) == (made["id"], "basic", "ACME")
    assert await api.root.get(f"/v1.0/customers/{made['id']}") == made
    assert (await api.root.get("/v1.0/customers"))["result"][0] == made


async def test_what_a_customer_cannot_be_is_refused(api: Api) -> None:
    for field, value in (
        ("destination_countries", ["XX"]),
        ("destination_countries", "US"),
        ("email", "nobody"),
        ("request_rate", -1),
        ("tier", "gold"),
        ("balance", 5),
    ):
        error = await api.root.post("/v1.0/customers", {field: value}, 400)
        assert error["details"][0]["field"].startswith(field)


async def test_others_see_only_their_own(api: Api) -> None:
    mine, other = await api.customer("mine"), await api.customer("other")
    for permission in ("customer_admin", "customer_manager", "customer_agent"):
        client = await api.client(permission, mine)
        assert [row["id"] for row in (await client.get("/v1.0/customers"))["result"]] == [str(mine)]
        assert (await client.get(f"/v1.0/customers/{mine}"))["name"] == "mine"
        assert (await client.get(f"/v1.0/customers/{other}", 404))["reason"] == "CUSTOMER_NOT_FOUND"
        await client.post("/v1.0/customers", {"name": "x"}, 403)
        await client.delete(f"/v1.0/customers/{mine}", 403)
    admin = await api.client("customer_admin", mine)
    await admin.put(f"/v1.0/customers/{other}", {"name": "x"}, 404)


async def test_an_admin_changes_what_its_customer_is_called_and_no_limit(api: Api) -> None:
    mine = await api.customer("mine")
    admin = await api.client("customer_admin", mine)
    path = f"/v1.0/customers/{mine}"
    changed = await admin.put(path, {"name": "ours", "detail": "d", "email": "x@example.com"})
    assert (changed["name"], changed["detail"], changed["email"]) == ("ours", "d", "x@example.com")
    limits: list[dict[str, object]] = [{"suspended": True}, {"destination_countries": ["FR"]}, {"request_rate": 1_000}]
    for more in limits:
        assert (await admin.put(path, more, 403))["reason"] == "PERMISSION_DENIED"
    changed = await api.root.put(path, {"destination_countries": ["FR"], "request_rate": 5, "email": None})
    assert (changed["destination_countries"], changed["request_rate"], changed["email"]) == (["FR"], 5, "")
    assert changed["name"] == "ours"
    await (await api.client("customer_manager", mine)).put(path, {"name": "x"}, 403)


async def test_a_suspended_customer_is_shut_out_until_it_is_not(api: Api) -> None:
    mine = await api.customer("mine")
    admin = await api.client("customer_admin", mine)
    path = f"/v1.0/customers/{mine}"
    told: list[Change] = []

    def listen(changes: Sequence[Change]) -> None:
        told.extend(changes)

    api.store.hooks.changes.append(listen)
    assert (await api.root.put(path, {"suspended": True}))["suspended"]
    assert told == [Change("customer", mine)]  # from which the directory reads its terms
    assert (await admin.get(path, 403))["reason"] == "CUSTOMER_SUSPENDED"
    await api.root.put(path, {"suspended": None})
    assert not (await admin.get(path))["suspended"]


async def test_who_belongs_to_a_suspended_or_deleted_customer_does_not_log_in(api: Api) -> None:
    made = await api.root.post("/v1.0/customers", {"name": "mine"})
    path = f"/v1.0/customers/{made['id']}"
    ann = {"username": "ann", "password": "correct horse"}
    agent = await api.root.post("/v1.0/agents", ann | {"customer_id": made["id"], "permission": "customer_admin"})
    login = "/v1.0/auth/login"
    token = (await api.nobody.post(login, ann, 200))["token"]
    before = Client(api.http, token, UUID(made["id"]), UUID(agent["id"]))
    key = (await before.post("/v1.0/accesskeys"))["accesskey"]
    both = (before, Client(api.http, key, before.customer_id, before.agent_id))
    await api.root.put(path, {"suspended": True})
    assert (await api.nobody.post(login, ann, 403))["reason"] == "CUSTOMER_SUSPENDED"
    # That there is such a user, or that it is suspended, is told to nobody who does not know the password.
    assert (await api.nobody.post(login, ann | {"password": "wrong horse"}, 401))["reason"] == "INVALID_CREDENTIALS"
    for client in both:
        assert (await client.get(path, 403))["reason"] == "CUSTOMER_SUSPENDED"
    await api.root.put(path, {"suspended": False})
    await api.nobody.post(login, ann, 200)
    for client in both:
        await client.get(path)
    await api.root.delete(path)
    assert (await api.nobody.post(login, ann, 401))["reason"] == "INVALID_CREDENTIALS"
    for client in both:
        assert (await client.get("/v1.0/customers", 401))["reason"] == "INVALID_CREDENTIALS"


async def test_nobody_suspends_or_deletes_their_own(api: Api) -> None:
    path = f"/v1.0/customers/{api.root.customer_id}"
    assert (await api.root.put(path, {"suspended": True}, 409))["reason"] == "CUSTOMER_IN_USE"
    assert (await api.root.delete(path, 409))["reason"] == "CUSTOMER_IN_USE"
    assert (await api.root.put(path, {"suspended": False, "name": "we"}))["name"] == "we"


async def test_a_customer_goes_when_nothing_of_it_is_in_use(api_on: Api) -> None:
    api = api_on
    mine, other = await api.customer("mine"), await api.customer("other")
    admin, stranger = await api.client("customer_admin", mine), await api.client("customer_admin", other)
    path = f"/v1.0/customers/{mine}"
    now = api.store.clock()
    async with api.store.write() as t:
        number = await rows.insert(
            t, tables.numbers, {"customer_id": mine, "number": "+15551234567", "status": "suspended"}
        )
        call = await rows.insert(t, tables.calls, {"customer_id": mine, "status": "dialing"})
        await rows.insert(t, tables.calls, {"customer_id": mine, "status": "hangup", "tm_hangup": now})
        await rows.insert(t, tables.webhooks, {"customer_id": mine, "uri": "https://example.com", "secret": "s"})
        await rows.insert(t, tables.webhooks, {"customer_id": other, "uri": "https://example.com", "secret": "s"})
    error = await api.root.delete(path, 409)
    assert error["reason"] == "CUSTOMER_IN_USE"
    assert "1 number and 1 running call;" in error["message"]
    async with api.store.write() as t:
        await rows.soft_delete(t, tables.numbers, number["id"])
    assert "has 1 running call;" in (await api.root.delete(path, 409))["message"]
    async with api.store.write() as t:
        await rows.update(t, tables.calls, call["id"], {"tm_hangup": now})

    assert (await api.root.delete(path))["tm_delete"]
    assert (await admin.get("/v1.0/customers", 401))["reason"] == "INVALID_CREDENTIALS"
    async with api.store.read() as connection:
        for table in (tables.agents, tables.accesskeys, tables.webhooks):
            query = sa.select(table.c.customer_id).where(table.c.tm_delete.is_(None))
            owners = set((await connection.execute(query)).scalars())
            assert mine not in owners and other in owners
    await stranger.get(f"/v1.0/customers/{other}")
    assert (await api.root.get(path, 404))["reason"] == "CUSTOMER_NOT_FOUND"
    await api.root.delete(path, 404)
    await api.root.put(path, {"name": "x"}, 404)
    await api.root.get(f"/v1.0/customers/{uuid4()}", 404)
    # What it had spent is still there to be looked at.
    assert str(mine) in [row["customer_id"] for row in (await api.root.get("/v1.0/billing_accounts"))["result"]]


async def test_nothing_is_made_for_a_customer_that_there_is_not(api_on: Api) -> None:
    """By the document: every body that has a `customer_id`, for a deleted customer and for one that never was."""
    api = api_on
    deleted = await api.root.post("/v1.0/customers", {"name": "gone"})
    await api.root.delete(f"/v1.0/customers/{deleted['id']}")
    provider = await api.root.post("/v1.0/providers", {"name": "primary", "hostname": "127.0.0.2:5080"})
    route = await api.root.post("/v1.0/routes", {"provider_id": provider["id"]})
    tried = []
    for operation in operations(api.app.openapi()):
        if "customer_id" not in operation.fields:
            continue
        path = operation.at({"route_id": route["id"]})
        for customer_id in (deleted["id"], str(uuid4())):
            body = (body_of(operation, NOBODYS) or {}) | {"customer_id": customer_id}
            if operation.name == "create_route":
                body["provider_id"] = provider["id"]
            answer = await api.root.ask(operation.method, path, json=body)
            if operation.name == "validate_flow":
                assert [fault["reason"] for fault in answer["faults"]] == ["CUSTOMER_NOT_FOUND"]
            else:
                found = answer.get("status"), answer.get("reason"), answer.get("details", [{}])[0].get("field")
                assert found == ("INVALID_ARGUMENT", "CUSTOMER_NOT_FOUND", "customer_id"), f"{operation}: {answer}"
        tried.append(operation.name)
    assert len(tried) >= 12, tried


async def test_the_platform_may_own_things(api: Api) -> None:
    nobody = "00000000-0000-0000-0000-000000000000"
    made = await api.root.post("/v1.0/flows", {"customer_id": nobody, "actions": [{"type": "answer"}]})
    assert made["customer_id"] == nobody


async def test_pages_have_every_customer_once(api: Api) -> None:
    moment = api.store.clock()
    api.store.clock = lambda: moment
    made = {str(await api.customer(str(number))) for number in range(5)}
    seen: list[str] = []
    token = ""
    while True:
        page = await api.root.get("/v1.0/customers", page_size=2, page_token=token)
        seen += [row["id"] for row in page["result"]]
        token = page["next_page_token"]
        if not token:
            break
    assert len(seen) == len(set(seen)) and made <= set(seen)
    assert UUID(seen[0])
