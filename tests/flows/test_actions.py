"""What each action does to a call, on a fake of the engine's call."""

import asyncio
from datetime import UTC, datetime
from typing import Any, get_args
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.actions import ACTIONS
from flows.calls.hangup import CAUSES
from flows.calls.record import CallRecord
from flows.faults import FlowError
from flows.language.model import read_flow
from routing.hunt.outcome import HangupReason

END = ("hangup", 480, "Q.850;cause=16")


def action(type_: str, **option: Any) -> dict[str, Any]:
    return {"type": type_, "option": option}


ORDERS = [
    ([action("answer")], ["answer", END]),
    ([action("answer"), action("answer")], ["answer", END]),
    ([action("ringing"), action("answer"), action("ringing"), action("progress")], ["ringing", "answer", END]),
    ([action("progress")], ["progress", END]),
    ([action("progress", early_media=False)], ["ringing", END]),
    ([action("reject")], [("reject", 603, "")]),
    ([action("reject", code=486, reason="Busy")], [("reject", 486, "Busy")]),
    ([action("redirect", contacts=["sip:a@b", "tel:+1"])], [("redirect", "sip:a@b", "tel:+1")]),
    ([action("sleep", duration=1500)], [("sleep", 1.5), END]),
    ([action("echo", duration=2000)], ["answer", ("echo", 2.0), END]),
    ([action("empty")], [END]),
    ([action("hangup")], [END]),
    ([action("hangup", reason="busy")], [("hangup", 486, "Q.850;cause=17")]),
    ([action("hangup", reason="noanswer")], [("hangup", 480, "Q.850;cause=19")]),
    ([action("hangup", reason="failed")], [("hangup", 500, "Q.850;cause=41")]),
    ([action("hangup", reason="cancel")], [("hangup", 487, "Q.850;cause=31")]),
    ([action("hangup", reason="dialout")], [("hangup", 480, "Q.850;cause=18")]),
    ([action("hangup", reason="timeout")], [("hangup", 480, "Q.850;cause=102")]),
    (
        [
            {"type": "answer", "next_id": "c"},
            {"id": "b", "type": "hangup"},
            {"id": "c", "type": "goto", "option": {"target_id": "b"}},
        ],
        ["answer", END],
    ),
    ([{"id": "a", "type": "ringing"}, action("goto", target_id="a", loop_count=2)], ["ringing"] * 3 + [END]),
]


@pytest.mark.parametrize(("actions", "orders"), ORDERS, ids=[str(n) for n in range(len(ORDERS))])
def test_orders_to_the_call(world: Any, actions: Any, orders: Any) -> None:
    ran = world.go(actions)
    assert ran.orders == orders
    assert ran.record.hangup_by == "local"
    assert not world.log.lines


def test_every_hangup_reason_has_its_cause() -> None:
    assert set(CAUSES) == set(get_args(HangupReason))


def test_loops_within_loops_count_anew(world: Any) -> None:
    flow = [
        {"id": "outer", "type": "ringing"},
        {"id": "inner", "type": "progress"},
        action("goto", target_id="inner", loop_count=2),
        action("goto", target_id="outer", loop_count=1),
    ]
    assert world.go(flow).orders == ["ringing", "progress", "progress", "progress"] * 2 + [END]


def test_at_most_1000_actions_then_the_call_has_failed(world: Any) -> None:
    ran = world.go([{"id": "a", "type": "empty"}, action("goto", target_id="a")])
    assert ran.orders == [("hangup", 500, "Q.850;cause=41")]
    assert ran.record.hangup_reason == "failed"
    assert world.log.errors() == ["the call has run as many actions as a call may, and is hung up"]


def test_hangup_takes_the_reason_of_the_call_it_refers_to(world: Any) -> None:
    world.services.calls.registry.add(CallRecord("other", "outgoing", hangup_reason="busy"))
    assert world.go([action("hangup", reference_id="other")]).orders == [("hangup", 486, "Q.850;cause=17")]
    assert world.go([action("hangup", reference_id="unknown")]).orders == [END]


