"""The table of actions: the options of each, what it does, where it can run, and how it is shown.

Actions enter it with `@action(...)`; `flows.actions` is the table of those there are. Nothing in this package imports
them: what reads or compiles a flow is handed the table.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Any, Final, TypeVar

from flows.language.options import Options
from flows.language.program import Medium, StepResult
from flows.language.run import Run

CALL: Final[frozenset[Medium]] = frozenset({"call"})
ANY: Final[frozenset[Medium]] = frozenset({"call", "message"})

OptionsT = TypeVar("OptionsT", bound=Options)
ResultT = TypeVar("ResultT", bound=StepResult | Awaitable[StepResult])

Report = Callable[[str], None]
"""Takes what `trunkline flow run` shows beside an action."""


def given_options(run: Run, option: Options) -> str:
    """The options that are not the defaults, of any action."""
    return "  ".join(f"{name}={value}" for name, value in option.model_dump(exclude_defaults=True).items())


def nothing(run: Run, option: Options) -> str:
    """No words: what came of the action says it all."""
    return ""


def no_outcome(run: Run, result: StepResult, keys: str) -> str:
    """No words: the variables that the action sets are shown anyway."""
    return ""


@dataclass(slots=True, kw_only=True)
class ActionType:
    """One type of action.

    Attributes:
        name: What flows call it.
        function: `function(run, option)`, which returns a StepResult, or is awaited for one. `action` checks its types.
        options: The model of its options.
        waits: Whether `function` is a coroutine function.
        media: What it can run on: a call, a message.
        ends: Nothing runs behind it.
        answers: The call is answered once it has run.
        sounds: It opens our media: the call is answered once it has run, unless early media was begun before.
        early: It begins early media, or what it runs may.
        before_answer: It has no meaning once the call is answered.
        connects: The caller may talk with another party in it, or in what it runs: a recording has two channels.
        describe: What it is about to do, in words, for `trunkline flow run`.
        outcome: What came of it, in words: `outcome(run, result, keys)`, with the keys that the caller has pressed.
        simulate: `trunkline flow run` does this in place of `function`: `simulate(report, run, option)`.
    """

    name: str
    function: Callable[[Run, Any], Any]
    options: type[Options]
    waits: bool
    media: frozenset[Medium]
    ends: bool
    answers: bool
    sounds: bool
    early: bool
    before_answer: bool
    connects: bool
    describe: Callable[[Run, Any], str]
    outcome: Callable[[Run, StepResult, str], str]
    simulate: Callable[[Report, Run, Any], Awaitable[StepResult]] | None


Actions = Mapping[str, ActionType]
"""The actions that a flow may have, by their names."""


class ActionRegistry(dict[str, ActionType]):
    """Actions by their names, which are those of their functions."""

    def action(
        self,
        options: type[OptionsT],
        *,
        media: frozenset[Medium] = CALL,
        ends: bool = False,
        answers: bool = False,
        sounds: bool = False,
        early: bool = False,
        before_answer: bool = False,
        connects: bool = False,
        describe: Callable[[Run, OptionsT], str] = given_options,
        outcome: Callable[[Run, StepResult, str], str] = no_outcome,
        simulate: Callable[[Report, Run, OptionsT], Awaitable[StepResult]] | None = None,
    ) -> Callable[[Callable[[Run, OptionsT], ResultT]], Callable[[Run, OptionsT], ResultT]]:
        """Makes a function the action of its name. See `ActionType` for the arguments."""

        def register(function: Callable[[Run, OptionsT], ResultT]) -> Callable[[Run, OptionsT], ResultT]:
            name = function.__name__
            if name in self:
                raise ValueError(f"two actions are called {name!r}")
            self[name] = ActionType(
                name=name,
                function=function,
                options=options,
                waits=iscoroutinefunction(function),
                media=media,
                ends=ends,
                answers=answers,
                sounds=sounds,
                early=early,
                before_answer=before_answer,
                connects=connects,
                describe=describe,
                outcome=outcome,
                simulate=simulate,
            )
            return function

        return register


def seconds(milliseconds: int) -> str:
    """A duration for people."""
    return f"{milliseconds / 1000:.1f} s"


def jump_outcome(run: Run, result: StepResult, keys: str) -> str:
    """Where an action that may jump has gone."""
    if not isinstance(result, int):
        return "-> next"
    target = run.program.steps[result]
    return f"-> {target.id if len(target.id) < 36 else f'{result + 1} ({target.type})'}"
