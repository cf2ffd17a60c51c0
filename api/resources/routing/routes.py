"""Routes: which provider serves which numbers, in which order, at which rate. The platform's, so super admins only."""

from dataclasses import asdict
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

from fastapi import Query
from pydantic import BaseModel

from api.http.auth import Who, guarded
from api.http.bodies import router_for
from api.http.errors import fault_in
from api.http.listing import Listing, OfCustomer, Pages
from api.http.services import Services, Use
from api.models.changes import changes, read_only, takes_back
from api.models.derive import checked, defaults, derive_fields
from api.models.fields import Body, Times, refuse_declared
from api.models.web_addresses import refuse_private
from api.openapi.examples import PROVIDER
from api.openapi.schema import LINE, TEXT, Fields, documented
from api.resources.resource import Resource, require_owner
from api.resources.routing.providers import CODES, TIMERS, require_provider
from routing.identifiers import NIL
from routing.models.route import Route, read_target
from store import rows
from store.database import tables
from store.directory.mapping import route_of, route_row

router = router_for("routes", "Which provider serves which numbers, in which order, at which rate; super admins only.")
_TARGET = r"^(all|emergency|[0-9]{3,8}|\+([1-79][0-9]{0,14}|8([0-8][0-9]{0,13})?|89([0-8][0-9]{0,12})?))$"
_ROUTE: Fields = {
    "name": LINE,
    "detail": TEXT,
    "target": {"pattern": _TARGET, "examples": ["all", "+44"]},
    "failover_codes": CODES,
    "stop_codes": CODES,
    **TIMERS,
}
ROUTES = Resource(tables.routes, "route")
_MADE_HERE = {"id", "tm_create", "tm_update", "tm_delete"}


@derive_fields(Route, without=_MADE_HERE)
class RouteAnswer(Times):
    """A route."""

    id: UUID
    declared_in: str


@documented(fields=_ROUTE)
@derive_fields(Route, without=_MADE_HERE)
class RouteCreate(Body):
    """A new route. With `customer_id` it serves that customer's calls only."""


@documented(fields=_ROUTE)
@takes_back(RouteAnswer)
@derive_fields(Route, without=_MADE_HERE, optional=True)
class RouteUpdate(Body):
    """What is to change."""


_CLEARED = defaults(Route, RouteUpdate.model_fields.keys() - read_only(RouteUpdate))


@documented(example={"reason": "", "position": 1, "tried": True})
class ExplainedEntry(BaseModel):
    """A route (or a pinned provider) in the order of the attempts. `position` counts those that would be tried from 1;
    0: skipped, and `reason` says why."""

    position: int
    provider_id: UUID
    provider_name: str
    route_id: UUID | None
    target: str
    priority: int
    weight: int
    rate: int
    message_rate: int
    owner: str
    request_uri: str
    tried: bool
    reason: str


@documented(example={"source": "client", "reason": "it is dialled out through the providers"})
class SourceVerdict(BaseModel):
    """What a caller of this kind (trunk, client, guest) would get."""

    source: str
    reason: str


@documented(
    example={
        "destination": "+442079460123",
        "number": "+442079460123",
        "reason": "it is dialled out through the providers",
    }
)
class Explanation(BaseModel):
    """Where a destination leads to at this moment, and why. `lookup`: who is asked first for the attempts, "" where
    nobody is; the entries are for when it does not say. `named`, of a SIP URI: what becomes of it as a destination
    that the platform names for itself (`operator`), or for a customer (`platform`), or a customer names."""

    destination: str
    number: str
    reason: str
    verdicts: list[SourceVerdict]
    lookup: str
    entries: list[ExplainedEntry]
    named: dict[Literal["operator", "platform", "customer"], str]