def test_reasons_in_the_record(world: Any) -> None:
    assert world.go([action("answer")]).record.hangup_reason == "normal"
    assert world.go([action("ringing")]).record.hangup_reason == "noanswer"
    assert world.go([action("reject", code=600)]).record.hangup_reason == "busy"
    assert world.go([action("hangup", reason="dialout")]).record.hangup_reason == "dialout"


def test_record_has_its_times_in_milliseconds_and_utc(world: Any) -> None:
    record = world.go([action("sleep", duration=250), action("answer"), action("sleep", duration=1000)]).record
    assert (record.answered_ms, record.ended_ms, record.status) == (250, 1250, "hangup")
    assert record.tm_create == datetime.fromtimestamp(1.7e9, UTC)
    assert record.tm_answer == datetime.fromtimestamp(1.7e9 + 0.25, UTC)
    assert record.tm_hangup == datetime.fromtimestamp(1.7e9 + 1.25, UTC)
    assert record.attempt_reports() == []
    assert world.go([action("ringing")]).record.tm_answer is None
    assert CallRecord("x", "incoming").tm_hangup is None


def test_a_failing_action_is_logged_with_its_id_and_the_flow_goes_on(world: Any) -> None:
    call = world.fake_call(world.clock)
    call.refuse_answer = ValueError("no codec")
    ran = world.go([{"id": "a1", "type": "answer"}, action("ringing")], call)
    assert ran.orders == ["ringing", END]
    assert world.log.lines == [
        (
            "warning",
            "action failed",
            {
                "call_id": "call-1",
                "flow": ran.record.flow,
                "action": "a1",
                "type": "answer",
                "error": "ValueError: no codec",
            },
        )
    ]


def test_an_order_that_cannot_be_carried_out_now_is_skipped_with_its_reason(world: Any) -> None:
    flow = [
        action("condition_variable", variable="x", value="", false_target_id="r"),
        action("answer"),
        {"id": "r", "type": "reject"},
    ]
    assert world.go(flow).orders == ["answer", END]
    assert world.log.errors() == ["the call has been answered, and can only be hung up"]


def test_debug_logs_each_action(world: Any) -> None:
    world.services.debug = True
    world.go([action("answer"), action("ringing")])
    assert [values["type"] for level, _, values in world.log.lines if level == "debug"] == ["answer", "ringing"]


def test_expanded_options_are_checked_again(world: Any) -> None:
    flow = [action("variable_set", key="why", value="a\r\nX: y"), action("reject", reason="${why}"), action("ringing")]
    assert world.go(flow).orders == ["ringing", END]
    assert "line breaks" in world.log.errors()[0]


# ---- branches and conditions: is the true side taken?


def taken(world: Any, condition: dict[str, Any], before: Any = (), **more: Any) -> bool:
    condition = {**condition, "option": {**condition["option"], "false_target_id": "no"}}
    flow = [
        *before,
        condition,
        {"type": "ringing", "next_id": "end"},
        {"id": "no", "type": "progress"},
        {"id": "end", "type": "hangup"},
    ]
    orders = world.go(flow, **more).orders
    return bool(orders[0] == "ringing")


