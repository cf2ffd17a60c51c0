"""Customers see what became of their calls, and nothing of the platform's carriers; super admins see all."""

import asyncio
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
import structlog

from api.models.carriers import HIDDEN, Carriers
from api.resources.calls.traces import _own_legs, _without_carriers
from engine.capture.trace import Traced
from engine.sip.flow import identity_of
from routing.directory.directory import Directory
from routing.identifiers import NIL, PLATFORM
from routing.models.provider import Provider
from service.workers.webhook_sender import WebhookSender
from store import rows
from store.database import tables
from store.resources.events import EventSignal
from tests.api.conftest import Api
from tests.api.contract import ask, operations
from tests.api.exchange import FOREIGN, MINE, exchange, followed, order
from tests.service.conftest import ONE, TWO

Run = Callable[..., None]


def carriers(**more: Any) -> Carriers:
    directory = Directory()
    fields = {"name": "Bulk Voice Ltd", "hostname": "sip.bulk.example:5080", "inbound_addresses": ["192.0.2.0/28"]}
    provider = Provider(id=uuid4(), **fields, tech_headers={"X-Account": "topsecret-77"}, username="user4711", **more)
    directory.put_provider(provider)
    directory.set_resolved_addresses(provider.id, ["198.51.100.7", "2001:db8::77"])
    return Carriers(directory)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("refused by sip.bulk.example", f"refused by {HIDDEN}"),
        ("refused by SIP.Bulk.Example:5080", f"refused by {HIDDEN}:5080"),
        ("nobody listens at 192.0.2.9:5060", f"nobody listens at {HIDDEN}:5060"),
        ("at 198.51.100.7", f"at {HIDDEN}"),
        ("at [2001:db8::77]:5060", f"at [{HIDDEN}]:5060"),
        ("at 2001:DB8:0::77", f"at {HIDDEN}"),
        ("bulk voice ltd says no", f"{HIDDEN} says no"),
        ("account topsecret-77", f"account {HIDDEN}"),
        ("user4711 is barred", f"{HIDDEN} is barred"),
        ("at 203.0.113.9 and 10:15:30", "at 203.0.113.9 and 10:15:30"),
        ("Bulk", "Bulk"),
        ("notsip.bulk.example2", "notsip.bulk.example2"),
        ("", ""),
    ],
)
def test_texts_lose_what_tells_of_a_carrier(text: str, shown: str) -> None:
    assert carriers().without(text) == shown


def test_names_of_certificates_and_who_shows_them_tell_of_a_carrier() -> None:
    found = carriers(tls_client_names=["sip:pool.bulk2.example"], contact_host="sbc.ours.example:5061")
    assert found.without("certificate names pool.bulk2.example") == f"certificate names {HIDDEN}"
    assert found.without("sip:a@sbc.ours.example:5061") == f"sip:a@{HIDDEN}:5061"
    assert found.at(identity_of(["sip:pool.bulk2.example"], "203.0.113.9")) and not found.at("203.0.113.9")


def test_without_carriers_a_text_is_a_text() -> None:
    assert Carriers(Directory()).without("at 192.0.2.9") == "at 192.0.2.9"


@pytest.mark.parametrize(
    ("status", "reason", "by", "shown"),
    [
        (503, "Service Unavailable", "remote", "Service Unavailable"),
        (503, "Bulk says account 4711 unpaid", "remote", "Service Unavailable"),
        (404, "Unallocated number", "remote", "Not Found"),
        (499, "Carrier 9", "remote", "Bad Request"),
        (200, "longest call time reached", "local", "longest call time reached"),
        (480, "no route leads to +821012345678", "local", "no route leads to +821012345678"),
        (0, "refused", "local", "refused"),
        (0, "sip.bulk.example does not resolve", "local", ""),
        (0, "Bulk Voice Ltd is full", "local", ""),
        (503, "nobody at 192.0.2.9:5060", "local", "Service Unavailable"),
        (0, "", "", ""),
    ],
)
def test_how_a_call_ended_is_reported_in_the_rfcs_words_or_ours(status: int, reason: str, by: str, shown: str) -> None:
    call = {"provider_id": str(uuid4()), "sip_status": status, "sip_reason": reason, "hangup_by": by, "notes": []}
    found = carriers().call(call)
    assert (found["sip_status"], found["sip_reason"], found["provider_id"]) == (status, shown, str(NIL))
    assert carriers().event("call_hangup", call) == found


def test_an_attempt_at_a_uri_of_ones_own_is_shown_whole() -> None:
    attempt = {"provider_id": NIL, "provider_name": "", "request_uri": "sip:a@b", "sip_status": 486, "reason": "Bsy"}
    assert carriers().attempt(attempt) == attempt


