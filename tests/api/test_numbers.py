"""Numbers: provisioned, made, ported in; changed, suspended, released; and who may do what. On both databases."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from api.resources.flows import require_flow
from api.resources.routing.providers import require_provider
from store import rows
from store.database import engines, tables
from tests.api.conftest import Api, Client

NIL = "00000000-0000-0000-0000-000000000000"
FLOW = {"name": "greeting", "actions": [{"type": "answer"}, {"type": "hangup"}]}
TEXTS = {"actions": [{"type": "message_send", "option": {"text": "We are open."}}]}
PROVIDER = {"name": "primary", "hostname": "sip.example.net"}


@pytest.fixture
def api(api_on: Api) -> Api:
    return api_on


async def offer(api: Api, number: str, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = await api.root.post("/v1.0/inventory", {"number": number} | more)
    return made


async def events(api: Api) -> list[tuple[str, str, Any]]:
    async with api.store.read() as connection:
        query = sa.select(tables.events).order_by(tables.events.c.id)
        found = (await connection.execute(query)).mappings().all()
    return [(row["type"], str(row["customer_id"]), row["data"]) for row in found]


async def balance(api: Api, customer_id: UUID) -> tuple[int, list[int]]:
    """An account's balance, and the amounts in its ledger."""
    async with api.store.read() as connection:
        accounts, ledger = tables.billing_accounts, tables.ledger
        query = sa.select(accounts.c.balance).where(accounts.c.customer_id == customer_id)
        left = (await connection.execute(query)).scalar_one()
        entries = sa.select(ledger.c.amount).where(ledger.c.customer_id == customer_id)
        return left, list((await connection.execute(entries)).scalars())


async def declare(api: Api, number: str, status: str, customer_id: UUID) -> UUID:
    """A number that a configuration file owns."""
    identifier = uuid4()
    async with api.store.write() as transaction:
        now = transaction.now
        values = {"id": identifier, "number": number, "status": status, "type": "normal", "customer_id": customer_id}
        times = {"tm_create": now, "tm_update": now, "declared_in": "trunkline.yaml", "origin": "provisioned"}
        await transaction.execute(sa.insert(tables.numbers), values | times)
    return identifier


# ---- provisioning


async def test_a_number_is_found_provisioned_given_a_flow_rested_and_released(api: Api) -> None:
    provider = await api.root.post("/v1.0/providers", PROVIDER)
    offered = await offer(api, "+1 (415) 555-2671", provider_id=provider["id"], region="California", city="Belmont")
    admin = await api.client()

    found = await admin.get("/v1.0/number_availables", country="US", type="local")
    assert found["result"] == [
        {
            "number": "+14155552671",
            "country": "US",
            "type": "local",
            "region": "California",
            "city": "Belmont",
            "price": 0,
        }
    ]
    number = await admin.post("/v1.0/numbers", {"number": "+14155552671"})
    expected = {
        "id": offered["id"],
        "customer_id": str(admin.customer_id),
        "number": "+14155552671",
        "type": "normal",
        "name": "",
        "detail": "",
        "call_flow_id": NIL,
        "message_flow_id": NIL,
        "status": "active",
        "metadata": {},
        "provider_id": NIL,  # the platform's business
        "origin": "provisioned",
        "country": "US",
        "region": "California",
        "city": "Belmont",
        "kind": "local",
        "declared_in": "",
        "tm_purchase": number["tm_create"],
        "tm_create": number["tm_create"],
        "tm_update": number["tm_create"],
        "tm_delete": None,
    }
    assert number == expected and number["tm_create"] > offered["tm_create"]
    assert (await admin.get("/v1.0/available_numbers"))["result"] == []
    assert (await api.root.get("/v1.0/inventory"))["result"] == []

    path = f"/v1.0/numbers/{number['id']}"
    assert await admin.get(path) == number
    flow = await admin.post("/v1.0/flows", FLOW)
    changed = await admin.put(path, {"call_flow_id": flow["id"], "name": "hotline"})
    assert changed == number | {"call_flow_id": flow["id"], "name": "hotline", "tm_update": changed["tm_update"]}
    assert (await admin.post(f"{path}/suspend", status=200))["status"] == "suspended"
    assert (await admin.post(f"{path}/reactivate", status=200))["status"] == "active"
    gone = await admin.delete(path)
    assert (gone["status"], gone["call_flow_id"], bool(gone["tm_delete"])) == ("released", NIL, True)
    assert await admin.get(path) == gone
    assert (await admin.get("/v1.0/numbers"))["result"] == []
    for method, way in (("PUT", path), ("DELETE", path), ("POST", f"{path}/reactivate")):
        assert (await admin.ask(method, way, 404, json={}))["reason"] == "NUMBER_NOT_FOUND"

    told = [(kind, data) for kind, owner, data in await events(api) if owner == str(admin.customer_id)]
    assert [kind for kind, _ in told] == [
        "number_created",
        "number_updated",
        "number_suspended",
        "number_reactivated",
        "number_deleted",
    ]
    trunk = {"provider_id": provider["id"]}  # the store has it, and customers are told none
    assert told[0][1] == number | trunk and told[1][1] == changed | trunk and told[4][1] == gone | trunk


