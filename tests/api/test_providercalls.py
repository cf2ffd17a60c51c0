"""Providercalls through the API: one provider, real calls, and a record that does not change."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from store import rows
from store.database import tables
from tests.api.conftest import opened
from tests.api.exchange import ELSEWHERE, FOREIGN, MINE, NIL, TALK, exchange, followed, order
from tests.service.conftest import ONE, TWO

Run = Callable[..., None]
PATH = "/v1.0/providercalls"


async def provider_id(x: Any, name: str) -> str:
    (provider,) = (await x.root.get("/v1.0/providers", name=name))["result"]
    return str(provider["id"])


def test_a_providercall_is_placed_followed_listed_and_deleted(run: Run, store_url: str) -> None:
    async def test(bench: Any) -> None:
        one, two = await bench.phone(ONE, 486), await bench.phone(TWO)
        x = await exchange(bench, one, two, store=store_url)
        two_id = await provider_id(x, "p2")
        body = order(FOREIGN, ELSEWHERE) | {"provider_id": two_id, "anonymous": "auto", "actions": TALK}
        made = await x.root.post(PATH, body)
        path = f"{PATH}/{made['id']}"
        assert made == {
            "id": made["id"],
            "customer_id": str(x.root.customer_id),
            "provider_id": two_id,
            "flow_id": made["flow_id"],
            "source": {"type": "tel", "target": MINE, "target_name": ""},
            "destinations": [{"type": "tel", "target": target, "target_name": ""} for target in (FOREIGN, ELSEWHERE)],
            "anonymous": "auto",
            "call_ids": made["call_ids"],
            "groupcall_ids": [],
            "tm_create": made["tm_create"],
            "tm_update": made["tm_create"],
            "tm_delete": None,
        }
        assert made["flow_id"] != NIL and len(set(made["call_ids"])) == 2
        # The temporary flow can be looked at, and is no other's to use.
        flow = await x.root.get(f"/v1.0/flows/{made['flow_id']}")
        assert [action["type"] for action in flow["actions"]] == [action["type"] for action in TALK]
        assert (flow["id"], flow["name"], flow["tm_delete"]) == (made["flow_id"], "", flow["tm_create"])
        assert made["flow_id"] not in [row["id"] for row in (await x.root.get("/v1.0/flows"))["result"]]
        using = {"number": "+899100000009", "call_flow_id": made["flow_id"]}
        assert (await x.root.post("/v1.0/numbers", using, 400))["reason"] == "FLOW_NOT_FOUND"
        assert (await x.root.delete(f"/v1.0/flows/{made['flow_id']}", 404))["reason"] == "FLOW_NOT_FOUND"
        for call_id in made["call_ids"]:
            call = await followed(x.root, call_id, "progressing")
            assert call["metadata"] == {"route_provider_ids": [two_id], "skip_source_validation": True}
            assert (call["hangup_reason"], call["provider_id"]) == ("", two_id)
        assert await x.root.get(path) == made
        assert await x.root.get(PATH, provider_id=two_id) == {"result": [made], "next_page_token": ""}
        assert (await x.root.get(PATH, provider_id=await provider_id(x, "p1")))["result"] == []
        deleted = await x.root.delete(path)
        assert deleted["tm_delete"] and deleted | {"tm_delete": None, "tm_update": made["tm_update"]} == made
        assert (await x.root.get(path, 404))["reason"] == "PROVIDERCALL_NOT_FOUND"
        assert (await x.root.get(PATH))["result"] == []
        for call_id in made["call_ids"]:  # they go on
            assert (await x.root.get(f"/v1.0/calls/{call_id}"))["status"] == "progressing"
            await x.root.post(f"/v1.0/calls/{call_id}/hangup", status=200)
            await followed(x.root, call_id)
        assert not one.calls

    run(test)


@pytest.mark.parametrize(
    ("does", "reason", "by"), [(486, "busy", "remote"), (404, "failed", "remote"), ("echo", "normal", "local")]
)
def test_what_the_provider_said_is_in_the_call(run: Run, does: Any, reason: str, by: str) -> None:
    async def test(bench: Any) -> None:
        one, two = await bench.phone(ONE, does), await bench.phone(TWO)
        x = await exchange(bench, one, two)
        body = {"provider_id": await provider_id(x, "p1"), "destinations": [{"type": "tel", "target": FOREIGN}]}
        made = await x.root.post(PATH, body)
        assert (made["source"], made["flow_id"], made["anonymous"]) == (None, NIL, "auto")
        call = await followed(x.root, made["call_ids"][0])
        assert (call["hangup_reason"], call["hangup_by"]) == (reason, by)
        assert call["sip_status"] == (200 if does == "echo" else does)
        assert not two.calls
        assert one.invites[0].get("From").startswith('"Anonymous" <sip:anonymous@anonymous.invalid>')

    run(test)


def test_any_source_will_do_and_any_customers_flow(run: Run) -> None:
    async def test(bench: Any) -> None:
        one = await bench.phone(ONE)
        x = await exchange(bench, one)
        manager = await x.api.client("customer_manager")
        flow = await manager.post("/v1.0/flows", {"actions": TALK})
        body = order(source="112") | {"provider_id": await provider_id(x, "p1"), "flow_id": flow["id"]}
        made = await x.root.post(PATH, body)
        assert (made["flow_id"], made["source"]["target"]) == (flow["id"], "112")
        call = await followed(x.root, made["call_ids"][0], "progressing")
        assert call["flow_id"] == flow["id"]
        assert "<sip:112@" in one.invites[0].get("From")
        # It is the platform's: the flow's owner sees nothing of it.
        assert (await manager.get(f"/v1.0/calls/{call['id']}", 404))["reason"] == "CALL_NOT_FOUND"
        await x.root.post(f"/v1.0/calls/{call['id']}/hangup", status=200)
        await followed(x.root, call["id"])

    run(test)


def test_what_cannot_be_placed(run: Run) -> None:
    async def test(bench: Any) -> None:
        x = await exchange(bench, await bench.phone(ONE))
        provider = await provider_id(x, "p1")
        unused = await x.root.post("/v1.0/providers", {"name": "unused", "hostname": "192.0.2.1"})
        await x.root.delete(f"/v1.0/providers/{unused['id']}")
        changes: list[tuple[dict[str, Any], str, str]] = [
            ({"provider_id": str(uuid4())}, "PROVIDER_NOT_FOUND", "provider_id"),
            ({"provider_id": unused["id"]}, "PROVIDER_NOT_FOUND", "provider_id"),
            ({"provider_id": None}, "INVALID_REQUEST_PARAMETER", "provider_id"),
            ({"provider_id": "7"}, "INVALID_REQUEST_PARAMETER", "provider_id"),
            (
                {"destinations": [{"type": "sip", "target": "sip:a@b"}]},
                "INVALID_REQUEST_PARAMETER",
                "destinations[0].type",
            ),
            ({"destinations": [{"type": "tel", "target": "113"}]}, "INVALID_NUMBER", "destinations[0].target"),
            ({"anonymous": "perhaps"}, "INVALID_ANONYMOUS_VALUE", "anonymous"),
            ({"flow_id": str(UUID(int=7))}, "FLOW_NOT_FOUND", "flow_id"),
            ({"actions": [{"type": "answr"}]}, "INVALID_ACTION", "actions[0].type"),
            ({"ring_method": "linear"}, "INVALID_REQUEST_PARAMETER", "ring_method"),
        ]
        for change, reason, field in changes:
            error = await x.root.post(PATH, order() | {"provider_id": provider} | change, 400)
            assert (error["reason"], error["status"]) == (reason, "INVALID_ARGUMENT"), change
            assert error["details"][0]["field"] == field
        async with x.store.read() as connection:
            for table in (tables.providercalls, tables.calls):
                assert (await connection.execute(sa.select(sa.func.count()).select_from(table))).scalar_one() == 0

    run(test)


def test_a_record_that_cannot_be_kept_means_no_call(run: Run) -> None:
    async def test(bench: Any) -> None:
        one = await bench.phone(ONE)
        x = await exchange(bench, one)
        insert = rows.insert

        async def broken(transaction: Any, table: Any, values: Any) -> Any:
            if table is tables.providercalls:
                raise sa.exc.OperationalError("INSERT", {}, Exception("disk full"))
            return await insert(transaction, table, values)

        bench.patch.setattr(rows, "insert", broken)
        body = order() | {"provider_id": await provider_id(x, "p1")}
        assert (await x.root.post(PATH, body, 503))["reason"] == "SERVICE_UNAVAILABLE"
        assert (x.engine.record.status, x.engine.record.attempts) == ("hangup", [])
        assert not one.calls

    run(test)


async def test_providercalls_are_for_super_admins() -> None:
    async with opened(":memory:") as api:
        admin = await api.client("customer_admin")
        identifier = uuid4()
        asked = [("GET", PATH), ("POST", PATH), ("GET", f"{PATH}/{identifier}"), ("DELETE", f"{PATH}/{identifier}")]
        for method, path in asked:
            assert (await admin.ask(method, path, 403))["reason"] == "PERMISSION_DENIED"
            assert (await api.nobody.ask(method, path, 401))["reason"] == "AUTHENTICATION_REQUIRED"
        assert (await api.root.get(f"{PATH}/{identifier}", 404))["reason"] == "PROVIDERCALL_NOT_FOUND"
