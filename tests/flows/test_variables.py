"""Variables: names, limits, expansion."""

from typing import Any

import pytest

from flows.language.variables import MAX_EXPANDED, MAX_KEYS, MAX_VALUE, VariableError, Variables


def test_expansion_fills_in_once_and_unknown_names_are_empty() -> None:
    held = Variables(lambda name: {"call.id": "7"}.get(name), {"a": "${b}", "b": "x"})
    assert held.expand("${a}|${ b }|${voipbin.call.id}|${none}|$b|${}") == "${b}|x|7||$b|${}"
    assert held.expand_all({"k": ["${b}", 1, None, {"${b}": "${b}"}]}) == {"k": ["x", 1, None, {"${b}": "x"}]}


def test_a_value_is_at_most_32_kib_of_utf8() -> None:
    held = Variables()
    held.set("a", "é" * (MAX_VALUE // 2))
    with pytest.raises(VariableError, match="the value of a is longer than 32768 bytes; shorten it"):
        held.set("a", "é" * (MAX_VALUE // 2 + 1))


def test_at_most_100_keys() -> None:
    held = Variables()
    for number in range(MAX_KEYS):
        held.set(f"k{number}", "v")
    held.set("k0", "again")
    held.set_result("connect.status", "busy")
    with pytest.raises(VariableError, match="more would be variable 101; a call has at most 100"):
        held.set("more", "v")
    for number in range(MAX_KEYS - 1):
        held.set(f"webhook.{number}", "v")
    with pytest.raises(VariableError, match="at most 100"):
        held.set("webhook.more", "v")


def test_expansion_cannot_blow_up() -> None:
    held = Variables(None, {"a": "x" * MAX_VALUE})
    assert len(held.expand("${a}${a}")) == MAX_EXPANDED
    with pytest.raises(VariableError, match="longer than 65536 bytes"):
        held.expand("${a}" * 1000)


@pytest.mark.parametrize(
    "name", ["call.id", "voipbin.call.source.number", "number.name", "message.text", "call.status"]
)
def test_the_engines_variables_cannot_be_set(name: str) -> None:
    with pytest.raises(VariableError, match="is set by the engine"):
        Variables().set(name, "x")


def test_what_a_call_and_its_number_answer_for(world: Any) -> None:
    number = world.number("+15552223333", "f", name="Desk", metadata={"plan": "gold", "no": None})
    row = world.directory.number(number.number)
    names = [
        "call.id", "call.source.number", "call.source.name", "call.destination.number", "call.direction",
        "call.status", "call.digits", "number.number", "number.name", "number.type", "number.status",
        "number.metadata.plan", "number.metadata.no", "number.metadata.none", "voipbin.number.name", "nonsense",
    ]  # fmt: skip
    text = "|".join(f"${{{name}}}" for name in names)
    ran = world.go([{"type": "reject", "option": {"reason": text}}], number=row)
    assert ran.orders[0][2] == (
        "call-1|+15550001111|Ann|+15550002222|incoming|dialing||+15552223333|Desk|normal|active|gold|||Desk|"
    )


def test_without_a_number_its_variables_are_empty(world: Any) -> None:
    flow = [{"type": "reject", "option": {"reason": "<${number.name}>"}}]
    assert world.go(flow).orders == [("reject", 603, "<>")]


def test_values_of_other_types_become_text(world: Any) -> None:
    flow = [
        {"type": "variable_set", "option": {"key": "voipbin.a", "value": True}},
        {"type": "variable_set", "option": {"key": "b", "value": 1.5}},
        {"type": "variable_set", "option": {"key": "${b}x", "value": "${a}"}},
        {"type": "reject", "option": {"reason": "${a} ${b} ${1.5x}"}},
    ]
    assert world.go(flow).orders == [("reject", 603, "true 1.5 true")]
