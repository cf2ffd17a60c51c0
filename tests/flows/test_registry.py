"""The table of actions: an action in it is checked, compiled, run and shown without a change elsewhere."""

from typing import Any

import pytest

from flows.actions import ACTIONS
from flows.faults import ActionError, FlowError
from flows.language.compiler import compile_flow
from flows.language.model import read_flow
from flows.language.options import NO_OPTIONS, NoOptions, Options
from flows.language.program import HUNG_UP, Program
from flows.language.registry import ANY, ActionRegistry
from flows.language.run import Run


class GreetOptions(Options):
    name: str = ""


def greetings() -> ActionRegistry:
    """Another table, of two actions."""
    table = ActionRegistry()

    @table.action(GreetOptions, media=ANY, describe=lambda run, option: f"greets {option.name}")
    def greet(run: Run, option: GreetOptions) -> None:
        if not option.name:
            raise ActionError("nobody is there")
        run.record.note(f"hello {option.name}")

    @table.action(NoOptions, ends=True)
    async def leave(run: Run, option: NoOptions) -> int:
        run.call.hangup(480)
        return HUNG_UP

    return table


def program(*actions: dict[str, Any], **more: Any) -> Program:
    return compile_flow(read_flow({"actions": list(actions)}, greetings(), **more))


def test_an_action_of_another_table_runs(world: Any) -> None:
    ran = world.go(
        program({"type": "greet", "option": {"name": "${call.source.name}"}}, {"type": "greet"}, {"type": "leave"})
    )
    assert ran.record.notes == ["hello Ann"]
    assert ran.orders == [("hangup", 480, "")]
    assert world.log.errors() == ["nobody is there"]


def test_a_flow_has_the_actions_of_its_table_and_no_others() -> None:
    with pytest.raises(FlowError, match='"answer" is no action; use one of: greet, leave'):
        program({"type": "answer"})
    with pytest.raises(FlowError, match='"greet" is no action'):
        read_flow({"actions": [{"type": "greet"}]}, ACTIONS)


def test_what_an_action_says_of_itself_is_checked() -> None:
    with pytest.raises(FlowError, match='"leave" needs a call and cannot run on a message'):
        program({"type": "leave"}, medium="message")
    with pytest.raises(FlowError, match=r"action 2 .*: is never reached"):
        program({"type": "leave"}, {"type": "greet"})
    with pytest.raises(FlowError, match=r"option\.nmae: is not known to greet; did you mean name"):
        program({"type": "greet", "option": {"nmae": "x"}})


def test_an_action_tells_what_it_will_do() -> None:
    table = greetings()
    run: Any = None
    assert table["greet"].describe(run, GreetOptions(name="Ann")) == "greets Ann"
    assert table["leave"].describe(run, NO_OPTIONS) == ""
    assert (table["greet"].waits, table["leave"].waits) == (False, True)


def test_two_actions_of_one_name_are_a_mistake() -> None:
    table = greetings()
    with pytest.raises(ValueError, match="two actions are called 'greet'"):

        @table.action(NoOptions)
        def greet(run: Run, option: NoOptions) -> None: ...


def test_every_action_has_a_docstring_for_the_document() -> None:
    assert [name for name, action in ACTIONS.items() if not action.function.__doc__ or not action.options.__doc__] == []