async def test_directories_are_reported_every_change_by_the_number(api: Api) -> None:
    admin = await api.client()
    told: list[str] = []
    api.store.hooks.changes.append(lambda changes: told.extend(c.key for c in changes if c.kind == "number"))
    await offer(api, "+14155552671")
    number = await admin.post("/v1.0/numbers", {"number": "+14155552671"})
    path = f"/v1.0/numbers/{number['id']}"
    await admin.put(path, {"name": "x"})
    await admin.post(f"{path}/suspend", status=200)
    await admin.delete(path)
    assert told == ["+14155552671"] * 6  # a number that is released comes back as another one


async def test_the_price_is_paid_with_the_number_or_neither(api: Api) -> None:
    await offer(api, "+14155552671", price=3_000_000)
    await offer(api, "+14155552672", price=3_000_000)
    customer = await api.customer(balance=5_000_000)
    admin = await api.client(customer_id=customer)
    number = await admin.post("/v1.0/numbers", {"number": "+14155552671"})
    assert await balance(api, customer) == (2_000_000, [-3_000_000])
    error = await admin.post("/v1.0/numbers", {"number": "+14155552672"}, 402)
    assert error["reason"] == "INSUFFICIENT_BALANCE"
    assert await balance(api, customer) == (2_000_000, [-3_000_000])
    assert [row["number"] for row in (await admin.get("/v1.0/numbers"))["result"]] == ["+14155552671"]
    assert [row["number"] for row in (await admin.get("/v1.0/available_numbers"))["result"]] == ["+14155552672"]
    await admin.delete(f"/v1.0/numbers/{number['id']}")
    assert (await balance(api, customer))[0] == 2_000_000


@pytest.mark.parametrize(
    ("number", "reason", "status"),
    [
        ("+14155552671", "NUMBER_NOT_AVAILABLE", 409),
        ("call me", "INVALID_NUMBER", 400),
        ("+1415555", "INVALID_NUMBER", 400),
        ("+8991000", "VIRTUAL_NUMBER_FORMAT_INVALID", 400),
        ("+899000123456", "VIRTUAL_NUMBER_RESERVED", 400),
    ],
)
async def test_what_cannot_be_had(api: Api, number: str, reason: str, status: int) -> None:
    admin = await api.client()
    assert (await admin.post("/v1.0/numbers", {"number": number}, status))["reason"] == reason
    await admin.post("/v1.0/numbers", {"number": f"{number}\x00"}, 400)