@pytest.mark.parametrize(
    ("held", "condition", "value_type", "value", "true"),
    [
        ("abc", "==", "string", "abc", True),
        ("abc", "!=", "string", "abc", False),
        ("abc", "<", "string", "abd", True),
        ("10", "<", "string", "9", True),
        ("10", "<", "number", "9", False),
        ("10", ">=", "number", 10, True),
        ("10.5", ">", "number", 10, True),
        ("ten", "==", "number", 10, False),
        ("ten", "<", "number", 10, False),
        ("ten", "!=", "number", 10, True),
        ("nan", "!=", "number", 10, True),
        ("abcd", "==", "length", 4, True),
        ("abcd", "<=", "length", 3, False),
        ("5", "==", "string", 5, True),
        ("5", "==", "number", "${five}", True),
        ("5", "==", "number", "${nothing}", False),
    ],
)
def test_condition_variable(world: Any, held: str, condition: str, value_type: str, value: Any, true: bool) -> None:
    before = [action("variable_set", key="v", value=held), action("variable_set", key="five", value=5)]
    test = action("condition_variable", condition=condition, variable="v", value_type=value_type, value=value)
    assert taken(world, test, before) is true


@pytest.mark.parametrize("variable", ["call.source.number", "voipbin.call.source.number", "${call.source.number}"])
def test_variable_names_in_their_forms(world: Any, variable: str) -> None:
    assert taken(world, action("condition_variable", variable=variable, value="+15550001111"))


# A Wednesday.
NOW = datetime(2026, 4, 15, 9, 30, 45, tzinfo=UTC)


@pytest.mark.parametrize(
    ("option", "true"),
    [
        ({"hour": 9, "minute": 30}, True),
        ({"hour": 9, "minute": 31}, False),
        ({"condition": ">=", "hour": 9, "minute": 0}, True),
        ({"condition": ">=", "hour": 10, "minute": 0}, False),
        # Field by field, minute 30 < 45 would fail here.
        ({"condition": ">", "hour": 8, "minute": 45}, True),
        ({"condition": "<", "month": 5, "day": 1}, True),
        ({"condition": ">", "month": 3, "day": 31, "hour": 23, "minute": 59}, True),
        ({"condition": "<", "day": 31}, True),
        ({"condition": "==", "day": 31}, False),
        ({"condition": ">", "month": 2, "day": 30}, True),
        ({"weekdays": ["wednesday"]}, True),
        ({"weekdays": [3]}, True),
        ({"weekdays": ["Mon", "tue"]}, False),
        ({"condition": ">=", "hour": 9, "minute": 0, "weekdays": ["sat", "sun"]}, False),
        ({"hour": 11, "minute": 30, "timezone": "Europe/Berlin"}, True),
        ({"condition": "<=", "hour": 5, "timezone": "America/New_York"}, True),
        # It is Thursday in Auckland by now... not yet: 21:30 on Wednesday.
        ({"weekdays": ["wed"], "hour": 21, "timezone": "Pacific/Auckland"}, True),
    ],
)
def test_condition_datetime_compares_one_point_in_time(world: Any, option: dict[str, Any], true: bool) -> None:
    world.services.utc_now = lambda: NOW
    assert taken(world, {"type": "condition_datetime", "option": option}) is true


@pytest.mark.parametrize(
    ("option", "source", "anonymous", "true"),
    [
        ({"numbers": ["+15550001111"]}, "+15550001111", False, True),
        ({"numbers": ["+1 (555) 000-1111"]}, "+15550001111", False, True),
        ({"numbers": ["+1555"]}, "+15550001111", False, False),
        ({"prefixes": ["+44", "+1555"]}, "+15550001111", False, True),
        ({"prefixes": ["+44"]}, "+15550001111", False, False),
        ({"prefixes": ["+44"]}, "", False, False),
        ({"anonymous": True}, "+15550001111", True, True),
        ({"anonymous": True}, "", False, True),
        ({"anonymous": True}, "+15550001111", False, False),
        ({"anonymous": False}, "+15550001111", False, True),
        ({"anonymous": False}, "+15550001111", True, False),
        ({"anonymous": True, "prefixes": ["+44"]}, "+4420", False, True),
        ({"anonymous": True, "prefixes": ["+44"]}, "", True, True),
        ({"anonymous": False, "prefixes": ["+44"]}, "+4420", True, False),
    ],
)
def test_condition_caller(world: Any, option: dict[str, Any], source: str, anonymous: bool, true: bool) -> None:
    record = world.record(source=source, anonymous=anonymous)
    assert taken(world, {"type": "condition_caller", "option": option}, record=record) is true


