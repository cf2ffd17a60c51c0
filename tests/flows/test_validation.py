"""What a flow's author is told when a flow cannot be used: the very sentences."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.actions import ACTIONS
from flows.faults import FlowError
from flows.language.library import read_library
from flows.language.model import read_flow

NIL = "00000000-0000-0000-0000-000000000000"


def faults(actions: Any, **more: Any) -> list[str]:
    with pytest.raises(FlowError) as caught:
        read_flow({"name": "f", "actions": actions}, ACTIONS, **more)
    return [str(fault) for fault in caught.value.faults]


def action(type_: str, **option: Any) -> dict[str, Any]:
    return {"type": type_, "option": option}


SENTENCES = [
    (
        [action("sleep", duration="x")],
        "flow \"f\", action 1 (sleep): option.duration: must be a whole number, and is 'x'; write digits only",
    ),
    (
        [{"type": "sleep", "id": "nap", "option": {"duration": 1, "unit": "s"}}],
        'flow "f", action 1 (sleep, id nap): option.unit: is not known to sleep; remove it (use one of: duration)',
    ),
    (
        [action("answer", x=1)],
        'flow "f", action 1 (answer): option.x: is not known to answer; remove it (answer has none)',
    ),
    ([action("sleep")], 'flow "f", action 1 (sleep): option.duration: is missing; add it'),
    (
        [action("sleep", duration=-1)],
        'flow "f", action 1 (sleep): option.duration: must be at least 0; write a larger number',
    ),
    (
        [action("sleep", duration=10**9)],
        'flow "f", action 1 (sleep): option.duration: must be at most 86400000; write a smaller number',
    ),
    (
        [action("answer"), action("fly")],
        'flow "f", action 2 (fly): type: "fly" is no action; use one of: ' + ", ".join(ACTIONS),
    ),
    (
        [action("digits_recieve")],
        'flow "f", action 1 (digits_recieve): type: "digits_recieve" is no action; did you mean digits_receive?',
    ),
    (
        [action("talk", text="Hi", langauge="de-DE")],
        'flow "f", action 1 (talk): option.langauge: is not known to talk; did you mean language?',
    ),
    (
        [action("goto", target_id="nowhere")],
        "flow \"f\", action 1 (goto): option.target_id: there is no action with the id 'nowhere'; "
        "write one of this flow's ids",
    ),
    (
        [{"type": "answer", "next_id": "gone"}],
        "flow \"f\", action 1 (answer): next_id: there is no action with the id 'gone'; write one of this flow's ids",
    ),
    (
        [action("branch", target_ids={"1": "gone"})],
        "flow \"f\", action 1 (branch): option.target_ids.1: there is no action with the id 'gone'; "
        "write one of this flow's ids",
    ),
    (
        [action("hangup"), action("answer")],
        'flow "f", action 2 (answer): is never reached; remove it, or jump to it from another action',
    ),
    (
        [action("answer"), action("reject")],
        'flow "f", action 2 (reject): type: cannot run here, because the call has been answered before; '
        "use hangup instead",
    ),
    (
        [{"id": "a", "type": "answer"}, {"id": "a", "type": "answer"}],
        'flow "f", action 2 (answer, id a): id: is the id of action 1 too; give each action its own',
    ),
    (
        [action("connect", destinations=[])],
        'flow "f", action 1 (connect): option.destinations: must not be empty; add an entry',
    ),
    (
        [action("connect", destinations=[{"type": "tel", "target": "bob"}])],
        'flow "f", action 1 (connect): option.destinations[0]: the target of a tel address must be a number; '
        "write it like +15551234567",
    ),
    (
        [action("connect", destinations=[{"type": "fax", "target": "1"}])],
        "flow \"f\", action 1 (connect): option.destinations[0].type: must be one of 'tel', 'sip', 'extension' or "
        "'agent', and is 'fax'; choose one",
    ),
    (
        [action("connect", destinations=[{"type": "tel", "target": "1", "colour": 1}])],
        'flow "f", action 1 (connect): option.destinations[0].colour: is not known to connect; remove it '
        "(use one of: type, target, target_name, name, detail)",
    ),
    (
        [action("connect", destinations=[{"type": "sip", "target": "sip:a b"}])],
        'flow "f", action 1 (connect): option.destinations[0]: the target of a sip address must be a URI; '
        "write it like sip:alice@example.com",
    ),
    (
        [action("condition_datetime", hour=1, timezone="Mars/Base", false_target_id="x")],
        "flow \"f\", action 1 (condition_datetime): option.timezone: 'Mars/Base' is no time zone; "
        "write its name like Europe/Berlin, or UTC",
    ),
    (
        [action("condition_datetime", weekdays=["noday"], false_target_id="x")],
        "flow \"f\", action 1 (condition_datetime): option.weekdays: 'noday' is no weekday; "
        "write monday to sunday, or 0 (Sunday) to 6",
    ),
    (
        [action("condition_datetime", false_target_id="x")],
        'flow "f", action 1 (condition_datetime): option: asks for nothing; '
        "give one of minute, hour, day, month or weekdays",
    ),
    (
        [action("condition_caller", false_target_id="x")],
        'flow "f", action 1 (condition_caller): option: asks for nothing; give one of prefixes, numbers or anonymous',
    ),
    (
        [action("condition_caller", numbers=[""], false_target_id="x")],
        'flow "f", action 1 (condition_caller): option: prefixes and numbers must not hold an empty entry; remove it',
    ),
    (
        [action("condition_variable", variable="a", value_type="number", value="ten", false_target_id="x")],
        'flow "f", action 1 (condition_variable): option: value must be a number where value_type is number; '
        "write digits only",
    ),
    (
        [action("condition_variable", variable="a", condition="=~", value="1", false_target_id="x")],
        "flow \"f\", action 1 (condition_variable): option.condition: must be one of '==', '!=', '>', '>=', '<' or "
        "'<=', and is '=~'; choose one",
    ),
    (
        [action("variable_set", key="call.id", value="1")],
        'flow "f", action 1 (variable_set): option.key: call.id is set by the engine and cannot be changed; '
        "choose another name",
    ),
    (
        [action("variable_set", key="a b", value="1")],
        'flow "f", action 1 (variable_set): option.key: is no name of a variable; '
        "use up to 255 letters, digits, dots and dashes",
    ),
    (
        [action("webhook_send", uri="ftp://x")],
        'flow "f", action 1 (webhook_send): option.uri: is no web address; write it like https://example.com/path',
    ),
    (
        [action("webhook_send", uri="http://[::1")],
        'flow "f", action 1 (webhook_send): option.uri: is no web address; write it like https://example.com/path',
    ),
    (
        [action("reject", reason="a\r\nB: c")],
        'flow "f", action 1 (reject): option.reason: holds control characters or line breaks; remove them',
    ),
    (
        [action("reject", code=200)],
        'flow "f", action 1 (reject): option.code: must be at least 400; write a larger number',
    ),
    (
        [action("redirect", contacts=["bob"])],
        'flow "f", action 1 (redirect): option.contacts[0]: is no SIP or tel URI; write it like sip:alice@example.com',
    ),
    (
        [action("call", destinations=[{"type": "tel", "target": "1"}], flow_id="a", actions=[action("answer")])],
        'flow "f", action 1 (call): option: flow_id and actions are both given; keep one of them',
    ),
    (
        [action("call", destinations=[{"type": "tel", "target": "1"}], actions=[action("sleep")])],
        'flow "f, action 1 (call)", action 1 (sleep): option.duration: is missing; add it',
    ),
    (
        [action("connect", destinations=[{"type": "tel", "target": "1"}], ring_timeout=True)],
        'flow "f", action 1 (connect): option.ring_timeout: must be a whole number, and is true; write digits only',
    ),
    (
        [action("connect", destinations={})],
        'flow "f", action 1 (connect): option.destinations: must be a list, and is an object; write its entries in [ ]',
    ),
    ([{"option": {}}], 'flow "f", action 1: type: is missing; add it'),
    (["answer"], "flow \"f\", action 1: must be an object, and is 'answer'; write it as {name: value}"),
    (
        [{"type": "answer", "options": {}}],
        'flow "f", action 1 (answer): options: is not known to an action; did you mean option?',
    ),
    (
        [{"type": "answer", "colour": {}}],
        'flow "f", action 1 (answer): colour: is not known to an action; remove it '
        "(use one of: id, next_id, type, option)",
    ),
    ([], 'flow "f": actions: must not be empty; add an entry'),
]


@pytest.mark.parametrize(("actions", "sentence"), SENTENCES, ids=[text[9:60] for _, text in SENTENCES])
def test_fault_names_flow_action_and_field_and_says_what_to_do(actions: Any, sentence: str) -> None:
    assert sentence in faults(actions)


def test_every_fault_is_reported_in_the_order_of_the_actions() -> None:
    found = faults([action("sleep"), action("talk"), action("sleep"), action("goto", target_id="x")])
    assert [text.split(",")[1].split()[1] for text in found] == ["1", "2", "3", "4"]


def test_calls_cannot_be_nested_without_end() -> None:
    inner: dict[str, Any] = action("answer")
    for _ in range(5):
        inner = action("call", destinations=[{"type": "tel", "target": "1"}], actions=[inner])
    assert any("nested more than 3 deep; use flow_id instead" in text for text in faults([inner]))


def test_deep_documents_are_refused() -> None:
    data: Any = "x"
    for _ in range(200):
        data = [data]
    assert "is nested too deeply" in faults([action("webhook_send", uri="http://example.com/", data=data)])[0]


def test_action_of_a_call_is_refused_for_a_message() -> None:
    text = faults([action("answer")], medium="message")[0]
    assert text == 'flow "f", action 1 (answer): type: "answer" needs a call and cannot run on a message; remove it'
    assert read_flow({"actions": [action("variable_set", key="a", value="b")]}, ACTIONS, medium="message")


def test_reject_is_allowed_where_the_call_may_be_unanswered() -> None:
    read_flow(
        {
            "actions": [
                action("branch", target_ids={"1": "r"}),
                action("answer"),
                {"id": "r", "type": "reject"},
            ]
        },
        ACTIONS,
    )


def test_unknown_flows_are_faults_where_the_flows_are_known() -> None:
    flow = {"name": "f", "on_complete_flow_id": "later", "actions": [action("fetch_flow", flow_id="other")]}
    assert read_flow(flow, ACTIONS)
    with pytest.raises(FlowError) as caught:
        read_flow(flow, ACTIONS, flows={"f"})
    assert [str(fault) for fault in caught.value.faults] == [
        "flow \"f\": on_complete_flow_id: there is no flow 'later'; write the id or the name of a flow",
        "flow \"f\", action 1 (fetch_flow): option.flow_id: there is no flow 'other'; "
        "write the id or the name of a flow",
    ]


def test_nil_ids_mean_none_and_missing_ids_are_made() -> None:
    flow = read_flow(
        {
            "id": NIL,
            "on_complete_flow_id": NIL,
            "actions": [{"id": NIL, "next_id": NIL, "type": "answer"}, {"type": "hangup"}],
        },
        ACTIONS,
    )
    assert len({entry.id for entry in flow.actions} | {str(flow.id), NIL}) == 4
    assert flow.on_complete_flow_id == flow.actions[0].next_id == ""


def test_a_named_flow_keeps_its_id_from_start_to_start() -> None:
    document = {"name": "hotline", "actions": [{"type": "answer"}]}
    assert read_flow(document, ACTIONS).id == read_flow(document, ACTIONS).id
    assert read_flow({**document, "name": ""}, ACTIONS).id != read_flow({**document, "name": ""}, ACTIONS).id


def test_a_goto_without_end_is_accepted() -> None:
    read_flow({"actions": [{"id": "a", "type": "empty"}, action("goto", target_id="a")]}, ACTIONS)


def test_a_library_tells_the_faults_of_all_flows_and_refuses_doubles() -> None:
    one = {"name": "one", "actions": [{"type": "answer"}]}
    with pytest.raises(FlowError) as caught:
        read_library(ACTIONS, [one, one, {"name": "two", "actions": []}, 7, {"actions": [{"type": "no"}]}])
    lines = str(caught.value).splitlines()
    assert lines[0] == 'flow "one": name: another flow has this name or id; give each its own'
    assert lines[1] == 'flow "two": actions: must not be empty; add an entry'
    assert lines[2] == 'flow "number 4": must be an object, and is the number 7; write it as {name: value}'
    assert len(lines) == 4


def test_messages_hold_no_line_breaks_of_the_authors() -> None:
    text = faults([{"id": "a", "type": "x\ny" + "z" * 60}])[0]
    assert "\n" not in text
    assert "x?y" in text


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
option_names = st.sampled_from(sorted({name for kind in ACTIONS.values() for name in kind.options.model_fields}))
documents = json_values | st.fixed_dictionaries(
    {
        "actions": st.lists(
            st.fixed_dictionaries(
                {
                    "type": st.sampled_from([*ACTIONS, "play", "no"]),
                    "option": st.dictionaries(option_names, json_values),
                },
                optional={"id": json_values, "next_id": json_values},
            )
            | json_values,
            max_size=4,
        )
    },
    optional={"name": json_values, "id": json_values, "on_complete_flow_id": json_values},
)


@given(documents)
def test_any_document_makes_a_flow_or_a_flow_error(document: Any) -> None:
    try:
        read_flow(document, ACTIONS, flows=set())
    except FlowError as error:
        assert error.faults
        assert all(len(str(fault).splitlines()) == 1 for fault in error.faults)
