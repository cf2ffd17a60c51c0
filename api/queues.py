"""Queues: where callers wait until an agent is free."""

from typing import Annotated, Any, Literal
from uuid import UUID

import sqlalchemy as sa
from fastapi import APIRouter
from pydantic import Field

from api.auth import Who, guarded
from api.errors import fault_in
from api.fields import Body, Detail, Name, Times, absent, given
from api.listing import Listing, OfCustomer, Pages
from api.resource import Resource
from api.services import Use
from store import rows, tables
from store.rows import Row
from store.store import Transaction

router = APIRouter(tags=["queues"])
QUEUES = Resource(tables.queues, "queue")

RoutingMethod = Literal["random", "longest_idle", "ring_all"]
Ids = Annotated[list[UUID], Field(max_length=1000)]
Milliseconds = Annotated[int, Field(ge=0, le=86_400_000)]


class Queue(Times):
    """A queue. Times are milliseconds, 0 for no limit."""

    id: UUID
    customer_id: UUID
    name: str
    detail: str
    routing_method: RoutingMethod
    tag_ids: list[UUID]
    agent_ids: list[UUID]
    wait_timeout: int
    service_timeout: int


class QueueCreate(Body):
    """A new queue."""

    customer_id: UUID | None = None
    name: Name = ""
    detail: Detail = ""
    routing_method: RoutingMethod = "random"
    tag_ids: Ids = Field([])
    agent_ids: Ids = Field([])
    wait_timeout: Milliseconds = 0
    service_timeout: Milliseconds = 0


class QueueUpdate(Body):
    """What is to change."""

    name: Name | None = None
    detail: Detail | None = None
    routing_method: RoutingMethod = absent()
    tag_ids: Ids | None = None
    agent_ids: Ids | None = None
    wait_timeout: Milliseconds | None = None
    service_timeout: Milliseconds | None = None


_CLEARED = {"name": "", "detail": "", "tag_ids": [], "agent_ids": [], "wait_timeout": 0, "service_timeout": 0}


@router.get("/queues", response_model=Listing[Queue], **guarded("customer_agent"))
async def list_queues(services: Use, caller: Who, paging: Pages, customer_id: OfCustomer = None) -> Any:
    """The queues, newest first."""
    return await QUEUES.list(services, caller, paging, customer_id=customer_id)


@router.post("/queues", status_code=201, response_model=Queue, **guarded("customer_admin"))
async def create_queue(services: Use, caller: Who, body: QueueCreate) -> Any:
    """Create a queue."""
    owner = caller.owner(body.customer_id)
    async with services.store.write() as transaction:
        await _require_agents(transaction, owner, body.agent_ids)
        row = await rows.insert(transaction, tables.queues, body.model_dump() | {"customer_id": owner})
        transaction.changed("queue", row["id"])
    return row


@router.get("/queues/{queue_id}", response_model=Queue, **guarded("customer_agent"))
async def get_queue(services: Use, caller: Who, queue_id: UUID) -> Any:
    """One queue."""
    return await QUEUES.get(services, caller, queue_id)


@router.put("/queues/{queue_id}", response_model=Queue, **guarded("customer_admin"))
async def update_queue(services: Use, caller: Who, queue_id: UUID, body: QueueUpdate) -> Any:
    """Change a queue."""

    async def allowed(transaction: Transaction, before: Row) -> None:
        await _require_agents(transaction, before["customer_id"], body.agent_ids or [])

    return await QUEUES.update(services, caller, queue_id, given(body, _CLEARED), allowed)


@router.delete("/queues/{queue_id}", response_model=Queue, **guarded("customer_admin"))
async def delete_queue(services: Use, caller: Who, queue_id: UUID) -> Any:
    """Delete a queue; the answer is what it was, with `tm_delete`."""
    return await QUEUES.delete(services, caller, queue_id)


async def _require_agents(transaction: Transaction, owner: UUID, agent_ids: list[UUID]) -> None:
    """A queue rings agents of its own customer only. Raises ApiError AGENT_NOT_FOUND."""
    columns = tables.agents.c
    query = sa.select(columns.id).where(
        columns.id.in_(set(agent_ids)), columns.customer_id == owner, columns.tm_delete.is_(None)
    )
    found = set((await transaction.execute(query)).scalars()) if agent_ids else set()
    for place, agent_id in enumerate(agent_ids):
        if agent_id not in found:
            problem = f"there is no agent {agent_id}; list the agents to find its id"
            raise fault_in(f"agent_ids[{place}]", "AGENT_NOT_FOUND", problem)
