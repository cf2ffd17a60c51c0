"""The context of a call: what it is, for call control, and who runs flows on it."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar
from uuid import UUID

from flows.calls.ports import CallerBinding, CallLeg, FlowProgram, FlowStep, OutgoingLeg
from flows.calls.record import CallRecord
from flows.calls.recordings import RunningRecording
from flows.calls.services import CallServices
from flows.calls.tree import Branch, Tree
from routing.directory.extensions import ExtensionRow
from routing.directory.rows import NumberRow

MAX_ACTIONS = 1000
"""Actions that one call may run, whatever its flows fetch, complete with or hand over to."""

T = TypeVar("T")


class Budget:
    """What a call may do, shared by everything that runs on it.

    Attributes:
        left: Actions that it may still run.
        transfers: Those that were carried out.
    """

    __slots__ = ("left", "transfers")

    def __init__(self, left: int = MAX_ACTIONS) -> None:
        self.left = left
        self.transfers = 0


class CallContext:
    """What one call is, for whoever controls it.

    Attributes:
        services: What call control reaches outside of it.
        flows: Runs flows for it.
        call: The leg that takes orders. Within a connect to one of our own numbers it is a NestedLeg.
        caller: The engine's own call behind `call`, for dialling on its behalf.
        number: The number of ours that was called, None where there is none.
        extension: The extension that did not answer, and whose flow runs; None where there is none.
        diverted: Extensions whose flows run around what runs here: theirs are not run again.
        destination: What was dialled; differs from the record's within a connect to another of our numbers.
        flow: The flow that runs on it now; None: none does.
        step: The action of `flow` that runs now; None before the first.
        depth: How many connects to our own numbers lie around it.
        branch: Its place in the tree of what one beginning sets off.
        breadth: How many legs may be dialled at once for it, where several are dialled around it (RFC 5393 §5.3.3);
            None: as many as the caller's INVITE allows.
        anchored: A flow around `flow` wants the media of the calls that it connects anchored.
        on_dialled: Told of each leg that is dialled for it; None: nobody.
        binding: What ends it with its caller, where that is not the task of the call.
        payer: Who pays for what it dials, and whose rules hold, where that is not the owner of its number.
    """

    __slots__ = (
        "_branch",
        "anchored",
        "binding",
        "breadth",
        "budget",
        "call",
        "caller",
        "depth",
        "destination",
        "diverted",
        "extension",
        "flow",
        "flows",
        "number",
        "on_dialled",
        "payer",
        "record",
        "services",
        "step",
    )

    def __init__(
        self,
        *,
        flows: "FlowRunner",
        call: CallLeg,
        record: CallRecord,
        number: NumberRow | None = None,
        budget: Budget | None = None,
        branch: Branch | None = None,
        depth: int = 0,
        extension: ExtensionRow | None = None,
    ) -> None:
        self.services = flows.calls
        self.flows = flows
        self.call = call
        self.caller: Any = call
        self.record = record
        self.number = number
        self.extension = extension
        self.diverted: frozenset[str] = frozenset()
        self.destination = record.destination
        self.flow: FlowProgram | None = None
        self.step: FlowStep | None = None
        self.budget = budget or Budget()
        self.depth = depth
        self._branch = branch
        self.breadth: int | None = None
        self.anchored = False
        self.payer: UUID | None = None
        self.on_dialled: Callable[[OutgoingLeg], None] | None = None
        self.binding: CallerBinding | None = None

    @property
    def customer_id(self) -> UUID:
        """Whose call this is: who pays for what it dials, and whose flows it may run. The nil UUID is the platform."""
        if self.payer is not None:
            return self.payer
        called = self.number or self.extension
        return self.record.customer_id if called is None else called.customer_id

    @property
    def phone(self) -> ExtensionRow | None:
        """The phone that has dialled what is dialled here, and whose limits hold for it; None where a flow does."""
        return self.record.phone if self.payer is not None or (self.number or self.extension) is None else None

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
        recordings = self.services.media.recordings
        return None if recordings is None else recordings.running(self.record.id)

    @property
    def anchor(self) -> str:
        """How the media of what is dialled passes us, as `DialSpec.anchor` says it; "" where only the provider may want
        that. What is recorded has to pass this process."""
        if self.recording is not None:
            return "embedded"
        return "anchor" if self.anchored or (self.flow is not None and self.flow.media == "anchor") else ""

    def warn(self, event: str, **values: Any) -> None:
        """Logs with the call, the flow and the action."""
        flow, step = self.flow, self.step
        if flow is not None and step is not None:
            values = {"flow": flow.title, "action": step.id, "type": step.type, **values}
        self.services.log.warning(event, call_id=self.record.id, **values)


class FlowRunner(Protocol):
    """Who runs flows on calls (`flows.language.services.FlowServices`)."""

    @property
    def calls(self) -> CallServices: ...

    async def run(
        self,
        flow: FlowProgram | None,
        call: CallLeg,
        record: CallRecord,
        *,
        own: dict[str, str] | None = None,
        branch: Branch | None = None,
    ) -> CallRecord:
        """Runs a flow on a call, until the call is over, and completes its record. None: the call is hung up at once.

        own: Variables to begin with.
        branch: Its place in the tree of what led to the call.
        """

    async def run_nested(self, flow: FlowProgram, context: CallContext) -> None:
        """Runs a flow from its beginning to its end within another one, on the leg of `context`."""

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