def test_events_of_other_kinds_stay_as_they_are() -> None:
    data = {"id": "7", "filename": "x.wav"}
    for kind in ("recording_finished", "provider_unhealthy", "something_new", "call_created", "number_created"):
        assert carriers().event(kind, data) == data
    assert carriers().event("number_updated", data | {"provider_id": str(uuid4())})["provider_id"] == str(NIL)
    assert carriers().event("call_hangup", None) is None


# ---- traces


def traced(call_id: str, start: str, host: str = "203.0.113.9", *, inbound: bool, body: str = "") -> Traced:
    text = f"{start}\r\nCall-ID: {call_id}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    flow: Any = SimpleNamespace(host=host, party=host, port=5060)
    return Traced(1.0, inbound, flow, text.encode())


def attempt(uri: str, provider_id: UUID = NIL) -> dict[str, Any]:
    return {"request_uri": uri, "provider_id": provider_id}


def own(row: dict[str, Any], attempts: list[dict[str, Any]], *messages: Traced) -> list[int]:
    shown = _own_legs(carriers(), row, attempts, messages)
    return [place for place, message in enumerate(messages) if message in shown]


OUT, IN = {"direction": "outgoing", "provider_id": uuid4()}, {"direction": "incoming", "provider_id": NIL}


def test_of_a_trace_the_legs_that_are_known_to_be_ones_own_are_shown() -> None:
    phone = traced("a", "INVITE sip:+4420@trunkline SIP/2.0", inbound=True)
    trunk = traced("b", "INVITE sip:99+4420@sip.bulk.example SIP/2.0", "192.0.2.9", inbound=False)
    moved = traced("c", "INVITE sip:99+4420@gone.example SIP/2.0", "203.0.113.77", inbound=False)
    agent = traced("d", "INVITE sip:ann@example.com SIP/2.0", inbound=False)
    tried = [attempt("sip:99+4420@sip.bulk.example", uuid4()), attempt("sip:ann@example.com")]
    assert own(IN, tried, phone, trunk, moved, agent) == [0, 3]
    # What came in from a trunk is the trunk's; and of a call of our own nothing came in.
    assert own(IN | {"provider_id": uuid4()}, tried, phone, agent) == [1]
    assert own(OUT, tried, phone, agent) == [1]
    assert own(OUT, [], agent) == []


def test_a_leg_that_turns_out_to_be_a_trunks_is_not_shown() -> None:
    ours = traced("a", "INVITE sip:ann@example.com SIP/2.0", inbound=False)
    theirs = traced("a", "SIP/2.0 100 Trying", "192.0.2.9", inbound=True)
    assert own(OUT, [attempt("sip:ann@example.com")], ours, theirs) == []


def test_media_of_the_other_side_is_not_shown_in_what_we_pass_on() -> None:
    body = "v=0\r\no=- 1 1 IN IP4 198.51.100.200\r\nc=IN IP6 2001:db8::1\r\n"
    body += "a=candidate:1 1 UDP 1 198.51.100.200 5 typ host\r\n"
    sent = _without_carriers(carriers(), traced("a", "SIP/2.0 200 OK", inbound=False, body=body)).data.decode()
    assert "198.51.100" not in sent and "2001:db8" not in sent and f"c=IN IP6 {HIDDEN}\r\n" in sent
    heard = _without_carriers(carriers(), traced("a", "SIP/2.0 200 OK", inbound=True, body=body)).data.decode()
    assert "198.51.100.200" in heard  # the customer's own phone said so


# ---- all of it, over the wire


def test_nothing_that_a_customer_is_answered_tells_of_the_carrier(run: Run) -> None:
    async def test(bench: Any) -> None:
        async def odd(call: Any) -> None:
            call.reject(404, "Account 4711 at carrier-x topsecret-77")

        one, two = await bench.phone(ONE, 503), await bench.phone(TWO, odd)
        sections = bench.providers(one, two, tech_prefix="99", tech_headers={"X-Account": "topsecret-77"})
        for number, provider in enumerate(sections["providers"]):
            provider["name"] = f"carrier-x{number}"
        for number, route in enumerate(sections["routes"]):
            route["provider"] = f"carrier-x{number}"
        x = await exchange(bench, **sections)
        manager = await x.manager()
        secrets = ("carrier-x", "99+82", "topsecret-77", "4711", one.address, two.address)
        secrets += tuple(str(provider.id) for provider in x.node.directory.providers)
        (call,) = (await manager.post("/v1.0/calls", order()))["calls"]
        path = f"/v1.0/calls/{call['id']}"
        over = await followed(manager, call["id"])
        assert (over["sip_status"], over["sip_reason"]) == (404, "Not Found")
        await x.written(bench)
        for asked in (path, f"{path}/attempts", f"{path}/trace", "/v1.0/calls", "/v1.0/numbers"):
            text = json.dumps(await manager.get(asked))
            assert not [secret for secret in secrets if secret in text], f"{asked}: {text}"
        drawn = await x.api.http.get(f"{path}/trace?format=text&token={manager.key}")
        assert drawn.status_code == 200 and not [secret for secret in secrets if secret in drawn.text]
        attempts = (await manager.get(f"{path}/attempts"))["result"]
        assert [(a["outcome"], a["sip_status"], a["reason"]) for a in attempts] == [
            ("refused", 503, "Service Unavailable"),
            ("refused", 404, "Not Found"),
        ]
        everything = json.dumps([await x.root.get(p) for p in (path, f"{path}/attempts", f"{path}/trace")])
        assert not [secret for secret in secrets if secret not in everything]

    run(test)


