"""`sip:` destinations of customers: never to a provider or a private network, nor to ourselves as somebody else's."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from flows.actions import ACTIONS
from flows.calls.address import Address
from flows.language.model import read_flow
from flows.messages.model import MessageRequest
from flows.origination.call import originate
from routing.identifiers import NIL
from routing.models.number import Number
from tests.service.test_provider_names import name_server
from tests.service.test_provider_names import named as named_providers

Run = Callable[..., None]
CUSTOMER = UUID(int=7)
OURS, OTHER, FOREIGN = "+15551234567", "+15551234568", "+821012345678"
CLIENT, GUEST, ONE, DESK = "127.0.0.11", "127.0.0.12", "127.0.0.21", "127.0.0.31"
SOURCE = Address(type="tel", target=OTHER)

# {provider}: its address and port; {host}: its address; {engine}: ours.
TO_PROVIDER = [
    "sip:99{number}@{provider}",
    "sip:99{number}@{host}",
    "sip:99{number}@{host}:5070",
    "sip:99{number}@{provider};transport=udp",
    "sip:99{number}@elsewhere.example;maddr={host}",
    "sip:99{number}@elsewhere.example:5070;maddr={host}",
    "sip:99{number}@[::ffff:{host}]:5060",
    "sip:{provider}",
    "sips:99{number}@{host}",
    "SIP:99{number}@{host}?Subject=x",
]
PRIVATE = ["sip:{host}:22", "sip:x@169.254.169.254", "sip:x@[::1]", "sip:x@0.0.0.0", "sip:x@[::]", "sip:x@localhost"]
AT_US = [
    "sip:{number}@{engine}",
    "sip:{number}@h.example;maddr={engine_host};transport=udp",
    "sip:{number}@advertised.example",
]


async def bench_engine(bench: Any, carrier: Any, **sip: Any) -> Any:
    """One number of the customer's, with a flow that a test puts there, and a carrier for all foreign numbers."""
    engine = await bench.engine(sip=sip, **bench.providers(carrier))
    number = Number(number=OTHER, customer_id=CUSTOMER, call_flow_id=UUID(int=77), message_flow_id=UUID(int=78))
    engine.node.directory.put_number(number)
    return engine


def flow_of(customer_id: UUID, engine: Any, actions: list[Any], identifier: int = 77) -> None:
    document = {"id": UUID(int=identifier), "name": "f", "actions": actions}
    flow = read_flow(document, ACTIONS, medium="message" if identifier == 78 else "call")
    flow.customer_id = customer_id
    engine.node.library.put(flow)


def filled(uri: str, carrier: Any, engine: Any) -> str:
    host = carrier.address.partition(":")[0]
    return uri.format(
        provider=carrier.address,
        host=host,
        number=FOREIGN,
        engine=engine.address,
        engine_host=engine.address.partition(":")[0],
    )


def connect(*targets: str, **option: Any) -> dict[str, Any]:
    destinations = [{"type": "sip", "target": target} for target in targets]
    return {"type": "connect", "option": {"destinations": destinations, "relay_reason": True, **option}}


@pytest.mark.parametrize("uri", [*TO_PROVIDER, *PRIVATE])
def test_no_order_of_a_customers_leads_to_a_provider_or_into_a_private_network(run: Run, uri: str) -> None:
    async def test(bench: Any) -> None:
        carrier = await bench.phone(ONE)
        engine = await bench_engine(bench, carrier)
        target = filled(uri, carrier, engine)
        flows = engine.node.flows
        record, task = originate(flows, Address(type="sip", target=target), source=SOURCE, customer_id=CUSTOMER)
        await task
        assert record.attempts == []
        assert record.end_status == 403, record.notes
        assert "DESTINATION_NOT_ALLOWED" in record.notes[0]
        post = flows.messages
        message = await post.send(
            MessageRequest(
                customer_id=CUSTOMER, source=SOURCE, destinations=[Address(type="sip", target=target)], text="x"
            )
        )
        await message.over.wait()
        assert message.targets[0].sip_status == 403
        assert "DESTINATION_NOT_ALLOWED" in message.targets[0].reason
        assert carrier.requests == []

    run(test)


@pytest.mark.parametrize("uri", TO_PROVIDER[:6])
@pytest.mark.parametrize("method", ["ring_all", "linear"])
def test_no_flow_of_a_customers_connects_to_a_provider(run: Run, uri: str, method: str) -> None:
    async def test(bench: Any) -> None:
        carrier, guest = await bench.phone(ONE), await bench.phone(GUEST)
        engine = await bench_engine(bench, carrier)
        target = filled(uri, carrier, engine)
        flow_of(CUSTOMER, engine, [connect(target, target, ring_method=method)])
        _, outcome = await guest.call(engine.address, OTHER)
        assert (outcome.kind, outcome.status) == ("refused", 403)
        assert carrier.requests == []
        assert "DESTINATION_NOT_ALLOWED" in engine.record.notes[0]

    run(test)


