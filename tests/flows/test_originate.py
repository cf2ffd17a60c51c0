"""Calls of our own: the call action, and providercalls."""

import asyncio
from typing import Any

import pytest

from engine.dial import Outcome
from flows.calls.destinations import Contact
from flows.faults import FlowError
from flows.origination.providercall import (
    ProviderCallError,
    any_answered,
    as_document,
    place_provider_call,
    read_request,
)
from routing.models.number import Number
from tests.flows.conftest import refused

TEL = {"type": "tel", "target": "+15559990000"}
ONE, TWO = "sip:1+15559990000@192.0.2.1:5060", "sip:2+15559990000@192.0.2.2:5060"


def call(*destinations: Any, **option: Any) -> dict[str, Any]:
    return {"type": "call", "option": {"destinations": list(destinations or (TEL,)), **option}}


def made(world: Any) -> list[Any]:
    return world.services.calls.registry.newest()


def test_a_call_of_its_own_runs_its_actions_when_answered(world: Any) -> None:
    flow = [
        {"type": "variable_set", "option": {"key": "who", "value": "x"}},
        call(
            source={"type": "tel", "target": "+15551112222"},
            actions=[
                {"type": "answer"},
                {"type": "sleep", "option": {"duration": 50}},
                {"type": "connect", "option": {"destinations": [{"type": "sip", "target": "sip:${who}@example.com"}]}},
                {"type": "hangup", "option": {"reason": "busy"}},
            ],
        ),
        {"type": "ringing"},
    ]
    ran = world.go(flow)
    assert ran.orders == ["ringing", ("hangup", 480, "Q.850;cause=16")]
    leg, second = world.agent.legs
    assert leg.caller is None
    assert leg.spec.from_ == "<sip:+15551112222@engine.example>"
    assert leg.orders == [("sleep", 0.05), ("bridge", "sip:x@example.com"),
                          ("hangup", 486, "Q.850;cause=17")]  # fmt: skip
    assert second.caller is leg
    (record,) = made(world)
    assert (record.direction, record.destination, record.source) == ("outgoing", "+15559990000", "+15551112222")
    assert record.metadata == {"created_by": "call-1"}
    assert record.hangup_reason == "busy"
    assert [entry.kind for entry in record.attempts] == ["answered", "answered"]
    assert ran.record.notes == [f"call {record.id} to +15559990000"]
    assert world.channels() == 0


def test_flow_id_and_variables_of_the_leg(world: Any) -> None:
    text = "${call.direction} ${call.destination.number}"
    world.flows(after=[{"type": "variable_set", "option": {"key": "a", "value": text}},
                       {"type": "fetch_flow", "option": {"flow_id": "${a}"}}])  # fmt: skip
    world.go([call(flow_id="after")])
    assert world.log.errors() == ["there is no flow 'outgoing +15559990000'"]
    assert world.agent.legs[0].orders == [("hangup", 480, "Q.850;cause=16")]
    world.log.lines.clear()
    world.go([call(flow_id="gone")])
    assert world.log.errors() == ["there is no flow 'gone'"]


def run_beside(world: Any, option: dict[str, Any]) -> Any:
    world.agent.script["192.0.2"] = world.never

    async def scenario() -> tuple[Any, bool]:
        ran = await world.run([call(**option), {"type": "sleep", "option": {"duration": 1}}])
        alive = bool(len(world.services.calls.tasks))
        await world.services.close()
        return ran, alive

    return asyncio.run(scenario())


def test_chained_calls_end_with_the_call(world: Any) -> None:
    _, alive = run_beside(world, {"chained": True})
    assert not alive
    assert world.agent.legs[0].cancelled == 1
    assert made(world)[0].hangup_reason == "cancel"
    assert world.channels() == 0


def test_a_chained_call_that_never_began_has_a_record_all_the_same(world: Any) -> None:
    world.go([call(chained=True)])
    assert not world.agent.legs
    assert (made(world)[0].hangup_reason, made(world)[0].status) == ("cancel", "hangup")


def test_other_calls_outlive_it_and_end_with_the_service(world: Any) -> None:
    _, alive = run_beside(world, {})
    assert alive
    assert world.agent.legs[0].cancelled == 1
    assert world.channels() == 0


def test_as_many_calls_as_may_run(world: Any) -> None:
    world.services.calls.tasks.limit = 0
    world.go([call()])
    assert world.log.errors()[0].endswith("was not started: 0 are running")
    assert not made(world)


def test_our_own_numbers_are_called_within_the_engine_one_place_deeper_in_the_tree(world: Any) -> None:
    world.flows(f=[{"type": "answer"}])
    world.number("+15559990000", "f")
    world.go([call()])
    spec = world.agent.legs[0].spec
    assert spec.request_uri == "sip:+15559990000@engine.example"
    assert spec.origin.branch.depth == 1


