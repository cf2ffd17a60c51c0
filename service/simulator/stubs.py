"""What `trunkline flow run` does in place of actions that need others: rooms, queues, messages, transfers."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from flows.calls.ports import CallEnded
from flows.language.program import HUNG_UP, Program
from flows.language.run import Run
from flows.simulation.leg import SimulatedLeg


def stand_in(programs: Iterable[Program]) -> None:
    """From now on the steps of these programs do what is here; the programs must be nobody else's."""
    for program in programs:
        for step in program.steps:
            function = STAND_INS.get(step.type)
            if function is not None:
                step.function, step.waits = function, True


def _leg(run: Run) -> SimulatedLeg:
    if run.over:
        raise CallEnded("the call is over")
    leg: SimulatedLeg = run.caller
    return leg


async def _message_send(run: Run, option: Any) -> None:
    """Nothing is sent."""
    if run.medium == "message" and run.env.watch is not None:
        run.env.watch.told("(not sent)")
    elif not run.over:
        _leg(run).told("(not sent)")


async def _transfer(run: Run, option: Any) -> int:
    """The caller is gone, as after a transfer that succeeded."""
    leg = _leg(run)
    await run.call.listen()
    leg.told("(not transferred)")
    run.call.hangup()
    return HUNG_UP


STAND_INS: Final[Mapping[str, Callable[[Run, Any], Any]]] = {
    "message_send": _message_send,
    "transfer": _transfer,
}
