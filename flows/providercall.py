"""Providercalls: calls through one named provider, to see that its trunk works, and what it makes of a number."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from flows.address import Address
from flows.compiler import compile_flow
from flows.environment import FlowEnvironment
from flows.faults import described, format_path, sentence
from flows.model import read_flow
from flows.options import Reference
from flows.originate import NOTHING, TooManyTasksError, originate
from flows.program import Program
from flows.record import CallRecord
from routing.identifiers import NIL
from routing.identity import Anonymous


class ProviderCallError(Exception):
    """A providercall that is refused. `reason` is stable: PROVIDER_NOT_FOUND, FLOW_NOT_FOUND, INVALID_ACTION, ..."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class ProviderCallRequest(BaseModel):
    """What is asked for. `flow_id` (an id or a name) or `actions` run on each call when it is answered."""

    model_config = ConfigDict(extra="forbid")

    provider_id: UUID
    source: Address | None = None
    destinations: list[Address] = Field(min_length=1, max_length=100)
    anonymous: Anonymous = "auto"
    flow_id: Reference = ""
    actions: list[Any] = []
    customer_id: UUID = NIL

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if self.flow_id and self.actions:
            raise ValueError("flow_id and actions are both given; keep one of them")
        return self


@dataclass(slots=True)
class ProviderCall:
    """The record of a providercall. It does not change as the calls go on; `records` and `wait` tell how they went."""

    id: UUID
    customer_id: UUID
    provider_id: UUID
    flow_id: UUID
    source: Address | None
    destinations: list[Address]
    anonymous: Anonymous
    call_ids: list[str]
    tm_create: datetime
    tm_update: datetime
    groupcall_ids: list[str] = field(default_factory=list)
    tm_delete: datetime | None = None
    records: list[CallRecord] = field(default_factory=list, repr=False)
    tasks: list[asyncio.Task[CallRecord]] = field(default_factory=list, repr=False)

    async def wait(self) -> list[CallRecord]:
        """The records of the calls, in the order of the destinations, when all of them are over.

        Cancelled, it lets the calls go on; `hang_up` ends them.
        """
        if self.tasks:
            await asyncio.wait(self.tasks)
        return self.records

    def hang_up(self) -> None:
        """Ends the calls that are still up."""
        for task in self.tasks:
            task.cancel()


def read_request(document: Mapping[str, Any]) -> ProviderCallRequest:
    """A request from a document. Raises ProviderCallError with one line for each fault."""
    try:
        return ProviderCallRequest.model_validate(document)
    except ValidationError as error:
        lines = []
        for details in error.errors():
            place = format_path(details["loc"])
            text = sentence(details, "a providercall", list(ProviderCallRequest.model_fields))
            lines.append(f"{place}: {text}" if place else text)
        raise ProviderCallError("INVALID_REQUEST_PARAMETER", "\n".join(lines)) from None


def place_provider_call(env: FlowEnvironment, request: ProviderCallRequest) -> ProviderCall:
    """Begins one call for each destination, through the request's provider and no other.

    Raises ProviderCallError (nothing is dialled) when the provider or the flow does not exist or the actions are wrong,
    and FlowError for faults in the actions.
    """
    provider = env.directory.provider(request.provider_id)
    if provider is None or provider.tm_delete is not None:
        raise ProviderCallError(
            "PROVIDER_NOT_FOUND", f"there is no provider {request.provider_id}; write the id of one that exists"
        )
    for index, destination in enumerate(request.destinations):
        if destination.type != "tel":
            problem = f"destinations[{index}].type: a provider dials numbers, and this is {destination.type}; use tel"
            raise ProviderCallError("INVALID_REQUEST_PARAMETER", problem)
    program = _program(env, request)
    now = datetime.fromtimestamp(env.wall(), UTC)
    made = ProviderCall(
        uuid4(),
        request.customer_id,
        request.provider_id,
        UUID(program.id) if program is not NOTHING else NIL,
        request.source,
        request.destinations,
        request.anonymous,
        [],
        now,
        now,
    )
    metadata = {"route_provider_ids": [str(request.provider_id)], "skip_source_validation": True}
    try:
        for destination in request.destinations:
            record, task = originate(
                env,
                destination,
                source=request.source,
                program=program,
                anonymous=request.anonymous,
                pinned=[request.provider_id],
                customer_id=request.customer_id,
                metadata=dict(metadata),
            )
            made.call_ids.append(record.id)
            made.records.append(record)
            made.tasks.append(task)
    except TooManyTasksError as error:
        made.hang_up()
        raise ProviderCallError("RATE_LIMIT_EXCEEDED", f"{error}; try again later") from None
    return made


def _program(env: FlowEnvironment, request: ProviderCallRequest) -> Program:
    if request.actions:
        return compile_flow(read_flow({"name": "", "actions": request.actions}, title="providercall"))
    if not request.flow_id:
        return NOTHING
    program = env.flows.find(request.flow_id)
    if program is None:
        raise ProviderCallError(
            "FLOW_NOT_FOUND", f"there is no flow {described(request.flow_id)}; write its id or name"
        )
    return program


def as_document(made: ProviderCall) -> dict[str, Any]:
    """The record as JSON: ids and addresses as text and objects, times as `YYYY-MM-DDTHH:MM:SS.ffffffZ`."""
    parties = {"type", "target", "target_name"}
    return {
        "id": str(made.id),
        "customer_id": str(made.customer_id),
        "provider_id": str(made.provider_id),
        "flow_id": str(made.flow_id),
        "source": made.source.model_dump(include=parties) if made.source else None,
        "destinations": [address.model_dump(include=parties) for address in made.destinations],
        "anonymous": made.anonymous,
        "call_ids": list(made.call_ids),
        "groupcall_ids": list(made.groupcall_ids),
        "tm_create": _timestamp(made.tm_create),
        "tm_update": _timestamp(made.tm_update),
        "tm_delete": _timestamp(made.tm_delete),
    }


def _timestamp(moment: datetime | None) -> str | None:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if moment else None


def any_answered(records: Sequence[CallRecord]) -> bool:
    """Whether any of the calls was answered."""
    return any(record.answered_ms is not None for record in records)
