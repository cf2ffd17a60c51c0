"""Providercalls: calls through one provider and no other, to see that its trunk works. Super admins only."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Query

from api.http.auth import Who, guarded
from api.http.bodies import router_for
from api.http.errors import fault_in
from api.http.listing import Listing, Pages
from api.http.services import Services, Use
from api.models.fields import Times
from api.models.parties import CALL_EXAMPLE, NUMBER_DESTINATIONS, Party, PartyAnswer, shown
from api.openapi.examples import PROVIDER
from api.resources.calls.call_orders import OrderBody, keep, not_here_yet, ordered, read_order, refused
from api.resources.flows import GREETING
from api.resources.resource import Resource
from flows.origination.orders import OrderError
from flows.origination.providercall import ProviderCall as Prepared
from flows.origination.providercall import ProviderCallRequest, prepare_provider_call
from store import rows
from store.database import tables

router = router_for("providercalls", "Calls through one provider, whatever the routes say; super admins only.")
PROVIDERCALLS = Resource(tables.providercalls, "providercall")


class ProviderCall(Times):
    """What was asked for, and the calls that were made of it. It does not change as they go on: follow each of
    `call_ids` at `GET /calls/{call_id}`. `groupcall_ids` is always empty."""

    id: UUID
    customer_id: UUID
    provider_id: UUID
    flow_id: UUID
    source: PartyAnswer | None
    destinations: list[PartyAnswer]
    anonymous: str
    call_ids: list[UUID]
    groupcall_ids: list[UUID]


@ordered(NUMBER_DESTINATIONS)
class ProviderCallCreate(OrderBody):
    """Calls to be made through a provider; all destinations are numbers. Nobody asks whether the source is a number of
    yours: it is for the provider to accept it. Without a source a call leaves with no caller."""

    provider_id: UUID
    source: Party | None = None


@router.get("/providercalls", response_model=Listing[ProviderCall], **guarded("project_super_admin"))
async def list_providercalls(
    services: Use, caller: Who, paging: Pages, provider_id: Annotated[UUID | None, Query()] = None
) -> Any:
    """The providercalls of the admin's own customer, newest first."""
    where = [] if provider_id is None else [tables.providercalls.c.provider_id == provider_id]
    return await PROVIDERCALLS.list(services, caller, paging, *where, customer_id=caller.customer_id)


@router.post(
    "/providercalls",
    summary="Call through one provider",
    status_code=201,
    response_model=ProviderCall,
    **guarded(
        "project_super_admin",
        examples={
            "A call that plays something; put the id of your provider": CALL_EXAMPLE
            | {"provider_id": PROVIDER, "anonymous": "auto", "actions": GREETING},
            "A call, hung up when it is answered; put the id of your provider": CALL_EXAMPLE
            | {"provider_id": PROVIDER},
        },
    ),
)
async def create_providercall(services: Use, caller: Who, body: ProviderCallCreate) -> Any:
    """Call each destination through one provider. These are real calls, which somebody may have to pay for. The record
    and its calls are kept before anything is dialled."""
    for index, party in enumerate(body.destinations):
        if party.type != "tel":
            problem = f"a provider dials numbers, and this is {party.type}; use tel"
            raise fault_in(f"destinations[{index}].type", "INVALID_REQUEST_PARAMETER", problem)
    await _require_provider(services, body.provider_id)
    order = await read_order(
        services,
        ProviderCallRequest,
        body,
        body.source,
        caller.customer_id,
        any_flow=True,
        provider_id=body.provider_id,
    )
    try:
        made = prepare_provider_call(services.flows, order)
    except OrderError as error:
        raise refused(error) from None
    await keep(services, made, order)
    try:
        async with services.store.write() as transaction:
            row = await rows.insert(transaction, tables.providercalls, _row(made))
    except BaseException:
        made.hang_up()
        raise
    made.start()
    return row


@router.get("/providercalls/{providercall_id}", response_model=ProviderCall, **guarded("project_super_admin"))
async def get_providercall(services: Use, caller: Who, providercall_id: UUID) -> Any:
    """One providercall."""
    return await PROVIDERCALLS.get(services, caller, providercall_id)


@router.delete("/providercalls/{providercall_id}", response_model=ProviderCall, **guarded("project_super_admin"))
async def delete_providercall(services: Use, caller: Who, providercall_id: UUID) -> Any:
    """Take the record of a providercall out of the lists. Its calls stay, and go on."""
    return await PROVIDERCALLS.delete(services, caller, providercall_id)


async def _require_provider(services: Services, provider_id: UUID) -> None:
    await services.settled()
    async with services.store.read() as connection:
        row = await rows.one(connection, tables.providers, provider_id)
    if row is None:
        problem = f"there is no provider {provider_id}; list the providers to find its id"
        raise fault_in("provider_id", "PROVIDER_NOT_FOUND", problem)
    if services.flows.calls.directory.provider(provider_id) is None:
        raise not_here_yet(f"provider {provider_id}")


def _row(made: Prepared) -> dict[str, Any]:
    """`tm_create` and `tm_update` are the transaction's, and so alike."""
    return {
        "id": made.id,
        "customer_id": made.customer_id,
        "provider_id": made.provider_id,
        "flow_id": made.flow_id,
        "source": None if made.source is None else shown(made.source),
        "destinations": [shown(address) for address in made.destinations],
        "anonymous": made.anonymous,
        "call_ids": list(made.call_ids),
        "groupcall_ids": list(made.groupcall_ids),
    }
