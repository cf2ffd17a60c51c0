"""Providercalls: calls through one named provider, to see that its trunk works, and what it makes of a number."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from flows.calls.address import Address
from flows.calls.context import FlowRunner
from flows.calls.record import CallRecord
from flows.origination.orders import CallOrder, OrderError, OriginatedCalls, prepare_calls, read_order
from routing.hunt.identity import Anonymous

ProviderCallError = OrderError
"""A providercall that is refused."""


class ProviderCallRequest(CallOrder):
    """What is asked for: an order that one provider carries out."""

    provider_id: UUID


@dataclass(slots=True, kw_only=True)
class ProviderCall:
    """The record of a providercall. It does not change as the calls go on; `records` and `wait` tell how they went."""

    id: UUID
    customer_id: UUID
    provider_id: UUID
    flow_id: UUID
    source: Address | None
    destinations: list[Address]
    anonymous: Anonymous
    tm_create: datetime
    tm_update: datetime
    calls: OriginatedCalls = field(repr=False)
    groupcall_ids: list[str] = field(default_factory=list)
    tm_delete: datetime | None = None

    @property
    def call_ids(self) -> list[str]:
        """The ids of its calls, in the order of the destinations."""
        return self.calls.call_ids

    @property
    def records(self) -> list[CallRecord]:
        """The records of its calls, which fill in as they go on."""
        return self.calls.records

    def announce(self) -> None:
        """From now on its calls are known, before anything is dialled (`OriginatedCall.announce`)."""
        self.calls.announce()

    def start(self) -> None:
        """Begins to dial."""
        self.calls.start()

    async def wait(self) -> list[CallRecord]:
        """The records of the calls, in the order of the destinations, when all of them are over.

        Cancelled, it lets the calls go on; `hang_up` ends them.
        """
        return await self.calls.wait()

    def hang_up(self) -> None:
        """Ends the calls that are still up."""
        self.calls.hang_up()


def read_request(document: Mapping[str, Any]) -> ProviderCallRequest:
    """A request from a document. Raises ProviderCallError with one line for each fault."""
    return read_order(ProviderCallRequest, document, "a providercall")


def prepare_provider_call(flows: FlowRunner, request: ProviderCallRequest) -> ProviderCall:
    """One call for each destination, through the request's provider and no other; `start` begins them.

    Raises ProviderCallError when the provider or the flow does not exist, the destinations are none for a provider, or
    too many calls run already, and FlowError for faults in the actions.
    """
    provider = flows.calls.directory.provider(request.provider_id)
    if provider is None or provider.tm_delete is not None:
        raise ProviderCallError(
            "PROVIDER_NOT_FOUND", f"there is no provider {request.provider_id}; write the id of one that exists"
        )
    for index, destination in enumerate(request.destinations):
        if destination.type != "tel":
            problem = f"destinations[{index}].type: a provider dials numbers, and this is {destination.type}; use tel"
            raise ProviderCallError("INVALID_REQUEST_PARAMETER", problem)
    # Only the platform's own people place providercalls: they may run anybody's flow.
    calls = prepare_calls(
        flows,
        request,
        metadata={"route_provider_ids": [str(request.provider_id)], "skip_source_validation": True},
        pinned=[request.provider_id],
        kind="providercall",
        any_flow=True,
    )
    now = datetime.fromtimestamp(flows.calls.wall(), UTC)
    return ProviderCall(
        id=uuid4(),
        customer_id=request.customer_id,
        provider_id=request.provider_id,
        flow_id=calls.flow_id,
        source=request.source,
        destinations=request.destinations,
        anonymous=request.anonymous,
        tm_create=now,
        tm_update=now,
        calls=calls,
    )


def place_provider_call(flows: FlowRunner, request: ProviderCallRequest) -> ProviderCall:
    """`prepare_provider_call` and its start in one."""
    made = prepare_provider_call(flows, request)
    made.start()
    return made


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
