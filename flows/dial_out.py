"""A trusted client dials a foreign number: a flow of one connect, which hands the far end's status on."""

from flows.actions.connect import conclude
from flows.calls.address import Address
from flows.calls.ports import CallLeg
from flows.calls.record import CallRecord
from flows.calls.services import FlowEnvironment
from flows.connect import always, reach_number
from flows.language.interpreter import run
from flows.language.options import ConnectOptions
from flows.language.program import Program, Step
from flows.language.run import Run

# Everything but the number is the same for all; the number is what the step carries.
_OPTIONS = ConnectOptions(destinations=[Address(type="tel", target="+0")], relay_reason=True)


async def _connect(run: Run, target: str) -> int | None:
    return conclude(run, _OPTIONS, await reach_number(run, _OPTIONS, target, always))


async def dial_out(target: str, call: CallLeg, env: FlowEnvironment, record: CallRecord) -> CallRecord:
    """Connects `call` to a foreign number (in normal form) through the providers."""
    program = Program("", "dial out", [Step("", "connect", _connect, target, 1, True)])
    return await run(program, call, env, record=record)
