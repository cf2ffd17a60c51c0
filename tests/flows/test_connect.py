"""connect: whom it dials, whom it bridges, what the flow learns, and that nothing is left behind."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from engine.call import CallEnded
from flows.actions import ACTIONS
from flows.calls.destinations import Contact
from flows.language.library import read_library
from flows.language.program import Program
from routing.identifiers import NIL
from service.intake import dial_out

END = ("hangup", 480, "Q.850;cause=16")
ONE, TWO = "sip:1+15559990000@192.0.2.1:5060", "sip:2+15559990000@192.0.2.2:5060"


def tel(number: str = "+15559990000") -> dict[str, str]:
    return {"type": "tel", "target": number}


def sip(name: str) -> dict[str, str]:
    return {"type": "sip", "target": f"sip:{name}@example.com"}


def connect(*destinations: Any, **option: Any) -> dict[str, Any]:
    return {"type": "connect", "option": {"destinations": list(destinations or (tel(),)), **option}}


def owned(actions: list[Any], customer_id: UUID) -> Program:
    """A customer's flow."""
    (program,) = read_library(ACTIONS, [{"actions": actions}], check_references=False)
    program.belongs_to(customer_id)
    return program


REPORT = {
    "type": "reject",
    "option": {"code": 499, "reason": "${connect.status} ${connect.sip_status} ${connect.duration}"},
}


def learned(ran: Any) -> str:
    """What the flow found in connect.*, from the reason of the REPORT behind it."""
    return str(ran.orders[-1][2])


def test_bridges_the_far_end_and_goes_on_when_it_hangs_up(world: Any) -> None:
    world.agent.talk = 12.7
    ran = world.go([connect(), {"type": "variable_set", "option": {"key": "a", "value": "${connect.duration}"}}])
    assert ran.orders == ["answer", ("bridge", ONE), END]
    leg = world.agent.legs[0]
    assert leg.caller is ran.call
    assert leg.early_media
    assert leg.spec.destination == "sip:192.0.2.1:5060;transport=udp" or leg.spec.destination.startswith(
        "sip:192.0.2.1"
    )
    assert leg.spec.from_ == '"Ann" <sip:+15550001111@engine.example>'
    assert (leg.spec.no_reply_timeout, leg.spec.no_progress_timeout, leg.spec.ring_timeout) == (4, 15, 60)
    assert world.channels() == 0
    assert [entry.kind for entry in ran.record.attempts] == ["answered"]
    assert ran.record.attempt_reports()[0].start_ms == 0
    assert ran.record.hangup_reason == "normal"


MINE, THEIRS = UUID(int=1), UUID(int=2)


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("+15550002222", "+15550002222"),
        ("0015550002222", "+15550002222"),
        ("+15550003333", "+15550001111"),  # suspended
        ("+15550004444", "+15550001111"),  # another customer's
        ("+15550005555", "+15550001111"),  # the platform's
        ("+442079460000", "+15550001111"),  # nobody's
        ("911", "+15550001111"),
        ("${chosen}", "+15550001111"),
        ("${call.source.number}", "+15550001111"),
    ],
)
def test_a_customers_flow_shows_the_caller_or_a_number_of_its_own(world: Any, source: str, shown: str) -> None:
    """As an order of its own does (SOURCE_NOT_ALLOWED): we vouch for it to trunks (RFC 3325)."""
    world.number("+15550002222", customer_id=MINE)
    world.number("+15550003333", customer_id=MINE, status="suspended")
    world.number("+15550004444", customer_id=THEIRS)
    world.number("+15550005555")
    chosen = {"type": "variable_set", "option": {"key": "chosen", "value": "+442079460000"}}
    program = owned([chosen, connect(source=tel(source))], MINE)
    ran = world.go(program, record=world.record(customer_id=MINE))
    spec = world.agent.legs[0].spec
    assert f"<sip:{shown}@engine.example>" in spec.from_
    assert [value for name, value in spec.headers if name == "P-Asserted-Identity"] == [
        spec.from_.partition(";")[0] if shown != "+15550001111" else f'"Ann" <sip:{shown}@engine.example>'
    ]
    noted = any("is no active number of this customer" in note for note in ran.record.notes)
    assert noted == (shown == "+15550001111" and source != "${call.source.number}")


@pytest.mark.parametrize("customer_id", [NIL, MINE])
def test_the_platform_shows_what_it_has_written_down(world: Any, customer_id: UUID) -> None:
    world.go([connect(source=tel("+442079460000"))], record=world.record(customer_id=customer_id))
    assert world.agent.legs[0].spec.from_ == "<sip:+442079460000@engine.example>"


