"""Messages by the API: kept before the answer, then sent; opt-outs honoured; what cannot be is refused at once."""

import asyncio
import json
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from engine.dial import Outcome
from flows.messages.model import MessageNotKept
from routing.models.provider import Provider
from routing.models.route import Route
from store import rows
from store.database import tables
from store.resources import messages
from store.store import Store
from tests.api.conftest import Api, Client, opened

PATH = "/v1.0/messages"
FAR = "+821012345678"


async def with_number(store: Store, customer_id: Any, number: str, **values: Any) -> UUID:
    async with store.write() as transaction:
        row = {"customer_id": customer_id, "number": number, "type": "normal", "status": "active"} | values
        made: UUID = (await rows.insert(transaction, tables.numbers, row))["id"]
    return made


def with_providers(api: Api, *names: str) -> None:
    providers = [Provider(name=name, hostname=f"{name}.example:5060", tech_prefix=name[0]) for name in names]
    routes = [Route(target="all", provider_id=one.id, priority=place) for place, one in enumerate(providers)]
    api.services.flows.calls.directory.replace([], providers, routes)


async def opt_out(store: Store, customer_id: Any, number: str, contact: str = FAR) -> None:
    async with store.write() as transaction:
        assert await messages.opt_out(transaction, customer_id, number, contact, "STOP")


def message(*destinations: dict[str, str], source: str = "+15550001111", **more: Any) -> dict[str, Any]:
    to = destinations or ({"type": "tel", "target": FAR},)
    return {"source": {"type": "tel", "target": source}, "destinations": list(to), "text": "Hello\nworld"} | more


async def over(client: Client, made: dict[str, Any]) -> dict[str, Any]:
    """The message once its outcome is in the store."""
    async with asyncio.timeout(30):
        while True:
            answer: dict[str, Any] = await client.get(f"{PATH}/{made['id']}")
            if answer["status"] != "sending":
                return answer


async def test_a_message_is_kept_and_then_sent(store_url: str) -> None:
    async with opened(store_url) as api:
        with_providers(api, "one")
        manager, other = await api.client("customer_manager"), await api.client("customer_admin")
        number_id = await with_number(api.store, manager.customer_id, "+15550001111")
        await with_number(api.store, manager.customer_id, "+899100000001", type="virtual")
        alice = {"type": "sip", "target": "sip:alice@example.com"}
        api.network.go.clear()
        made = await manager.post(PATH, message({"type": "tel", "target": FAR, "target_name": "Ann"}, alice))
        waiting = {"status": "sending", "sip_status": 0, "sip_reason": "", "attempts": []}
        destinations = [{"type": "tel", "target": FAR, "target_name": "Ann"}, alice | {"target_name": ""}]
        assert made == {
            "id": made["id"],
            "customer_id": str(manager.customer_id),
            "direction": "outgoing",
            "status": "sending",
            "source": {"type": "tel", "target": "+15550001111", "target_name": ""},
            "destinations": destinations,
            "text": "Hello\nworld",
            "number_id": str(number_id),
            "targets": [destination | waiting for destination in destinations],
            "tm_create": made["tm_create"],
            "tm_update": made["tm_create"],
            "tm_delete": None,
        }
        assert await manager.get(f"{PATH}/{made['id']}") == made  # it is kept, whatever becomes of it
        api.network.go.set()
        sent = await over(manager, made)
        assert sent["status"] == "delivered"
        assert [target["status"] for target in sent["targets"]] == ["delivered", "delivered"]
        (attempt,) = (told := await api.root.get(f"{PATH}/{made['id']}"))["targets"][0]["attempts"]
        assert attempt["provider_name"] == "one"
        hidden = {"provider_id": str(UUID(int=0)), "provider_name": "", "request_uri": ""}
        assert sent["targets"][0]["attempts"] == [attempt | hidden]
        assert (attempt["request_uri"], attempt["outcome"]) == (f"sip:o{FAR}@one.example:5060", "answered")
        assert {spec.request_uri for spec, _ in api.network.sent} == {attempt["request_uri"], alice["target"]}
        assert [text for _, text in api.network.sent] == ["Hello\nworld"] * 2
        async with api.store.read() as connection:
            query = sa.select(tables.events).where(tables.events.c.type == "message_sent")
            (event,) = (await connection.execute(query)).mappings().all()
        assert event["data"] == told
        virtual = await manager.post(PATH, message(source="+899100000001"))
        assert [found["id"] for found in (await manager.get(PATH))["result"]] == [virtual["id"], made["id"]]
        await over(manager, virtual)
        assert len((await manager.ask("GET", f"{PATH}?status=delivered&direction=outgoing", 200))["result"]) == 2
        assert (await manager.get(PATH, direction="incoming"))["result"] == []
        assert (await other.get(f"{PATH}/{made['id']}", 404))["reason"] == "MESSAGE_NOT_FOUND"
        assert (await other.get(PATH))["result"] == []
        assert (await other.post(PATH, message(), 403))["reason"] == "SOURCE_NOT_ALLOWED"
        assert (await api.root.get(f"{PATH}/{made['id']}"))["id"] == made["id"]