@router.get("/routes", response_model=Listing[RouteAnswer], **guarded("project_super_admin"))
async def list_routes(
    services: Use,
    caller: Who,
    paging: Pages,
    customer_id: OfCustomer = None,
    provider_id: Annotated[UUID | None, Query()] = None,
    target: Annotated[str | None, Query(max_length=20)] = None,
) -> Any:
    """The routes, newest first."""
    columns = tables.routes.c
    where = [] if provider_id is None else [columns.provider_id == provider_id]
    where += [] if target is None else [columns.target == read_target(target, services.routing)]
    return await ROUTES.list(services, caller, paging, *where, customer_id=customer_id)


@router.post(
    "/routes",
    status_code=201,
    response_model=RouteAnswer,
    **guarded(
        "project_super_admin",
        examples={
            "All of Britain; put the id of your provider": {"target": "+44", "provider_id": PROVIDER, "rate": 60_000}
        },
    ),
)
async def create_route(services: Use, caller: Who, body: RouteCreate) -> Any:
    """Create a route."""
    route = checked(Route, body.model_dump(exclude_unset=True) | {"id": uuid4()}, {"numbering": services.routing})
    async with services.store.write() as transaction:
        _require_public(services, route)
        await require_owner(transaction, route.customer_id)
        await require_provider(transaction, route.provider_id)
        row = await rows.insert(transaction, tables.routes, route_row(route))
        transaction.changed("route", row["id"])
    return row


# Before /routes/{route_id}: what comes first is tried first.
@router.get(
    "/routes/explain",
    summary="Explain where a destination leads",
    response_model=Explanation,
    **guarded("project_super_admin"),
)
async def explain_destination(
    services: Use,
    caller: Who,
    destination: Annotated[str, Query(min_length=1, max_length=256, description="As it would be dialled.")],
    customer_id: OfCustomer = None,
) -> Any:
    """Which number or which providers, in which order, a destination leads to."""
    flows = services.flows
    found = flows.calls.router.explain(destination, flows.calls.clock(), customer_id=customer_id or NIL)
    return {
        "destination": destination,
        "number": found.dialled.number,
        "reason": found.reason,
        "verdicts": [asdict(verdict) for verdict in found.verdicts],
        "lookup": found.lookup,
        "entries": [asdict(entry) for entry in found.entries],
        "named": found.named,
    }


@router.get("/routes/{route_id}", response_model=RouteAnswer, **guarded("project_super_admin"))
async def get_route(services: Use, caller: Who, route_id: UUID) -> Any:
    """One route."""
    return await ROUTES.get(services, caller, route_id)


@router.put(
    "/routes/{route_id}",
    response_model=RouteAnswer,
    **guarded("project_super_admin", 409, examples={"Tried last": {"priority": 10}}),
)
async def update_route(services: Use, caller: Who, route_id: UUID, body: RouteUpdate) -> Any:
    """Change a route."""
    async with services.store.write() as transaction:
        before = await ROUTES.find(transaction, caller, route_id)
        changed = changes(body, before, RouteAnswer, _CLEARED)
        refuse_declared(before, "route")
        values = route_of(before).model_dump(exclude=_MADE_HERE - {"id"}) | changed
        route = checked(Route, values, {"numbering": services.routing})
        _require_public(services, route)
        await require_owner(transaction, route.customer_id)
        await require_provider(transaction, route.provider_id)
        row = await rows.update(transaction, tables.routes, route_id, route_row(route))
        transaction.changed("route", route_id)
    return row


def _require_public(services: Services, route: Route) -> None:
    """Only a configuration file has anybody of this network asked, or without encryption. Raises ApiError."""
    if route.lookup is None:
        return
    if route.lookup.url[:6].lower() != "https:":
        raise fault_in("lookup.url", "INVALID_REQUEST_PARAMETER", "is not https; a configuration file may say so")
    refuse_private(services, route.lookup.url, "lookup.url")


@router.delete("/routes/{route_id}", response_model=RouteAnswer, **guarded("project_super_admin", 409))
async def delete_route(services: Use, caller: Who, route_id: UUID) -> Any:
    """Delete a route."""
    return await ROUTES.delete(services, caller, route_id)