@pytest.mark.parametrize("source", ["${call.source.number}", "+15550001111", "0015550001111"])
def test_a_guest_named_as_the_source_is_vouched_for_by_nobody(world: Any, source: str) -> None:
    world.go([connect(source={**tel(source), "target_name": "From outside"})], record=world.record(guest=True))
    spec = world.agent.legs[0].spec
    assert spec.from_ == '"From outside" <sip:+15550001111@engine.example>'
    assert "P-Asserted-Identity" not in dict(spec.headers)


@pytest.mark.parametrize("source", ["+15550004444", "+442079460000", "911", "${call.source.number}"])
def test_a_customers_flow_calls_as_nobody_else(world: Any, source: str) -> None:
    """A guest is nobody whom we vouch for."""
    world.number("+15550004444", customer_id=THEIRS)
    option = {"source": tel(source), "destinations": [tel()]}
    record = world.record(customer_id=MINE, guest=True)
    world.go(owned([{"type": "call", "option": option}], MINE), record=record)
    assert not world.agent.legs
    assert "is no active number of this customer" in world.log.errors()[0]


@pytest.mark.parametrize(
    ("source", "shown"), [("+15550002222", "+15550002222"), ("${call.source.number}", "+15550001111")]
)
def test_a_customers_flow_calls_as_a_number_of_its_own_or_for_its_caller(world: Any, source: str, shown: str) -> None:
    world.number("+15550002222", customer_id=MINE)
    option = {"source": tel(source), "destinations": [tel()]}
    world.go(owned([{"type": "call", "option": option}], MINE), record=world.record(customer_id=MINE))
    assert world.agent.legs[0].spec.from_ == f"<sip:{shown}@engine.example>"


def test_only_a_call_for_an_own_number_that_is_sent_on_is_diverted(world: Any) -> None:
    world.one = world.one.model_copy(update={"caller_id_headers": ["Diversion"]})
    world.number("+15550002222")
    world.go([connect()])
    world.go([connect()], number=world.directory.number("+15550002222"))
    sent_out, sent_on = (leg.spec.headers for leg in world.agent.legs)
    assert list(sent_out) == []
    assert list(sent_on) == [("Diversion", "<sip:+15550002222@engine.example>;reason=unconditional")]


def test_status_and_duration_after_an_answer(world: Any) -> None:
    flow = [
        connect(),
        {
            "type": "condition_variable",
            "option": {"variable": "connect.status", "value": "answered", "false_target_id": "no"},
        },
        {
            "type": "condition_variable",
            "option": {"variable": "connect.duration", "value_type": "number", "value": 5, "false_target_id": "no"},
        },
        {"type": "sleep", "option": {"duration": 7}},
        {"id": "no", "type": "empty"},
    ]
    assert ("sleep", 0.007) in world.go(flow).orders


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (("refused", 486, "Busy Here"), "busy 486 0"),
        (("refused", 600, "Busy Everywhere"), "busy 600 0"),
        (("refused", 480, "Away"), "noanswer 480 0"),
        (("refused", 404, "Not Found"), "failed 404 0"),
        (("refused", 603, "Decline"), "failed 603 0"),
        (("refused", 487, "Terminated"), "canceled 487 0"),
        (("ring_timeout", 487, ""), "dialout 480 0"),
        (("refused", 503, "Down"), "failed 500 0"),
        (("no_reply", 0, ""), "noanswer 408 0"),
        (("unreachable", 0, "refused"), "failed 500 0"),
    ],
)
def test_status_when_nobody_answers(world: Any, outcome: Any, text: str) -> None:
    world.agent.script["@192.0.2"] = world.outcome(*outcome, 0, None)
    ran = world.go([connect(), REPORT])
    assert learned(ran) == text
    assert world.channels() == 0


def test_failover_to_the_next_provider(world: Any) -> None:
    world.agent.script["192.0.2.1"] = world.refused(503)
    ran = world.go([connect()])
    assert [leg.spec.request_uri for leg in world.agent.legs] == [ONE, TWO]
    assert ran.orders == ["answer", ("bridge", TWO), END]
    assert [(entry.provider_name, entry.status) for entry in ran.record.attempts] == [("one", 503), ("two", 200)]


def test_a_provider_that_cannot_be_dialled_does_not_stop_the_hunt(world: Any) -> None:
    world.agent.script["192.0.2.1"] = ValueError("no such transport")
    ran = world.go([connect()])
    assert ran.orders == ["answer", ("bridge", TWO), END]
    assert ran.record.attempts[0].kind == "unreachable"
    assert world.log.errors() == ["ValueError: no such transport"]
    assert world.channels() == 0