@pytest.mark.parametrize(
    ("outcome", "status", "target", "tried"),
    [
        (
            Outcome(kind="answered", status=202, reason="Accepted", retry_after=0, first_reply=1.0),
            "sent",
            ("accepted", 202, "Accepted"),
            1,
        ),
        (
            Outcome(kind="refused", status=503, reason="Busy", retry_after=0, first_reply=1.0),
            "failed",
            ("failed", 503, "Service Unavailable"),
            2,
        ),
        (
            Outcome(kind="refused", status=404, reason="Not Found", retry_after=0, first_reply=1.0),
            "failed",
            ("failed", 404, "Not Found"),
            1,
        ),
        (
            Outcome(kind="no_reply", status=0, reason="timeout"),
            "failed",
            ("failed", 0, "timeout"),
            2,
        ),
    ],
)
async def test_the_response_of_the_far_end_is_in_the_message(
    outcome: Outcome, status: str, target: Any, tried: int
) -> None:
    async with opened(":memory:") as api:
        with_providers(api, "one", "two")
        manager = await api.client("customer_manager")
        await with_number(api.store, manager.customer_id, "+15550001111")
        api.network.outcome = outcome
        sent = await over(manager, await manager.post(PATH, message()))
        assert sent["status"] == status
        (found,) = sent["targets"]
        assert (found["status"], found["sip_status"], found["sip_reason"]) == target
        assert len(found["attempts"]) == len(api.network.sent) == tried


async def test_who_has_opted_out_gets_nothing(store_url: str) -> None:
    async with opened(store_url) as api:
        with_providers(api, "one")
        manager, other = await api.client("customer_manager"), await api.client("customer_admin")
        await with_number(api.store, manager.customer_id, "+15550001111")
        await opt_out(api.store, manager.customer_id, "+15550001111")
        (found,) = (await manager.get("/v1.0/opt_outs", number="+15550001111", contact=FAR))["result"]
        assert (found["number"], found["contact"], found["keyword"]) == ("+15550001111", FAR, "STOP")
        assert (await manager.get("/v1.0/opt_outs", contact="+1"))["result"] == []
        assert (await other.get("/v1.0/opt_outs"))["result"] == []
        # However the number is written.
        both = ({"type": "tel", "target": "00821012345678"}, {"type": "tel", "target": "+821099999999"})
        sent = await over(manager, await manager.post(PATH, message(*both)))
        assert (sent["status"], [target["status"] for target in sent["targets"]]) == (
            "partly",
            ["opted_out", "delivered"],
        )
        assert len(api.network.sent) == 1
        path = f"/v1.0/opt_outs/{found['id']}"
        assert (await other.ask("DELETE", path, 404))["reason"] == "OPT_OUT_NOT_FOUND"
        assert (await manager.delete(path))["tm_delete"]
        assert (await manager.get("/v1.0/opt_outs"))["result"] == []
        assert (await over(manager, await manager.post(PATH, message())))["status"] == "delivered"


