"""The way through the flow: goto, branch, sleep, variable_set, fetch_flow, stop, block, empty."""

from collections.abc import Mapping

from flows.language.program import HUNG_UP, STOP, Program
from flows.language.run import ActionError, Run
from flows.language.text_match import WRITTEN_BY_PEOPLE, folded
from flows.options import (
    BranchOptions,
    FetchFlowOptions,
    GotoOptions,
    NoOptions,
    SleepOptions,
    VariableSetOptions,
)


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


def branch(run: Run, option: BranchOptions) -> int | None:
    """To where the variable's value says, else to the default, else on. The text of a message is compared as words of
    people are."""
    value = run.variables.get(option.variable)
    targets: Mapping[str, str] = option.target_ids
    if option.variable in WRITTEN_BY_PEOPLE:
        targets, value = {folded(word): target for word, target in targets.items()}, folded(value)
    target = targets.get(value, option.default_target_id)
    return run.program.places[target] if target else None


async def sleep(run: Run, option: SleepOptions) -> None:
    """Waits; the hangup ends it."""
    await run.call.sleep(option.duration / 1000)


def variable_set(run: Run, option: VariableSetOptions) -> None:
    """Sets one of the flow's own variables."""
    run.variables.set(option.key, as_text(option.value))


def as_text(value: object) -> str:
    """A JSON value as a variable holds it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def fetch_flow(run: Run, option: FetchFlowOptions) -> Program:
    """The other flow's actions run in place; the flow goes on behind them."""
    program = run.find_flow(option.flow_id)
    if program is None:
        raise ActionError(f"there is no flow {option.flow_id!r}")
    return program


def stop(run: Run, option: NoOptions) -> int:
    """Ends the flow; the call stays up."""
    return STOP


async def block(run: Run, option: NoOptions) -> int:
    """Waits for the hangup. What follows, if anything could, has no call any more."""
    await run.call.wait_ended()
    return HUNG_UP


def empty(run: Run, option: NoOptions) -> None:
    """Does nothing."""