def test_options_reach_the_dialling(world: Any) -> None:
    world.go(
        [
            connect(
                ring_timeout=20,
                early_media=False,
                anonymous="yes",
                source={"type": "tel", "target": "15550003333", "target_name": "Desk"},
            )
        ]
    )
    leg = world.agent.legs[0]
    assert leg.spec.ring_timeout == 20
    assert not leg.early_media
    assert leg.spec.from_ == '"Anonymous" <sip:anonymous@anonymous.invalid>'
    assert ("P-Asserted-Identity", '"Desk" <sip:+15550003333@engine.example>') in leg.spec.headers


def test_auto_keeps_the_privacy_that_the_caller_asked_for(world: Any) -> None:
    world.go([connect(), connect(anonymous="no")], record=world.record(anonymous=True))
    assert [("Privacy", "id") in leg.spec.headers for leg in world.agent.legs] == [True, False]


def test_relay_reason_hands_on_the_far_ends_status(world: Any) -> None:
    world.agent.script["192.0.2.1"] = world.refused(486, "Busy Here")
    ran = world.go([connect(relay_reason=True), {"type": "answer"}])
    assert ran.orders == [("reject", 486, "Busy Here")]
    assert ran.record.hangup_reason == "busy"


def test_relay_reason_of_a_ring_timeout_is_dialout(world: Any) -> None:
    world.agent.script["192.0.2.1"] = world.outcome("ring_timeout", 487, "", 0, 1.0)
    ran = world.go([connect(relay_reason=True)])
    assert ran.orders == [("reject", 480, "Temporarily Unavailable")]
    assert ran.record.hangup_reason == "dialout"


def test_relay_reason_leaves_an_answered_caller(world: Any) -> None:
    world.agent.script["192.0.2"] = world.refused(486)
    assert world.go([{"type": "answer"}, connect(relay_reason=True)]).orders == ["answer", END]


def test_a_clients_foreign_number_is_a_connect_that_relays(world: Any) -> None:
    world.agent.script["192.0.2.1"] = world.refused(500)
    world.agent.script["192.0.2.2"] = world.refused(404, "Not Found")
    call = world.fake_call(world.clock)
    record = asyncio.run(dial_out(world.services, "+15559990000", call, world.record()))
    assert call.orders == [("reject", 404, "Not Found")]
    assert record.hangup_reason == "failed"
    assert len(record.attempts) == 2


def test_media_that_cannot_be_agreed_fails_the_connect_and_hangs_the_leg_up(world: Any) -> None:
    call = world.fake_call(world.clock)
    call.refuse_bridge = ValueError("no common codec")
    ran = world.go([connect(), REPORT], call)
    assert learned(ran) == "failed 488 0"
    assert world.agent.legs[0].ended_by == "local"
    assert world.channels() == 0


def test_a_far_end_that_is_gone_before_the_bridge_is_noanswer(world: Any) -> None:
    call = world.fake_call(world.clock)
    call.refuse_bridge = CallEnded("a leg was over before both were connected")
    assert learned(world.go([connect(), REPORT], call)) == "noanswer 480 0"


# ---- sip, extension, agent


def test_sip_uris_are_dialled_directly(world: Any) -> None:
    ran = world.go([connect(sip("alice"))])
    spec = world.agent.legs[0].spec
    assert (spec.request_uri, spec.destination, spec.to) == (
        "sip:alice@example.com",
        "sip:alice@example.com",
        "<sip:alice@example.com>",
    )
    assert spec.from_ == '"Ann" <sip:+15550001111@engine.example>'
    assert list(spec.headers) == []
    assert ran.record.attempts[0].request_uri == "sip:alice@example.com"


def test_a_withheld_number_is_not_shown_to_a_stranger(world: Any) -> None:
    world.go(
        [connect(sip("alice"), anonymous="yes"), connect({"type": "sip", "target": "bob@example.com"})],
        record=world.record(source="", source_name=""),
    )
    first, second = world.agent.legs
    assert (first.spec.from_, list(first.spec.headers)) == (
        '"Anonymous" <sip:anonymous@anonymous.invalid>',
        [("Privacy", "id")],
    )
    assert second.spec.request_uri == "sip:bob@example.com"
    assert second.spec.from_ == '"Anonymous" <sip:anonymous@anonymous.invalid>'


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (("refused", 486, ""), "busy 486 0"),
        (("refused", 401, ""), "failed 403 0"),
        (("refused", 503, ""), "failed 500 0"),
        (("refused", 302, ""), "noanswer 480 0"),
        (("no_progress", 0, ""), "noanswer 408 0"),
        (("unreachable", 0, ""), "failed 500 0"),
    ],
)
def test_status_of_a_direct_destination(world: Any, outcome: Any, text: str) -> None:
    world.agent.script["alice"] = world.outcome(*outcome, 0, None)
    assert learned(world.go([connect(sip("alice")), REPORT])) == text


