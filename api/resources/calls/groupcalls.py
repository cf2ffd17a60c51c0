"""Groupcalls: several destinations are called for one purpose, and the first that answers has it."""

import asyncio
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import Query
from pydantic import Field
from sqlalchemy.exc import SQLAlchemyError

from api.http.auth import Who, guarded
from api.http.bodies import router_for
from api.http.errors import ApiError
from api.http.listing import Listing, OfCustomer, Pages
from api.http.services import Services, Use
from api.models.fields import Metadata, Times
from api.models.parties import CALL_EXAMPLE, DESTINATIONS, OWN_SOURCE, Party, PartyAnswer, shown
from api.openapi.schema import documented
from api.resources.calls.call_authorisation import require_rights
from api.resources.calls.call_orders import OrderBody, keep, ordered, read_order, refused
from api.resources.calls.calls import elsewhere
from api.resources.resource import Resource
from flows.calls.tasks import TooManyTasksError
from flows.origination.groupcall import GroupCall as Running
from flows.origination.groupcall import GroupCallRequest, prepare_group_call
from flows.origination.orders import OrderError
from routing.identifiers import NIL
from store import rows
from store.database import tables
from store.database.engines import reason
from store.database.errors import StoreError
from store.rows import Row

router = router_for("groupcalls", "Several destinations for one purpose: who answers first has it.")
GROUPCALLS = Resource(tables.groupcalls, "groupcall")

RingMethod = Literal["ring_all", "linear"]
GroupStatus = Literal["dialing", "progressing", "hangup"]

FIRST_RETRY: Final = 0.1  # s until what the store did not take is written again; doubled each time
LAST_RETRY: Final = 5.0


@documented(example={"status": "progressing"})
class GroupCall(Times):
    """A groupcall: `dialing` until somebody answers, then `progressing`, and `hangup` when all of its calls are over.
    `answer_call_id` is the call that was answered."""

    id: UUID
    customer_id: UUID
    status: GroupStatus
    source: PartyAnswer | None
    destinations: list[PartyAnswer]
    ring_method: RingMethod
    flow_id: UUID
    answer_call_id: UUID
    call_ids: list[UUID]


@ordered(DESTINATIONS)
class GroupCallCreate(OrderBody):
    """A groupcall to be made: `ring_all` calls all destinations at once, `linear` one after another. The source must be
    an active normal number of the customer; `metadata` goes to the calls."""

    source: Party
    ring_method: RingMethod = "ring_all"
    customer_id: UUID | None = None
    metadata: Metadata = Field({})


@router.get("/groupcalls", response_model=Listing[GroupCall], **guarded("customer_agent"))
async def list_groupcalls(
    services: Use,
    caller: Who,
    paging: Pages,
    customer_id: OfCustomer = None,
    status: Annotated[GroupStatus | None, Query()] = None,
) -> Any:
    """The groupcalls, newest first."""
    where = [] if status is None else [tables.groupcalls.c.status == status]
    return await GROUPCALLS.list(services, caller, paging, *where, customer_id=customer_id)


@router.post(
    "/groupcalls",
    summary="Call several destinations for one purpose",
    status_code=201,
    response_model=GroupCall,
    **guarded(
        "customer_manager",
        402,
        409,
        examples={
            f"Two at once, the first to answer has the call; {OWN_SOURCE}": CALL_EXAMPLE
            | {
                "destinations": [
                    {"type": "tel", "target": "+442079460123"},
                    {"type": "tel", "target": "+442079460124"},
                ],
                "ring_method": "ring_all",
            }
        },
    ),
)
async def create_groupcall(services: Use, caller: Who, body: GroupCallCreate) -> Any:
    """Call several destinations for one purpose: who answers first has it, and the others are given up."""
    owner = caller.owner(body.customer_id)
    order = await read_order(services, GroupCallRequest, body, body.source, owner, ring_method=body.ring_method)
    await require_rights(services, caller, owner, body.source, body.destinations)
    try:
        made = prepare_group_call(services.flows, order, metadata=body.metadata)
    except OrderError as error:
        raise refused(error) from None
    await keep(services, made, order)
    try:
        _follow(services, made)
        async with services.store.write() as transaction:
            row = await rows.insert(transaction, tables.groupcalls, _row(services, made))
    except BaseException:
        made.hang_up()
        raise
    made.start()
    return row