def test_a_flow_of_the_platform_names_private_addresses_for_a_customer_where_they_are_written_out(run: Run) -> None:
    async def test(bench: Any) -> None:
        carrier, guest, desk = await bench.phone(ONE), await bench.phone(GUEST), await bench.phone(DESK)
        engine = await bench_engine(bench, carrier)
        flow_of(
            NIL, engine, [connect(f"sip:a@{desk.address}", source={"type": "tel", "target": "${call.source.number}"})]
        )
        leg, outcome = await guest.call(engine.address, OTHER)
        assert (outcome.kind, len(desk.calls)) == ("answered", 1)
        leg.hangup()
        await engine.quiet()
        # What the flow puts together may be the customer's choice, and a provider is nobody's.
        flow_of(NIL, engine, [connect(f"sip:${{call.destination.number}}@{desk.address}")])
        assert (await guest.call(engine.address, OTHER))[1].status == 403
        flow_of(NIL, engine, [connect(f"sip:99@{carrier.address}")])
        assert (await guest.call(engine.address, OTHER))[1].status == 403
        assert (len(desk.calls), carrier.requests) == (1, [])

    run(test)


def test_what_the_file_says_is_the_operators_own(run: Run) -> None:
    async def test(bench: Any) -> None:
        carrier, guest = await bench.phone(ONE, 486), await bench.phone(GUEST)
        flows = [{"name": "echo", "actions": [connect(f"sip:direct@{carrier.address}")]}]
        engine = await bench.engine(flows=flows, **bench.providers(carrier))
        assert (await guest.call(engine.address, OURS))[1].status == 486
        assert len(carrier.calls) == 1

    run(test)


def test_networks_that_the_operator_lists_are_open(run: Run) -> None:
    async def test(bench: Any) -> None:
        carrier, guest, desk = await bench.phone(ONE), await bench.phone(GUEST), await bench.phone(DESK, 486)
        engine = await bench_engine(bench, carrier, destination_networks=[f"{DESK}/32"])
        flow_of(CUSTOMER, engine, [connect(f"sip:99@{carrier.address}", f"sip:a@{desk.address}", ring_method="linear")])
        assert (await guest.call(engine.address, OTHER))[1].status == 486
        assert (len(desk.calls), carrier.requests) == (1, [])

    run(test)


def test_a_name_is_judged_by_what_it_resolves_to_rfc_3263(run: Run) -> None:
    async def test(bench: Any) -> None:
        carrier = await bench.phone(ONE)
        server = await name_server(bench, carrier=[ONE], alias=[ONE], inside=["127.0.0.77"], both=[ONE, DESK])
        port = carrier.address.rpartition(":")[2]
        desk = await bench.phone(DESK, 486)
        sections = named_providers(server, ("carrier", f"carrier.test:{port}"))
        sections["sip"]["destination_networks"] = [f"{DESK}/32"]
        engine = await bench.engine(**sections)
        await bench.until(lambda: engine.node.directory.provider_at(ONE), "the carrier's address")

        async def outcome(uri: str) -> tuple[int, list[str]]:
            record, task = originate(engine.node.flows, Address(type="sip", target=uri), customer_id=CUSTOMER)
            await task
            return record.end_status, record.notes

        for host in ("alias.test", "carrier.test", "ALIAS.test.", "inside.test"):
            assert (await outcome(f"sip:99@{host}:{port}"))[0] == 403, host
        # Of several addresses only those are called that may be: the others are no second try either (RFC 3263 §4.3).
        desk_port = desk.address.rpartition(":")[2]
        assert (await outcome(f"sip:99@both.test:{desk_port}"))[0] == 486
        assert (len(desk.calls), carrier.requests) == (1, [])

    run(test)


def test_a_name_that_leads_elsewhere_when_the_request_is_sent_is_looked_at_again(run: Run) -> None:
    async def test(bench: Any) -> None:
        carrier = await bench.phone(ONE)
        engine = await bench_engine(bench, carrier)
        locate = engine.node.agent.locator.locate
        first = [True]

        def rebound(uri: str, done: Any) -> None:
            if "rebound" in uri:
                # What it was, when it was asked about; and what it is, now that it is dialled.
                uri = "sip:x@198.51.100.7" if first else f"sip:x@{carrier.address}"
                first.clear()
            locate(uri, done)

        engine.node.agent.locator.locate = rebound
        record, task = originate(
            engine.node.flows, Address(type="sip", target="sip:99@rebound.example"), customer_id=CUSTOMER
        )
        await task
        assert (record.end_status, carrier.requests) == (403, [])
        assert record.attempts[0].reason == "destination not allowed"

    run(test)