async def test_a_number_in_use_exists_for_everybody_and_is_seen_by_its_owner_alone(api: Api) -> None:
    await offer(api, "+14155552671")
    mine, other = await api.client(), await api.client()
    number = await mine.post("/v1.0/numbers", {"number": "+14155552671"})
    for client in (mine, other):
        assert (await client.post("/v1.0/numbers", {"number": "+14155552671"}, 409))[
            "reason"
        ] == "NUMBER_ALREADY_EXISTS"
    assert (await api.root.post("/v1.0/inventory", {"number": "+14155552671"}, 409))["status"] == "ALREADY_EXISTS"
    path = f"/v1.0/numbers/{number['id']}"
    for error in (
        await other.get(path, 404),
        await other.put(path, {}, 404),
        await other.delete(path, 404),
        await other.post(f"{path}/suspend", status=404),
        await other.post(f"{path}/reactivate", status=404),
    ):
        assert error["reason"] == "NUMBER_NOT_FOUND"
    assert (await other.get("/v1.0/numbers", customer_id=str(mine.customer_id)))["result"] == []
    assert await api.root.get(path) == number
    assert (await api.root.get("/v1.0/numbers", customer_id=str(mine.customer_id)))["result"] == [number]


async def test_what_a_number_costs_is_a_matter_of_permission(api: Api) -> None:
    await offer(api, "+14155552671")
    customer = await api.customer()
    admin = await api.client("customer_admin", customer)
    manager = await api.client("customer_manager", customer)
    agent = await api.client("customer_agent", customer)
    await manager.post("/v1.0/numbers", {"number": "+14155552671"}, 403)
    path = f"/v1.0/numbers/{(await admin.post('/v1.0/numbers', {'number': '+14155552671'}))['id']}"
    await agent.get(path)
    await agent.put(path, {}, 403)
    await manager.put(path, {})
    await agent.post(f"{path}/suspend", status=403)
    await manager.post(f"{path}/suspend", status=200)
    await manager.delete(path, 403)
    for method, inventory in (("GET", ""), ("POST", ""), ("DELETE", f"/{uuid4()}")):
        await admin.ask(method, f"/v1.0/inventory{inventory}", 403)


# ---- what was released


async def had_and_released(api: Api, client: Client, number: str) -> dict[str, Any]:
    made = await client.post("/v1.0/numbers", {"number": number, "name": "our secret plan", "metadata": {"x": 1}})
    await client.delete(f"/v1.0/numbers/{made['id']}")
    gone: dict[str, Any] = await client.get(f"/v1.0/numbers/{made['id']}")
    return gone


async def released(client: Client, **params: Any) -> list[str]:
    found = await client.ask("GET", "/v1.0/numbers", 200, params={"status": "released"} | params)
    return [row["id"] for row in found["result"]]


@pytest.mark.parametrize("number", ["+14155552671", "+899100000001"])
async def test_a_released_number_is_had_by_another_and_still_shown_to_who_had_it(api: Api, number: str) -> None:
    if number.startswith("+1"):
        await offer(api, number, price=7, region="California", city="San Francisco")
    first, second = [await api.client(customer_id=await api.customer(balance=100)) for _ in range(2)]
    gone = await had_and_released(api, first, number)
    assert (gone["status"], gone["name"], gone["number"]) == ("released", "our secret plan", number)
    # Everybody may have it again, as new; whoever has it learns nothing of the one before.
    now = await second.post("/v1.0/numbers", {"number": number})
    assert now["id"] != gone["id"] and (now["name"], now["metadata"], now["status"]) == ("", {}, "active")
    assert [now[name] for name in ("region", "city")] == [gone[name] for name in ("region", "city")]
    assert await released(first) == [gone["id"]] and await released(second) == []
    assert (await second.get(f"/v1.0/numbers/{gone['id']}", 404))["reason"] == "NUMBER_NOT_FOUND"
    assert (await first.get(f"/v1.0/numbers/{now['id']}", 404))["reason"] == "NUMBER_NOT_FOUND"
    await second.delete(f"/v1.0/numbers/{now['id']}")
    third = await had_and_released(api, first, number)
    assert await released(first) == [third["id"], gone["id"]] and await released(second) == [now["id"]]
    assert len(await released(api.root)) == 3
    assert await released(api.root, customer_id=str(second.customer_id)) == [now["id"]]
    assert await released(first, number=number) == [third["id"], gone["id"]]
    assert await released(first, type="normal" if number[:4] == "+899" else "virtual") == []