@router.get("/groupcalls/{groupcall_id}", response_model=GroupCall, **guarded("customer_agent"))
async def get_groupcall(services: Use, caller: Who, groupcall_id: UUID) -> Any:
    """One groupcall; as it is now, where it runs on the node that is asked."""
    return _as_it_is(services, await GROUPCALLS.get(services, caller, groupcall_id))


@router.post(
    "/groupcalls/{groupcall_id}/hangup",
    summary="Hang up all calls of a groupcall",
    response_model=GroupCall,
    **guarded("customer_manager", 409),
)
async def hang_up_groupcall(services: Use, caller: Who, groupcall_id: UUID) -> Any:
    """End all calls of a groupcall."""
    row = await GROUPCALLS.get(services, caller, groupcall_id)
    running = services.groupcalls.get(groupcall_id)
    if running is None and row["status"] != "hangup":
        raise await elsewhere(services, row, "groupcall")
    if running is None or running.status == "hangup":
        problem = f"groupcall {groupcall_id} is over already"
        raise ApiError("GROUPCALL_ALREADY_HANGUP", problem)
    running.hang_up()
    return _as_it_is(services, row)


def _row(services: Services, made: Running) -> dict[str, Any]:
    assert made.source is not None  # the body has one
    return {
        "id": made.id,
        "customer_id": made.customer_id,
        "node_id": services.node_id,
        "source": shown(made.source),
        "destinations": [shown(address) for address in made.destinations],
        "ring_method": made.ring_method,
        "flow_id": made.flow_id,
        "call_ids": list(made.call_ids),
    } | _state(made)


def _state(made: Running) -> dict[str, Any]:
    """What changes of it."""
    answered = made.answer_call_id
    return {"status": made.status, "answer_call_id": UUID(answered) if answered else NIL}


def _as_it_is(services: Services, row: Row) -> Row:
    running = services.groupcalls.get(row["id"])
    return row if running is None else row | _state(running) | {"tm_update": max(row["tm_update"], running.tm_update)}


# ---- what becomes of it goes into the store


def _follow(services: Services, made: Running) -> None:
    """Begin to write its changes. Raises ApiError RATE_LIMIT_EXCEEDED where too much is going on."""
    news = asyncio.Event()
    made.on_change = lambda _: news.set()
    try:
        services.flows.calls.tasks.start(_write_changes(services, made, news), f"states of groupcall {made.id}")
    except TooManyTasksError as error:
        raise ApiError("RATE_LIMIT_EXCEEDED", f"{error}; try again later", retry_after=1) from None
    services.groupcalls[made.id] = made


async def _write_changes(services: Services, made: Running, news: asyncio.Event) -> None:
    """Until its end is written. One that is stopped with the engine is written as over, as all calls end then."""
    try:
        while made.status != "hangup" or news.is_set():
            await news.wait()
            news.clear()
            await _write_surely(services, made)
    except asyncio.CancelledError:
        await _write(services, made.id, _state(made) | {"status": "hangup"})
        raise
    finally:
        made.on_change = None
        services.groupcalls.pop(made.id, None)


async def _write_surely(services: Services, made: Running) -> None:
    """Again and again until the store takes it; what has changed meanwhile goes with it."""
    retry = FIRST_RETRY
    while True:
        try:
            await _write(services, made.id, _state(made))
        except (StoreError, SQLAlchemyError, OSError) as error:
            log = services.flows.calls.log
            log.warning("a groupcall waits for the store", groupcall_id=str(made.id), error=reason(error))
            await asyncio.sleep(retry)
            retry = min(retry * 2, LAST_RETRY)
        else:
            return


async def _write(services: Services, groupcall_id: UUID, state: dict[str, Any]) -> None:
    async with services.store.write() as transaction:
        await rows.update(transaction, tables.groupcalls, groupcall_id, state)