@pytest.mark.parametrize("uri", AT_US)
def test_what_leads_to_ourselves_is_as_if_its_number_had_been_dialled(run: Run, uri: str) -> None:
    async def test(bench: Any) -> None:
        carrier, client = await bench.phone(ONE, 486), await bench.phone(CLIENT)
        engine = await bench.engine(
            sip={"trusted_networks": ["127.0.0.0/28"], "advertise": "advertised.example"}, **bench.providers(carrier)
        )
        node = engine.node
        node.directory.put_number(Number(number=OTHER, customer_id=CUSTOMER, call_flow_id=UUID(int=77)))
        target = filled(uri, carrier, engine)
        if "maddr" in target:
            target = target.replace(";maddr", f":{engine.address.rpartition(':')[2]};maddr")
        received = node.agent.intake.received
        from_us: list[bytes] = []

        def spy(data: bytes, flow: Any) -> None:
            if flow.host == "127.0.0.1" and not data.startswith(b"SIP/2.0"):
                from_us.append(data)
            received(data, flow)

        node.agent.intake.received = spy
        # Through the provider, as the customer's own call: there is no request of ours to ourselves.
        flow_of(CUSTOMER, engine, [connect(target)])
        assert (await client.call(engine.address, OTHER))[1].status == 486
        assert len(carrier.calls) == 1
        assert engine.record.attempts[0].provider_name == "p1"
        # A number of ours: its flow.
        ours = target.replace(FOREIGN, OURS)
        flow_of(CUSTOMER, engine, [connect(ours)])
        leg, outcome = await client.call(engine.address, OTHER)
        assert outcome.kind == "answered"
        leg.hangup()
        await engine.quiet()
        for nobody in ("nobody", "+899100000009", "%00"):
            flow_of(CUSTOMER, engine, [connect(target.replace(FOREIGN, nobody))])
            assert (await client.call(engine.address, OTHER))[1].status in (404, 484), nobody
        assert (len(carrier.calls), from_us) == (1, [])

    run(test)


def test_a_guests_call_reaches_no_foreign_number_by_way_of_ourselves(run: Run) -> None:
    async def test(bench: Any) -> None:
        carrier, guest = await bench.phone(ONE), await bench.phone(GUEST)
        engine = await bench_engine(bench, carrier)
        actions = [connect(f"sip:${{call.source.name}}@{engine.address}")]
        flow_of(CUSTOMER, engine, actions)
        _, outcome = await guest.call(engine.address, OTHER, from_=f'"{FOREIGN}" <sip:x@{GUEST}>')
        assert (outcome.status, carrier.requests) == (403, [])

    run(test)


def test_texts_to_ourselves_go_where_their_number_does(run: Run) -> None:
    async def test(bench: Any) -> None:
        carrier = await bench.phone(ONE)
        engine = await bench_engine(bench, carrier)
        flow_of(CUSTOMER, engine, [{"type": "stop"}], 78)
        post = engine.node.flows.messages
        for user, status, texts in ((OTHER, 200, 0), (FOREIGN, 405, 1), ("nobody", 404, 1)):
            target = Address(type="sip", target=f"sip:{user}@{engine.address}")
            message = await post.send(
                MessageRequest(customer_id=CUSTOMER, source=SOURCE, destinations=[target], text="x")
            )
            async with asyncio.timeout(10):
                await message.over.wait()
            assert (message.targets[0].sip_status, carrier.heard["MESSAGE"]) == (status, texts), user

    run(test)


def test_nobody_is_sent_to_a_provider_by_redirect_or_transfer(run: Run) -> None:
    async def test(bench: Any) -> None:
        carrier, guest = await bench.phone(ONE), await bench.phone(GUEST)
        engine = await bench_engine(bench, carrier)
        target = f"sip:99@{carrier.address}"
        flow_of(CUSTOMER, engine, [{"type": "redirect", "option": {"contacts": ["sip:a@example.com", target]}}])
        assert (await guest.call(engine.address, OTHER))[1].status == 480
        flow_of(
            CUSTOMER,
            engine,
            [{"type": "answer"}, {"type": "transfer", "option": {"target": {"type": "sip", "target": target}}}],
        )
        leg, outcome = await guest.call(engine.address, OTHER)
        assert outcome.kind == "answered"
        await engine.quiet()
        assert guest.heard["REFER"] == 0
        failed = await bench.log.wait("action failed", 2)
        assert "DESTINATION_NOT_ALLOWED" in failed["error"]
        leg.hangup()

    run(test)
