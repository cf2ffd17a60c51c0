"""What GET shows, PUT takes back: RFC 9110 §9.3.4. For every resource that has a PUT, as the document names them."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from store import rows
from store.database import tables
from tests.api.conftest import Api, Client
from tests.api.contract import Belongings, Operation, belongings, operations

OTHER: Mapping[str, tuple[str, Any]] = {
    "update_route": ("rate", 7),
    "update_provider": ("max_channels", 7),
    "update_extension": ("display_name", "another name"),
    "update_mailbox": ("new", 7),
}
"""Operation -> a field that is changed in place of `name`, and to what."""


WITHOUT_ID = ("update_mailbox",)
"""What is no row of its own."""


def puts(api: Api) -> list[Operation]:
    return [found for found in operations(api.app.openapi()) if found.method == "PUT"]


def whose(api: Api, mine: Belongings, operation: Operation) -> Client:
    return api.root if operation.permission == "project_super_admin" else mine.admin


def another(value: Any, schema: Mapping[str, Any]) -> Any:
    """Another value that such a field may have."""
    kind = next((choice for choice in schema.get("anyOf", (schema,)) if choice.get("type") != "null"), schema)
    if kind.get("format") == "uuid":
        return str(uuid4())
    if kind.get("format") == "date-time":
        return "2199-01-01T00:00:00.000000Z"
    if "enum" in kind:
        return next(choice for choice in kind["enum"] if choice != value)
    if kind.get("type") == "boolean":
        return not value
    if kind.get("type") in ("integer", "number"):
        return value + 1
    if kind.get("type") == "array":
        return [*value, *value, "x"]
    return f"{value}x"


async def test_all_of_it_with_one_field_changed(api_on: Api) -> None:
    mine = await belongings(api_on)
    tried = 0
    for operation in puts(api_on):
        client, path = whose(api_on, mine, operation), operation.at(mine.ids)
        document = await client.get(path)
        field, value = OTHER.get(operation.name, ("name", "another name"))
        changed = await client.put(path, document | {field: value})
        assert changed[field] == value, str(operation)
        now = await client.get(path)
        assert now | {"tm_update": 0} == document | {field: value, "tm_update": 0}, str(operation)
        # And once more, with the answer of the PUT.
        assert (await client.put(path, changed | {field: document[field]}))[field] == document[field]
        tried += 1
    assert tried >= 11


async def test_every_read_only_field_that_differs_is_named(api: Api) -> None:
    mine = await belongings(api)
    schemas = api.app.openapi()["components"]["schemas"]
    tried = 0
    for operation in puts(api):
        client, path = whose(api, mine, operation), operation.at(mine.ids)
        document = await client.get(path)
        if operation.name not in WITHOUT_ID:
            assert {"id", "tm_create", "tm_update", "tm_delete"} <= set(operation.read_only), str(operation)
        update = next(s for name, s in schemas.items() if name.endswith("Update") and _is(s, operation))
        for field in operation.read_only:
            wrong = document | {field: another(document[field], update["properties"][field])}
            wrong |= {"new": 7} if operation.name in WITHOUT_ID else {"detail": "new"}
            error = await client.put(path, wrong, 400)
            assert [fault["field"] for fault in error["details"]] == [field], f"{operation} {field}"
            assert "read-only" in error["message"]
            tried += 1
        everything = {f: another(document[f], update["properties"][f]) for f in operation.read_only}
        error = await client.put(path, everything, 400)
        assert {fault["field"] for fault in error["details"]} == set(operation.read_only)
        assert await client.get(path) == document, f"{operation} has changed something"
    assert tried > 50


def _is(schema: Mapping[str, Any], operation: Operation) -> bool:
    fields = schema.get("properties", {})
    return set(fields) == {*operation.fields, *operation.read_only}


async def test_whatever_is_shown_may_be_sent(api: Api) -> None:
    """No field of an answer is unknown to the PUT of the same resource."""
    mine = await belongings(api)
    for operation in puts(api):
        document = await whose(api, mine, operation).get(operation.at(mine.ids))
        assert set(document) <= {*operation.fields, *operation.read_only}, str(operation)


async def test_an_old_reading_is_no_change_of_now(api_on: Api) -> None:
    """Compared is the row that is changed, not the one that was read: another was quicker."""
    mine = await belongings(api_on)
    for operation in puts(api_on):
        if operation.name in WITHOUT_ID:
            continue
        client, path = whose(api_on, mine, operation), operation.at(mine.ids)
        read = await client.get(path)
        await client.put(path, {"detail": "another was quicker"})
        error = await client.put(path, read | {"detail": "late"}, 400)
        assert [fault["field"] for fault in error["details"]] == ["tm_update"], str(operation)
        assert (await client.get(path))["detail"] == "another was quicker"


async def test_of_two_writes_at_once_one_is_refused_as_late(api_on: Api) -> None:
    admin = await api_on.client()
    made = await admin.post("/v1.0/queues", {"name": "one"})
    path = f"/v1.0/queues/{made['id']}"
    headers = {"Authorization": f"Bearer {admin.key}"}

    async def put(name: str) -> int:
        answer = await api_on.http.put(path, json=made | {"name": name}, headers=headers)
        return answer.status_code

    assert sorted(await asyncio.gather(*(put(f"name {number}") for number in range(5)))) == [200, 400, 400, 400, 400]


async def test_secrets_that_are_not_shown_stay(api: Api) -> None:
    root = api.root
    provider = await root.post("/v1.0/providers", {"hostname": "192.0.2.1", "username": "u", "password": "secret"})
    webhook = await root.post("/v1.0/webhooks", {"uri": "https://example.com/", "secret": "sixteen letters!"})
    agent = await root.post("/v1.0/agents", {"username": "ben", "password": "correct horse"})
    for path, field in ((f"/v1.0/providers/{provider['id']}", "detail"), (f"/v1.0/webhooks/{webhook['id']}", "name")):
        await root.put(path, await root.get(path) | {field: "changed"})
    path = f"/v1.0/agents/{agent['id']}"
    await root.put(path, await root.get(path) | {"name": "Ben"})
    async with api.store.read() as connection:
        found = await rows.one(connection, tables.providers, UUID(provider["id"]))
        hook = await rows.one(connection, tables.webhooks, UUID(webhook["id"]))
    assert found is not None and hook is not None
    assert found["settings"]["password"] == "secret" and hook["secret"] == "sixteen letters!"
    login = {"username": "ben", "password": "correct horse"}
    assert (await api.nobody.post("/v1.0/auth/login", login, 200))["token"]


async def test_null_clears_also_what_is_not_shown(api: Api) -> None:
    made = await api.root.post("/v1.0/providers", {"hostname": "192.0.2.1", "password": "secret", "detail": "x"})
    path = f"/v1.0/providers/{made['id']}"
    await api.root.put(path, await api.root.get(path) | {"password": None, "detail": None})
    async with api.store.read() as connection:
        row = await rows.one(connection, tables.providers, UUID(made["id"]))
    assert row is not None and row["settings"]["password"] == "" and row["detail"] == ""


async def test_null_everywhere_is_what_the_document_says(api: Api) -> None:
    """Each field that may be null, alone and with all the others."""
    mine = await belongings(api)
    schemas = api.app.openapi()["components"]["schemas"]
    for operation in puts(api):
        client, path = whose(api, mine, operation), operation.at(mine.ids)
        update = next(s for name, s in schemas.items() if name.endswith("Update") and _is(s, operation))
        nullable = [f for f in operation.fields if {"type": "null"} in update["properties"][f].get("anyOf", ())]
        for names in [*([name] for name in nullable), nullable]:
            await client.put(path, dict.fromkeys(names))


# ---- who may change less sends back all the same


async def test_an_admin_sends_back_what_only_a_super_admin_changes(api: Api) -> None:
    admin = await api.client()
    path = f"/v1.0/customers/{admin.customer_id}"
    await api.root.put(path, {"destination_countries": ["FR", "US"], "request_rate": 70})
    document = await admin.get(path)
    assert (await admin.put(path, document | {"name": "ours"}))["name"] == "ours"
    document = await admin.get(path)
    for field, value in (("request_rate", 71), ("suspended", True), ("destination_countries", ["FR"])):
        error = await admin.put(path, document | {field: value}, 403)
        assert error["details"][0]["field"] == field
    account = (await admin.get("/v1.0/billing_accounts"))["result"][0]
    path = f"/v1.0/billing_accounts/{account['id']}"
    assert (await admin.put(path, account | {"name": "ours"}))["name"] == "ours"
    await admin.put(path, (await admin.get(path)) | {"tier": "unlimited"}, 403)
    await admin.put(path, (await admin.get(path)) | {"balance": 10**9}, 400)


async def test_an_agent_sends_back_all_of_itself(api: Api) -> None:
    agent = await api.client("customer_agent")
    path = f"/v1.0/agents/{agent.agent_id}"
    document = await agent.get(path)
    assert (await agent.put(path, document | {"name": "Ann"}))["name"] == "Ann"
    document = await agent.get(path)
    await agent.put(path, document | {"permission": "customer_admin"}, 403)
    await agent.put(path, document | {"tag_ids": [str(uuid4())]}, 403)
    await agent.put(path, document | {"username": "other"}, 400)


async def test_a_customer_sends_back_a_number_of_the_platforms_trunk(api: Api) -> None:
    """Which trunk it arrives on it neither sees nor clears."""
    admin = await api.client()
    provider = await api.root.post("/v1.0/providers", {"hostname": "192.0.2.1"})
    body = {"number": "+12125551234", "origin": "hosted", "provider_id": provider["id"]}
    made = await api.root.post("/v1.0/numbers", body | {"customer_id": str(admin.customer_id)})
    path = f"/v1.0/numbers/{made['id']}"
    for change in ({}, {"provider_id": None}, {"provider_id": str(UUID(int=0))}):
        await admin.put(path, await admin.get(path) | {"name": "desk"} | change)
        assert (await api.root.get(path))["provider_id"] == provider["id"]
    await admin.put(path, await admin.get(path) | {"provider_id": provider["id"]}, 403)
    cleared = await api.root.put(path, await api.root.get(path) | {"provider_id": None})
    assert cleared["provider_id"] == str(UUID(int=0))


@pytest.mark.parametrize("status", ["ringing:1f0c9a2e", "busy:1f0c9a2e"])
async def test_a_status_that_a_queue_made_is_left_to_it(api: Api, status: str) -> None:
    agent = await api.client("customer_agent")
    mine = tables.agents.c.id == agent.agent_id
    async with api.store.write() as transaction:
        await transaction.execute(sa.update(tables.agents).where(mine).values(status=status))
    path = f"/v1.0/agents/{agent.agent_id}"
    document = await agent.get(path)
    word = status.partition(":")[0]
    assert document["status"] == word
    assert (await agent.put(path, document | {"name": "Ann"}))["status"] == word
    async with api.store.read() as connection:
        row = await rows.one(connection, tables.agents, agent.agent_id)
    assert row is not None and row["status"] == status
    assert (await agent.put(path, {"status": "away"}))["status"] == "away"
    error = await agent.put(path, {"status": "ringing"}, 400)
    assert error["details"][0]["field"] == "status"


async def test_what_the_prober_found_meanwhile_is_nobodys_change(api: Api) -> None:
    moment = datetime(2026, 5, 1, tzinfo=UTC)
    found: list[Any] = ["unknown", None]
    api.services.health = lambda _provider_id: (found[0], found[1])
    made = await api.root.post("/v1.0/providers", {"hostname": "192.0.2.1"})
    path = f"/v1.0/providers/{made['id']}"
    first = await api.root.get(path)
    found[:] = ["healthy", moment]
    second = await api.root.put(path, first | {"detail": "a"})
    found[:] = ["unhealthy", moment + timedelta(seconds=30)]
    third = await api.root.put(path, second | {"detail": "b"})
    for wrong in ({"health_status": "healthy"}, {"health_checked_at": "2199-01-01T00:00:00.000000Z"}):
        error = await api.root.put(path, third | wrong, 400)
        assert [fault["field"] for fault in error["details"]] == list(wrong)


async def test_what_a_file_declares_stays_the_files(api: Api) -> None:
    """The free part of an agent that a file declares is changed by sending all of it, too."""
    agent = await api.client("customer_agent")
    mine = tables.agents.c.id == agent.agent_id
    async with api.store.write() as transaction:
        await transaction.execute(sa.update(tables.agents).where(mine).values(declared_in="/etc/trunkline.yaml"))
    path = f"/v1.0/agents/{agent.agent_id}"
    document = await agent.get(path)
    assert (await agent.put(path, document | {"status": "available"}))["status"] == "available"
    document = await agent.get(path)
    assert (await agent.put(path, document | {"name": "Ann"}, 409))["reason"] == "DECLARED_IN_FILE"


async def test_moments_may_be_written_otherwise(api: Api) -> None:
    admin = await api.client()
    made = await admin.post("/v1.0/queues", {})
    path = f"/v1.0/queues/{made['id']}"
    other = made["tm_create"].replace("Z", "+00:00")
    await admin.put(path, {"tm_create": other, "tm_update": None if made["tm_update"] is None else made["tm_update"]})
    for wrong in ("yesterday", 7, ""):
        error = await admin.put(path, {"tm_create": wrong}, 400)
        assert error["details"][0]["field"] == "tm_create"
