"""Flows on text messages: the same actions, without a call.

What needs a call was refused when the flow was given to the number. A flow may be changed afterwards, fetch another or
run one that was made for calls: there such an action is skipped, and the log says why.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from flows.calls.context import CallContext
from flows.calls.ports import FlowProgram
from flows.calls.record import CallRecord
from flows.faults import ActionError
from flows.language.interpreter import Interpreter, run_through
from flows.language.program import Program
from flows.language.run import Run
from flows.messages.model import TextMessage, sender_of
from flows.nested_call import NestedLeg
from routing.directory.rows import NumberRow


async def run_message(flows: Interpreter, program: FlowProgram, message: TextMessage, number: NumberRow) -> None:
    """Runs a number's message flow on a message, to the end. What goes wrong in it is logged, not raised."""
    assert isinstance(program, Program)
    record = CallRecord(
        str(message.id),
        "incoming",
        source=sender_of(message),
        source_name="" if message.source is None else message.source.target_name,
        source_type="sip" if message.source is None else message.source.type,
        destination=number.number,
        guest=message.branch.tree.guest,
        anonymous=message.source is None,
        number=number.number,
        customer_id=number.customer_id,
        call_flow_id=number.message_flow_id,
        number_row=number,
        created=message.created.timestamp(),
    )
    run = MessageRun(for_messages(program), message, flows, record, number)
    await run_through(run, run.program)
    if run.context.budget.left <= 0:
        run.warn("too many actions", error="the message has run as many actions as a message may")


class MessageRun(Run):
    """What an action gets that runs on a message. Its leg takes no orders."""

    __slots__ = ("message",)

    def __init__(
        self, program: Program, message: TextMessage, flows: Interpreter, record: CallRecord, number: NumberRow
    ) -> None:
        leg: Any = NestedLeg(_Nobody(record.id), over=True)  # type: ignore[arg-type]
        context = CallContext(flows=flows, call=leg, record=record, number=number, branch=message.branch)
        super().__init__(program, flows, context)
        self.message = message
        self.medium = "message"
        self.over = True

    def look_up(self, name: str) -> str | None:
        """A variable that the message or its number answers for. There is no call."""
        reader = _READERS.get(name)
        if reader is not None:
            return reader(self)
        return None if name.startswith("call.") else super().look_up(name)

    def find_flow(self, reference: object) -> Program | None:
        """As for a call; what in it needs one is skipped."""
        found = super().find_flow(reference)
        return None if found is None else for_messages(found)

    def warn(self, event: str, **values: Any) -> None:
        """Logs with the message, the flow and the action."""
        step = self.step
        self.services.calls.log.warning(
            event, message_id=self.record.id, flow=self.program.title, action=step.id, type=step.type, **values
        )


_READERS: Mapping[str, Callable[[MessageRun], str]] = {
    "message.id": lambda run: run.record.id,
    "message.text": lambda run: run.message.text,
    "message.source.number": lambda run: run.record.source,
    "message.source.name": lambda run: run.record.source_name,
    "message.destination.number": lambda run: run.context.destination,
}


@dataclass(slots=True)
class _Nobody:
    """Where a leg has its call."""

    id: str
    direction: str = "incoming"
    status: str = "hangup"
    created: float = 0.0
    ended_at: float | None = 0.0
    ended_by: str = "local"
    media: None = None


@lru_cache(maxsize=256)
def for_messages(program: Program) -> Program:
    """The program with a refusal in the place of every action that needs a call."""
    steps = [
        step if step.on_messages else replace(step, function=_needs_a_call, waits=False, source=None)
        for step in program.steps
    ]
    return replace(program, steps=steps)


def _needs_a_call(run: Run, _option: Any) -> None:
    raise ActionError("needs a call and is skipped on a message")
