"""Queues: where callers wait until an agent is free."""

import re
from typing import Annotated, Any, Literal
from uuid import UUID

import sqlalchemy as sa
from pydantic import AfterValidator, BaseModel, Field

from api.http.auth import Who, guarded
from api.http.bodies import router_for
from api.http.errors import fault_in
from api.http.listing import Listing, OfCustomer, Pages
from api.http.services import Use
from api.models.changes import changes, takes_back
from api.models.fields import NIL, Body, Detail, Name, Times, absent
from api.models.web_addresses import refuse_private
from api.openapi.examples import SOURCE
from api.openapi.schema import documented
from api.resources.flows import require_flow
from api.resources.resource import Resource, require_owner
from flows.queues.announcements import AnnounceEvery, AnnounceLanguage, AnnounceText, unspoken
from flows.values import sound_source
from store import rows
from store.database import tables
from store.rows import Row
from store.store import Transaction

router = router_for("queues", "Where callers wait until an agent is free.")
_MUSIC = r"^(https?://[!-~]+|tone:[ -~]+|[A-Za-z0-9._/ -]*)$"
QUEUES = Resource(tables.queues, "queue")

RoutingMethod = Literal["random", "longest_idle", "ring_all"]
Ids = Annotated[list[UUID], Field(max_length=1000)]
Milliseconds = Annotated[int, Field(ge=0, le=86_400_000)]
RingTime = Annotated[int, Field(ge=0, le=3_600_000)]
MostWaiting = Annotated[int, Field(ge=0, le=100_000)]


def _music(text: str) -> str:
    if not re.fullmatch(_MUSIC, text):
        raise ValueError("is no music; write a file's name, an http address, or a tone like tone:425/1000,0/4000")
    return sound_source(text) if text else text


Music = Annotated[
    str,
    Field(max_length=2048, json_schema_extra={"pattern": _MUSIC, "format": "sound", "examples": ["waltz.ogg"]}),
    AfterValidator(_music),
]


class Queue(Times):
    """A queue. Times are milliseconds, 0 for no limit (`ring_timeout`: for 20 seconds).

    `music` is what `play` takes: a file's name, a web address, or a tone; "" is music of the engine's own.
    `max_waiting`: callers that may wait, 0 for no limit. `overflow_flow_id` runs for those whom nobody answers in
    `wait_timeout`, and for those who find the queue full, or all of its agents offline.

    Every `announce_every` milliseconds (0: never) the music stops, and who waits is told its place in the line and
    about how long that may be, in `announce_language` (en, de, fr, es, it, nl, pt or pl, with a region or without; ""
    is en-US), or `announce_text` with its variables in place of that, in any language that is spoken here.
    `declared_in` is the configuration file that owns it, "" for none.
    """

    id: UUID
    customer_id: UUID
    name: str
    detail: str
    routing_method: RoutingMethod
    tag_ids: list[UUID]
    agent_ids: list[UUID]
    wait_timeout: int
    service_timeout: int
    ring_timeout: int
    wrap_up_timeout: int
    max_waiting: int
    music: str
    overflow_flow_id: UUID
    announce_every: int
    announce_language: str
    announce_text: str
    declared_in: str


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
    ring_timeout: RingTime = 0
    wrap_up_timeout: Milliseconds = 0
    max_waiting: MostWaiting = 0
    music: Music = ""
    overflow_flow_id: UUID = NIL
    announce_every: AnnounceEvery = 0
    announce_language: AnnounceLanguage = ""
    announce_text: AnnounceText = ""


@takes_back(Queue)
class QueueUpdate(Body):
    """What is to change."""

    name: Name | None = None
    detail: Detail | None = None
    routing_method: RoutingMethod = absent()
    tag_ids: Ids | None = None
    agent_ids: Ids | None = None
    wait_timeout: Milliseconds | None = None
    service_timeout: Milliseconds | None = None
    ring_timeout: RingTime | None = None
    wrap_up_timeout: Milliseconds | None = None
    max_waiting: MostWaiting | None = None
    music: Music | None = None
    overflow_flow_id: UUID | None = None
    announce_every: AnnounceEvery | None = None
    announce_language: AnnounceLanguage | None = None
    announce_text: AnnounceText | None = None


@documented(example={"source": SOURCE})
class QueueCaller(BaseModel):
    """A caller that waits. `waited` is milliseconds; while `ringing`, an agent is rung for it."""

    call_id: UUID
    source: str
    position: int
    waited: int
    status: Literal["waiting", "ringing"]


class QueueCallers(BaseModel):
    """Who waits, in order: the first thousand of `waiting`."""

    result: list[QueueCaller]
    waiting: int


