"""Messages: kept as records. This version sends none."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from api import patterns
from api.auth import Who, guarded
from api.call_rights import require_dialled, require_source
from api.errors import fault_in
from api.fields import Body, Times
from api.listing import Listing, OfCustomer, Pages
from api.parties import MOST_DESTINATIONS, Party, PartyAnswer, shown
from api.resource import Resource
from api.services import Use
from store import tables

router = APIRouter(tags=["messages"])
MESSAGES = Resource(tables.messages, "message")

LONGEST_TEXT = 4096  # characters
MessageStatus = Literal["not_sent", "sent", "received"]
Direction = Literal["incoming", "outgoing"]


def _sendable(text: str) -> str:
    if "\x00" in text:
        raise PydanticCustomError("INVALID_REQUEST_PARAMETER", "holds a NUL character; remove it")
    return text


class Message(Times):
    """A message. The status of one that is made here is `not_sent`: the record is kept, and nothing leaves for the
    destinations; a later version, which sends, will not send it after all."""

    id: UUID
    customer_id: UUID
    direction: Direction
    status: MessageStatus
    source: PartyAnswer | None
    destinations: list[PartyAnswer]
    text: str


class MessageCreate(Body):
    """A message from an active number of the customer, normal or virtual."""

    source: Party
    destinations: Annotated[list[Party], Field(min_length=1, max_length=MOST_DESTINATIONS)]
    text: Annotated[
        str,
        Field(min_length=1, max_length=LONGEST_TEXT, json_schema_extra={"pattern": patterns.ANY_TEXT}),
        AfterValidator(_sendable),
    ]
    customer_id: UUID | None = None


@router.get("/messages", response_model=Listing[Message], **guarded("customer_agent"))
async def list_messages(
    services: Use,
    caller: Who,
    paging: Pages,
    customer_id: OfCustomer = None,
    status: Annotated[MessageStatus | None, Query()] = None,
    direction: Annotated[Direction | None, Query()] = None,
) -> Any:
    """The messages, newest first."""
    columns = tables.messages.c
    where = [
        column == value
        for column, value in ((columns.status, status), (columns.direction, direction))
        if value is not None
    ]
    return await MESSAGES.list(services, caller, paging, *where, customer_id=customer_id)


@router.post("/messages", status_code=201, response_model=Message, **guarded("customer_manager"))
async def create_message(services: Use, caller: Who, body: MessageCreate) -> Any:
    """Keep a message. This version does not send it, and its status says so."""
    owner = caller.owner(body.customer_id)
    for index, party in enumerate(body.destinations):
        if party.type == "tel":
            await require_dialled(services, party.target, f"destinations[{index}].target")
        elif party.type != "sip":
            problem = f"a message goes to a number or a SIP URI, and this is {party.type}; use tel or sip"
            raise fault_in(f"destinations[{index}].type", "INVALID_REQUEST_PARAMETER", problem)
    async with services.store.read() as connection:
        await require_source(services, connection, caller, owner, body.source, virtual=True)
    values = {
        "customer_id": owner,
        "direction": "outgoing",
        "status": "not_sent",
        "source": shown(body.source.address()),
        "destinations": [shown(party.address()) for party in body.destinations],
        "text": body.text,
    }
    return await MESSAGES.create(services, values)


@router.get("/messages/{message_id}", response_model=Message, **guarded("customer_agent"))
async def get_message(services: Use, caller: Who, message_id: UUID) -> Any:
    """One message."""
    return await MESSAGES.get(services, caller, message_id)
