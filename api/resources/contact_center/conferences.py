"""Conferences: rooms where callers talk together."""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field

from api.http.auth import Who, guarded
from api.http.bodies import router_for
from api.http.listing import Listing, OfCustomer, Pages
from api.http.services import Use
from api.models.changes import changes, takes_back
from api.models.fields import Body, Detail, Name, Times, Timestamp, absent
from api.openapi.examples import SOURCE
from api.openapi.schema import documented
from api.resources.resource import Resource
from store.database import tables
from store.rows import Row
from store.store import Transaction

router = router_for("conferences", "Rooms where callers talk together.")
CONFERENCES = Resource(tables.conferences, "conference")

Milliseconds = Annotated[int, Field(ge=0, le=86_400_000)]
Members = Annotated[int, Field(ge=0, le=1000)]


class Conference(Times):
    """A conference. `timeout` in milliseconds from when the first joins, 0 for no limit; `max_members` 0 for no limit.
    `announce`: the members hear a tone when somebody joins or leaves. `declared_in` is the configuration file that owns
    it, "" for none."""

    id: UUID
    customer_id: UUID
    name: str
    detail: str
    timeout: int
    max_members: int
    announce: bool
    declared_in: str


class ConferenceCreate(Body):
    """A new conference."""

    customer_id: UUID | None = None
    name: Name = ""
    detail: Detail = ""
    timeout: Milliseconds = 0
    max_members: Members = 0
    announce: bool = True


@takes_back(Conference)
class ConferenceUpdate(Body):
    """What is to change."""

    name: Name | None = None
    detail: Detail | None = None
    timeout: Milliseconds | None = None
    max_members: Members | None = None
    announce: bool = absent()


@documented(example={"source": SOURCE})
class ConferenceMember(BaseModel):
    """A call that is in a conference."""

    call_id: UUID
    source: str
    tm_join: Timestamp


class ConferenceMembers(BaseModel):
    """Who is in a conference, in the order in which they came."""

    result: list[ConferenceMember]


_CLEARED = {"name": "", "detail": "", "timeout": 0, "max_members": 0}


@router.get("/conferences", response_model=Listing[Conference], **guarded("customer_agent"))
async def list_conferences(services: Use, caller: Who, paging: Pages, customer_id: OfCustomer = None) -> Any:
    """The conferences, newest first."""
    return await CONFERENCES.list(services, caller, paging, customer_id=customer_id)


@router.post(
    "/conferences",
    status_code=201,
    response_model=Conference,
    **guarded("customer_admin", examples={"A room for ten": {"name": "all hands", "max_members": 10}}),
)
async def create_conference(services: Use, caller: Who, body: ConferenceCreate) -> Any:
    """Create a conference."""
    return await CONFERENCES.create(services, body.model_dump() | {"customer_id": caller.owner(body.customer_id)})


@router.get("/conferences/{conference_id}", response_model=Conference, **guarded("customer_agent"))
async def get_conference(services: Use, caller: Who, conference_id: UUID) -> Any:
    """One conference."""
    return await CONFERENCES.get(services, caller, conference_id)


@router.get(
    "/conferences/{conference_id}/members",
    summary="List who is in a conference",
    response_model=ConferenceMembers,
    **guarded("customer_agent"),
)
async def list_conference_members(services: Use, caller: Who, conference_id: UUID) -> Any:
    """Who is in a conference now, on this node."""
    await CONFERENCES.get(services, caller, conference_id)
    conferences = services.flows.conferences
    seats = conferences.members(conference_id) if conferences is not None else ()
    shown = [
        {"call_id": seat.call_id, "source": seat.source, "tm_join": datetime.fromtimestamp(seat.joined, UTC)}
        for seat in seats
    ]
    return {"result": shown}


@router.put(
    "/conferences/{conference_id}",
    response_model=Conference,
    **guarded("customer_admin", examples={"Another name": {"name": "another name"}}),
)
async def update_conference(services: Use, caller: Who, conference_id: UUID, body: ConferenceUpdate) -> Any:
    """Change a conference."""

    async def change(_transaction: Transaction, before: Row) -> Row:
        return changes(body, before, Conference, _CLEARED)

    return await CONFERENCES.update(services, caller, conference_id, change)


@router.delete("/conferences/{conference_id}", response_model=Conference, **guarded("customer_admin"))
async def delete_conference(services: Use, caller: Who, conference_id: UUID) -> Any:
    """Delete a conference; the answer is what it was, with `tm_delete`."""
    return await CONFERENCES.delete(services, caller, conference_id)
