"""Orders for originated calls: what may be asked for, and the calls that are made of it.

A call's id can be given away, and its record committed, before anything is dialled: an order is first prepared (it is
checked, and every call gets its record) and then started.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from flows.calls.address import Address
from flows.calls.context import FlowRunner
from flows.calls.ports import FlowProgram
from flows.calls.record import CallRecord
from flows.calls.services import FlowFinder
from flows.calls.tree import Branch, Tree
from flows.faults import described, format_path, sentence
from flows.origination.call import OriginatedCall, TooManyTasksError, prepare
from flows.values import Reference
from routing.hunt.identity import Anonymous
from routing.identifiers import NIL

MOST_DESTINATIONS = 100


class OrderError(Exception):
    """An order that is refused; nothing is dialled.

    `reason` is stable: INVALID_REQUEST_PARAMETER, FLOW_NOT_FOUND, PROVIDER_NOT_FOUND, RATE_LIMIT_EXCEEDED.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class CallOrder(BaseModel):
    """One call for each destination. `flow_id` (an id or a name) or `actions` run on each when it is answered."""

    model_config = ConfigDict(extra="forbid")

    source: Address | None = None
    destinations: list[Address] = Field(min_length=1, max_length=MOST_DESTINATIONS)
    anonymous: Anonymous = "auto"
    flow_id: Reference = ""
    actions: list[Any] = []
    customer_id: UUID = NIL

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if self.flow_id and self.actions:
            raise ValueError("flow_id and actions are both given; keep one of them")
        return self


Order = TypeVar("Order", bound=CallOrder)


def read_order(model: type[Order], document: Mapping[str, Any], kind: str) -> Order:
    """An order from a document; `kind` is what it is called. Raises OrderError with one line for each fault."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        lines = []
        for earlier, details in enumerate(error.errors()):
            place = format_path(details["loc"])
            text = sentence(details, kind, list(model.model_fields), earlier=earlier)
            lines.append(f"{place}: {text}" if place else text)
        raise OrderError("INVALID_REQUEST_PARAMETER", "\n".join(lines)) from None


@dataclass(slots=True)
class OriginatedCalls:
    """The calls of one order, in the order of its destinations. Nothing is dialled before `start`."""

    calls: list[OriginatedCall]
    flow: FlowProgram | None

    @property
    def records(self) -> list[CallRecord]:
        """Their records, which fill in as the calls go on."""
        return [call.record for call in self.calls]

    @property
    def call_ids(self) -> list[str]:
        """Their ids."""
        return [call.record.id for call in self.calls]

    @property
    def flow_id(self) -> UUID:
        """The flow that runs on each that answers, the nil UUID for none."""
        return NIL if self.flow is None else UUID(self.flow.id)

    def announce(self) -> None:
        """From now on they are known, before anything is dialled (`OriginatedCall.announce`)."""
        for call in self.calls:
            call.announce()

    def start(self) -> None:
        """Begins to dial. Where no more calls may run, the records of those that are left out say so."""
        for call in self.calls:
            call.start_or_fail()

    async def wait(self) -> list[CallRecord]:
        """The records when all calls that were started are over. Cancelled, it lets them go on."""
        if tasks := tasks_of(self.calls):
            await asyncio.wait(tasks)
        return self.records

    def hang_up(self) -> None:
        """Ends the calls that are still up; those that were not started never will be."""
        for call in self.calls:
            call.give_up("hung up before it was dialled")


def tasks_of(calls: Iterable[OriginatedCall]) -> list[asyncio.Task[CallRecord]]:
    """The tasks of those that were started."""
    return [call.task for call in calls if call.task is not None]


def prepare_calls(
    flows: FlowRunner,
    order: CallOrder,
    *,
    metadata: Mapping[str, Any] | None = None,
    pinned: Sequence[UUID] = (),
    groupcall_id: str = "",
    kind: str = "call",
    any_flow: bool = False,
) -> OriginatedCalls:
    """One call for each destination, ready to be started.

    metadata: Each call's record gets a copy.
    pinned: Providers to use in place of the routes.
    any_flow: Whether `flow_id` may name a flow of another customer than the order's.

    Raises OrderError when the flow does not exist or too many calls run already, and FlowError for faults in `actions`.
    """
    services = flows.calls
    flow = _flow(services.library, order, kind, any_flow)
    try:
        services.tasks.check(len(order.destinations), f"a {kind}")
    except TooManyTasksError as error:
        raise OrderError("RATE_LIMIT_EXCEEDED", f"{error}; try again later") from None
    if why := services.accounts.orders.refuses(order.customer_id, len(order.destinations), services.clock()):
        raise OrderError("RATE_LIMIT_EXCEEDED", f"{why}; try again later")
    tree = Tree()  # the order is the root of what becomes of all its calls
    calls = [
        prepare(
            flows,
            destination,
            source=order.source,
            flow=flow,
            anonymous=order.anonymous,
            pinned=pinned,
            customer_id=order.customer_id,
            metadata=dict(metadata) if metadata is not None else None,
            groupcall_id=groupcall_id,
            branch=Branch(tree),
        )
        for destination in order.destinations
    ]
    return OriginatedCalls(calls, flow)


def _flow(library: FlowFinder, order: CallOrder, kind: str, any_flow: bool) -> FlowProgram | None:
    if order.actions:
        made = library.compile(order.actions, "call", kind)
        made.belongs_to(order.customer_id)
        return made
    if not order.flow_id:
        return None
    flow = library.find(order.flow_id, None if any_flow or not order.customer_id.int else order.customer_id)
    if flow is None:
        raise OrderError("FLOW_NOT_FOUND", f"there is no flow {described(order.flow_id)}; write its id or name")
    return flow