def test_of_a_call_that_came_in_the_callers_leg_is_shown_without_where_it_went(run: Run) -> None:
    async def test(bench: Any) -> None:
        async def odd(call: Any) -> None:
            call.reject(603, "Declined by carrier-x")

        one, guest = await bench.phone(ONE, odd), await bench.phone()
        sections = bench.providers(one, tech_prefix="99", tech_headers={"X-Account": "topsecret-77"})
        sections["providers"][0]["name"] = sections["routes"][0]["provider"] = "carrier-x"
        x = await exchange(bench, **sections)
        manager = await x.manager("")
        connect = {"type": "connect", "option": {"destinations": [{"type": "tel", "target": FOREIGN}]}}
        flow = await manager.post("/v1.0/flows", {"actions": [connect]})
        await x.number(manager.customer_id, MINE, call_flow_id=flow["id"])
        await x.services.settled()
        await guest.call(x.engine.address, MINE)
        await x.written(bench)
        (call,) = (await manager.get("/v1.0/calls"))["result"]
        path = f"/v1.0/calls/{call['id']}"
        await followed(manager, call["id"])
        await x.written(bench)
        trace, all_ = await manager.get(f"{path}/trace"), await x.root.get(f"{path}/trace")
        peers = {message["source"] for message in trace["messages"]} | {m["destination"] for m in trace["messages"]}
        assert peers == {guest.address, x.engine.address} and len(trace["messages"]) < len(all_["messages"])
        assert not trace["complete"] and "trunks" in trace["note"]
        drawn = (await x.api.http.get(f"{path}/trace?format=text&token={manager.key}")).text
        for text in (json.dumps([trace, await manager.get(path), await manager.get(f"{path}/attempts")]), drawn):
            for secret in (one.address, "99+82", "topsecret-77", "carrier-x"):
                assert secret not in text, f"{secret}: {text}"
        assert one.address in json.dumps(all_)

    run(test)


async def test_events_in_streams_tell_customers_nothing_of_the_carrier(api: Api) -> None:
    admin = await api.client()
    trunk = str(uuid4())
    call = {"provider_id": trunk, "sip_status": 503, "sip_reason": "Carrier is ill", "hangup_by": "remote", "notes": []}
    async with api.store.write() as transaction:
        transaction.event("call_hangup", admin.customer_id, call)
        transaction.event("number_created", admin.customer_id, {"provider_id": trunk, "number": "the last"})
    stream = next(found for found in operations(api.app.openapi()) if found.name == "stream_events")
    for key, seen in ((admin.key, False), (api.root.key, True)):
        answer = await ask(api.app, stream, stream.path, key, query={"since": 0}, until="the last")
        assert (trunk in answer.text, "Carrier is ill" in answer.text) == (seen, seen)
        assert '"sip_status":503' in answer.text


@pytest.mark.parametrize(("customer_id", "seen"), [(UUID(int=7), False), (PLATFORM, True)])
async def test_webhooks_tell_customers_nothing_of_the_carrier(
    api: Api, monkeypatch: pytest.MonkeyPatch, customer_id: UUID, seen: bool
) -> None:
    trunk, sent, came = str(uuid4()), [], asyncio.Event()

    async def exchanged(_env: Any, _method: str, _uri: str, body: bytes, _headers: Any) -> tuple[int, bytes]:
        sent.append(json.loads(body))
        came.set()
        return 200, b""

    monkeypatch.setattr("service.workers.webhook_sender.exchange", exchanged)
    signal = EventSignal(api.store)
    sender = WebhookSender(api.store, api.services.flows, signal, PLATFORM, structlog.get_logger())
    async with api.store.write() as transaction:
        values = {"customer_id": customer_id, "uri": "http://192.0.2.1/", "secret": "0123456789abcdef"}
        await rows.insert(transaction, tables.webhooks, values)
        transaction.event("number_created", customer_id, {"id": "7", "provider_id": trunk})
    sender.start()
    async with asyncio.timeout(30):
        await came.wait()
    await sender.close()
    assert sent[0]["data"] == {"id": "7", "provider_id": trunk if seen else str(NIL)}
