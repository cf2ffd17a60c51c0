"""Control flow: goto, branch, sleep, variable_set, fetch_flow, stop, block, empty."""

import re
from collections.abc import Mapping, Sequence

from pydantic import Field, field_validator

from flows.actions import action
from flows.calls.address import PLACEHOLDER
from flows.faults import ActionError, FieldPath
from flows.language.options import NoOptions, Options, VariableName
from flows.language.program import HUNG_UP, STOP, Program, StepResult
from flows.language.registry import ANY, jump_outcome, nothing, seconds
from flows.language.run import Run
from flows.language.text_match import WRITTEN_BY_PEOPLE, normalise_keyword
from flows.language.variables import ALIAS, READ_ONLY, check_key
from flows.values import DAY_MS, VARIABLE, Reference, or_variable

_READ_ONLY = rf"^({re.escape(ALIAS)})?({READ_ONLY.pattern})?$"


class GotoOptions(Options):
    """`goto`: after `loop_count` jumps it falls through once and counts anew; 0 always jumps."""

    target_id: Reference = Field(min_length=1)
    loop_count: int = Field(default=0, ge=0)

    def jumps(self) -> Sequence[tuple[FieldPath, str]]:
        return ((("target_id",), self.target_id),)

    @property
    def falls_through(self) -> bool:
        return self.loop_count > 0


def _goto_outcome(run: Run, result: StepResult, keys: str) -> str:
    return "goes on" if result is None else jump_outcome(run, result, keys)


@action(GotoOptions, media=ANY, describe=nothing, outcome=_goto_outcome)
def goto(run: Run, option: GotoOptions) -> int | None:
    """Jumps; after `loop_count` jumps it falls through, and the count begins anew, so that loops may lie in loops."""
    if option.loop_count:
        if run.loops is None:
            run.loops = {}
        jumps = run.loops.get(run.step, 0)
        if jumps >= option.loop_count:
            run.loops[run.step] = 0
            return None
        run.loops[run.step] = jumps + 1
    return run.program.places[option.target_id]


class BranchOptions(Options):
    """`branch`: goes to the action whose value the variable has; to the default, or on, where none fits."""

    variable: VariableName = "call.digits"
    target_ids: dict[str, Reference] = Field(min_length=1, max_length=1000)
    default_target_id: Reference = ""

    def jumps(self) -> Sequence[tuple[FieldPath, str]]:
        targets: list[tuple[FieldPath, str]] = [(("target_ids", value), id_) for value, id_ in self.target_ids.items()]
        if self.default_target_id:
            targets.append((("default_target_id",), self.default_target_id))
        return targets

    @property
    def falls_through(self) -> bool:
        return not self.default_target_id


def _branch_value(run: Run, option: BranchOptions) -> str:
    return f"{option.variable}={run.variables.get(option.variable)}"


@action(BranchOptions, media=ANY, describe=_branch_value, outcome=jump_outcome)
def branch(run: Run, option: BranchOptions) -> int | None:
    """To where the variable's value says, else to the default, else on. The text of a message is compared as words of
    people are."""
    value = run.variables.get(option.variable)
    targets: Mapping[str, str] = option.target_ids
    if option.variable in WRITTEN_BY_PEOPLE:
        targets, value = {normalise_keyword(word): target for word, target in targets.items()}, normalise_keyword(value)
    target = targets.get(value, option.default_target_id)
    return run.program.places[target] if target else None


class SleepOptions(Options):
    """`sleep`: milliseconds."""

    duration: int = Field(ge=0, le=DAY_MS)


@action(SleepOptions, describe=lambda run, option: seconds(option.duration))
async def sleep(run: Run, option: SleepOptions) -> None:
    """Waits; the hangup ends it."""
    await run.call.sleep(option.duration / 1000)


class VariableSetOptions(Options):
    """`variable_set`: `${name}` in the value is expanded."""

    key: str = Field(
        min_length=1,
        max_length=255,
        json_schema_extra={"pattern": or_variable(VARIABLE), "not": {"pattern": _READ_ONLY}},
    )
    value: str | int | float | bool

    @field_validator("key")
    @classmethod
    def _key(cls, key: str) -> str:
        return key if PLACEHOLDER in key else check_key(key)


@action(VariableSetOptions, media=ANY, describe=lambda run, option: f"{option.key}={option.value}")
def variable_set(run: Run, option: VariableSetOptions) -> None:
    """Sets one of the flow's own variables."""
    run.variables.set(option.key, as_text(option.value))


def as_text(value: object) -> str:
    """A JSON value as a variable holds it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


class FetchFlowOptions(Options):
    """`fetch_flow`: the actions of another flow, run in place."""

    flow_id: Reference = Field(min_length=1)


@action(FetchFlowOptions, media=ANY, early=True, connects=True, describe=nothing)
def fetch_flow(run: Run, option: FetchFlowOptions) -> Program:
    """The other flow's actions run in place; the flow goes on behind them."""
    program = run.find_flow(option.flow_id)
    if program is None:
        raise ActionError(f"there is no flow {option.flow_id!r}")
    return program


@action(NoOptions, media=ANY, ends=True)
def stop(run: Run, option: NoOptions) -> int:
    """Ends the flow; the call stays up."""
    return STOP


@action(NoOptions, ends=True)
async def block(run: Run, option: NoOptions) -> int:
    """Waits for the hangup. What follows, if anything could, has no call any more."""
    run.call.rest()
    await run.call.wait_ended()
    return HUNG_UP


@action(NoOptions, media=ANY)
def empty(run: Run, option: NoOptions) -> None:
    """Does nothing."""
