"""The action `call`: independent outbound calls."""

from collections.abc import Sequence
from typing import Any, Self

from pydantic import Field, model_validator

from flows.actions import action
from flows.calls.address import Address
from flows.calls.identity import fetch_source, may_show
from flows.calls.tree import Branch
from flows.faults import ActionError
from flows.language.options import FLOW_ACTION, Options
from flows.language.registry import ANY
from flows.language.run import Run
from flows.origination.call import TooManyTasksError, originate
from flows.values import NIL, Reference
from routing.hunt.identity import Anonymous


class CallOptions(Options):
    """`call`: calls of their own; `flow_id` or `actions` run on each when it is answered."""

    shapes = ({"actions": {"maxItems": 0}}, {"flow_id": {"enum": ["", NIL]}})

    source: Address | None = None
    destinations: list[Address] = Field(min_length=1, max_length=20)
    flow_id: Reference = ""
    actions: list[Any] = Field(default=[], max_length=1000, json_schema_extra={"items": FLOW_ACTION})
    chained: bool = False
    anonymous: Anonymous = "auto"

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if self.flow_id and self.actions:
            raise ValueError("flow_id and actions are both given; keep one of them")
        return self

    @property
    def inline_actions(self) -> Sequence[Any]:
        return self.actions


def _describe(run: Run, option: CallOptions) -> str:
    return ", ".join(destination.target for destination in option.destinations) + ": would be called (not called)"


@action(CallOptions, media=ANY, describe=_describe)
async def call(run: Run, option: CallOptions) -> None:
    """Begins one call for each destination and goes on. With `chained` they end when this call does."""
    if option.source is not None:
        await fetch_source(run.services.calls, option.source)
    begin_calls(run, option)


def begin_calls(run: Run, option: CallOptions) -> None:
    """`call` without waiting: the source number has to be in memory."""
    source = option.source
    if source is not None and not may_show(run.context, source, run.named(source.target), run.flow_owner):
        raise ActionError(f"{source.target!r} is no active number of this customer; give one that is as source")
    flow = run.step.inline
    if option.flow_id:
        found = run.find_flow(option.flow_id)
        if found is None:
            raise ActionError(f"there is no flow {option.flow_id!r}")
        flow = found
    if option.chained and run.over:
        raise ActionError("a chained call would end with this one, which is over")
    branch = run.context.branch
    for destination in option.destinations:
        if why := branch.obstacle(run.services.calls.clock()):
            branch.tree.tell(run.services.calls.log, why, run.record.id)
            raise ActionError(f"no further calls: {why}")
        try:
            record, task = originate(
                run.context.flows,
                destination,
                source=source,
                flow=flow,
                anonymous=option.anonymous,
                customer_id=run.context.customer_id,
                own=run.variables.own(),
                metadata={"created_by": run.record.id},
                named=run.named(destination.target),
                branch=Branch(branch.tree, branch.depth + 1),
            )
        except TooManyTasksError as error:
            raise ActionError(str(error)) from None
        if option.chained:
            if run.chained is None:
                run.chained = []
            run.chained.append(task)
        run.record.note(f"call {record.id} to {record.destination}")
