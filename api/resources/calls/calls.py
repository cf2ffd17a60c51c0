"""Calls: made, listed, looked at while they run and when they are over, hung up, put away."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal
from uuid import UUID

import sqlalchemy as sa
from fastapi import Query
from pydantic import BaseModel, Field, JsonValue

from api.http.auth import Caller, Who, guarded
from api.http.bodies import router_for
from api.http.errors import ApiError
from api.http.listing import Listing, OfCustomer, Pages
from api.http.services import Services, Use
from api.models.carriers import Carriers
from api.models.fields import Metadata, Name, Times, Timestamp
from api.models.parties import CALL_EXAMPLE, DESTINATIONS, OWN_SOURCE, Party, PartyAnswer
from api.models.query_time import QueryTime
from api.openapi.schema import documented
from api.resources.calls.call_authorisation import require_rights
from api.resources.calls.call_orders import OrderBody, documents, keep, live_row, ordered, read_order, refused
from api.resources.flows import GREETING
from api.resources.numbers.numbers import asked_number
from api.resources.resource import Resource
from flows.calls.hangup import hangup_by_id
from flows.origination.orders import CallOrder, OrderError, prepare_calls
from routing.hunt.outcome import HangupReason
from routing.identifiers import NIL
from store import rows
from store.database import tables
from store.resources.calls import call_document
from store.rows import Row

router = router_for("calls", "Calls: made, followed, hung up; what was tried for each, and its SIP messages.")
CALLS = Resource(tables.calls, "call")

CallStatus = Literal["dialing", "ringing", "progressing", "terminating", "canceling", "hangup"]
Direction = Literal["incoming", "outgoing"]
_HANGUP = "hangup"


@documented(example={"status": "hangup", "direction": "outgoing"})
class Call(Times):
    """A call. `sip_status` and `sip_reason` are how it ended on the wire; `hangup_by` is `remote` or `local`, and with
    `hangup_reason` empty while the call lasts. `provider_id` is the trunk that it came from, or went to last; trunks
    are the platform's, and customers see the nil UUID.
    `media` is what went through media of ours: `codec`, packets `sent`, `received`, `lost`, `refused` (of them
    `unverified`: not under the key of SRTP), `jitter_ms`, `rtt_ms`."""

    id: UUID
    customer_id: UUID
    flow_id: UUID
    number_id: UUID
    groupcall_id: UUID
    provider_id: UUID
    direction: Direction
    status: CallStatus
    source: PartyAnswer
    destination: PartyAnswer
    anonymous: bool
    hangup_by: str
    hangup_reason: str
    sip_status: int
    sip_reason: str
    metadata: dict[str, JsonValue]
    media: dict[str, JsonValue]
    notes: list[str]
    tm_ringing: Timestamp | None
    tm_progressing: Timestamp | None
    tm_hangup: Timestamp | None


@ordered(DESTINATIONS)
class CallCreate(OrderBody):
    """Calls to be made. The source must be an active normal number of the customer."""

    source: Party
    customer_id: UUID | None = None
    metadata: Metadata = Field({})


@documented(example={"groupcalls": []})
class CallsMade(BaseModel):
    """The calls of an order, in the order of its destinations. `groupcalls` is always empty: `POST /groupcalls` makes
    them."""

    calls: list[Call]
    groupcalls: list[UUID]


@router.get("/calls", response_model=Listing[Call], **guarded("customer_agent"))
async def list_calls(
    services: Use,
    caller: Who,
    paging: Pages,
    customer_id: OfCustomer = None,
    status: Annotated[CallStatus | None, Query()] = None,
    direction: Annotated[Direction | None, Query()] = None,
    source: Annotated[Name | None, Query(description="A number, or a URI.")] = None,
    destination: Annotated[Name | None, Query(description="A number, or a URI.")] = None,
    hangup_reason: Annotated[HangupReason | None, Query()] = None,
    provider_id: Annotated[UUID | None, Query()] = None,
    groupcall_id: Annotated[UUID | None, Query()] = None,
    number_id: Annotated[UUID | None, Query()] = None,
    flow_id: Annotated[UUID | None, Query()] = None,
    since: QueryTime = None,
    until: QueryTime = None,
) -> Any:
    """The calls, newest first. `since` and `until` are about when they began, `until` not included."""
    columns = tables.calls.c
    where = [
        column == value
        for column, value in (
            (columns.status, status),
            (columns.direction, direction),
            (columns.source, _party(services, source)),
            (columns.destination, _party(services, destination)),
            (columns.hangup_reason, hangup_reason),
            (columns.provider_id, provider_id if caller.is_super else None),
            (columns.groupcall_id, groupcall_id),
            (columns.number_id, number_id),
            (columns.flow_id, flow_id),
        )
        if value is not None
    ]
    if status not in (None, _HANGUP):
        where.append(columns.tm_hangup.is_(None))  # for which there is an index
    if since is not None:
        where.append(columns.tm_create >= since)
    if until is not None:
        where.append(columns.tm_create < until)
    if provider_id not in (None, NIL) and not caller.is_super:
        where.append(sa.false())  # to a customer no call has a provider
    page = await CALLS.list(services, caller, paging, *where, customer_id=customer_id)
    return page | {"result": shown(services, caller, map(call_document, page["result"]))}


@router.post(
    "/calls",
    summary="Make calls",
    status_code=201,
    response_model=CallsMade,
    **guarded(
        "customer_manager",
        402,
        409,
        examples={
            f"A call that plays something; {OWN_SOURCE}": CALL_EXAMPLE | {"actions": GREETING},
            f"A call, hung up when it is answered; {OWN_SOURCE}": CALL_EXAMPLE,
        },
    ),
)
async def create_calls(services: Use, caller: Who, body: CallCreate) -> Any:
    """Call each destination as one of the customer's own numbers. The calls are kept before anything is dialled; follow
    them at `GET /calls/{call_id}` until their status is `hangup`."""
    owner = caller.owner(body.customer_id)
    order = await read_order(services, CallOrder, body, body.source, owner)
    await require_rights(services, caller, owner, body.source, body.destinations)
    try:
        made = prepare_calls(services.flows, order, metadata=body.metadata)
    except OrderError as error:
        raise refused(error) from None
    await keep(services, made, order)
    answer = {"calls": shown(services, caller, documents(services, made.records)), "groupcalls": []}
    made.start()
    return answer


@router.get("/calls/{call_id}", response_model=Call, **guarded("customer_agent"))
async def get_call(services: Use, caller: Who, call_id: UUID) -> Any:
    """One call; as it is now, where it runs on the node that is asked."""
    return _answer(services, caller, _as_it_is(services, await CALLS.get(services, caller, call_id)))


@router.post(
    "/calls/{call_id}/hangup", summary="Hang up a call", response_model=Call, **guarded("customer_manager", 409)
)
async def hang_up_call(services: Use, caller: Who, call_id: UUID) -> Any:
    """End a call: it is cancelled before its answer, and hung up after it. The answer shows it on its way; its status
    is `hangup` when the other side has agreed, or said nothing for too long."""
    row = await CALLS.get(services, caller, call_id)
    if not hangup_by_id(services.flows.calls.registry, str(call_id)):
        raise await _not_running(services, row)
    return _answer(services, caller, _as_it_is(services, row))


@router.delete("/calls/{call_id}", response_model=Call, **guarded("customer_manager", 409))
async def delete_call(services: Use, caller: Who, call_id: UUID) -> Any:
    """Take a call that is over out of the lists."""
    async with services.store.write() as transaction:
        await CALLS.find(transaction, caller, call_id)
        # Until it is over its node writes it again and again.
        row = await rows.soft_delete(transaction, tables.calls, call_id, tables.calls.c.tm_hangup.is_not(None))
    if row is None:
        problem = f"call {call_id} is not over; hang it up first"
        raise ApiError("CALL_IN_PROGRESS", problem)
    return _answer(services, caller, row)


def shown(services: Services, caller: Caller, calls: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Documents of calls as this caller sees them: the trunks are the platform's."""
    if caller.is_super:
        return list(calls)
    carriers = Carriers(services.flows.calls.directory)
    return [carriers.call(document) for document in calls]