def test_extensions_and_agents_are_resolved_by_the_service(world: Any) -> None:
    world.calls.contacts = world.fake_contacts(**{"101": [Contact(uri="sip:desk@192.0.2.9")]})
    world.go([connect({"type": "extension", "target": "101"})])
    assert world.agent.legs[0].spec.request_uri == "sip:desk@192.0.2.9"
    ran = world.go([connect({"type": "agent", "target": "x"}), REPORT])
    assert learned(ran) == "failed 404 0"
    assert ran.record.notes == ["connect: agent 'x' is not known or not reachable"]


# ---- several destinations


def test_linear_dials_one_after_another(world: Any) -> None:
    world.agent.script["alice"] = world.refused(486)
    ran = world.go([connect(sip("alice"), sip("bob"), sip("carol"), ring_method="linear")])
    assert [leg.spec.request_uri for leg in world.agent.legs] == ["sip:alice@example.com", "sip:bob@example.com"]
    assert ran.orders == ["answer", ("bridge", "sip:bob@example.com"), END]


@pytest.mark.parametrize("method", ["linear", "ring_all"])
@pytest.mark.parametrize(
    ("one", "two", "text"),
    [(404, 486, "busy 486 0"), (480, 404, "noanswer 480 0"), (486, 603, "failed 603 0"), (487, 500, "canceled 487 0")],
)
def test_the_most_telling_status_speaks_for_all(world: Any, method: str, one: int, two: int, text: str) -> None:
    world.agent.script |= {"alice": world.refused(one), "bob": world.refused(two)}
    assert learned(world.go([connect(sip("alice"), sip("bob"), ring_method=method), REPORT])) == text


async def turns(number: int = 10) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


def test_ring_all_bridges_the_first_and_cancels_the_others(world: Any) -> None:
    world.agent.script |= {"alice": world.never, "bob": world.never, "192.0.2": world.never}

    async def scenario() -> Any:
        running = asyncio.ensure_future(world.run([connect(sip("alice"), sip("bob"), tel())]))
        await turns()
        alice, bob, carol = world.agent.legs
        bob.settle(world.answered)
        ran = await running
        assert (alice.cancelled, bob.cancelled, carol.cancelled) == (1, 0, 1)
        return ran

    ran = asyncio.run(scenario())
    assert ran.orders == ["answer", ("bridge", "sip:bob@example.com"), END]
    assert world.channels() == 0
    assert sorted(entry.kind for entry in ran.record.attempts) == ["answered", "cancelled", "cancelled"]


def test_two_answers_in_one_moment_make_one_call(world: Any) -> None:
    world.agent.script |= {"alice": world.never, "192.0.2": world.never}

    async def scenario() -> Any:
        running = asyncio.ensure_future(world.run([connect(tel(), sip("alice"))]))
        await turns()
        provider, alice = world.agent.legs
        alice.settle(world.answered)
        provider.settle(world.answered)
        ran = await running
        assert provider.ended_by == "local"
        assert provider.orders[-1][0] == "hangup"
        return ran

    ran = asyncio.run(scenario())
    assert ran.orders == ["answer", ("bridge", "sip:alice@example.com"), END]
    assert world.channels() == 0


# ---- our own numbers


def test_our_own_number_is_never_sent_to_a_provider_and_its_flow_runs(world: Any) -> None:
    world.flows(other=[{"type": "answer"}, {"type": "echo", "option": {"duration": 3000}}])
    world.number("+15559990000", "other")
    ran = world.go([connect(), {"type": "sleep", "option": {"duration": 1}}])
    assert ran.orders == ["answer", ("echo", 3.0), ("sleep", 0.001), END]
    assert not world.agent.legs


@pytest.mark.parametrize(
    ("inner", "text"),
    [
        ([{"type": "reject", "option": {"code": 486}}], "busy 486 0"),
        ([{"type": "hangup", "option": {"reason": "failed"}}], "failed 500 0"),
        ([{"type": "ringing"}], "noanswer 480 0"),
        ([{"type": "redirect", "option": {"contacts": ["sip:a@b"]}}], "noanswer 480 0"),
    ],
)
def test_a_number_that_refuses_leaves_the_caller_to_the_flow(world: Any, inner: Any, text: str) -> None:
    world.flows(other=inner)
    world.number("+899100000001", "other")
    assert learned(world.go([connect(tel("+899100000001")), REPORT])) == text