async def test_an_opt_out_comes_and_goes_and_there_is_one_of_each(store_url: str) -> None:
    store = await Store.open(store_url)
    customer = uuid4()
    pair = ("+15550001111", FAR)
    told = []
    for _ in range(2):
        async with store.write() as transaction:
            told.append(await messages.opt_out(transaction, customer, *pair, "STOP"))
    async with store.read() as connection:
        assert await messages.opted_out(connection, pair[0], [FAR])
        assert not await messages.opted_out(connection, "+15550002222", [FAR])
    for _ in range(2):
        async with store.write() as transaction:
            told.append(await messages.opt_in(transaction, *pair))
    async with store.write() as transaction:
        told.append(await messages.opt_out(transaction, customer, *pair, "QUIT"))
    assert told == [True, False, True, False, True]
    await store.close()


async def test_a_message_that_cannot_be_kept_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(":memory:") as api:
        with_providers(api, "one")
        manager = await api.client("customer_manager")
        await with_number(api.store, manager.customer_id, "+15550001111")
        post = api.services.flows.messages
        assert post is not None

        async def broken(_message: Any) -> None:
            raise MessageNotKept("the store does not answer")

        monkeypatch.setattr(post.store, "sending", broken)
        assert (await manager.post(PATH, message(), 503))["reason"] == "SERVICE_UNAVAILABLE"
        assert not api.network.sent
        assert not post.waiting


async def test_without_a_route_a_message_fails_and_says_so() -> None:
    async with opened(":memory:") as api:
        manager = await api.client("customer_manager")
        await with_number(api.store, manager.customer_id, "+15550001111")
        (target,) = (await over(manager, await manager.post(PATH, message())))["targets"]
        assert (target["status"], target["sip_reason"]) == ("failed", f"no route leads to {FAR}")


@pytest.mark.parametrize(
    ("change", "reason", "field"),
    [
        ({"text": ""}, "INVALID_REQUEST_PARAMETER", "text"),
        ({"text": "x" * 4097}, "INVALID_REQUEST_PARAMETER", "text"),
        ({"text": "a\x00"}, "INVALID_REQUEST_PARAMETER", "text"),
        ({"text": "a\ud800"}, "INVALID_REQUEST_PARAMETER", "text"),
        ({"text": 7}, "INVALID_REQUEST_PARAMETER", "text"),
        ({"destinations": []}, "INVALID_REQUEST_PARAMETER", "destinations"),
        ({"destinations": [{"type": "agent", "target": "7"}]}, "INVALID_REQUEST_PARAMETER", "destinations[0].type"),
        ({"destinations": [{"type": "tel", "target": "113"}]}, "INVALID_NUMBER", "destinations[0].target"),
        ({"source": None}, "INVALID_REQUEST_PARAMETER", "source"),
    ],
)
async def test_a_message_that_is_wrong(change: Any, reason: str, field: str) -> None:
    async with opened(":memory:") as api:
        manager = await api.client("customer_manager")
        await with_number(api.store, manager.customer_id, "+15550001111")
        body = json.dumps(message() | change)  # which escapes what is no character
        headers = {"Content-Type": "application/json"}
        error = await manager.ask("POST", PATH, 400, content=body, headers=headers)
        assert (error["reason"], error["details"][0]["field"]) == (reason, field)
        assert (await manager.get(PATH))["result"] == []


async def test_an_address_without_its_type_is_told_how_it_is_written() -> None:
    async with opened(":memory:") as api:
        manager = await api.client("customer_manager")
        body = message() | {"source": "+15550001111", "destinations": [FAR]}
        error = await manager.ask("POST", PATH, 400, json=body)
        wanted = 'must be an object, such as {"type": "tel", "target": "+15551234567"}'
        assert {one["field"]: one["message"] for one in error["details"]} == {
            "source": wanted,
            "destinations[0]": wanted,
        }
