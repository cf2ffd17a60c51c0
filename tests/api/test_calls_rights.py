"""What a customer may call, and as whom: asked before a call is made, and nothing is made of what may not be."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from store import rows
from store.database import tables
from tests.api.exchange import ELSEWHERE, FOREIGN, MINE, Exchange, exchange, followed, order
from tests.service.conftest import ONE, TWO

Run = Callable[..., None]
PATHS = ("/v1.0/calls", "/v1.0/groupcalls")


async def nothing_was_made(x: Exchange) -> None:
    async with x.store.read() as connection:
        for table in (tables.calls, tables.groupcalls, tables.providercalls):
            assert (await connection.execute(sa.select(sa.func.count()).select_from(table))).scalar_one() == 0
    assert not x.node.flows.calls.tasks and not len(x.node.flows.calls.registry)


@pytest.mark.parametrize("path", PATHS)
def test_the_source_is_an_active_normal_number_of_the_customer(run: Run, path: str) -> None:
    async def test(bench: Any) -> None:
        x = await exchange(bench, await bench.phone(ONE))
        manager, other = await x.manager(), await x.manager("+15550003333")
        await x.number(manager.customer_id, "+15550004444", status="suspended")
        await x.number(manager.customer_id, "+899100000001", type="virtual")
        for source in ("+15550003333", "+15550004444", "+899100000001", "+15559999999", "112", "hotline"):
            body = (
                order(source=source)
                if source != "hotline"
                else order() | {"source": {"type": "extension", "target": source}}
            )
            error = await manager.post(path, body, 403)
            assert (error["reason"], error["status"]) == ("SOURCE_NOT_ALLOWED", "PERMISSION_DENIED")
            assert source in error["message"]
        assert (await x.root.post(path, order(), 403))["reason"] == "SOURCE_NOT_ALLOWED"
        for_other = order() | {"customer_id": str(other.customer_id)}
        assert (await x.root.post(path, for_other, 403))["reason"] == "SOURCE_NOT_ALLOWED"
        assert (await manager.post(path, for_other, 403))["reason"] == "PERMISSION_DENIED"
        for_nobody = order() | {"customer_id": str(uuid4())}
        assert (await x.root.post(path, for_nobody, 400))["reason"] == "CUSTOMER_NOT_FOUND"
        await nothing_was_made(x)

    run(test)


def test_any_form_of_the_source_will_do_and_an_admin_calls_for_a_customer(run: Run) -> None:
    async def test(bench: Any) -> None:
        x = await exchange(bench, await bench.phone(ONE))
        manager = await x.manager()
        (call,) = (await manager.post("/v1.0/calls", order(source="001 (555) 000-1111")))["calls"]
        assert call["source"]["target"] == MINE
        body = order() | {"customer_id": str(manager.customer_id)}
        (other,) = (await x.root.post("/v1.0/calls", body))["calls"]
        assert other["customer_id"] == str(manager.customer_id)
        for made in (call, other):
            await followed(manager, made["id"])

    run(test)


@pytest.mark.parametrize("path", PATHS)
def test_a_limited_customer_calls_its_countries_only(run: Run, path: str) -> None:
    async def test(bench: Any) -> None:
        x = await exchange(bench, await bench.phone(ONE))
        manager = await x.manager()
        await x.root.put(f"/v1.0/customers/{manager.customer_id}", {"destination_countries": ["GB"]})
        error = await manager.post(path, order(ELSEWHERE, FOREIGN), 403)
        assert error["reason"] == "DESTINATION_NOT_ALLOWED"
        assert error["message"].startswith("destinations[1].target:") and FOREIGN in error["message"]
        await nothing_was_made(x)
        await manager.post(path, order(ELSEWHERE))
        await x.engine.quiet()

    run(test)


@pytest.mark.parametrize("path", PATHS)
def test_no_route_is_said_at_once(run: Run, path: str) -> None:
    async def test(bench: Any) -> None:
        one = await bench.phone(ONE)
        sections = bench.providers(one) | {
            "routes": [{"target": "+44", "provider": "p1"}, {"target": "+82", "provider": "p1", "enabled": False}]
        }
        x = await exchange(bench, **sections)
        manager = await x.manager()
        error = await manager.post(path, order(ELSEWHERE, FOREIGN), 409)
        assert (error["reason"], error["status"]) == ("NO_ROUTE_AVAILABLE", "FAILED_PRECONDITION")
        assert "destinations[1].target" in error["message"]
        await nothing_was_made(x)

    run(test)


@pytest.mark.parametrize("path", PATHS)
def test_what_the_account_cannot_begin_to_pay_is_402(run: Run, path: str) -> None:
    async def test(bench: Any) -> None:
        one, two = await bench.phone(ONE), await bench.phone(TWO)
        sections = bench.providers(one, two) | {
            "routes": [
                {"target": "+82", "provider": "p1", "rate": 6_000},
                {"target": "+82", "provider": "p2", "priority": 1},
                {"target": "+44", "provider": "p2"},
            ]
        }
        x = await exchange(bench, **sections)
        poor, rich = await x.manager(balance=199), await x.manager("+15550005555", balance=200)
        error = await poor.post(path, order(FOREIGN, FOREIGN), 402)
        assert (error["reason"], error["status"]) == ("INSUFFICIENT_BALANCE", "PAYMENT_REQUIRED")
        assert "200" in error["message"] and "199" in error["message"]
        await nothing_was_made(x)
        for client, body in (
            (rich, order(FOREIGN, FOREIGN, source="+15550005555")),  # a second of each
            (poor, order(FOREIGN)),
            (poor, order(ELSEWHERE)),  # free
        ):
            await client.post(path, body)
        await x.engine.quiet()

    run(test)


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"destinations": []}, "INVALID_REQUEST_PARAMETER", "destinations"),
    ({"destinations": [{"type": "tel", "target": "113"}]}, "INVALID_NUMBER", "destinations[0].target"),
    ({"destinations": [{"type": "tel", "target": "alice"}]}, "INVALID_REQUEST_PARAMETER", "destinations[0]"),
    ({"destinations": [{"type": "tel", "target": "${x}"}]}, "INVALID_REQUEST_PARAMETER", "destinations[0]"),
    ({"destinations": [{"type": "sip", "target": "a b"}]}, "INVALID_REQUEST_PARAMETER", "destinations[0]"),
    (
        {"destinations": [{"type": "sip", "target": "a\r\nb"}]},
        "INVALID_REQUEST_PARAMETER",
        "destinations[0].target",
    ),
    ({"destinations": [{"type": "fax", "target": "1"}]}, "INVALID_REQUEST_PARAMETER", "destinations[0].type"),
    ({"destinations": [{"type": "tel"}]}, "MISSING_REQUEST_PARAMETER", "destinations[0].target"),
    ({"source": None}, "INVALID_REQUEST_PARAMETER", "source"),
    ({"anonymous": "maybe"}, "INVALID_ANONYMOUS_VALUE", "anonymous"),
    ({"anonymous": ["no"]}, "INVALID_ANONYMOUS_VALUE", "anonymous"),
    ({"flow_id": str(UUID(int=7))}, "FLOW_NOT_FOUND", "flow_id"),
    ({"flow_id": str(UUID(int=7)), "actions": [{"type": "answer"}]}, "INVALID_REQUEST_PARAMETER", ""),
    ({"actions": [{"type": "answr"}]}, "INVALID_ACTION", "actions[0].type"),
    (
        {"actions": [{"type": "fetch_flow", "option": {"flow_id": "x"}}]},
        "INVALID_ACTION",
        "actions[0].option.flow_id",
    ),
    ({"actions": [{"type": []}]}, "INVALID_ACTION", "actions[0].type"),
    ({"metadata": {"a": "\x00"}}, "INVALID_REQUEST_PARAMETER", "metadata.a"),
    ({"nmae": "x"}, "INVALID_REQUEST_PARAMETER", "nmae"),
]


@pytest.mark.parametrize("path", PATHS)
def test_a_body_that_is_wrong(run: Run, path: str) -> None:
    async def test(bench: Any) -> None:
        x = await exchange(bench, await bench.phone(ONE))
        manager = await x.manager()
        for change, reason, field in WRONG:
            error = await manager.post(path, order() | change, 400)
            assert (error["reason"], error["details"][0]["field"]) == (reason, field), change
        await nothing_was_made(x)

    run(test)


def test_flows_of_others_are_none(run: Run) -> None:
    async def test(bench: Any) -> None:
        x = await exchange(bench, await bench.phone(ONE))
        mine, other = await x.manager(), await x.manager("")
        flow = await other.post("/v1.0/flows", {"actions": [{"type": "answer"}]})
        for path in PATHS:
            error = await mine.post(path, order(flow_id=flow["id"]), 400)
            assert (error["reason"], error["details"][0]["field"]) == ("FLOW_NOT_FOUND", "flow_id")
            inline = [{"type": "fetch_flow", "option": {"flow_id": flow["id"]}}]
            assert (await mine.post(path, order(actions=inline), 400))["reason"] == "INVALID_ACTION"
        await nothing_was_made(x)

    run(test)


def test_what_another_node_has_just_made_is_asked_for_again(run: Run) -> None:
    async def test(bench: Any) -> None:
        x = await exchange(bench, await bench.phone(ONE))
        manager = await x.manager()
        async with x.store.write() as transaction:  # and this node hears nothing of it
            values = {"customer_id": manager.customer_id, "actions": [{"type": "answer"}]}
            flow = await rows.insert(transaction, tables.flows, values)
            provider = await rows.insert(
                transaction, tables.providers, {"customer_id": manager.customer_id, "hostname": "x"}
            )
        error = await manager.post("/v1.0/calls", order(flow_id=str(flow["id"])), 503)
        assert error["reason"] == "SERVICE_UNAVAILABLE"
        body = order() | {"provider_id": str(provider["id"])}
        assert (await x.root.post("/v1.0/providercalls", body, 503))["reason"] == "SERVICE_UNAVAILABLE"
        await nothing_was_made(x)

    run(test)


def test_no_more_calls_than_may_run(run: Run) -> None:
    async def test(bench: Any) -> None:
        x = await exchange(bench, await bench.phone(ONE))
        manager = await x.manager()
        x.node.flows.calls.tasks.limit = 1
        for path in PATHS:
            error = await manager.post(path, order(FOREIGN, ELSEWHERE), 429)
            assert (error["reason"], error["status"]) == ("RATE_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED")
        await nothing_was_made(x)

    run(test)
