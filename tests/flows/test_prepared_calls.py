"""Calls are prepared, so that what is known of them can be kept, and dialled when they are started."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from flows.calls.destinations import Contact
from flows.calls.hangup import hangup_by_id
from flows.faults import FlowError
from flows.origination.orders import CallOrder, OrderError, prepare_calls, read_order
from flows.origination.providercall import prepare_provider_call, read_request
from routing.identifiers import NIL

CUSTOMER = UUID("11111111-1111-4111-8111-111111111111")
TEL = {"type": "tel", "target": "+15559990000"}
DESK = {"type": "extension", "target": "101"}


def order(*destinations: Any, **more: Any) -> CallOrder:
    return read_order(CallOrder, {"destinations": list(destinations or (TEL,)), **more}, "a call")


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_nothing_is_dialled_or_reported_before_the_start(world: Any) -> None:
    told: list[str] = []

    class Observer:
        def begun(self, record: Any) -> None:
            told.append(record.id)

        changed = ended = lambda self, record: None

    world.services.calls.registry.observers.append(Observer())

    async def scenario() -> Any:
        calls = prepare_calls(world.services, order(TEL, {"type": "sip", "target": "sip:a@example.com"}))
        await turns()
        assert not told and not world.agent.legs and not len(world.services.calls.registry)
        assert not hangup_by_id(world.services.calls.registry, calls.call_ids[0])
        calls.start()
        calls.start()  # a second time does nothing
        assert told == calls.call_ids
        return await calls.wait()

    records = asyncio.run(scenario())
    assert [record.hangup_reason for record in records] == ["normal", "normal"]
    assert len(world.agent.legs) == 2
    assert world.channels() == 0


def test_what_a_record_says_of_a_call_that_was_ordered(world: Any) -> None:
    world.flows(after=[{"type": "sleep", "option": {"duration": 20}}])
    world.calls.contacts = world.fake_contacts(**{DESK["target"]: [Contact(uri="sip:desk@example.com")]})
    metadata = {"ticket": 7}
    source = {"type": "tel", "target": "0014155551234", "target_name": "Desk"}

    async def scenario() -> Any:
        asked = order(TEL, DESK, source=source, flow_id="after", customer_id=str(CUSTOMER))
        calls = prepare_calls(world.services, asked, metadata=metadata)
        calls.start()
        await calls.wait()
        return calls

    calls = asyncio.run(scenario())
    one, two = calls.records
    assert (one.source, one.source_name, one.source_type) == ("+14155551234", "Desk", "tel")
    assert (one.destination_type, two.destination_type, two.destination) == ("tel", "extension", "101")
    assert one.call_flow_id == calls.flow_id == UUID(world.library.find("after").id)
    assert (one.customer_id, one.number_id, one.provider_id, one.groupcall_id) == (CUSTOMER, NIL, NIL, "")
    assert one.metadata == metadata
    one.metadata["ticket"] = 8
    assert (two.metadata, metadata) == ({"ticket": 7}, {"ticket": 7})


def test_calls_that_are_given_up_before_their_start_are_never_dialled(world: Any) -> None:
    async def scenario() -> Any:
        calls = prepare_calls(world.services, order(TEL, TEL))
        calls.hang_up()
        calls.start()
        return await calls.wait()

    records = asyncio.run(scenario())
    assert not world.agent.legs
    assert [(r.status, r.hangup_reason, r.hangup_by) for r in records] == [("hangup", "cancel", "local")] * 2
    assert records[0].notes == ["hung up before it was dialled"]
    assert world.services.calls.registry.get(records[0].id) is records[0]


def test_too_many_calls_are_refused_before_any_id_is_given_away(world: Any) -> None:
    world.services.calls.tasks.limit = 1
    with pytest.raises(OrderError, match="a call was not started: 0 of 1 are running; try again later") as error:
        prepare_calls(world.services, order(TEL, TEL))
    assert error.value.reason == "RATE_LIMIT_EXCEEDED"

    async def stopped() -> None:
        await world.services.close()
        with pytest.raises(OrderError, match="the service is stopping"):
            prepare_calls(world.services, order())

    asyncio.run(stopped())


def test_a_call_whose_id_is_given_away_and_that_may_not_run_says_so(world: Any) -> None:
    async def scenario() -> Any:
        calls = prepare_calls(world.services, order(TEL, TEL))
        world.services.calls.tasks.limit = 1
        calls.start()
        return await calls.wait()

    first, second = asyncio.run(scenario())
    assert first.hangup_reason == "normal"
    assert (second.hangup_reason, second.end_status, second.status) == ("failed", 503, "hangup")
    assert second.notes[0].endswith("was not started: 1 are running")
    assert len(world.agent.legs) == 1


def test_another_customers_flow_does_not_exist(world: Any) -> None:
    other = "22222222-2222-4222-8222-222222222222"
    world.flows(theirs={"customer_id": other, "actions": [{"type": "answer"}]})
    (program,) = list(world.library)
    with pytest.raises(OrderError) as error:
        prepare_calls(world.services, order(flow_id=program.id, customer_id=str(CUSTOMER)))
    assert error.value.reason == "FLOW_NOT_FOUND"
    assert prepare_calls(world.services, order(flow_id=program.id, customer_id=other)).flow_id == UUID(program.id)
    # Providercalls are the platform's own.
    request = read_request({"provider_id": str(world.two.id), "destinations": [TEL], "flow_id": program.id})
    assert prepare_provider_call(world.services, request).flow_id == UUID(program.id)


def test_faults_of_an_order(world: Any) -> None:
    with pytest.raises(FlowError, match=r'flow "call", action 1 \(sleep\): option.duration: is missing'):
        prepare_calls(world.services, order(actions=[{"type": "sleep"}]))
    with pytest.raises(OrderError) as error:
        order(colour="red", flow_id="x", destinations=[])
    assert str(error.value).splitlines() == [
        "destinations: must not be empty; add an entry",
        "colour: is not known to a call; remove it (use one of: source, destinations, anonymous, flow_id, actions, "
        "customer_id)",
    ]


def test_a_providercall_is_kept_before_it_is_dialled(world: Any) -> None:
    async def scenario() -> Any:
        request = read_request({"provider_id": str(world.two.id), "destinations": [TEL]})
        prepared = prepare_provider_call(world.services, request)
        await turns()
        assert prepared.call_ids == [prepared.records[0].id]
        assert not world.agent.legs
        prepared.start()
        await prepared.wait()

    asyncio.run(scenario())
    assert [leg.spec.request_uri for leg in world.agent.legs] == ["sip:2+15559990000@192.0.2.2:5060"]