@pytest.mark.parametrize(
    ("destination", "uri", "status"),
    [
        ({"type": "sip", "target": "sip:a@example.com"}, "sip:a@example.com", 200),
        ({"type": "extension", "target": "101"}, "sip:desk@example.com", 200),
        ({"type": "agent", "target": "none"}, "", 404),
        ({"type": "tel", "target": "+899123456789"}, "", 404),
    ],
)
def test_other_destinations(world: Any, destination: Any, uri: str, status: int) -> None:
    world.calls.contacts = world.fake_contacts(**{"101": [Contact(uri="sip:desk@example.com")]})
    world.go([call(destination)])
    assert [leg.spec.request_uri for leg in world.agent.legs] == ([uri] if uri else [])
    assert made(world)[0].end_status == status


def test_the_far_ends_hangup_ends_the_flow(world: Any) -> None:
    async def scenario() -> None:
        await world.run([call(actions=[{"type": "block"}])])
        leg = world.agent.legs[0]
        assert made(world)[0].status == "progressing"
        leg.end("remote", 200)
        for _ in range(10):
            await asyncio.sleep(0)
        assert not len(world.services.calls.tasks)

    asyncio.run(scenario())
    record = made(world)[0]
    assert (record.hangup_by, record.hangup_reason, record.status) == ("remote", "normal", "hangup")
    assert world.channels() == 0


# ---- providercalls


def provider_call(world: Any, **more: Any) -> Any:
    request = read_request({"provider_id": str(world.two.id), "destinations": [TEL], **more})

    async def scenario() -> Any:
        made = place_provider_call(world.services, request)
        document = as_document(made)
        records = await made.wait()
        return made, document, records

    return asyncio.run(scenario())


def test_one_call_for_each_destination_through_the_provider_alone(world: Any) -> None:
    world.agent.script["999"] = world.refused(503)
    other = {"type": "tel", "target": "+15558880000", "target_name": "B"}
    placed, document, records = provider_call(
        world, source={"type": "tel", "target": "+14155551234"}, destinations=[TEL, other]
    )
    assert [leg.spec.request_uri for leg in world.agent.legs] == [TWO, TWO.replace("999", "888")]
    assert placed.call_ids == [record.id for record in records]
    assert document == {
        "id": str(placed.id),
        "customer_id": "00000000-0000-0000-0000-000000000000",
        "provider_id": str(world.two.id),
        "flow_id": "00000000-0000-0000-0000-000000000000",
        "source": {"type": "tel", "target": "+14155551234", "target_name": ""},
        "destinations": [{**TEL, "target_name": ""}, other],
        "anonymous": "auto",
        "call_ids": placed.call_ids,
        "groupcall_ids": [],
        "tm_create": "2023-11-14T22:13:20.000000Z",
        "tm_update": "2023-11-14T22:13:20.000000Z",
        "tm_delete": None,
    }
    assert [record.hangup_reason for record in records] == ["failed", "normal"]
    assert records[0].attempts[0].provider_name == "two"
    assert records[0].metadata == {"route_provider_ids": [str(world.two.id)], "skip_source_validation": True}
    assert any_answered(records)
    assert not any_answered(records[:1])


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [(("refused", 486), "busy"), (("refused", 480), "noanswer"), (("no_reply", 0), "noanswer"),
     (("ring_timeout", 487), "dialout"), (("refused", 403), "failed"), (("unreachable", 0), "failed")],
)  # fmt: skip
def test_hangup_reason_of_a_providercall(world: Any, outcome: Any, reason: str) -> None:
    world.agent.script["192.0.2"] = world.outcome(*outcome, "", 0, None)
    _, _, (record,) = provider_call(world)
    assert record.hangup_reason == reason
    assert record.ended_ms == 0


def test_actions_or_a_flow_run_after_the_answer(world: Any) -> None:
    placed, _, _ = provider_call(world, actions=[{"type": "sleep", "option": {"duration": 20}}], anonymous="yes")
    assert world.agent.legs[0].orders[0] == ("sleep", 0.02)
    assert world.agent.legs[0].spec.from_ == '"Anonymous" <sip:anonymous@anonymous.invalid>'
    assert placed.flow_id.int
    world.flows(after=[{"type": "sleep", "option": {"duration": 30}}])
    placed, _, _ = provider_call(world, flow_id="after")
    assert world.agent.legs[1].orders[0] == ("sleep", 0.03)
    assert str(placed.flow_id) == world.library.find("after").id


