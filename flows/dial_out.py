"""A trusted client dials a foreign number: a flow of one connect, which hands the far end's status on."""

from flows.actions.connect import connect
from flows.address import Address
from flows.contracts import CallLeg
from flows.environment import FlowEnvironment
from flows.interpreter import run
from flows.options import ConnectOptions
from flows.program import Program, Step
from flows.record import CallRecord


def dial_out_program(target: str) -> Program:
    """The program for one number. `target` is in normal form."""
    address = Address.model_construct(type="tel", target=target, target_name="", name="", detail="")
    option = ConnectOptions.model_construct(
        source=None,
        destinations=[address],
        ring_method="ring_all",
        ring_timeout=0,
        early_media=True,
        relay_reason=True,
        anonymous="auto",
    )
    return Program("", "dial out", [Step("", "connect", connect, option, 1, True)])


async def dial_out(target: str, call: CallLeg, env: FlowEnvironment, record: CallRecord) -> CallRecord:
    """Connects `call` to a foreign number through the providers."""
    return await run(dial_out_program(target), call, env, record=record)
