"""What was tried for a call and what went over the wire; calls that are looked for; calls of other nodes."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from api.resources.calls.traces import HIDDEN, header_pattern
from store import rows
from store.database import tables
from tests.api.conftest import opened
from tests.api.exchange import ELSEWHERE, FOREIGN, MINE, NIL, exchange, followed, order
from tests.service.conftest import ONE, TWO

Run = Callable[..., None]


def test_the_ladder_of_a_call(run: Run) -> None:
    async def test(bench: Any) -> None:
        one, two = await bench.phone(ONE, 503), await bench.phone(TWO)
        x = await exchange(bench, one, two)
        manager = await x.manager()
        call, other = (await manager.post("/v1.0/calls", order(FOREIGN, ELSEWHERE)))["calls"]
        for made in (call, other):
            await followed(manager, made["id"])
        path = f"/v1.0/calls/{call['id']}/trace"
        trace = await x.root.get(path)
        assert (trace["call_id"], trace["complete"], trace["note"]) == (call["id"], True, "")
        messages = trace["messages"]
        went = [(message["direction"], message["start_line"]) for message in messages]
        words = [(way, line.removeprefix("SIP/2.0 ").partition(" ")[0]) for way, line in went]
        assert [word for word in words if word[1] != "100"] == [
            ("sent", "INVITE"), ("received", "503"), ("sent", "ACK"),
            ("sent", "INVITE"), ("received", "180"), ("received", "200"), ("sent", "ACK"),
            ("sent", "BYE"), ("received", "200"),
        ]  # fmt: skip
        first = messages[0]
        assert (first["source"], first["destination"], first["transport"]) == (x.engine.address, one.address, "udp")
        assert (messages[-1]["source"], messages[-1]["destination"]) == (two.address, x.engine.address)
        assert first["text"].startswith(f"INVITE sip:{FOREIGN}@{one.address} SIP/2.0\r\n") and not first["truncated"]
        assert first["ms"] == 0 and [message["ms"] for message in messages] == sorted(
            message["ms"] for message in messages
        )
        assert abs(datetime.fromisoformat(first["tm"]) - datetime.fromisoformat(call["tm_create"])) < timedelta(
            seconds=1
        )
        assert ELSEWHERE not in str(messages)
        for options in ({"params": {"format": "text"}}, {"headers": {"Accept": "text/plain"}}):
            headers = {"Authorization": f"Bearer {x.root.key}"} | options.pop("headers", {})
            drawn = await x.api.http.get(path, headers=headers, **options)
            assert drawn.headers["content-type"] == "text/plain; charset=utf-8"
            assert "trunkline" in drawn.text.splitlines()[0] and two.address in drawn.text.splitlines()[0]
            assert re.search(r"── INVITE sip:.*▶", drawn.text) and "503 Service Unavailable" in drawn.text
        assert (await manager.get(path, 400, format="xml"))["details"][0]["field"] == "format"

    run(test)


def test_a_ladder_that_has_lost_its_beginning_says_so(run: Run) -> None:
    async def test(bench: Any) -> None:
        x = await exchange(bench, await bench.phone(ONE), await bench.phone(TWO))
        manager = await x.manager()
        trace = x.node.agent.trace
        (call,) = (await manager.post("/v1.0/calls", order()))["calls"]
        await followed(manager, call["id"])
        path = f"/v1.0/calls/{call['id']}/trace"
        kept = len((await x.root.get(path))["messages"])
        last = list(trace)[-1]
        while trace.since is None or trace.since < last.time:
            trace.add(*last)
        trace.add(last.time + 1, *last[1:])
        found = await manager.get(path)
        assert not found["complete"] and "made room" in found["note"]
        assert (
            kept and "made room" in (await x.api.http.get(path, params={"format": "text", "token": manager.key})).text
        )

    run(test)


def test_credentials_are_hidden_and_a_providers_own_headers_from_customers(run: Run) -> None:
    async def test(bench: Any) -> None:
        async def challenge(call: Any) -> None:
            if call.invite.get("Authorization"):
                call.answer()
                await call.wait_ended()
            else:
                call.reject(401, headers=[("WWW-Authenticate", 'Digest realm="r", nonce="n", algorithm=MD5')])

        one = await bench.phone(ONE, challenge)
        sections = bench.providers(one, username="u", password="p", tech_headers={"X-Account": "secret-42"})
        x = await exchange(bench, **sections)
        manager = await x.manager()
        (call,) = (await manager.post("/v1.0/calls", order()))["calls"]
        await followed(manager, call["id"])
        path = f"/v1.0/calls/{call['id']}/trace"
        mine, all_ = await manager.get(path), await x.root.get(path)
        assert "response=" not in str(mine) + str(all_)
        assert f"Authorization: {HIDDEN}\r\n" in "".join(message["text"] for message in all_["messages"])
        assert "secret-42" in str(all_) and not mine["messages"] and "trunks" in mine["note"]

    run(test)


def test_header_fields_are_hidden_whole() -> None:
    text = "INVITE x\r\nProxy-authorization : Digest a,\r\n  response=b\r\nX-A: kept\r\nAuthorization:c\r\n\r\nbody"
    shown = header_pattern(["Authorization", "Proxy-Authorization"]).sub(rf"\1 {HIDDEN}", text)
    assert shown == (f"INVITE x\r\nProxy-authorization : {HIDDEN}\r\nX-A: kept\r\nAuthorization: {HIDDEN}\r\n\r\nbody")


NOW = datetime(2026, 4, 21, 23, 15, tzinfo=UTC)


def kept(customer_id: Any, **values: Any) -> dict[str, Any]:
    return {
        "customer_id": customer_id,
        "node_id": uuid4(),
        "direction": "outgoing",
        "status": "hangup",
        "source_type": "tel",
        "source": MINE,
        "destination_type": "tel",
        "destination": FOREIGN,
        "hangup_reason": "normal",
        "hangup_by": "remote",
        "tm_create": NOW,
        "tm_hangup": NOW + timedelta(seconds=1),
    } | values


async def test_calls_are_found_by_what_they_were(store_url: str) -> None:
    provider, group, number, flow = uuid4(), uuid4(), uuid4(), uuid4()
    async with opened(store_url) as api:
        agent = await api.client("customer_agent")
        different: list[dict[str, Any]] = [
            {"status": "ringing", "hangup_reason": "", "hangup_by": "", "tm_hangup": None},
            {"direction": "incoming"},
            {"source": "+15550002222"},
            {"destination": "sip:alice@example.com", "destination_type": "sip"},
            {"hangup_reason": "busy"},
            {"provider_id": provider},
            {"groupcall_id": group},
            {"number_id": number},
            {"flow_id": flow},
            {"tm_create": NOW - timedelta(days=1)},
            {"tm_create": NOW + timedelta(days=1)},
        ]
        ids = []
        async with api.store.write() as transaction:
            for values in different:
                row = await rows.insert(transaction, tables.calls, kept(agent.customer_id, **values))
                ids.append(str(row["id"]))
            await rows.insert(transaction, tables.calls, kept(uuid4()))
        asked = [
            "status=ringing",
            "direction=incoming",
            "source=+15550002222",  # a client that does not escape its plus
            "destination=sip:alice@example.com",
            "hangup_reason=busy",
            f"provider_id={provider}",
            f"groupcall_id={group}",
            f"number_id={number}",
            f"flow_id={flow}",
            f"until={NOW.isoformat()[:-6]}Z",
            "since=2026-04-22T00:00:00Z",
        ]
        for query, expected in zip(asked, ids, strict=True):
            asker, theirs = (api.root, "&customer_id=" + str(agent.customer_id)) if "provider" in query else (agent, "")
            found = (await asker.ask("GET", f"/v1.0/calls?{query}{theirs}", 200))["result"]
            assert [call["id"] for call in found] == [expected], query
        assert (await agent.get("/v1.0/calls", provider_id=str(provider)))["result"] == []
        plain = await agent.get("/v1.0/calls", source=MINE, hangup_reason="normal")
        assert len(plain["result"]) == len(ids) - 3
        for wrong in ("status=busy", "since=yesterday", "since=2026-04-21T00:00:00", "provider_id=7", "source=%00",
                      "until=0001-01-01T00:00:00%2B14:00", "until=9999-12-31T23:59:59-14:00"):  # fmt: skip
            assert (await agent.ask("GET", f"/v1.0/calls?{wrong}", 400))["reason"] == "INVALID_REQUEST_PARAMETER", wrong


async def test_a_call_of_another_node_is_read_here_and_ended_there(store_url: str) -> None:
    async with opened(store_url) as api:
        manager = await api.client("customer_manager")
        there = {"id": uuid4(), "name": "north", "tm_seen": NOW, "tm_create": NOW}
        running = {"status": "progressing", "hangup_reason": "", "hangup_by": "", "tm_hangup": None}
        async with api.store.write() as transaction:
            await rows.insert(transaction, tables.nodes, there)
            values = kept(manager.customer_id, node_id=there["id"], sip_call_ids=["a@b"], **running)
            call = await rows.insert(transaction, tables.calls, values)
            group = await rows.insert(
                transaction,
                tables.groupcalls,
                {
                    "customer_id": manager.customer_id,
                    "node_id": there["id"],
                    "status": "dialing",
                    "source": {"type": "tel", "target": MINE, "target_name": ""},
                    "ring_method": "ring_all",
                    "call_ids": [str(call["id"])],
                },
            )
        path = f"/v1.0/calls/{call['id']}"
        shown = await manager.get(path)
        assert (shown["status"], shown["tm_create"]) == ("progressing", "2026-04-21T23:15:00.000000Z")
        assert await manager.get(f"{path}/attempts") == {"result": [], "next_page_token": ""}
        trace = await manager.get(f"{path}/trace")
        assert (trace["complete"], trace["messages"]) == (False, []) and trace["note"]
        error = await manager.post(f"{path}/hangup", status=409)
        assert error["reason"] == "RUNS_ON_OTHER_NODE" and "north" in error["message"]
        assert (await manager.delete(path, 409))["reason"] == "CALL_IN_PROGRESS"
        error = await manager.post(f"/v1.0/groupcalls/{group['id']}/hangup", status=409)
        assert error["reason"] == "RUNS_ON_OTHER_NODE" and "north" in error["message"]
        assert (await manager.get(f"/v1.0/groupcalls/{group['id']}"))["answer_call_id"] == NIL


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html,application/json", ""])
async def test_a_trace_is_json_unless_text_is_asked_for(accept: str) -> None:
    async with opened(":memory:") as api:
        agent = await api.client("customer_agent")
        async with api.store.write() as transaction:
            call = await rows.insert(transaction, tables.calls, kept(agent.customer_id))
        await agent.ask("GET", f"/v1.0/calls/{call['id']}/trace", 200, headers={"Accept": accept})
