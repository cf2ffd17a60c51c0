"""The action `note`: remarks in the call's record."""

from typing import Any

import pytest

from flows.actions import ACTIONS
from flows.faults import FlowError
from flows.language.model import read_flow
from flows.python.flows import compile_python


def note(text: str) -> dict[str, Any]:
    return {"type": "note", "option": {"text": text}}


def test_a_note_is_in_the_record_with_its_variables(world: Any) -> None:
    ran = world.go([note("came in"), note("from ${call.source.number}")])
    assert ran.record.notes == ["came in", "from +15550001111"]


def test_twenty_are_kept(world: Any) -> None:
    assert world.go([note(str(number)) for number in range(25)]).record.notes == [str(n) for n in range(20)]


@pytest.mark.parametrize(
    ("text", "problem"),
    [("", "must not be empty"), ("a\nb", "holds control characters"), ("x" * 256, "longer than 255 characters")],
)
def test_what_a_record_cannot_show_is_refused(world: Any, text: str, problem: str) -> None:
    with pytest.raises(FlowError, match=rf"option\.text: .*{problem}"):
        read_flow({"actions": [note(text)]}, ACTIONS)
    ran = world.go([note("${text}"), note("goes on")], own={"text": text})
    assert ran.record.notes == ["goes on"]
    assert problem in world.log.errors()[0]


def test_a_message_has_no_record() -> None:
    with pytest.raises(FlowError, match="needs a call"):
        read_flow({"actions": [note("a")]}, ACTIONS, medium="message")


def test_after_the_call_it_is_skipped(world: Any) -> None:
    world.flows(after=[note("too late")])
    ran = world.go({"actions": [{"type": "answer"}, {"type": "hangup"}], "on_complete_flow_id": "after"})
    assert ran.record.notes == []


def test_a_flow_in_python_notes(world: Any) -> None:
    async def flow(call: Any) -> None:
        call.note(text="by Python")

    assert world.go(compile_python("py", flow)).record.notes == ["by Python"]