_SHOWN = 1000
_CLEARED = {
    "name": "",
    "detail": "",
    "tag_ids": [],
    "agent_ids": [],
    "wait_timeout": 0,
    "service_timeout": 0,
    "ring_timeout": 0,
    "wrap_up_timeout": 0,
    "max_waiting": 0,
    "music": "",
    "overflow_flow_id": NIL,
    "announce_every": 0,
    "announce_language": "",
    "announce_text": "",
}


@router.get("/queues", response_model=Listing[Queue], **guarded("customer_agent"))
async def list_queues(services: Use, caller: Who, paging: Pages, customer_id: OfCustomer = None) -> Any:
    """The queues, newest first."""
    page = await QUEUES.list(services, caller, paging, customer_id=customer_id)
    return page | {"result": [_answer(row) for row in page["result"]]}


@router.post(
    "/queues",
    status_code=201,
    response_model=Queue,
    **guarded(
        "customer_admin",
        examples={"Whoever has waited longest for a call gets it": {"name": "sales", "routing_method": "longest_idle"}},
    ),
)
async def create_queue(services: Use, caller: Who, body: QueueCreate) -> Any:
    """Create a queue."""
    owner = caller.owner(body.customer_id)
    _require_words(body.model_dump())
    refuse_private(services, body.music, "music")
    async with services.store.write() as transaction:
        await require_owner(transaction, owner)
        await _require_agents(transaction, owner, body.agent_ids)
        await require_flow(transaction, owner, body.overflow_flow_id, "overflow_flow_id")
        row = await rows.insert(transaction, tables.queues, _row(body.model_dump()) | {"customer_id": owner})
        transaction.changed("queue", row["id"])
    return _answer(row)


@router.get("/queues/{queue_id}", response_model=Queue, **guarded("customer_agent"))
async def get_queue(services: Use, caller: Who, queue_id: UUID) -> Any:
    """One queue."""
    return _answer(await QUEUES.get(services, caller, queue_id))


@router.get(
    "/queues/{queue_id}/callers",
    summary="List who waits in a queue",
    response_model=QueueCallers,
    **guarded("customer_agent"),
)
async def list_queue_callers(services: Use, caller: Who, queue_id: UUID) -> Any:
    """Who waits in a queue now, on this node."""
    await QUEUES.get(services, caller, queue_id)
    flows = services.flows
    line = flows.queues.callers(queue_id) if flows.queues is not None else ()
    now = flows.calls.clock()
    shown = [
        {
            "call_id": waiting.call_id,
            "source": waiting.source,
            "position": position,
            "waited": round((now - waiting.joined) * 1000),
            "status": "ringing" if waiting.state == "ringing" else "waiting",
        }
        for position, waiting in enumerate(line[:_SHOWN], 1)
    ]
    return {"result": shown, "waiting": len(line)}


@router.put(
    "/queues/{queue_id}",
    response_model=Queue,
    **guarded("customer_admin", examples={"Nobody waits longer than five minutes": {"wait_timeout": 300_000}}),
)
async def update_queue(services: Use, caller: Who, queue_id: UUID, body: QueueUpdate) -> Any:
    """Change a queue."""

    async def change(transaction: Transaction, before: Row) -> Row:
        values = changes(body, _answer(before), Queue, _CLEARED)
        await _require_agents(transaction, before["customer_id"], values.get("agent_ids", []))
        await require_flow(transaction, before["customer_id"], values.get("overflow_flow_id", NIL), "overflow_flow_id")
        if "music" in values:
            refuse_private(services, values["music"], "music")
        _require_words({**before, **values})
        return _row(values)

    return _answer(await QUEUES.update(services, caller, queue_id, change))


@router.delete("/queues/{queue_id}", response_model=Queue, **guarded("customer_admin"))
async def delete_queue(services: Use, caller: Who, queue_id: UUID) -> Any:
    """Delete a queue; the answer is what it was, with `tm_delete`."""
    return _answer(await QUEUES.delete(services, caller, queue_id))


def _row(values: dict[str, Any]) -> dict[str, Any]:
    """The fields as the store keeps them."""
    flow_id = values.get("overflow_flow_id")
    return values if flow_id is None else values | {"overflow_flow_id": "" if flow_id == NIL else str(flow_id)}


def _answer(row: Row) -> dict[str, Any]:
    """The queue as the API shows it."""
    return row | {"overflow_flow_id": row["overflow_flow_id"] or NIL}


def _require_words(queue: Row) -> None:
    """What is announced is said in words of our own, or of the owner's. Raises ApiError."""
    if problem := unspoken(queue["announce_every"], queue["announce_language"], queue["announce_text"]):
        raise fault_in("announce_language", "INVALID_REQUEST_PARAMETER", problem)


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