async def test_what_came_from_the_inventory_is_on_offer_again_as_it_was(api: Api) -> None:
    provider = await api.root.post("/v1.0/providers", {"name": "trunk", "hostname": "sip.example.net"})
    offered = await offer(api, "+14155552671", provider_id=provider["id"], price=5, city="Reno", kind="mobile")
    client = await api.client(customer_id=await api.customer(balance=100))
    await had_and_released(api, client, "+14155552671")
    (again,) = (await api.root.get("/v1.0/inventory"))["result"]
    changed = {name: again[name] for name in ("id", "tm_create", "tm_update")}
    assert again == offered | changed and again["id"] != offered["id"]
    assert (await api.root.delete(f"/v1.0/providers/{provider['id']}", 409))["reason"] == "PROVIDER_IN_USE"
    await api.root.delete(f"/v1.0/inventory/{again['id']}")
    # What was never anybody's is no released number.
    assert (await api.root.get(f"/v1.0/numbers/{again['id']}", 404))["reason"] == "NUMBER_NOT_FOUND"
    assert again["id"] not in await released(api.root)


@pytest.mark.parametrize("origin", ["ported", "hosted"])
async def test_what_was_brought_from_elsewhere_is_not_on_offer_when_it_is_released(api: Api, origin: str) -> None:
    made = await api.root.post("/v1.0/numbers", {"number": "+14155552671", "origin": origin})
    await api.root.delete(f"/v1.0/numbers/{made['id']}")
    assert (await api.root.get("/v1.0/inventory"))["result"] == []
    error = await api.root.post("/v1.0/numbers", {"number": "+14155552671"}, 409)
    assert error["reason"] == "NUMBER_NOT_AVAILABLE"


async def test_released_numbers_come_in_pages(api: Api) -> None:
    client = await api.client()
    gone = [await had_and_released(api, client, "+899100000001") for _ in range(3)]
    page = await client.ask("GET", "/v1.0/numbers", 200, params={"status": "released", "page_size": 2})
    token = {"status": "released", "page_size": 2, "page_token": page["next_page_token"]}
    rest = await client.ask("GET", "/v1.0/numbers", 200, params=token)
    assert [row["id"] for row in page["result"] + rest["result"]] == [row["id"] for row in reversed(gone)]
    assert rest["next_page_token"] == ""


# ---- virtual numbers


async def test_a_virtual_number_is_made_and_can_be_had_again(api: Api) -> None:
    admin = await api.client()
    first = await admin.post("/v1.0/numbers", {"number": "+899100000001", "metadata": {"team": ["a", 1, None]}})
    assert (first["type"], first["kind"], first["country"], first["status"]) == ("virtual", "virtual", "", "active")
    assert first["metadata"] == {"team": ["a", 1, None]} and first["provider_id"] == NIL and first["tm_purchase"]
    taken = await admin.post("/v1.0/numbers", {"number": "+899100000001"}, 409)
    assert (taken["status"], taken["reason"]) == ("ALREADY_EXISTS", "NUMBER_ALREADY_EXISTS")
    await admin.delete(f"/v1.0/numbers/{first['id']}")
    other = await api.client()
    second = await other.post("/v1.0/numbers", {"number": "+899100000001"})
    assert second["id"] != first["id"] and second["metadata"] == {}