def test_the_other_numbers_flow_has_its_own_variables(world: Any) -> None:
    text = "${number.number} ${call.destination.number} ${mine}"
    world.flows(other=[{"type": "reject", "option": {"reason": text}}])
    world.number("+15559990000", "other")
    flow = [{"type": "variable_set", "option": {"key": "mine", "value": "x"}}, connect(relay_reason=True)]
    number = world.number("+15558880000", "other")
    row = world.directory.number(number.number)
    ran = world.go(flow, number=row)
    assert ran.orders == [("reject", 603, "+15559990000 +15559990000 ")]
    assert ran.record.number == "+15558880000"


@pytest.mark.parametrize(
    ("status", "flow", "text"),
    [
        ("suspended", "other", "noanswer 480 0"),
        ("active", "", "noanswer 480 0"),
        ("active", "gone", "noanswer 480 0"),
        ("released", "other", "failed 404 0"),
    ],
)
def test_numbers_that_take_no_calls(world: Any, status: str, flow: str, text: str) -> None:
    world.flows(other=[{"type": "answer"}])
    world.number("+15559990000", flow, status)
    ran = world.go([connect(), REPORT])
    assert learned(ran) == text
    assert ran.record.notes
    assert not world.agent.legs


def test_numbers_that_call_each_other_end(world: Any) -> None:
    world.flows(me=[connect()])
    world.number("+15559990000", "me")
    ran = world.go(world.library.find("me"))
    assert ran.orders == [END]
    assert "call one another" in ran.record.notes[0]


def test_an_own_number_in_a_parallel_fork_takes_the_call_when_it_answers(world: Any) -> None:
    world.flows(
        other=[
            {"type": "sleep", "option": {"duration": 10}},
            {"type": "answer"},
            {"type": "echo", "option": {"duration": 10}},
        ]
    )
    world.number("+15559990000", "other")
    world.agent.script["alice"] = world.never
    ran = world.go([connect(sip("alice"), tel())])
    assert ran.orders == [("sleep", 0.01), "answer", ("echo", 0.01), END]
    assert world.agent.legs[0].cancelled == 1


def test_an_own_number_loses_a_parallel_fork(world: Any) -> None:
    world.flows(other=[{"type": "block"}])
    world.number("+15559990000", "other")
    world.agent.script["alice"] = world.never

    async def scenario() -> Any:
        running = asyncio.ensure_future(world.run([connect(tel(), sip("alice"))]))
        await turns()
        world.agent.legs[0].settle(world.answered)
        return await running

    assert asyncio.run(scenario()).orders == ["answer", ("bridge", "sip:alice@example.com"), END]


# ---- the hangup


@pytest.mark.parametrize("method", ["linear", "ring_all"])
@pytest.mark.parametrize("stage", ["dialling", "second provider", "answered at once", "talking"])
def test_a_hangup_leaves_no_leg_and_no_channel(world: Any, stage: str, method: str) -> None:
    """At every point where connect waits."""
    world.agent.talk = world.never
    world.agent.script |= {"192.0.2.1": world.never, "alice": world.never, "192.0.2.2": world.never}
    if stage == "second provider":
        world.agent.script["192.0.2.1"] = world.refused(503)

    async def scenario() -> Any:
        call = world.fake_call(world.clock)
        running = asyncio.ensure_future(world.run([connect(tel(), sip("alice"), ring_method=method)], call))
        await turns()
        if stage in ("answered at once", "talking"):
            world.agent.legs[0].settle(world.answered)
        if stage == "talking":
            await turns()
            assert call.bridged
        call.end("remote", 487)
        return await running

    ran = asyncio.run(scenario())
    assert ran.cancelled
    assert world.channels() == 0
    assert all(leg.ended_at is not None for leg in world.agent.legs)
    assert all(entry.kind for entry in ran.record.attempts)
    assert ran.record.hangup_reason == ("normal" if stage == "talking" else "cancel")


def test_nothing_is_dialled_for_a_call_that_is_over(world: Any) -> None:
    world.flows(after=[connect()])
    world.go({"actions": [{"type": "answer"}], "on_complete_flow_id": "after"})
    assert not world.agent.legs


def test_a_caller_that_is_gone_ends_the_hunt(world: Any) -> None:
    world.agent.script["192.0.2"] = CallEnded("the call is over")
    ran = world.go([connect()])
    assert len(ran.record.attempts) == 1
    assert world.channels() == 0
