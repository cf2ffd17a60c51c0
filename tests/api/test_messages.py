"""Messages: records of what was to be sent, and honest about not having sent it."""

import json
from typing import Any

import pytest

from store import rows, tables
from store.store import Store
from tests.api.conftest import opened

PATH = "/v1.0/messages"


async def with_number(store: Store, customer_id: Any, number: str, **values: Any) -> None:
    async with store.write() as transaction:
        row = {"customer_id": customer_id, "number": number, "type": "normal", "status": "active"} | values
        await rows.insert(transaction, tables.numbers, row)


def message(*destinations: dict[str, str], source: str = "+15550001111", **more: Any) -> dict[str, Any]:
    to = destinations or ({"type": "tel", "target": "+821012345678"},)
    return {"source": {"type": "tel", "target": source}, "destinations": list(to), "text": "Hello\nworld"} | more


async def test_a_message_is_kept_and_not_sent(store_url: str) -> None:
    async with opened(store_url) as api:
        manager, other = await api.client("customer_manager"), await api.client("customer_admin")
        await with_number(api.store, manager.customer_id, "+15550001111")
        await with_number(api.store, manager.customer_id, "+899100000001", type="virtual")
        alice = {"type": "sip", "target": "sip:alice@example.com"}
        made = await manager.post(
            PATH, message({"type": "tel", "target": "+821012345678", "target_name": "Ann"}, alice)
        )
        assert made == {
            "id": made["id"],
            "customer_id": str(manager.customer_id),
            "direction": "outgoing",
            "status": "not_sent",
            "source": {"type": "tel", "target": "+15550001111", "target_name": ""},
            "destinations": [
                {"type": "tel", "target": "+821012345678", "target_name": "Ann"},
                alice | {"target_name": ""},
            ],
            "text": "Hello\nworld",
            "tm_create": made["tm_create"],
            "tm_update": made["tm_create"],
            "tm_delete": None,
        }
        path = f"{PATH}/{made['id']}"
        assert await manager.get(path) == made
        virtual = await manager.post(PATH, message(source="+899100000001"))
        assert [found["id"] for found in (await manager.get(PATH))["result"]] == [virtual["id"], made["id"]]
        assert len((await manager.ask("GET", f"{PATH}?status=not_sent&direction=outgoing", 200))["result"]) == 2
        assert (await manager.get(PATH, direction="incoming"))["result"] == []
        assert (await other.get(path, 404))["reason"] == "MESSAGE_NOT_FOUND"
        assert (await other.get(PATH))["result"] == []
        assert (await other.post(PATH, message(), 403))["reason"] == "SOURCE_NOT_ALLOWED"
        assert (await api.root.get(path))["id"] == made["id"]


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
        ({"destinations": [{"type": "tel", "target": "112"}]}, "INVALID_NUMBER", "destinations[0].target"),
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