async def test_the_tier_says_how_many_virtual_numbers_a_customer_has(api: Api) -> None:
    customer = await api.customer(tier="free")
    admin = await api.client(customer_id=customer)
    made = [await admin.post("/v1.0/numbers", {"number": f"+89910000000{digit}"}) for digit in range(5)]
    await admin.post(f"/v1.0/numbers/{made[0]['id']}/suspend", status=200)
    error = await admin.post("/v1.0/numbers", {"number": "+899100000009"}, 429)
    assert (error["status"], error["reason"]) == ("RESOURCE_EXHAUSTED", "VIRTUAL_NUMBER_LIMIT")
    headers = {"Authorization": f"Bearer {admin.key}"}
    answer = await api.http.post("/v1.0/numbers", json={"number": "+899100000009"}, headers=headers)
    assert "Retry-After" not in answer.headers  # waiting alone makes it no better
    # A super admin that makes it for the customer is bound by the same tier.
    await api.root.post("/v1.0/numbers", {"number": "+899100000009", "customer_id": str(customer)}, 429)
    await admin.delete(f"/v1.0/numbers/{made[1]['id']}")
    await admin.post("/v1.0/numbers", {"number": "+899100000009"})
    await (await api.client()).post("/v1.0/numbers", {"number": "+899100000010"})


async def test_the_limit_holds_for_requests_at_the_same_time(api: Api) -> None:
    customer = await api.customer(tier="free")
    admin = await api.client(customer_id=customer)
    answers = await asyncio.gather(
        *(admin.ask("POST", "/v1.0/numbers", json={"number": f"+8991000000{place:02}"}) for place in range(20))
    )
    reasons = [answer.get("reason", "made") for answer in answers]
    assert sorted(set(reasons)) == ["VIRTUAL_NUMBER_LIMIT", "made"] and reasons.count("made") == 5
    assert len((await admin.get("/v1.0/numbers", type="virtual"))["result"]) == 5


