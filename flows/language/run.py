"""One run of a flow on a call: what its actions share."""

import asyncio
from collections.abc import Callable
from typing import Any, Literal
from uuid import UUID

from engine.media_refusal import MediaRefusal
from flows.calls.ports import CallLeg, OutgoingLeg, Tether
from flows.calls.record import CallRecord
from flows.calls.recordings import RunningRecording
from flows.calls.services import FlowEnvironment
from flows.calls.tree import Branch, Tree
from flows.language.program import Program, Step
from flows.language.variables import Variables
from routing.access.phones import Phone
from routing.directory.rows import NumberRow
from routing.identifiers import NIL, PLATFORM

MAX_ACTIONS = 1000
"""Actions that one call may run, whatever its flows fetch, complete with or hand over to."""


class ActionError(Exception):
    """An action that cannot be carried out, in a sentence for the log."""


class Budget:
    """The actions that are left to a call, shared by everything that runs on it."""

    __slots__ = ("left", "transfers")

    def __init__(self, left: int = MAX_ACTIONS) -> None:
        self.left = left
        self.transfers = 0
        """Those that were carried out."""


class Run:
    """What an action gets.

    Attributes:
        call: The leg that takes orders. Within a connect to one of our own numbers it is a LocalLeg.
        caller: The engine's own call behind `call`, for dialling on its behalf.
        number: The number of ours whose flow this is, None where there is none.
        destination: What was dialled; differs from the record's within a connect to another of our numbers.
        medium: What it runs on: a call, or a message.
        media_refusal: What an unanswered caller is told in the end where our own media could not be had; else None.
        depth: How many connects to our own numbers lie around this run.
        branch: Its place in the tree of what one beginning sets off.
        breadth: How many legs may be dialled at once for what runs here, where several are dialled around it (RFC 5393
            §5.3.3); None: as many as the caller's INVITE allows.
        anchored: A flow around this one wants the media of the calls that it connects anchored.
        dialled: Told of each leg that is dialled for the call; None: nobody.
        tether: What ends this run with its caller, where that is not the task of the call.
        payer: Who pays for what it dials, and whose rules hold, where that is not the owner of its number.
        over: The call is over, and this is the flow that was to run on completion.
        step: The step that runs now.
    """

    __slots__ = (
        "_branch",
        "anchored",
        "breadth",
        "budget",
        "call",
        "caller",
        "chained",
        "depth",
        "destination",
        "dialled",
        "env",
        "loops",
        "media_refusal",
        "medium",
        "number",
        "over",
        "payer",
        "program",
        "record",
        "step",
        "tether",
        "variables",
    )

    step: Step

    def __init__(
        self,
        program: Program,
        call: CallLeg,
        env: FlowEnvironment,
        record: CallRecord,
        number: NumberRow | None = None,
        own: dict[str, str] | None = None,
    ) -> None:
        self.program = program
        self.call = call
        self.caller: Any = call
        self.env = env
        self.record = record
        self.number = number
        self.destination = record.destination
        self.variables = Variables(self.look_up, own)
        self.budget = Budget()
        self.media_refusal: MediaRefusal | None = None
        self.medium: Literal["call", "message"] = "call"
        self.depth = 0
        self._branch: Branch | None = None
        self.breadth: int | None = None
        self.anchored = False
        self.over = False
        self.payer: UUID | None = None
        self.dialled: Callable[[OutgoingLeg], None] | None = None
        self.tether: Tether | None = None
        self.loops: dict[Step, int] | None = None
        self.chained: list[asyncio.Task[Any]] | None = None

    def look_up(self, name: str) -> str | None:
        """A variable that the call, its record or its number answers for."""
        reader = _READERS.get(name)
        if reader is not None:
            return reader(self)
        if name.startswith("number.metadata.") and self.number is not None:
            value = self.number.metadata.get(name.removeprefix("number.metadata."))
            return None if value is None else str(value)
        return None

    @property
    def customer_id(self) -> UUID:
        """Whose call this is: who pays for what it dials, and whose flows it may run. The nil UUID is the platform."""
        if self.payer is not None:
            return self.payer
        return self.number.customer_id if self.number is not None else self.record.customer_id

    @property
    def phone(self) -> Phone | None:
        """The phone that has dialled what this run dials, and whose limits hold for it; None where a flow does."""
        return self.record.phone if self.payer is not None or self.number is None else None

    @property
    def branch(self) -> Branch:
        """Its place in its tree; of a tree of its own, where it was given none."""
        if self._branch is None:
            self._branch = Branch(Tree(guest=self.record.guest))
        return self._branch

    @branch.setter
    def branch(self, branch: Branch) -> None:
        self._branch = branch

    @property
    def recording(self) -> RunningRecording | None:
        """The recording that runs on the call, whichever of its flows began it."""
        recordings = self.env.recordings
        return None if recordings is None else recordings.running(self.record.id)

    def find_flow(self, reference: object) -> Program | None:
        """A flow by its id or name, None where there is none. Other customers' flows do not exist for a customer's
        call."""
        customer_id = self.customer_id
        return self.env.flows.find(reference, customer_id if customer_id.int else None)

    def warn(self, event: str, **values: Any) -> None:
        """Logs with the call, the flow and the action."""
        step = self.step
        self.env.log.warning(
            event, call_id=self.record.id, flow=self.program.title, action=step.id, type=step.type, **values
        )


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
    "call.destination.number": lambda run: run.destination,
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
