"""What orders for calls have in common: their bodies, whether the customer may, and that records go before dialling."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, Final, Protocol, Self, TypeVar
from uuid import UUID

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from api.http.errors import ApiError, fault_in
from api.http.services import Services
from api.models.destinations import require_destinations, require_in_actions
from api.models.fields import Body
from api.models.parties import Anonymity, Destinations, Party
from api.models.web_addresses import refuse_private_in
from api.openapi.schema import Fields, documented
from api.resources.calls.call_authorisation import require_dialled
from api.resources.flows import refusal
from flows.actions import ACTIONS
from flows.calls.record import CallRecord, call_row
from flows.faults import FlowError
from flows.language.model import MAX_ACTIONS, read_flow
from flows.language.options import FLOW_ACTION
from flows.origination.orders import CallOrder, OrderError
from routing.identifiers import NIL
from store import rows
from store.database import tables
from store.resources import temporary_flows
from store.resources.calls import call_document
from store.rows import Row

KEPT_WITHIN: Final = 10.0
"""Seconds that the store has for the records of new calls; after that nothing is dialled."""

Order = TypeVar("Order", bound=CallOrder)


class OrderBody(Body):
    """One call for each destination. `flow_id`, or `actions` written out, run on each that is answered; without either
    a call is hung up when it is answered."""

    destinations: Destinations
    anonymous: Anonymity = "auto"
    flow_id: UUID = NIL
    actions: Annotated[list[dict[str, Any]], Field(max_length=MAX_ACTIONS)] = Field([])

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if self.flow_id != NIL and self.actions:
            problem = "flow_id and actions are both given; keep one of them"
            raise PydanticCustomError("INVALID_REQUEST_PARAMETER", "{problem}", {"problem": problem})
        return self


B = TypeVar("B", bound=OrderBody)


def ordered(destinations: Fields) -> Callable[[type[B]], type[B]]:
    """A decorator that says in the document what an `OrderBody` refuses. `destinations`: what they may be."""
    flow_or_actions = {"actions": {"maxItems": 0}}, {"flow_id": {"const": str(NIL)}}
    return documented(fields={"actions": {"items": FLOW_ACTION}} | dict(destinations), shapes=flow_or_actions)


class Made(Protocol):
    """Calls that were prepared and wait for their start."""

    @property
    def records(self) -> list[CallRecord]: ...
    @property
    def flow_id(self) -> UUID: ...
    def announce(self) -> None: ...
    def start(self) -> None: ...
    def hang_up(self) -> None: ...


async def read_order(
    services: Services,
    model: type[Order],
    body: OrderBody,
    source: Party | None,
    owner: UUID,
    *,
    any_flow: bool = False,
    **more: Any,
) -> Order:
    """The engine's order.

    any_flow: Whether the flow may be another customer's than the owner's.

    Raises ApiError: INVALID_NUMBER, DESTINATION_NOT_ALLOWED, FLOW_NOT_FOUND, INVALID_ACTION.
    """
    for index, party in enumerate(body.destinations):
        if party.type == "tel":
            await require_dialled(services, party.target, f"destinations[{index}].target")
    require_destinations(services, owner, body.destinations, "destinations")
    require_in_actions(services, owner, body.actions)
    await _require_flow(services, owner, body.flow_id, any_flow)
    if body.actions:
        _check(services, owner, body.actions, any_flow)
    return model(
        source=None if source is None else source.address(),
        destinations=[party.address() for party in body.destinations],
        anonymous=body.anonymous,
        flow_id="" if body.flow_id == NIL else str(body.flow_id),
        actions=body.actions,
        customer_id=owner,
        **more,
    )


async def _require_flow(services: Services, owner: UUID, flow_id: UUID, any_flow: bool) -> None:
    if flow_id == NIL:
        return
    await services.settled()
    if services.flows.library.find(flow_id, None if any_flow else owner) is not None:
        return
    async with services.store.read() as connection:
        row = await rows.one(connection, tables.flows, flow_id)
    if row is None or not (any_flow or row["customer_id"] in (owner, NIL)):
        raise fault_in("flow_id", "FLOW_NOT_FOUND", f"there is no flow {flow_id}; list the flows to find its id")
    # Another node has just made it.
    raise not_here_yet(f"flow {flow_id}")


def not_here_yet(what: str) -> ApiError:
    """The store has something that this process has not heard of."""
    problem = f"{what} is not known to this node yet; try again in a second"
    return ApiError("SERVICE_UNAVAILABLE", problem, retry_after=1)


class _Flows:
    """The flows that an order may refer to."""

    def __init__(self, services: Services, owner: UUID | None) -> None:
        self._find = services.flows.library.find
        self._owner = owner

    def __contains__(self, reference: object) -> bool:
        return self._find(reference, self._owner) is not None


def _check(services: Services, owner: UUID, actions: list[dict[str, Any]], any_flow: bool) -> None:
    try:
        read_flow(
            {"name": "", "actions": actions},
            ACTIONS,
            flows=_Flows(services, None if any_flow else owner),
            title="order",
        )
    except FlowError as error:
        raise refusal(error) from None
    refuse_private_in(services, actions)


def refused(error: OrderError) -> ApiError:
    """An order that the engine refuses, as the API says it."""
    if error.reason == "RATE_LIMIT_EXCEEDED":
        return ApiError(error.reason, str(error), retry_after=1)
    return fault_in(_NAMED_IN.get(error.reason, ""), error.reason, str(error))


_NAMED_IN = {"FLOW_NOT_FOUND": "flow_id", "PROVIDER_NOT_FOUND": "provider_id"}


async def keep(services: Services, made: Made, order: CallOrder) -> None:
    """Let the records of these calls be committed, and the flow that was made of the order's actions; `made.start` may
    come after it. Raises ApiError SERVICE_UNAVAILABLE, or StoreError: none of them will ever be dialled then."""
    made.announce()
    try:
        async with asyncio.timeout(KEPT_WITHIN):
            if order.actions:
                actions = read_flow({"name": "", "actions": order.actions}, ACTIONS).actions
                async with services.store.write() as transaction:
                    written = [action.model_dump() for action in actions]
                    await temporary_flows.keep(transaction, made.flow_id, order.customer_id, written)
            for record in made.records:
                await services.stored(record)
    except BaseException as error:
        made.hang_up()
        if isinstance(error, TimeoutError):
            problem = "the store does not take the records of these calls; none was dialled, try again in a moment"
            raise ApiError("SERVICE_UNAVAILABLE", problem, retry_after=1) from None
        raise


def documents(services: Services, records: Iterable[CallRecord]) -> Iterator[dict[str, Any]]:
    """Calls that run here, as they are now."""
    for record in records:
        yield call_document(live_row(services, record))


def live_row(services: Services, record: CallRecord) -> Row:
    """The row of a call that runs here, as it would be written now."""
    return call_row(record, services.node_id, services.store.clock())


__all__ = ["Made", "OrderBody", "documents", "keep", "live_row", "not_here_yet", "read_order", "refused"]
