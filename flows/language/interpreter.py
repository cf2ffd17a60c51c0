"""Runs programs: one action after the other, until the flow or the call is over.

The loop is on the way of every call. An action that does not wait is called and not awaited, options without `${` are
used as they were compiled, and nothing is logged unless it went wrong or `services.debug` is set.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError

from engine.media.refusal import refusal
from flows.calls.context import CallContext
from flows.calls.ports import MEDIA_FAILURES, CallEnded, CallLeg, FlowProgram
from flows.calls.record import CallRecord
from flows.calls.tasks import TooManyTasksError
from flows.calls.tree import Branch
from flows.faults import ActionError, format_path, sentence
from flows.language.options import RUNNING
from flows.language.program import HUNG_UP, STOP, Program, Step, StepResult
from flows.language.run import Run
from flows.language.services import FlowServices
from flows.nested_call import NestedLeg
from routing.directory.rows import NumberRow

WRITTEN_WITHIN = 2.0
"""Seconds that what completes a flow waits for the file of a recording that the hangup has ended."""
MAX_COMPLETIONS = 5
"""Flows that may complete one another, one after the other."""

COMPLETED = -3
EXHAUSTED = -4

T = TypeVar("T")

_NOTHING = Program()


@dataclass(slots=True, kw_only=True)
class Interpreter(FlowServices):
    """Runs flows on calls with these services (`flows.calls.context.FlowRunner`)."""

    async def run(
        self,
        flow: FlowProgram | None,
        call: CallLeg,
        record: CallRecord,
        *,
        number: NumberRow | None = None,
        own: dict[str, str] | None = None,
        branch: Branch | None = None,
    ) -> CallRecord:
        """Runs a flow on a call, until the call is over; None: the call is hung up at once. The task that this runs in
        is cancelled when the call ends.

        `number` is the number of ours that was called; `record` is filled in; `own` are variables to begin with;
        `branch` is its place in the tree of what led to the call. After `stop` the call stays up, and this waits for
        its end.
        """
        program = _NOTHING if flow is None else flow
        assert isinstance(program, Program)
        record.flow = program.title
        if number is not None:
            record.number = number.number
        context = CallContext(flows=self, call=call, record=record, number=number, branch=branch)
        try:
            await conduct(Run(program, self, context, own), program)
        finally:
            record.finish(call, self.calls.clock())
        return record

    async def run_nested(self, flow: FlowProgram, context: CallContext) -> None:
        """Runs a flow from its beginning to its end within another one, on the leg of `context`."""
        assert isinstance(flow, Program)
        await conduct(Run(flow, self, context), flow)

    async def run_action(
        self,
        name: str,
        action: Callable[[CallContext, T], Awaitable[bool]],
        option: T,
        call: CallLeg,
        record: CallRecord,
    ) -> CallRecord:
        """Runs `action(context, option)` on a call as a flow of its own, until the call is over. The action returns
        whether it has ended the call, which else is hung up."""

        async def act(run: Run, option: T) -> int | None:
            return HUNG_UP if await action(run.context, option) else None

        return await self.run(
            Program(name=name, steps=[Step(type="connect", function=act, option=option, waits=True)]), call, record
        )


async def conduct(run: Run, program: Program) -> None:
    """A flow from its beginning to its end, and the flows that complete it."""
    completions = 0
    following: Program | None = program
    try:
        while following is not None:
            program, following = following, None
            end = await execute(run, program)
            if end == STOP:
                following = _completing(run, program, completions)
                completions += 1
                if following is None:
                    program = _NOTHING  # what completes it has been looked for
                    run.call.rest()
                    await run.call.wait_ended()
            elif end == COMPLETED:
                run.hangup("normal")
            elif end == EXHAUSTED:
                run.warn("too many actions", error="the call has run as many actions as a call may, and is hung up")
                run.hangup("failed")
    finally:
        if run.chained:
            for task in run.chained:
                task.cancel()
        if program.on_complete and not run.over:
            _complete_afterwards(run, program, completions)
        run.variables.release(run)


async def execute(run: Run, program: Program) -> int:
    """The loop. How the program ended: STOP, HUNG_UP, COMPLETED or EXHAUSTED. What follows an end is `conduct`'s."""
    outer: list[tuple[Program, int]] | None = None  # programs that fetched the one that runs, and where they go on
    run.enter(program)
    steps = program.steps
    context = run.context
    budget = context.budget
    debug = run.services.debug
    observer = run.services.observer
    index = 0
    while True:
        if index >= len(steps):
            if not outer:
                return COMPLETED
            program, index = outer.pop()
            run.enter(program)
            steps = program.steps
            continue
        run.step = context.step = step = steps[index]
        if budget.left <= 0:
            return EXHAUSTED
        budget.left -= 1
        index = step.following
        try:
            option = step.option
            if step.source is not None:
                option = type(option).model_validate(run.variables.expand_all(step.source), context=RUNNING)
            if debug:
                run.services.calls.log.debug(
                    "action", call_id=run.record.id, flow=program.title, action=step.id, type=step.type
                )
            if observer is not None:
                observer.step_started(run, option)
            called = step.function(run, option)
            result: StepResult = await called if step.waits else called
            if observer is not None:
                observer.step_done(run, step, result)
        except CallEnded:
            run.services.calls.log.info(
                "action skipped: the call is over", call_id=run.record.id, action=step.id, type=step.type
            )
            continue
        except ActionError as error:
            run.warn("action failed", error=str(error))
            continue
        except ValidationError as error:
            details = error.errors()[0]
            run.warn("action failed", error=f"{format_path(details['loc'])}: {sentence(details, step.type, ())}")
            continue
        except MEDIA_FAILURES as error:
            # A connect that follows needs no media of ours; but where nothing answers the caller, it hears why.
            run.media_refusal = refusal(error)
            run.warn("action failed", error=str(error), status=error.status)
            continue
        except Exception as error:  # whatever goes wrong in one action, the caller is still there: the flow goes on
            run.warn("action failed", error=f"{type(error).__name__}: {error}"[:500])
            continue
        if result is None:
            continue
        if isinstance(result, int):
            if result < 0:
                return result
            index = result
        else:
            if outer is None:
                outer = []
            outer.append((program, index))
            context.anchored = context.anchored or program.media == "anchor"
            program = result
            run.enter(program)
            steps = program.steps
            index = 0


