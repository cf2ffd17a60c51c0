"""Text messages: sent from numbers of ours, and what has become of those that were sent or received."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Query
from pydantic import AfterValidator, BaseModel, Field
from pydantic_core import PydanticCustomError

from api.http.auth import Caller, Who, guarded
from api.http.bodies import router_for
from api.http.errors import ApiError, fault_in
from api.http.listing import Listing, OfCustomer, Pages
from api.http.services import Services, Use
from api.models.carriers import Carriers
from api.models.destinations import require_destinations
from api.models.fields import Body, Times
from api.models.parties import CALL_EXAMPLE, MESSAGE_DESTINATIONS, MOST_DESTINATIONS, OWN_SOURCE, Party, PartyAnswer
from api.openapi.schema import ANY_TEXT, documented
from api.resources.calls.call_authorisation import require_dialled, require_message_rights, require_source
from api.resources.resource import Resource, require_owner
from flows.calls.address import Address
from flows.messages.model import (
    MessageNotKept,
    MessageQueueFullError,
    MessageRequest,
    TextMessage,
    TooManyMessagesError,
    message_row,
)
from routing.access.destinations import named_by
from routing.identifiers import NIL
from routing.numbers.normalise import normalise_dialled
from store.database import tables
from store.resources.messages import message_document
from store.resources.numbers import living
from store.rows import Row

router = router_for("messages", "Text messages, and who wants none.")
MESSAGES = Resource(tables.messages, "message")

LONGEST_TEXT = 4096  # characters
MessageStatus = Literal["received", "sending", "delivered", "sent", "partly", "failed", "not_sent"]
Direction = Literal["incoming", "outgoing"]


def _sendable(text: str) -> str:
    if "\x00" in text:
        raise PydanticCustomError("INVALID_REQUEST_PARAMETER", "holds a NUL character; remove it")
    return text


class MessageAttempt(BaseModel):
    """One provider's turn, or a SIP URI's (`provider_id` is nil then), as a call's attempts have it: which provider it
    was, super admins alone see. The `_ms` fields count from when this destination's turn came."""

    provider_id: UUID
    provider_name: str
    request_uri: str
    outcome: str
    sip_status: int
    reason: str
    skipped: str
    start_ms: int | None
    end_ms: int | None


@documented(example={"status": "delivered", "type": "tel", "target": "+442079460123"})
class MessageTarget(PartyAnswer):
    """What became of a message at one destination: `delivered` (the far end said 200), `accepted` (it said 202, and
    will deliver it later), `failed` (with its last status, or 0 and the cause), `opted_out` (it wants no messages from
    this number, and nothing was sent), or `sending` as long as nobody knows."""

    status: Literal["sending", "delivered", "accepted", "failed", "opted_out"]
    sip_status: int
    sip_reason: str
    attempts: list[MessageAttempt]


@documented(example={"status": "delivered", "direction": "outgoing", "text": "Your table is ready."})
class Message(Times):
    """A message. One that was sent is `sending`, then `delivered` at all destinations, `sent` (some of them have only
    accepted it), `partly` (some have not got it) or `failed` (none has). `number_id` is the number of ours that it is
    from, or to. `not_sent`: kept by an earlier version, which did not send."""

    id: UUID
    customer_id: UUID
    direction: Direction
    status: MessageStatus
    source: PartyAnswer | None
    destinations: list[PartyAnswer]
    text: str
    number_id: UUID
    targets: list[MessageTarget]


@documented(fields=MESSAGE_DESTINATIONS)
class MessageCreate(Body):
    """A message from an active number of the customer, normal or virtual."""

    source: Party
    destinations: Annotated[list[Party], Field(min_length=1, max_length=MOST_DESTINATIONS)]
    text: Annotated[
        str,
        Field(min_length=1, max_length=LONGEST_TEXT, json_schema_extra={"pattern": ANY_TEXT}),
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
    page = await MESSAGES.list(services, caller, paging, *where, customer_id=customer_id)
    return page | {"result": _shown(services, caller, page["result"])}


@router.post(
    "/messages",
    summary="Send a text message",
    status_code=201,
    response_model=Message,
    **guarded(
        "customer_manager",
        402,
        examples={f"A text; {OWN_SOURCE}, or a virtual one": CALL_EXAMPLE | {"text": "Your table is ready."}},
    ),
)
async def create_message(services: Use, caller: Who, body: MessageCreate) -> Any:
    """Send a message. The answer comes when it is kept; what becomes of it is in `targets` later, and in the event
    `message_sent`. Whoever has texted STOP to the source gets nothing."""
    owner = caller.owner(body.customer_id)
    for index, party in enumerate(body.destinations):
        if party.type == "tel":
            await require_dialled(services, party.target, f"destinations[{index}].target")
        elif party.type != "sip":
            problem = f"a message goes to a number or a SIP URI, and this is {party.type}; use tel or sip"
            raise fault_in(f"destinations[{index}].type", "INVALID_REQUEST_PARAMETER", problem)
    require_destinations(services, owner, body.destinations, "destinations")
    async with services.store.read() as connection:
        await require_owner(connection, owner)
        await require_source(services, connection, caller, owner, body.source, virtual=True)
        source = normalise_dialled(body.source.target, services.routing, services.flows.calls.directory.numbers).number
        number = await living(connection, source)
    await require_message_rights(services, owner, body.destinations)
    order = MessageRequest(
        customer_id=owner,
        source=Address(type="tel", target=source, target_name=body.source.target_name),
        destinations=[party.address() for party in body.destinations],
        text=body.text,
        number_id=NIL if number is None else number["id"],
        named=named_by(owner, owner),
    )
    (answer,) = _shown(services, caller, [message_document(message_row(await _sent(services, order)))])
    return answer


async def _sent(services: Services, order: MessageRequest) -> TextMessage:
    """Kept, and on its way. Raises ApiError SERVICE_UNAVAILABLE, RATE_LIMIT_EXCEEDED."""
    post = services.flows.messages
    try:
        if post is None:
            raise MessageQueueFullError("this engine sends no messages")
        return await post.send(order)
    except TooManyMessagesError as error:
        raise ApiError("RATE_LIMIT_EXCEEDED", str(error), retry_after=1) from None
    except (MessageNotKept, MessageQueueFullError) as error:
        raise ApiError("SERVICE_UNAVAILABLE", str(error), retry_after=1) from None


@router.get("/messages/{message_id}", response_model=Message, **guarded("customer_agent"))
async def get_message(services: Use, caller: Who, message_id: UUID) -> Any:
    """One message."""
    (answer,) = _shown(services, caller, [await MESSAGES.get(services, caller, message_id)])
    return answer


def _shown(services: Services, caller: Caller, messages: Iterable[Row]) -> list[Row]:
    """As this caller sees them: providers are the platform's."""
    if caller.is_super:
        return list(messages)
    carriers = Carriers(services.flows.calls.directory)
    return [carriers.message(message) for message in messages]
