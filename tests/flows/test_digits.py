"""digits_receive and digits_send: which keys are taken, when it ends, and menus that ask again."""

from typing import Any

import pytest

from flows.actions import ACTIONS
from flows.faults import FlowError
from flows.language.model import read_flow

END = ("hangup", 480, "Q.850;cause=16")


def action(type_: str, **option: Any) -> dict[str, Any]:
    return {"type": type_, "option": option}


RECEIVED = [
    ({}, ["1", 1.0, "2", 1.0, "3"], "123", 5.0),
    ({}, [], "", 5.0),
    ({"length": 2}, ["1", "2", "3"], "12", 0.0),
    ({"length": 2}, [1.0, "1", 1.0, "2", "3"], "12", 2.0),
    ({"length": 9, "key": "#"}, ["1", 0.5, "2", "#", "3"], "12", 0.5),
    ({"key": "#*"}, ["*", "1"], "", 0.0),
    ({"key": "#"}, ["*", "1"], "*1", 5.0),
    ({"duration": 1500}, ["1", 1.0, "2", 1.0, "3"], "12", 1.5),
    ({"duration": 1}, ["1", "2"], "12", 0.001),
    ({"key": "d", "length": 4}, ["A", "D"], "A", 0.0),
]


@pytest.mark.parametrize(("option", "typed", "digits", "seconds"), RECEIVED, ids=[str(n) for n in range(len(RECEIVED))])
def test_keys_are_taken_until_the_length_a_terminator_or_the_time(
    world: Any, option: Any, typed: Any, digits: str, seconds: float
) -> None:
    call = world.fake_call(world.clock)
    call.typed = list(typed)
    began = world.clock.now
    variables: dict[str, str] = {}
    world.go([action("digits_receive", **option), keep(world, variables)], call)
    assert variables["digits"] == digits
    assert world.clock.now - began == pytest.approx(seconds)
    assert call.answered


def keep(world: Any, variables: dict[str, str]) -> dict[str, Any]:
    """An action that looks at call.digits from outside: a webhook that is never sent."""

    async def resolve(host: str, port: int) -> list[str]:
        variables["digits"] = host.removesuffix(".example").removeprefix("d").upper()
        return []

    world.services.web.resolve_host = resolve
    world.services.web.http = object()
    return action("webhook_send", uri="http://d${call.digits}.example/", sync=True)


def test_digits_are_appended_and_a_flow_may_clear_them(world: Any) -> None:
    call = world.fake_call(world.clock)
    call.typed = ["1", "2", "3"]
    seen: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        seen.append(host.partition(".")[0])
        return []

    world.services.web.resolve_host = resolve
    world.services.web.http = object()
    look = action("webhook_send", uri="http://d${call.digits}.example/", sync=True)
    one = action("digits_receive", length=1)
    world.go([one, look, one, look, action("variable_set", key="call.digits", value=""), look, one, look], call)
    assert seen == ["d1", "d12", "d", "d3"]


def test_keys_pressed_during_the_prompt_count(world: Any) -> None:
    call = world.fake_call(world.clock)
    call.typed = ["2"]
    ran = world.go(
        [
            action("play", sources=["menu.wav"], digits_stop="12"),
            action("digits_receive", length=1),
            action("branch", target_ids={"2": "two"}),
            action("hangup", reason="failed"),
            {"id": "two", **action("hangup", reason="busy")},
        ],
        call,
    )
    assert ran.record.cause == "busy"
    assert world.clock.now == 100.0  # nobody waited


MENU = [
    {"id": "menu", **action("talk", text="Press 1", digits_stop=True)},
    action("digits_receive", duration=3000, length=1),
    action("branch", target_ids={"1": "sales"}),
    action("variable_set", key="call.digits", value=""),
    action("goto", target_id="menu", loop_count=2),
    action("hangup", reason="noanswer"),
    {"id": "sales", **action("connect", destinations=[{"type": "tel", "target": "+15559990000"}])},
]


@pytest.mark.parametrize(
    ("typed", "prompts", "cause"),
    [
        (["1"], 1, ""),
        (["9", "1"], 2, ""),
        ([4.0, "7", 2.0, "1"], 3, ""),
        (["9", "8", "7", "1"], 3, "noanswer"),
        ([], 3, "noanswer"),
    ],
)
def test_a_menu_asks_again_after_a_wrong_key_or_none(world: Any, typed: Any, prompts: int, cause: str) -> None:
    call = world.fake_call(world.clock)
    call.typed = list(typed)
    ran = world.go(MENU, call)
    assert len([order for order in ran.orders if order[:2] == ("play", "say Press 1")]) == prompts
    assert ran.record.cause == cause
    assert len(world.agent.legs) == (0 if cause else 1)
    assert world.log.errors() == []


def test_digits_have_the_size_of_a_variable(world: Any) -> None:
    call = world.fake_call(world.clock)
    call.typed = ["1"] * 3
    ran = world.go([action("digits_receive", length=3)], call, own=None)
    assert ran.orders == ["answer", END]
    call = world.fake_call(world.clock)
    call.typed = ["1"]
    world.go([action("variable_set", key="call.digits", value="1" * 32 * 1024), action("digits_receive")], call)
    assert world.log.errors() == ["the value of call.digits is longer than 32768 bytes; shorten it"]


def test_digits_are_sent(world: Any) -> None:
    ran = world.go(
        [
            action("variable_set", key="pin", value="12#"),
            action("digits_send", digits="${pin},a", duration=120, interval=80),
            action("digits_send", digits="5"),
        ]
    )
    assert ran.orders == ["answer", ("send_keys", "12#,A", 0.12, 0.08), ("send_keys", "5", 0.1, 0.1), END]


FAULTS = [
    (action("digits_receive", duration=0), "option.duration: must be at least 1; write a larger number"),
    (action("digits_receive", key="#!"), "option.key: holds what is no key; use 0-9, *, # and A-D"),
    (action("digits_receive", length=-1), "option.length: must be at least 0; write a larger number"),
    (action("digits_send"), "option.digits: is missing; add it"),
    (action("digits_send", digits="12 3"), "option.digits: can only be keys (0-9, *, #, A-D), and commas for pauses"),
    (action("digits_send", digits="1", duration=5), "option.duration: must be at least 40; write a larger number"),
]


@pytest.mark.parametrize(("document", "sentence"), FAULTS, ids=[text[7:50] for _, text in FAULTS])
def test_what_is_wrong_is_said_when_the_flow_is_saved(document: Any, sentence: str) -> None:
    with pytest.raises(FlowError) as caught:
        read_flow({"name": "f", "actions": [document]}, ACTIONS)
    assert sentence in str(caught.value)