def _answer(services: Services, caller: Caller, row: Row) -> dict[str, Any]:
    return shown(services, caller, [call_document(row)])[0]


def _as_it_is(services: Services, row: Row) -> Row:
    """The row with what has happened since it was written; what the store says of a call that is over is the last
    word."""
    record = services.flows.calls.registry.get(str(row["id"])) if row["tm_hangup"] is None else None
    return row if record is None else live_row(services, record)


async def _not_running(services: Services, row: Row) -> ApiError:
    """Why a call cannot be hung up here."""
    call_id = row["id"]
    if row["tm_hangup"] is not None or services.flows.calls.registry.get(str(call_id)) is not None:
        return ApiError("CALL_ALREADY_HANGUP", f"call {call_id} is over already")
    return await elsewhere(services, row, "call")


async def elsewhere(services: Services, row: Row, word: str) -> ApiError:
    """What runs on another node is ended there."""
    async with services.store.read() as connection:
        query = sa.select(tables.nodes.c.name).where(tables.nodes.c.id == row["node_id"])
        name = (await connection.execute(query)).scalar_one_or_none()
    problem = f"{word} {row['id']} runs on the node {name or row['node_id']}; ask that one"
    return ApiError("RUNS_ON_OTHER_NODE", problem)


def _party(services: Services, text: str | None) -> str | None:
    """A number as people write it, or whatever else was dialled."""
    return None if text is None else asked_number(services, text) or text


__all__ = ["CALLS", "Call", "elsewhere", "router"]