@pytest.fixture
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for a connection waits as long as a busy machine needs."""
    monkeypatch.setattr(engines, "POOL_TIMEOUT", 120.0)


@pytest.mark.long
@pytest.mark.usefixtures("_patience")
@pytest.mark.parametrize("number", ["+14155552671", "+899100000001"])
async def test_of_two_hundred_who_want_one_number_one_gets_it(api: Api, number: str) -> None:
    """And one pays for it."""
    if number == "+14155552671":
        await offer(api, number, price=1_000_000)
    clients: list[Client] = [
        await api.client(customer_id=await api.customer(tier="unlimited", balance=1_000_000)) for _ in range(4)
    ]
    answers = await asyncio.gather(
        *(clients[place % 4].ask("POST", "/v1.0/numbers", json={"number": number}) for place in range(200))
    )
    won = [answer for answer in answers if "id" in answer]
    assert len(won) == 1 and won[0]["status"] == "active"
    assert {answer["reason"] for answer in answers if "id" not in answer} == {"NUMBER_ALREADY_EXISTS"}
    paid = [client for client in clients if (await balance(api, client.customer_id))[1]]
    assert [str(client.customer_id) for client in paid] == [won[0]["customer_id"]] * (number == "+14155552671")
    created = [owner for kind, owner, _ in await events(api) if kind == "number_created"]
    assert created == [won[0]["customer_id"]]


# ---- numbers from elsewhere


async def test_a_super_admin_ports_a_number_in(api: Api) -> None:
    provider = await api.root.post("/v1.0/providers", PROVIDER)
    customer = await api.customer()
    body = {"number": "+442079460123", "origin": "ported", "customer_id": str(customer), "provider_id": provider["id"]}
    number = await api.root.post("/v1.0/numbers", body)
    assert (number["status"], number["origin"], number["customer_id"]) == ("active", "ported", str(customer))
    assert (number["country"], number["kind"], number["provider_id"]) == ("GB", "local", provider["id"])
    assert (await balance(api, customer))[1] == []
    assert (await api.root.post("/v1.0/numbers", body, 409))["reason"] == "NUMBER_ALREADY_EXISTS"
    await offer(api, "+442079460124")
    on_offer = body | {"number": "+442079460124"}
    assert (await api.root.post("/v1.0/numbers", on_offer, 409))["reason"] == "NUMBER_ALREADY_EXISTS"
    virtual = {"number": "+899100000001", "origin": "hosted"}
    assert (await api.root.post("/v1.0/numbers", virtual, 400))["details"][0]["field"] == "origin"


async def test_nobody_else_claims_numbers_or_providers(api: Api) -> None:
    admin = await api.client()
    for origin in ("ported", "hosted"):
        error = await admin.post("/v1.0/numbers", {"number": "+442079460123", "origin": origin}, 403)
        assert error["reason"] == "PERMISSION_DENIED"
    number = await admin.post("/v1.0/numbers", {"number": "+899100000001"})
    with_provider = {"provider_id": str(uuid4())}
    await admin.post("/v1.0/numbers", {"number": "+442079460123"} | with_provider, 403)
    await admin.put(f"/v1.0/numbers/{number['id']}", with_provider, 403)
    await admin.put(f"/v1.0/numbers/{number['id']}", {"provider_id": None})
    await admin.post("/v1.0/numbers", {"number": "+899100000002", "customer_id": str(uuid4())}, 403)


async def test_numbers_are_for_customers_that_there_are(api: Api) -> None:
    await offer(api, "+14155552671")
    body = {"number": "+14155552671", "customer_id": str(uuid4())}
    error = await api.root.post("/v1.0/numbers", body, 400)
    assert error["reason"] == "CUSTOMER_NOT_FOUND"
    # The nil customer has the inventory; nobody provisions for it.
    made = await api.root.post("/v1.0/numbers", body | {"customer_id": NIL})
    assert made["customer_id"] == str(api.root.customer_id)


# ---- changes


async def test_a_change_keeps_what_is_absent_and_clears_what_is_null_or_nil(api: Api) -> None:
    admin = await api.client()
    flow = await admin.post("/v1.0/flows", TEXTS)
    body = {
        "number": "+899100000001",
        "name": "hotline",
        "detail": "two\nlines",
        "metadata": {"a": 1},
        "call_flow_id": flow["id"],
        "message_flow_id": flow["id"],
    }
    number = await admin.post("/v1.0/numbers", body)
    assert number | body == number
    path = f"/v1.0/numbers/{number['id']}"
    changed = await admin.put(path, {"call_flow_id": NIL, "detail": "one"})
    assert (changed["call_flow_id"], changed["message_flow_id"], changed["detail"]) == (NIL, flow["id"], "one")
    cleared = await admin.put(path, {"name": None, "detail": None, "metadata": None, "message_flow_id": None})
    assert (cleared["name"], cleared["detail"], cleared["metadata"]) == ("", "", {})
    assert cleared["message_flow_id"] == NIL
    for fixed in ({"status": "released"}, {"number": "+899100000002"}, {"customer_id": NIL}):
        error = await admin.put(path, fixed, 400)
        assert error["details"][0]["message"].startswith("is read-only and not as it is now;")
    error = await admin.put(path, {"price": 0}, 400)
    assert error["details"][0]["message"] == "is not known here; remove it"


async def test_a_flow_that_needs_a_call_is_none_for_messages(api: Api) -> None:
    admin = await api.client()
    answers = {"actions": [{"type": "empty"}, {"type": "answer"}, {"type": "hangup"}]}
    flow = await admin.post("/v1.0/flows", answers)
    number = await admin.post("/v1.0/numbers", {"number": "+899100000001", "call_flow_id": flow["id"]})
    problem = 'action 2 ("answer"), action 3 ("hangup") cannot run on a message; give it another flow'
    for error in (
        await admin.put(f"/v1.0/numbers/{number['id']}", {"message_flow_id": flow["id"]}, 400),
        await admin.post("/v1.0/numbers", {"number": "+899100000002", "message_flow_id": flow["id"]}, 400),
    ):
        assert error["reason"] == "INVALID_ACTION"
        assert (error["details"][0]["field"], error["details"][0]["message"]) == ("message_flow_id", problem)


@pytest.mark.parametrize("field", ["call_flow_id", "message_flow_id"])
async def test_flows_must_be_there_and_the_owners(api: Api, field: str) -> None:
    admin, other = await api.client(), await api.client()
    number = await admin.post("/v1.0/numbers", {"number": "+899100000001"})
    path = f"/v1.0/numbers/{number['id']}"
    theirs = await other.post("/v1.0/flows", FLOW)
    for flow in (str(uuid4()), theirs["id"]):
        for error in (
            await admin.put(path, {field: flow}, 400),
            await admin.post("/v1.0/numbers", {"number": "+899100000002", field: flow}, 400),
            # Whose flow it must be follows from the number, and not from who asks.
            await api.root.put(path, {field: flow}, 400),
        ):
            assert error["reason"] == "FLOW_NOT_FOUND" and error["details"][0]["field"] == field
    assert await admin.get(path) == number
    await admin.post("/v1.0/numbers", {"number": "+899100000002"})


async def test_providers_must_be_there_and_have_no_virtual_numbers(api: Api) -> None:
    ported = await api.root.post("/v1.0/numbers", {"number": "+442079460123", "origin": "ported"})
    path = f"/v1.0/numbers/{ported['id']}"
    nowhere = {"provider_id": str(uuid4())}
    assert (await api.root.put(path, nowhere, 400))["reason"] == "PROVIDER_NOT_FOUND"
    provider = await api.root.post("/v1.0/providers", PROVIDER)
    assert (await api.root.put(path, {"provider_id": provider["id"]}))["provider_id"] == provider["id"]
    assert (await api.root.put(path, {"provider_id": None}))["provider_id"] == NIL
    virtual = await api.root.post("/v1.0/numbers", {"number": "+899100000001"})
    error = await api.root.put(f"/v1.0/numbers/{virtual['id']}", {"provider_id": provider["id"]}, 400)
    assert error["details"][0]["field"] == "provider_id"
    body = {"number": "+899100000002", "provider_id": provider["id"]}
    assert (await api.root.post("/v1.0/numbers", body, 400))["details"][0]["field"] == "provider_id"


async def test_moves_that_are_not_in_the_table_are_refused(api: Api) -> None:
    offered = await offer(api, "+14155552671")
    number = await api.root.post("/v1.0/numbers", {"number": "+899100000001"})
    path = f"/v1.0/numbers/{number['id']}"
    for moves in (("reactivate",), ("suspend", "suspend")):
        *before, wrong = moves
        for move in before:
            await api.root.post(f"{path}/{move}", status=200)
        error = await api.root.post(f"{path}/{wrong}", status=409)
        assert (error["status"], error["reason"]) == ("FAILED_PRECONDITION", "NUMBER_STATE_INVALID")
    # What is on offer is nobody's, also for who sees it.
    path = f"/v1.0/numbers/{offered['id']}"
    assert (await api.root.get(path))["status"] == "available"
    for error in (
        await api.root.put(path, {"name": "x"}, 409),
        await api.root.post(f"{path}/suspend", status=409),
        await api.root.post(f"{path}/reactivate", status=409),
        await api.root.delete(path, 409),
    ):
        assert error["reason"] == "NUMBER_STATE_INVALID"


async def test_of_many_who_suspend_a_number_one_did_it(api: Api) -> None:
    admin = await api.client()
    number = await admin.post("/v1.0/numbers", {"number": "+899100000001"})
    path = f"/v1.0/numbers/{number['id']}/suspend"
    answers = await asyncio.gather(*(admin.ask("POST", path) for _ in range(20)))
    assert sorted(answer.get("reason", "done") for answer in answers) == ["NUMBER_STATE_INVALID"] * 19 + ["done"]


async def test_what_a_file_declares_is_changed_there(api: Api) -> None:
    admin = await api.client()
    declared = await declare(api, "+14155552671", "active", admin.customer_id)
    path = f"/v1.0/numbers/{declared}"
    assert (await admin.get(path))["declared_in"] == "trunkline.yaml"
    on_offer = await declare(api, "+14155552672", "available", UUID(NIL))
    for error in (
        await admin.put(path, {"name": "x"}, 409),
        await admin.delete(path, 409),
        await admin.post(f"{path}/suspend", status=409),
        await admin.post("/v1.0/numbers", {"number": "+14155552672"}, 409),
        await api.root.delete(f"/v1.0/inventory/{on_offer}", 409),
    ):
        assert error["reason"] == "DECLARED_IN_FILE" and "trunkline.yaml" in error["message"]
    assert (await admin.get("/v1.0/available_numbers"))["result"] == []


# ---- lists


async def test_lists_are_filtered(api: Api) -> None:
    await offer(api, "+14155552671")
    await offer(api, "+14155552672")
    admin = await api.client()
    first = await admin.post("/v1.0/numbers", {"number": "+14155552671", "name": "hotline"})
    second = await admin.post("/v1.0/numbers", {"number": "+899100000001"})
    await admin.post(f"/v1.0/numbers/{second['id']}/suspend", status=200)

    async def found(client: Client, **filters: str) -> list[str]:
        return [row["number"] for row in (await client.ask("GET", "/v1.0/numbers", 200, params=filters))["result"]]

    assert await found(admin) == ["+899100000001", "+14155552671"]
    assert await found(admin, type="normal") == ["+14155552671"]
    assert await found(admin, status="suspended") == ["+899100000001"]
    assert await found(admin, name="hotline") == ["+14155552671"]
    assert await found(admin, number="+14155552671") == ["+14155552671"]
    assert await found(admin, number="14155552671") == ["+14155552671"]
    for written in ("0014155552671", "tel:+1-415-555-2671", "+1 (415) 555-2671#", "+1 1 415 555 2671"):
        assert await found(admin, number=written) == ["+14155552671"], written
    assert await found(admin, number="+14155552672") == []
    assert await found(admin, number="%", name="\u00e9") == []
    assert await found(api.root, status="available") == ["+14155552672"]
    # As a client writes it that does not escape the +.
    raw = await admin.ask("GET", "/v1.0/numbers?number=+14155552671", 200)
    assert [row["id"] for row in raw["result"]] == [first["id"]]
    for wrong in ({"status": "gone"}, {"type": "x"}, {"name": "a\x00b"}):
        error = await admin.ask("GET", "/v1.0/numbers", 400, params=wrong)
        assert error["reason"] == "INVALID_REQUEST_PARAMETER"


# ---- what refers to what, at the same time


async def waits(api: Api, task: "asyncio.Task[Any]") -> bool:
    """Whether the task comes to wait for a row that somebody holds, and does not end. SQLite has one writer: there it
    is the turn to write that is waited for."""
    lock = api.store.engines.write_lock
    for _ in range(1_000):
        if task.done():
            return False
        if lock is not None and lock.waiting:
            return True
        if api.store.dialect == "postgresql":
            async with api.store.read() as connection:
                query = sa.text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
                if (await connection.execute(query)).scalar_one():
                    return True
        await asyncio.sleep(0.01)
    return False


@pytest.mark.parametrize("what", ["flow", "provider"])
async def test_what_a_number_is_just_being_given_cannot_be_deleted(api: Api, what: str) -> None:
    number = await api.root.post("/v1.0/numbers", {"number": "+442079460123", "origin": "ported"})
    made = await api.root.post(f"/v1.0/{what}s", FLOW if what == "flow" else PROVIDER)
    field = "call_flow_id" if what == "flow" else "provider_id"
    async with api.store.write() as transaction:
        if what == "flow":
            await require_flow(transaction, api.root.customer_id, UUID(made["id"]), field)
        else:
            await require_provider(transaction, UUID(made["id"]))
        deletion = asyncio.create_task(api.root.ask("DELETE", f"/v1.0/{what}s/{made['id']}"))
        assert await waits(api, deletion)
        await rows.update(transaction, tables.numbers, UUID(number["id"]), {field: UUID(made["id"])})
    assert (await deletion)["reason"] == f"{what.upper()}_IN_USE"