@pytest.mark.parametrize(
    ("digits", "more", "order"),
    [("1", {}, "answer"), ("2", {}, "ringing"), ("2", {"default_target_id": "a"}, "answer")],
)
def test_branch(world: Any, digits: str, more: dict[str, str], order: str) -> None:
    flow = [
        action("variable_set", key="call.digits", value=digits),
        action("branch", target_ids={"1": "a", "3": "r"}, **more),
        {"id": "r", "type": "ringing", "next_id": "end"},
        {"id": "a", "type": "answer"},
        {"id": "end", "type": "hangup"},
    ]
    assert world.go(flow).orders[0] == order


# ---- fetch_flow, stop, block, completion


def test_fetched_actions_run_in_place(world: Any) -> None:
    world.flows(inner=[action("progress")], outer=[action("fetch_flow", flow_id="inner"), action("answer")])
    ran = world.go([action("ringing"), action("fetch_flow", flow_id="outer"), action("sleep", duration=1)])
    assert ran.orders == ["ringing", "progress", "answer", ("sleep", 0.001), END]


def test_a_flow_that_is_gone_is_a_failing_action(world: Any) -> None:
    ran = world.go([action("fetch_flow", flow_id="gone"), action("answer")])
    assert ran.orders == ["answer", END]
    assert world.log.errors() == ["there is no flow 'gone'"]


def test_a_flow_that_fetches_itself_ends(world: Any) -> None:
    world.flows(me=[action("fetch_flow", flow_id="me")])
    assert world.go(world.library.find("me")).orders == [("hangup", 500, "Q.850;cause=41")]


def test_stop_leaves_the_call_up_until_it_ends(world: Any) -> None:
    async def scenario() -> Any:
        call = world.fake_call(world.clock)
        running = asyncio.ensure_future(world.run([action("answer"), action("stop")], call))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not running.done()
        call.end("remote", 200)
        return await running

    ran = asyncio.run(scenario())
    assert ran.orders == ["answer"]
    assert (ran.record.hangup_by, ran.record.hangup_reason) == ("remote", "normal")


def test_stop_within_a_fetched_flow_ends_the_whole_flow(world: Any) -> None:
    world.flows(inner=[action("stop")])
    call = world.fake_call(world.clock)
    call.end("remote", 487)
    assert world.go([action("fetch_flow", flow_id="inner"), action("hangup")], call).orders == []


def test_completion_runs_after_the_hangup_without_the_call(world: Any) -> None:
    world.flows(after=[action("answer"), {"id": "t", **action("fetch_flow", flow_id="gone")}])
    ran = world.go({"actions": [action("answer")], "on_complete_flow_id": "after"})
    assert ran.orders == ["answer", END]
    assert ("info", "action skipped: the call is over") in [line[:2] for line in world.log.lines]
    assert world.log.errors() == ["there is no flow 'gone'"]


def test_completion_runs_on_the_call_after_stop(world: Any) -> None:
    world.flows(after=[action("answer")])
    assert world.go({"actions": [action("stop")], "on_complete_flow_id": "after"}).orders == ["answer", END]


def test_completion_runs_when_the_caller_hangs_up(world: Any) -> None:
    world.flows(after=[action("fetch_flow", flow_id="gone")])

    async def scenario() -> Any:
        call = world.fake_call(world.clock)
        running = asyncio.ensure_future(world.run({"actions": [action("block")], "on_complete_flow_id": "after"}, call))
        for _ in range(5):
            await asyncio.sleep(0)
        call.end("remote", 487)
        return await running

    ran = asyncio.run(scenario())
    assert ran.cancelled
    assert (ran.record.hangup_by, ran.record.hangup_reason) == ("remote", "cancel")
    assert world.log.errors() == ["there is no flow 'gone'"]