def test_refusals_dial_nothing(world: Any) -> None:
    unknown = "11111111-1111-4111-8111-111111111111"
    with pytest.raises(
        ProviderCallError, match=f"there is no provider {unknown}; write the id of one that exists"
    ) as e:
        provider_call(world, provider_id=unknown)
    assert e.value.reason == "PROVIDER_NOT_FOUND"
    with pytest.raises(ProviderCallError, match="there is no flow 'x'; write its id or name") as e:
        provider_call(world, flow_id="x")
    assert e.value.reason == "FLOW_NOT_FOUND"
    with pytest.raises(
        FlowError, match=r'flow "providercall", action 1 \(sleep\): option.duration: is missing; add it'
    ):
        provider_call(world, actions=[{"type": "sleep"}])
    with pytest.raises(ProviderCallError) as e:
        provider_call(world, destinations=[], flow_id=1, colour="red", anonymous="maybe")
    assert str(e.value).splitlines() == [
        "destinations: must not be empty; add an entry",
        "anonymous: must be one of 'no', 'yes' or 'auto', and is 'maybe'; choose one",
        "flow_id: must be text, and is the number 1; put it in quotes",
        "colour: is not known to a providercall; remove it (use one of: source, destinations, anonymous, flow_id, "
        "actions, customer_id, provider_id)",
    ]
    with pytest.raises(ProviderCallError, match="flow_id and actions are both given; keep one of them"):
        provider_call(world, flow_id="x", actions=[{"type": "answer"}])
    with pytest.raises(ProviderCallError) as e:
        provider_call(world, destinations=[TEL, {"type": "sip", "target": "sip:a@example.com"}])
    assert str(e.value) == "destinations[1].type: a provider dials numbers, and this is sip; use tel"
    assert not world.agent.legs


def test_a_full_service_refuses_and_hangs_up_what_it_began(world: Any) -> None:
    world.services.calls.tasks.limit = 1
    world.agent.script["192.0.2"] = world.never
    with pytest.raises(ProviderCallError, match="try again later") as e:
        provider_call(world, destinations=[TEL, TEL])
    assert e.value.reason == "RATE_LIMIT_EXCEEDED"
    assert world.channels() == 0


def test_what_cannot_be_reached_through_the_provider_is_in_the_record(world: Any) -> None:
    world.flows(f=[{"type": "answer"}])
    world.number("+15559990000", "f")
    world.directory.put_number(Number(number="+15559990000", status="suspended"))
    _, _, (record,) = provider_call(world)
    assert not world.agent.legs
    assert (record.hangup_reason, record.notes) == ("failed", ["+15559990000 is suspended"])


def unreached(cause: str) -> Outcome:
    return Outcome(kind="unreachable", status=0, reason=cause)


@pytest.mark.parametrize("kind", ["tel", "sip"])
@pytest.mark.parametrize(
    ("outcomes", "status", "reason", "by", "why"),
    [
        ([refused(503, "Overloaded")], 503, "Overloaded", "remote", "failed"),
        ([refused(302, "Elsewhere")], 302, "Elsewhere", "remote", "failed"),
        ([refused(401, "Who")], 401, "Who", "remote", "failed"),
        ([refused(486, "Busy Here")], 486, "Busy Here", "remote", "busy"),
        ([unreached("connection refused")], 0, "refused", "local", "failed"),
        ([unreached("name does not resolve to an IPv4 address")], 0, "unresolved", "local", "failed"),
        ([unreached("host unreachable")], 0, "unreachable", "local", "failed"),
        ([unreached("no listener for tcp")], 0, "unreachable", "local", "failed"),
        ([Outcome(kind="no_reply", status=0, reason="no reply")], 0, "no_reply", "local", "noanswer"),
        ([Outcome(kind="no_progress", status=0, reason="no progress")], 0, "no_reply", "local", "noanswer"),
        (
            [Outcome(kind="ring_timeout", status=0, reason="ring timeout")],
            480,
            "Temporarily Unavailable",
            "local",
            "dialout",
        ),
        # Who has said something goes before who has not.
        ([refused(503, "Overloaded"), unreached("connection refused")], 503, "Overloaded", "remote", "failed"),
    ],
)  # fmt: skip
def test_a_call_of_our_own_shows_who_said_what(
    world: Any, kind: str, outcomes: list[Outcome], status: int, reason: str, by: str, why: str
) -> None:
    """RFC 3261 §16.7 step 6 puts 503 otherwise for a caller, and here there is none."""
    if kind == "sip":
        destination, parts = {"type": "sip", "target": "sip:a@example.com"}, ["example.com"]
        outcomes = outcomes[:1]
    else:
        destination, parts = TEL, ["192.0.2.1", "192.0.2.2"]
        outcomes = (outcomes * 2)[:2]
    for part, outcome in zip(parts, outcomes, strict=True):
        world.agent.script[part] = outcome
    world.go([call(destination)])
    record = made(world)[0]
    assert (record.end_status, record.end_reason, record.hangup_by, record.hangup_reason) == (status, reason, by, why)


def test_what_skipped_providers_say_is_nobodys_silence(world: Any) -> None:
    world.agent.script["192.0.2.1"] = unreached("connection refused")
    world.directory.put_provider(world.two.model_copy(update={"enabled": False}))
    world.go([call()])
    record = made(world)[0]
    assert (record.end_status, record.end_reason, record.hangup_by) == (0, "refused", "local")
