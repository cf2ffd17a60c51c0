"""Calls through the API, to phones on the loopback: made, followed, hung up, traced, and kept from others."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from tests.api.exchange import ELSEWHERE, FOREIGN, MINE, NIL, TALK, exchange, followed, order
from tests.service.conftest import CLIENT, ONE, TWO

Run = Callable[..., None]


def test_a_call_is_made_followed_and_hung_up(run: Run, store_url: str) -> None:
    async def test(bench: Any) -> None:
        one = await bench.phone(ONE)
        x = await exchange(bench, one, store=store_url)
        manager = await x.manager()
        body = order("00821012345678", actions=TALK, metadata={"ticket": 7}, anonymous="yes")
        made = await manager.post("/v1.0/calls", body)
        assert set(made) == {"calls", "groupcalls"} and made["groupcalls"] == []
        (call,) = made["calls"]
        path = f"/v1.0/calls/{call['id']}"
        assert call == call | {
            "customer_id": str(manager.customer_id),
            "direction": "outgoing",
            "status": "dialing",
            "source": {"type": "tel", "target": MINE, "target_name": ""},
            "destination": {"type": "tel", "target": FOREIGN, "target_name": ""},
            "metadata": {"ticket": 7},
            "notes": [],
            "hangup_by": "",
            "hangup_reason": "",
            "sip_status": 0,
            "tm_hangup": None,
            "tm_delete": None,
        }
        talking = await followed(manager, call["id"], "progressing")
        assert talking["provider_id"] == NIL  # which trunk it went to is the platform's business
        assert (await x.root.get(path))["provider_id"] != NIL
        assert talking["tm_create"] <= talking["tm_ringing"] <= talking["tm_progressing"]
        assert one.invites[0].get("From").startswith('"Anonymous"')
        (attempt,) = (await manager.get(f"{path}/attempts"))["result"]
        assert (attempt["outcome"], attempt["sip_status"], attempt["provider_id"]) == (
            "answered",
            200,
            talking["provider_id"],
        )
        assert (await manager.delete(path, 409))["reason"] == "CALL_IN_PROGRESS"
        ending = await manager.post(f"{path}/hangup", status=200)
        assert ending["status"] in ("terminating", "hangup")
        over = await followed(manager, call["id"])
        assert (over["hangup_reason"], over["hangup_by"]) == ("normal", "local")
        assert over["tm_progressing"] == talking["tm_progressing"] <= over["tm_hangup"]
        assert one.heard["BYE"] == 1
        assert (await manager.post(f"{path}/hangup", status=409))["reason"] == "CALL_ALREADY_HANGUP"
        await x.written(bench)
        (stored,) = (await manager.get(f"{path}/attempts"))["result"]
        assert stored == attempt
        assert [found["id"] for found in (await manager.get("/v1.0/calls"))["result"]] == [call["id"]]
        assert (await manager.delete(path))["tm_delete"]
        assert (await manager.get(path, 404))["reason"] == "CALL_NOT_FOUND"
        assert (await manager.get("/v1.0/calls"))["result"] == []

    run(test)


def test_a_ringing_call_is_cancelled(run: Run) -> None:
    async def test(bench: Any) -> None:
        one = await bench.phone(ONE, "ring")
        x = await exchange(bench, one)
        manager = await x.manager()
        (call,) = (await manager.post("/v1.0/calls", order()))["calls"]
        await followed(manager, call["id"], "ringing")
        assert (await manager.post(f"/v1.0/calls/{call['id']}/hangup", status=200))["status"] == "canceling"
        over = await followed(manager, call["id"])
        assert (over["hangup_reason"], over["hangup_by"], over["tm_progressing"]) == ("cancel", "local", None)
        assert one.heard["CANCEL"] == 1

    run(test)


def test_one_call_for_each_destination_and_failover_in_the_attempts(run: Run) -> None:
    async def test(bench: Any) -> None:
        one, two = await bench.phone(ONE, 503), await bench.phone(TWO)
        x = await exchange(bench, one, two)
        manager = await x.manager()
        calls = (await manager.post("/v1.0/calls", order(FOREIGN, ELSEWHERE)))["calls"]
        for call in calls:
            assert (await followed(manager, call["id"]))["hangup_reason"] == "normal"
        assert sorted(invite.uri.user for invite in two.invites) == sorted((FOREIGN, ELSEWHERE))
        path = f"/v1.0/calls/{calls[0]['id']}/attempts"
        shown, found = (await manager.get(path))["result"], (await x.root.get(path))["result"]
        for seen in (shown, found):
            assert [(attempt["outcome"], attempt["sip_status"]) for attempt in seen] == [
                ("refused", 503),
                ("answered", 200),
            ]
        hidden = {"provider_id": NIL, "provider_name": "", "request_uri": ""}
        assert shown == [attempt | hidden for attempt in found]
        assert found[0]["request_uri"] == f"sip:{FOREIGN}@{one.address}"
        assert found[0]["tm_start"] <= found[0]["tm_end"] <= found[1]["tm_start"]

    run(test)


def test_records_are_kept_before_anything_is_dialled(run: Run) -> None:
    async def test(bench: Any) -> None:
        one, wire = await bench.phone(ONE), await bench.wire()
        x = await exchange(bench, one)
        manager = await x.manager()
        stored, seen = x.services.stored, []

        async def noted(record: Any) -> None:
            await stored(record)
            # The engine answers a request of ours that came after: an INVITE, had it gone out, would be there as well.
            assert await x.engine.alive(wire) == 200
            seen.append((record.id, len(one.calls), len((await manager.get("/v1.0/calls"))["result"])))

        x.services.stored = noted
        (call,) = (await manager.post("/v1.0/calls", order()))["calls"]
        assert seen == [(call["id"], 0, 1)]
        await followed(manager, call["id"])
        assert len(one.calls) == 1

    run(test)


def test_what_cannot_be_kept_is_not_dialled(run: Run) -> None:
    async def test(bench: Any) -> None:
        bench.patch.setattr("api.resources.calls.call_orders.KEPT_WITHIN", 0.01)
        one = await bench.phone(ONE)
        x = await exchange(bench, one)
        manager = await x.manager()
        never: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def stored(_record: Any) -> None:
            await asyncio.shield(never)

        x.services.stored = stored
        assert (await manager.post("/v1.0/calls", order(), 503))["reason"] == "SERVICE_UNAVAILABLE"
        record = x.engine.record
        assert (record.status, record.hangup_reason, record.attempts) == ("hangup", "cancel", [])
        assert not one.calls and not x.node.flows.calls.tasks

    run(test)


def test_a_call_to_an_own_number_stays_here(run: Run) -> None:
    async def test(bench: Any) -> None:
        one = await bench.phone(ONE)
        x = await exchange(bench, one, sip={"trusted_networks": ["127.0.0.1/32"]})
        manager = await x.manager()
        flow = await manager.post("/v1.0/flows", {"actions": [{"type": "answer"}, *TALK]})
        other = await x.number(manager.customer_id, "+15550002222", call_flow_id=flow["id"])
        (call,) = (await manager.post("/v1.0/calls", order("+15550002222", flow_id=flow["id"])))["calls"]
        assert call["flow_id"] == flow["id"]
        await followed(manager, call["id"], "progressing")
        await x.written(bench)
        (incoming,) = (await manager.get("/v1.0/calls", direction="incoming", number_id=other["id"]))["result"]
        assert (incoming["source"]["target"], incoming["flow_id"]) == (MINE, flow["id"])
        await manager.post(f"/v1.0/calls/{incoming['id']}/hangup", status=200)
        assert (await followed(manager, call["id"]))["hangup_by"] == "remote"
        assert not one.calls

    run(test)


def test_an_incoming_call_is_seen_and_hung_up(run: Run) -> None:
    async def test(bench: Any) -> None:
        x = await exchange(bench, await bench.phone(ONE))
        manager = await x.manager("")
        flow = await manager.post("/v1.0/flows", {"actions": [{"type": "ringing"}, *TALK]})
        await x.number(manager.customer_id, call_flow_id=flow["id"])
        await x.services.settled()
        phone = await bench.phone(CLIENT)
        leg = phone.dial(x.engine.address, MINE)
        await bench.until(lambda: phone.heard["180"], "ringing")
        await x.written(bench)
        (call,) = (await manager.ask("GET", "/v1.0/calls?status=ringing", 200))["result"]
        assert call["number_id"] != NIL and call["tm_ringing"]
        await manager.post(f"/v1.0/calls/{call['id']}/hangup", status=200)
        outcome = await leg.outcome()
        assert (outcome.kind, outcome.status) == ("refused", 480)
        over = await followed(manager, call["id"])
        assert (over["hangup_reason"], over["hangup_by"], over["sip_status"]) == ("cancel", "local", 480)

    run(test)


def test_another_customers_calls_do_not_exist(run: Run) -> None:
    async def test(bench: Any) -> None:
        x = await exchange(bench, await bench.phone(ONE, "ring"))
        mine, other = await x.manager(), await x.manager("")
        (call,) = (await mine.post("/v1.0/calls", order()))["calls"]
        path = f"/v1.0/calls/{call['id']}"
        errors = [await other.get(path + more, 404) for more in ("", "/attempts", "/trace")]
        errors += [await other.post(f"{path}/hangup", status=404), await other.delete(path, 404)]
        assert {error["reason"] for error in errors} == {"CALL_NOT_FOUND"}
        assert (await other.get("/v1.0/calls"))["result"] == []
        assert (await other.get("/v1.0/calls", customer_id=str(mine.customer_id)))["result"] == []
        assert (await x.root.get(path))["id"] == call["id"]
        assert len((await x.root.get("/v1.0/calls", customer_id=str(mine.customer_id)))["result"]) == 1
        assert (await x.root.get("/v1.0/calls", customer_id=str(other.customer_id)))["result"] == []
        agent = await x.api.client("customer_agent", mine.customer_id)
        await agent.get(path)
        assert (await agent.post(f"{path}/hangup", status=403))["reason"] == "PERMISSION_DENIED"
        await followed(mine, call["id"], "ringing")
        await mine.post(f"{path}/hangup", status=200)
        assert (await mine.post(f"/v1.0/calls/{uuid4()}/hangup", status=404))["reason"] == "CALL_NOT_FOUND"

    run(test)