def test_completion_is_bounded(world: Any) -> None:
    world.flows(again={"actions": [action("variable_set", key="a", value="1")], "on_complete_flow_id": "again"})
    world.go(world.library.find("again"))
    assert world.log.errors() == ["5 flows have completed one another; on_complete_flow_id is not followed further"]
    world.log.lines.clear()
    world.go({"actions": [action("answer")], "on_complete_flow_id": "gone"})
    assert world.log.errors() == ["there is no flow 'gone'"]
    world.services.calls.tasks.limit = 0
    world.log.lines.clear()
    world.go(world.library.find("again"))
    assert world.log.errors() == ["completion of again was not started: 0 are running"]


# ---- any flow ends


def flow_of(parts: list[tuple[str, int, int]]) -> list[dict[str, Any]]:
    """Actions with jumps anywhere; unreachable ones are left out by the test."""
    size = len(parts)
    ids = [f"a{n}" for n in range(size)]
    made = []
    for number, (type_, one, two) in enumerate(parts):
        target = ids[one % size]
        option: dict[str, Any] = {
            "goto": {"target_id": target, "loop_count": two},
            "branch": {"target_ids": {"1": target}},
            "condition_variable": {"variable": "n", "value": str(two), "false_target_id": target},
            "condition_caller": {"anonymous": bool(two % 2), "false_target_id": target},
            "variable_set": {"key": "n", "value": two},
            "sleep": {"duration": two},
            "echo": {"duration": two + 1},
            "fetch_flow": {"flow_id": ["mine", "gone", "small"][two % 3]},
            "connect": {"destinations": [{"type": "tel", "target": f"+1555000{two:04}"}]},
        }.get(type_, {})
        made.append({"id": ids[number], "type": type_, "option": option})
    return made


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "answer",
                    "ringing",
                    "progress",
                    "hangup",
                    "goto",
                    "branch",
                    "condition_variable",
                    "condition_caller",
                    "variable_set",
                    "sleep",
                    "echo",
                    "fetch_flow",
                    "connect",
                    "empty",
                ]
            ),
            st.integers(0, 7),
            st.integers(0, 4),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_any_valid_flow_ends_and_never_raises(make_world: Any, parts: list[tuple[str, int, int]]) -> None:
    actions = flow_of(parts)
    while True:  # leave out what is never reached
        try:
            read_flow({"actions": actions}, ACTIONS)
            break
        except FlowError as error:
            places = {fault.index for fault in error.faults}
            kept = {entry["id"] for number, entry in enumerate(actions) if number not in places}
            actions = [entry for entry in actions if entry["id"] in kept]
    world = make_world()
    world.flows(small=[action("ringing")], mine=actions)
    ran = world.go(world.library.find("mine"))
    assert ran.call.ended_at is not None
    assert len(ran.orders) <= 3100


@pytest.mark.parametrize("theirs", [False, True])
def test_a_customers_call_runs_no_other_customers_flow(world: Any, theirs: bool) -> None:
    one, other = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
    world.flows(inner={"customer_id": other if theirs else one, "actions": [{"type": "answer"}]})
    (inner,) = list(world.library)
    world.number("+15550002222", customer_id=UUID(one))
    flow = {
        "on_complete_flow_id": inner.id,
        "actions": [
            {"type": "fetch_flow", "option": {"flow_id": inner.id}},
            {"type": "call", "option": {"destinations": [{"type": "tel", "target": "+1555999"}], "flow_id": inner.id}},
            {"type": "hangup"},
        ],
    }
    ran = world.go(flow, number=world.directory.number("+15550002222"))
    assert ("answer" in ran.orders) is not theirs
    assert len(world.agent.legs) == (0 if theirs else 1)
    assert world.log.errors() == ([f"there is no flow {inner.id!r}"] * 3 if theirs else [])
