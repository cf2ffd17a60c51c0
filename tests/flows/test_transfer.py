"""transfer: the caller's phone is sent to somebody else, and the flow hears what became of it."""

import asyncio
from typing import Any

import pytest

from engine.transfer import Transferred
from flows.actions import ACTIONS
from flows.calls.destinations import Contact
from flows.faults import FlowError
from flows.language.model import read_flow
from flows.python.call import FlowCall
from flows.python.flows import compile_python

END = ("hangup", 480, "Q.850;cause=16")


def action(type_: str, **option: Any) -> dict[str, Any]:
    return {"type": type_, "option": option}


def call_that(world: Any, ended: str, status: int = 0, reason: str = "") -> Any:
    call = world.fake_call(world.clock)
    call.transferred = Transferred(ended, status, reason)
    return call


TARGETS = [
    ({"type": "tel", "target": "+1 555 000 3333"}, "sip:+15550003333@engine.example:5060"),
    ("+15550003333", "sip:+15550003333@engine.example:5060"),
    ("100", "sip:100@engine.example:5060"),
    ({"type": "sip", "target": "desk@example.com"}, "sip:desk@example.com"),
    ("SIP:desk@example.com", "SIP:desk@example.com"),
    ({"type": "extension", "target": "desk"}, "sip:desk@10.0.0.9"),
]


@pytest.mark.parametrize(("target", "uri"), TARGETS, ids=[str(n) for n in range(len(TARGETS))])
def test_a_number_is_called_at_us_and_a_uri_as_it_stands(world: Any, target: Any, uri: str) -> None:
    call = call_that(world, "refused", 603, "Decline")
    name = target["target"] if isinstance(target, dict) else ""
    world.calls.contacts = world.fake_contacts(**{name: [Contact(uri=f"sip:{name}@10.0.0.9")]})
    number = world.number("+15550002222", "f")
    ran = world.go([action("answer"), action("transfer", target=target)], call, number=number)
    assert ran.orders[1] == ("transfer", uri, "sip:+15550002222@engine.example:5060")


OUTCOMES = [
    (("refused", 603, "Decline"), "refused", "603"),
    (("refused", 0, "no answer"), "refused", "0"),
    (("told", 486, "Busy Here"), "busy", "486"),
    (("told", 600, "Busy"), "busy", "600"),
    (("told", 480, "x"), "noanswer", "480"),
    (("told", 408, "x"), "noanswer", "408"),
    (("told", 503, "x"), "failed", "503"),
    (("told", 302, "x"), "failed", "302"),
    (("told", 487, "x"), "failed", "487"),
]


@pytest.mark.parametrize(("told", "status", "sip_status"), OUTCOMES, ids=[str(n) for n in range(len(OUTCOMES))])
def test_the_flow_goes_on_with_what_became_of_it(world: Any, told: Any, status: str, sip_status: str) -> None:
    call = call_that(world, *told)
    ran = world.go(
        [
            action("answer"),
            action("transfer", target="+15550003333"),
            action("condition_variable", variable="transfer.status", value=status, false_target_id="no")
            | {"id": "a", "next_id": "b"},
            action("condition_variable", variable="transfer.sip_status", value=sip_status, false_target_id="no")
            | {"id": "b"},
            action("hangup", reason="busy"),
            {"id": "no", "type": "hangup"},
        ],
        call,
    )
    assert ran.record.hangup_reason == "busy"
    assert ran.record.notes[0].startswith(f"transfer to sip:+15550003333@engine.example:5060: {status}")


def test_an_answered_transfer_ends_the_call_where_the_caller_does_not(world: Any) -> None:
    async def patient() -> Any:
        call = call_that(world, "told", 200, "OK")
        return await world.run([action("answer"), action("transfer", target="+15550003333"), action("ringing")], call)

    ran = _in_no_time(patient())
    assert ran.orders[-1] == END and "ringing" not in ran.orders
    assert ran.record.hangup_reason == "normal" and ran.record.hangup_by == "local"


def test_a_caller_that_leaves_by_itself_is_not_hung_up(world: Any) -> None:
    async def leaves() -> Any:
        call = call_that(world, "told", 200, "OK")
        asyncio.get_running_loop().call_later(0.01, call.end, "remote", 200)
        return await world.run([action("answer"), action("transfer", target="+15550003333")], call)

    ran = asyncio.run(leaves())
    assert END not in ran.orders and ran.record.hangup_by == "remote"


def test_a_caller_that_says_no_more_and_stays_is_still_there(world: Any) -> None:
    async def stays() -> Any:
        call = call_that(world, "accepted")
        return await world.run(
            [action("answer"), action("transfer", target="+15550003333"), action("hangup", reason="busy")], call
        )

    assert _in_no_time(stays()).record.hangup_reason == "busy"


def _in_no_time(work: Any) -> Any:
    """On a loop that need not wait."""
    from tests.simulation.agent import SimulatedLoop

    loop = SimulatedLoop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


def test_a_call_that_is_not_answered_is_not_transferred(world: Any) -> None:
    ran = world.go([action("transfer", target="+15550003333"), action("answer")])
    assert ran.orders[0] == "answer"
    assert "a call that is not answered cannot be transferred" in world.log.errors()[0]


@pytest.mark.parametrize("target", [{"type": "agent", "target": "ann"}, "+1"])
def test_nobody_to_be_sent_to_is_an_action_that_failed(world: Any, target: Any) -> None:
    call = call_that(world, "told", 200, "OK")
    ran = world.go([action("answer"), action("transfer", target=target), action("hangup", reason="busy")], call)
    assert len(world.log.errors()) == 1 and ran.orders == ["answer", ("hangup", 486, "Q.850;cause=17")]


def test_a_caller_that_is_gone_meanwhile_is_noted(world: Any) -> None:
    call = world.fake_call(world.clock)
    call.transferred = asyncio.CancelledError()
    ran = world.go([action("answer"), action("transfer", target="+15550003333")], call)
    assert "the caller was gone before it told how that went" in ran.record.notes[0]


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ({"target": "+15550003333", "mode": "attended"}, "option.mode: must be one of 'blind', and is 'attended'"),
        ({}, "option.target: is missing; add it"),
        ({"target": "nobody"}, "the target of a tel address must be a number"),
        ({"target": 1}, "option.target: must be an object"),
        ({"target": ""}, "must not be empty"),
        ({"target": "sip:a b"}, "the target of a sip address must be a URI"),
    ],
)
def test_a_fault_is_reported_when_the_flow_is_saved(option: Any, sentence: str) -> None:
    with pytest.raises(FlowError) as told:
        read_flow({"name": "f", "actions": [action("answer"), action("transfer", **option)]}, ACTIONS)
    assert sentence in str(told.value)


def test_a_flow_in_python_transfers(world: Any) -> None:
    async def send_away(call: FlowCall) -> None:
        call.answer()
        if await call.transfer("+15550003333") == "busy":
            call.hangup("busy")

    ran = world.go(compile_python("f", send_away), call_that(world, "told", 486, "Busy Here"))
    assert ran.record.hangup_reason == "busy"