def _completing(run: Run, program: Program, completions: int) -> Program | None:
    if not program.on_complete:
        return None
    if completions >= MAX_COMPLETIONS:
        problem = f"{MAX_COMPLETIONS} flows have completed one another; on_complete_flow_id is not followed further"
        run.services.calls.log.warning("flow not completed", call_id=run.record.id, flow=program.title, error=problem)
        return None
    found = run.find_flow(program.on_complete)
    if found is None:
        problem = f"there is no flow {program.on_complete!r}"
        run.services.calls.log.warning("flow not completed", call_id=run.record.id, flow=program.title, error=problem)
    return found


def _complete_afterwards(run: Run, program: Program, completions: int) -> None:
    """The call is over, or its task is being cancelled: what completes the flow runs in a task of its own."""
    following = _completing(run, program, completions)
    if following is None:
        return
    before = run.context
    context = CallContext(
        flows=before.flows,
        call=NestedLeg(run.call, over=True),
        record=run.record,
        number=run.number,
        budget=before.budget,
        branch=before.branch,
    )
    context.destination = before.destination
    after = Run(following, run.services, context)
    after.variables = run.variables
    after.variables.rebind(after.look_up)
    after.over = True
    try:
        run.services.calls.tasks.start(_run_after(after, following, completions + 1), f"completion of {program.title}")
    except TooManyTasksError as error:
        run.services.calls.log.warning(
            "flow not completed", call_id=run.record.id, flow=program.title, error=str(error)
        )


async def _run_after(run: Run, program: Program, completions: int) -> None:
    recording = run.context.recording
    if recording is not None:  # the hangup ends it, or it is that of a call which goes on
        with suppress(TimeoutError):
            await asyncio.wait_for(recording.written.wait(), WRITTEN_WITHIN)
    await run_through(run, program, completions)


async def run_through(run: Run, program: Program, completions: int = 0) -> None:
    """A flow and those that complete it, where there is no call that anything of it could be for."""
    following: Program | None = program
    while following is not None:
        program = following
        await execute(run, program)
        following = _completing(run, program, completions)
        completions += 1
    run.variables.release(run)
