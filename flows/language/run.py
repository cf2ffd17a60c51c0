"""One run of a flow on a call: what its actions share."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Literal
from uuid import UUID

from engine.media.refusal import MediaRefusal
from flows.calls.context import CallContext
from flows.calls.hangup import CAUSES
from flows.language.program import Program, Step
from flows.language.services import FlowServices
from flows.language.variables import Variables
from routing.access.destinations import NamedBy, named_by
from routing.identifiers import NIL, PLATFORM


class Run:
    """What an action gets.

    Attributes:
        context: The call, as call control sees it.
        services: What it reaches outside of the call.
        program: The flow that runs; one that fetched it goes on behind it.
        step: The action that runs now.
        call: The leg that takes orders, that of `context`.
        record: What is kept of the call, that of `context`.
        number: The number of ours whose flow this is, that of `context`; None where there is none.
        variables: What `${...}` is filled in with.
        medium: What it runs on: a call, or a message.
        media_refusal: What an unanswered caller is told in the end where our own media could not be had; else None.
        over: The call is over, and this is the flow that was to run on completion.
        loops: How often each `goto` has jumped.
        chained: Calls of their own that end with this one.
    """

    __slots__ = (
        "call",
        "chained",
        "context",
        "loops",
        "media_refusal",
        "medium",
        "number",
        "over",
        "program",
        "record",
        "services",
        "step",
        "variables",
    )

    step: Step

    def __init__(
        self, program: Program, services: FlowServices, context: CallContext, own: dict[str, str] | None = None
    ) -> None:
        self.services = services
        self.context = context
        self.call = context.call
        self.record = context.record
        self.number = context.number
        self.program = context.flow = program
        self.variables = Variables(self.look_up, own)
        self.medium: Literal["call", "message"] = "call"
        self.media_refusal: MediaRefusal | None = None
        self.over = False
        self.loops: dict[Step, int] | None = None
        self.chained: list[asyncio.Task[Any]] | None = None

    def enter(self, program: Program) -> None:
        """From now on `program` is the one that runs."""
        self.program = self.context.flow = program

    def look_up(self, name: str) -> str | None:
        """A variable that the call, its record or its number answers for."""
        reader = _READERS.get(name)
        if reader is not None:
            return reader(self)
        if name.startswith("number.metadata.") and self.number is not None:
            value = self.number.metadata.get(name.removeprefix("number.metadata."))
            return None if value is None else str(value)
        return None

    def find_flow(self, reference: object) -> Program | None:
        """A flow by its id or name, None where there is none. Other customers' flows do not exist for a customer's
        call."""
        customer_id = self.context.customer_id
        return self.services.library.find(reference, customer_id if customer_id.int else None)

    @property
    def flow_owner(self) -> UUID:
        """Whose flow runs; the nil UUID is the platform."""
        owner: UUID = self.program.customer_id or NIL
        return owner

    def named(self, target: str) -> NamedBy:
        """Who names a destination of the action that runs. A flow of the platform that runs for a customer speaks for
        the platform where it has the destination written out; what it puts together may be the customer's choice."""
        step = self.step
        named = named_by(self.context.customer_id, self.flow_owner)
        if named == "platform" and (step.type == "python" or not _written(step, target)):
            return "customer"
        return named

    def hangup(self, reason: str) -> None:
        """Ends the call with one of the reasons in CAUSES. Nothing when it is over.

        A caller whom nothing answered because our own media could not be had is told so where the flow has no reason of
        its own."""
        cause = CAUSES[reason]
        if self.over:
            return
        refusal = self.media_refusal
        if reason == "normal" and refusal is not None and not self.call.answered:
            self.call.reject(refusal.status, headers=refusal.headers)
            return
        if self.context.depth == 0 and reason != "normal":
            self.record.cause = reason
        # Whoever it talked with last may have said why that is over, and better.
        said = reason == "normal" and self.call.peer_reason
        self.call.hangup(cause.status, "" if said else cause.header)

    def warn(self, event: str, **values: Any) -> None:
        """Logs with the call, the flow and the action."""
        self.context.warn(event, **values)


def _written(step: Step, target: str) -> bool:
    return step.source is None or _holds(step.source, target)


def _holds(value: Any, text: str) -> bool:
    if isinstance(value, Mapping):
        return any(_holds(each, text) for each in value.values())
    if isinstance(value, list):
        return any(_holds(each, text) for each in value)
    return bool(value == text)


def _trunk(run: Run) -> str:
    """The trunk of the number: the platform's, which its customers' flows do not know."""
    number = run.number
    return "" if number is None or number.customer_id not in (NIL, PLATFORM) else str(number.provider_id)


def _number_reader(field: str) -> Callable[[Run], str]:
    return lambda run: "" if run.number is None else str(getattr(run.number, field))


_READERS: dict[str, Callable[[Run], str]] = {
    "call.id": lambda run: run.record.id,
    "call.source.number": lambda run: run.record.source,
    "call.source.name": lambda run: run.record.source_name,
    "call.destination.number": lambda run: run.context.destination,
    "call.direction": lambda run: run.record.direction,
    "call.status": lambda run: run.call.status,
    "number.provider_id": _trunk,
} | {
    f"number.{field}": _number_reader(field)
    for field in (
        "id",
        "customer_id",
        "number",
        "type",
        "status",
        "name",
        "detail",
        "call_flow_id",
        "message_flow_id",
        "origin",
        "country",
        "region",
        "city",
        "kind",
    )
}
