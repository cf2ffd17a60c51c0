"""Webhooks: where a customer's events are sent, and how that went."""

import secrets
from typing import Annotated, Any, Literal
from uuid import UUID

import sqlalchemy as sa
from fastapi import Query
from pydantic import AfterValidator, BaseModel, Field
from pydantic_core import PydanticCustomError

from api.http.auth import Who, guarded
from api.http.bodies import router_for
from api.http.errors import ApiError
from api.http.listing import Listing, OfCustomer, Pages
from api.http.services import Use
from api.models.changes import changes, takes_back
from api.models.fields import Body, Detail, Name, Times, Timestamp, absent
from api.models.web_addresses import refuse_private
from api.openapi.schema import documented
from api.resources.resource import Resource, require_owner
from routing.identifiers import NIL, PLATFORM
from store import rows
from store.database import tables
from store.database.vault import transform_secrets
from store.event_types import EVENT_TYPES, EventType
from store.rows import Row
from store.store import Transaction

router = router_for("webhooks", "Where events are sent, and how that went.")
WEBHOOKS = Resource(tables.webhooks, "webhook")
MOST_OF_ONE = 50
"""Webhooks of one customer: each takes its part of every event, and of the time that deliveries of all have. The
platform's are not counted."""

Types = Annotated[list[EventType], Field(max_length=len(EVENT_TYPES))]


def _web_address(uri: str) -> str:
    if not uri.startswith(("http://", "https://")) or any(letter <= " " or letter == "\x7f" for letter in uri):
        raise PydanticCustomError(
            "INVALID_REQUEST_PARAMETER", "is no web address; write it like https://example.com/path"
        )
    return uri


WebAddress = Annotated[
    str,
    Field(max_length=2048, json_schema_extra={"pattern": r"^https?://[^\x00-\x20\x7f]+$"}),
    AfterValidator(_web_address),
]
Secret = Annotated[Name, Field(min_length=16)]


@documented(example={"events": ["call_hangup"]})
class Webhook(Times):
    """A webhook. Its secret is shown when it is made, and never again. `events`: none for all."""

    id: UUID
    customer_id: UUID
    name: str
    detail: str
    uri: str
    events: list[EventType]
    enabled: bool


@documented(example={"events": ["call_hangup"], "secret": "0123456789abcdef"})
class NewWebhook(Webhook):
    """With the secret that deliveries are signed with."""

    secret: str


class WebhookCreate(Body):
    """A new webhook. Without a secret, one is made. It is sent what happens from now on."""

    customer_id: UUID | None = None
    name: Name = ""
    detail: Detail = ""
    uri: WebAddress
    secret: Secret | None = None
    events: Types = Field([])
    enabled: bool = True


@takes_back(Webhook)
class WebhookUpdate(Body):
    """What is to change."""

    name: Name | None = None
    detail: Detail | None = None
    uri: WebAddress = absent()
    secret: Secret = absent()
    events: Types | None = None
    enabled: bool = absent()


@documented(example={"status": "delivered", "type": "call_hangup", "last_status": 204})
class Delivery(BaseModel):
    """One event on its way: pending (tried next at `tm_next`), delivered, failed."""

    id: UUID
    webhook_id: UUID
    event_id: int
    type: str
    status: str
    attempts: int
    last_status: int
    last_error: str
    tm_next: Timestamp | None
    tm_create: Timestamp
    tm_update: Timestamp


_CLEARED = {"name": "", "detail": "", "events": []}


@router.get("/webhooks", response_model=Listing[Webhook], **guarded("customer_manager"))
async def list_webhooks(services: Use, caller: Who, paging: Pages, customer_id: OfCustomer = None) -> Any:
    """The webhooks, newest first."""
    return await WEBHOOKS.list(services, caller, paging, customer_id=customer_id)


@router.post(
    "/webhooks",
    status_code=201,
    response_model=NewWebhook,
    **guarded(
        "customer_admin",
        examples={"Ends of calls": {"uri": "https://example.com/trunkline", "events": ["call_hangup"]}},
    ),
)
async def create_webhook(services: Use, caller: Who, body: WebhookCreate) -> Any:
    """Create a webhook."""
    owner = caller.owner(body.customer_id)
    refuse_private(services, body.uri, "uri")
    secret = body.secret or secrets.token_urlsafe(32)
    values = body.model_dump() | {"customer_id": owner, "secret": services.store.vault.seal(secret)}
    async with services.store.write() as transaction:
        await require_owner(transaction, owner)
        await _require_room(transaction, owner)
        newest = sa.select(sa.func.coalesce(sa.func.max(tables.events.c.id), 0))
        values["last_event_id"] = (await transaction.execute(newest)).scalar_one()
        row = await rows.insert(transaction, tables.webhooks, values)
        transaction.changed("webhook", row["id"])
    return row | {"secret": secret}


async def _require_room(transaction: Transaction, owner: UUID) -> None:
    """Raises ApiError WEBHOOK_LIMIT."""
    columns = tables.webhooks.c
    query = sa.select(sa.func.count()).where(columns.customer_id == owner, columns.tm_delete.is_(None))
    if owner not in (NIL, PLATFORM) and (await transaction.execute(query)).scalar_one() >= MOST_OF_ONE:
        problem = f"a customer has {MOST_OF_ONE} webhooks at most; delete one, or let one take several events"
        raise ApiError("WEBHOOK_LIMIT", problem)


@router.get("/webhooks/{webhook_id}", response_model=Webhook, **guarded("customer_manager"))
async def get_webhook(services: Use, caller: Who, webhook_id: UUID) -> Any:
    """One webhook."""
    return await WEBHOOKS.get(services, caller, webhook_id)


@router.put(
    "/webhooks/{webhook_id}",
    response_model=Webhook,
    **guarded("customer_admin", examples={"Nothing more is sent": {"enabled": False}}),
)
async def update_webhook(services: Use, caller: Who, webhook_id: UUID, body: WebhookUpdate) -> Any:
    """Change a webhook. One that is enabled again is sent what happened meanwhile, as far as events are kept."""

    async def change(_transaction: Transaction, before: Row) -> Row:
        values = changes(body, before, Webhook, _CLEARED)
        if "uri" in values:
            refuse_private(services, values["uri"], "uri")
        return transform_secrets(tables.webhooks, values, services.store.vault.seal)

    return await WEBHOOKS.update(services, caller, webhook_id, change)


@router.delete("/webhooks/{webhook_id}", response_model=Webhook, **guarded("customer_admin"))
async def delete_webhook(services: Use, caller: Who, webhook_id: UUID) -> Any:
    """Delete a webhook; what is still waiting for it is not sent."""
    return await WEBHOOKS.delete(services, caller, webhook_id)


@router.get(
    "/webhooks/{webhook_id}/deliveries",
    summary="List what was sent to a webhook",
    response_model=Listing[Delivery],
    **guarded("customer_manager"),
)
async def list_deliveries(
    services: Use,
    caller: Who,
    paging: Pages,
    webhook_id: UUID,
    status: Annotated[Literal["pending", "delivered", "failed"] | None, Query()] = None,
) -> Any:
    """What was sent, is waiting or has failed, newest first."""
    columns = tables.deliveries.c
    where = [columns.webhook_id == webhook_id] + ([] if status is None else [columns.status == status])
    async with services.store.read() as connection:
        await WEBHOOKS.find(connection, caller, webhook_id)
        page = await rows.page(connection, tables.deliveries, *where, size=paging.size, token=paging.token)
    return {"result": page.rows, "next_page_token": page.next_token}
