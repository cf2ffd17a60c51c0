"""Flows: what happens to a call or a message. Validated whole before they are kept."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

import sqlalchemy as sa
from fastapi import Query
from pydantic import BaseModel, Field

from api.http.auth import Who, guarded
from api.http.bodies import router_for
from api.http.errors import ApiError, Violation, fault_in, not_found
from api.http.listing import Listing, OfCustomer, Pages
from api.http.services import Services, Use
from api.models.changes import changes, takes_back
from api.models.destinations import require_in_actions
from api.models.fields import Body, Detail, Name, Times, absent, refuse_declared
from api.models.web_addresses import refuse_private_in
from api.openapi.schema import Fields, documented
from api.resources.resource import Resource, require_owner
from flows.actions import ACTIONS
from flows.faults import FlowError, format_path
from flows.language.model import MAX_ACTIONS, Flow, read_flow
from flows.language.options import FLOW_ACTION
from flows.language.program import Medium
from flows.language.validation import needs_a_call
from routing.identifiers import NIL, named_id
from store import rows
from store.database import tables
from store.resources import temporary_flows
from store.rows import Row
from store.store import Executor, Transaction

router = router_for("flows", "What happens to a call or a message.")

GREETING = [
    {"type": "answer"},
    {"type": "play", "option": {"sources": ["tone:480/400,0/200*2"]}},
    {"type": "hangup"},
]
_MENU = [
    {"id": "ask", "type": "play", "option": {"sources": ["tone:350+440/2000"], "digits_stop": True}},
    {"type": "digits_receive", "option": {"length": 1, "duration": 5000}},
    {"type": "branch", "option": {"target_ids": {"1": "desk"}}},
    {"type": "hangup"},
    {
        "id": "desk",
        "type": "connect",
        "option": {"destinations": [{"type": "tel", "target": "+442079460123"}], "ring_timeout": 20},
    },
]

_FLOW: Fields = {"actions": {"items": FLOW_ACTION}, "detail": {"maxLength": 4096}}

FLOWS = Resource(tables.flows, "flow")


@documented(example={"type": "answer", "id": ""})
class Action(BaseModel):
    """One step. `option` is of the action's type; the documentation of flows lists them."""

    id: str = ""
    next_id: str = ""
    type: str
    option: dict[str, Any] = {}


Actions = Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MAX_ACTIONS)]

Media = Literal["", "anchor"]
"""`anchor`: media of the calls that a flow connects passes the engine, or an rtpengine; "": it goes end to end."""


class FlowAnswer(Times):
    """A flow."""

    id: UUID
    customer_id: UUID
    name: str
    detail: str
    actions: list[Action]
    on_complete_flow_id: UUID
    media: str
    declared_in: str


@documented(fields=_FLOW)
class FlowCreate(Body):
    """A new flow."""

    customer_id: UUID | None = None
    name: Name = ""
    detail: Detail = ""
    actions: Actions
    on_complete_flow_id: UUID = NIL
    media: Media = ""


@documented(fields=_FLOW)
@takes_back(FlowAnswer)
class FlowUpdate(Body):
    """What is to change."""

    name: Name | None = None
    detail: Detail | None = None
    actions: Actions = absent()
    on_complete_flow_id: UUID | None = None
    media: Media | None = None


class FlowDraft(FlowCreate):
    """A flow that may be wrong: its actions are anything."""


@documented(example={"valid": True, "faults": []})
class Verdict(BaseModel):
    """Whether a flow could be saved, and everything that speaks against it."""

    valid: bool
    faults: list[Violation]


_CLEARED = {"name": "", "detail": "", "on_complete_flow_id": NIL, "media": ""}
_CONTENT = ("name", "detail", "actions", "on_complete_flow_id", "media")


@router.get("/flows", response_model=Listing[FlowAnswer], **guarded("customer_agent"))
async def list_flows(
    services: Use,
    caller: Who,
    paging: Pages,
    customer_id: OfCustomer = None,
    name: Annotated[str | None, Query(max_length=255)] = None,
) -> Any:
    """The flows, newest first."""
    where = [] if name is None else [tables.flows.c.name == name]
    page = await FLOWS.list(services, caller, paging, *where, customer_id=customer_id)
    return page | {"result": [answer(row) for row in page["result"]]}


@router.post(
    "/flows",
    status_code=201,
    response_model=FlowAnswer,
    **guarded(
        "customer_manager",
        examples={
            "A greeting": {"name": "greeting", "actions": GREETING},
            "A menu": {"name": "menu", "actions": _MENU},
        },
    ),
)
async def create_flow(services: Use, caller: Who, body: FlowCreate) -> Any:
    """Create a flow."""
    owner = caller.owner(body.customer_id)
    async with services.store.write() as transaction:
        await require_owner(transaction, owner)
        flow = await _read(services, transaction, owner, body.model_dump(exclude={"customer_id"}))
        refuse_private_in(services, body.actions)
        row = await rows.insert(transaction, tables.flows, _row(flow) | {"id": flow.id, "customer_id": owner})
        transaction.changed("flow", flow.id)
    return answer(row)


# Before /flows/{flow_id}: what comes first is tried first.
@router.post(
    "/flows/validate",
    summary="Check a flow without saving it",
    response_model=Verdict,
    **guarded(
        "customer_agent", examples={"Good": {"actions": _MENU}, "Wrong in one place": {"actions": [{"type": "answr"}]}}
    ),
)
async def validate_flow(services: Use, caller: Who, body: FlowDraft) -> Any:
    """Check a flow without saving it."""
    owner = caller.owner(body.customer_id)
    async with services.store.read() as connection:
        try:
            await require_owner(connection, owner)
            await _read(services, connection, owner, body.model_dump(exclude={"customer_id"}))
            refuse_private_in(services, body.actions)
        except ApiError as error:
            return {"valid": False, "faults": error.details}
    return {"valid": True, "faults": []}


@router.get("/flows/{flow_id}", response_model=FlowAnswer, **guarded("customer_agent"))
async def get_flow(services: Use, caller: Who, flow_id: UUID) -> Any:
    """One flow; also the temporary one of an order that came with `actions`, for as long as its calls are kept. Such a
    flow is in no list and for nobody else to use: its `tm_delete` is its `tm_create`."""
    async with services.store.read() as connection:
        row = await temporary_flows.shown(connection, flow_id, caller.scope)
    if row is None:
        raise not_found("flow", flow_id)
    return answer(row)


@router.put(
    "/flows/{flow_id}",
    response_model=FlowAnswer,
    **guarded("customer_manager", 409, examples={"Other actions": {"actions": GREETING}}),
)
async def update_flow(services: Use, caller: Who, flow_id: UUID, body: FlowUpdate) -> Any:
    """Change a flow. Calls that run it go on with what they began with."""
    async with services.store.write() as transaction:
        before = await FLOWS.find(transaction, caller, flow_id)
        changed = changes(body, answer(before), FlowAnswer, _CLEARED)
        refuse_declared(before, "flow")
        document = {name: before[name] for name in _CONTENT} | changed | {"id": flow_id}
        flow = await _read(services, transaction, before["customer_id"], document)
        if "actions" in changed:
            refuse_private_in(services, changed["actions"])
        row = await rows.update(transaction, tables.flows, flow_id, _row(flow))
        transaction.changed("flow", flow_id)
    assert row is not None  # it was found in this transaction
    return answer(row)


@router.delete("/flows/{flow_id}", response_model=FlowAnswer, **guarded("customer_manager", 409))
async def delete_flow(services: Use, caller: Who, flow_id: UUID) -> Any:
    """Delete a flow that no number or extension uses, no other flow goes on with and no queue overflows to."""

    async def unused(transaction: Transaction, row: Row) -> None:
        numbers, flows = tables.numbers, tables.flows
        using = sa.or_(numbers.c.call_flow_id == flow_id, numbers.c.message_flow_id == flow_id)
        query = sa.select(numbers.c.number).where(using, numbers.c.tm_delete.is_(None)).limit(4)
        used_by = [f"number {number}" for number in (await transaction.execute(query)).scalars()]
        following = sa.and_(flows.c.on_complete_flow_id == str(flow_id), flows.c.id != flow_id)
        names = sa.select(flows.c.name, flows.c.id).where(following, flows.c.tm_delete.is_(None)).limit(4)
        used_by += [f"flow {row.name or row.id}" for row in await transaction.execute(names)]
        queues = tables.queues.c
        over = sa.select(queues.name, queues.id).where(
            queues.overflow_flow_id == str(flow_id), queues.tm_delete.is_(None)
        )
        used_by += [f"queue {row.name or row.id}" for row in await transaction.execute(over.limit(4))]
        extensions = tables.extensions.c
        ringing = sa.select(extensions.name).where(extensions.call_flow_id == flow_id, extensions.tm_delete.is_(None))
        used_by += [f"extension {name}" for name in (await transaction.execute(ringing.limit(4))).scalars()]
        if used_by:
            problem = f"it is still used by {', '.join(used_by[:4])}{' and others' * (len(used_by) > 3)}"
            raise ApiError("FLOW_IN_USE", f"{problem}; give them another flow first")

    return answer(await FLOWS.delete(services, caller, flow_id, unused))


def answer(row: Row) -> dict[str, Any]:
    """The flow as the API shows it."""
    return row | {"on_complete_flow_id": _completing(row["on_complete_flow_id"])}


def _completing(reference: str) -> UUID:
    """An earlier version has kept names, as files write them; what a file gives no id has that of its name."""
    try:
        return UUID(reference) if reference else NIL
    except ValueError:
        return named_id("flow", reference)


def _row(flow: Flow) -> dict[str, Any]:
    return {
        "name": flow.name,
        "detail": flow.detail,
        "actions": [action.model_dump() for action in flow.actions],
        "on_complete_flow_id": flow.on_complete_flow_id,
        "media": flow.media,
    }


async def _read(services: Services, executor: Executor, owner: UUID, document: dict[str, Any]) -> Flow:
    """The flow, checked whole; flows that it refers to must be its owner's, or the platform's. Raises ApiError with
    every fault."""
    require_in_actions(services, owner, document["actions"])
    on_complete = document["on_complete_flow_id"]
    identifier = document.get("id") or uuid4()
    written = document | {"id": identifier, "on_complete_flow_id": str(on_complete or "")}
    try:
        flows = {str(identifier), *await _known(services, executor, owner, written)}
        others = {
            field: await _known_others(executor, owner, table, set(_mentioned(written["actions"], field)))
            for field, table in _OTHERS.items()
        }
        return read_flow(written, ACTIONS, flows=flows, others=others)
    except FlowError as error:
        raise refusal(error) from None


async def _known(services: Services, executor: Executor, owner: UUID, document: dict[str, Any]) -> set[str]:
    """Of the flows that a document refers to, by id or by name, those that there are. A name belongs to the platform
    (`flows.language.library`); flows in Python are in no store."""
    asked = {*_mentioned(document["actions"], "flow_id"), document["on_complete_flow_id"]} - {"", str(NIL)}
    if not asked:
        return set()
    columns = tables.flows.c
    named = sa.and_(columns.name.in_(asked), columns.customer_id == NIL)
    query = sa.select(columns.id, columns.name, columns.customer_id).where(
        sa.or_(columns.id.in_(list(_ids(asked))), named),
        columns.customer_id.in_((owner, NIL)),
        columns.tm_delete.is_(None),
    )
    found = (await executor.execute(query)).all()
    ids, names = {str(row.id) for row in found}, {row.name for row in found if row.customer_id == NIL}
    return {text for text in asked if text.lower() in ids or text in names or _in_python(services, text)}


def _in_python(services: Services, reference: str) -> bool:
    program = services.flows.library.find(reference)
    return program is not None and program.customer_id is None


_OTHERS = {"queue_id": tables.queues, "conference_id": tables.conferences}


async def _known_others(executor: Executor, owner: UUID, table: sa.Table, asked: set[str]) -> set[str]:
    """Of the ids and names that a document refers to, those of its owner's and of the platform's that there are."""
    if not asked:
        return set()
    columns = table.c
    named = sa.or_(columns.id.in_(list(_ids(asked))), columns.name.in_(asked))
    query = sa.select(columns.id, columns.name).where(
        named, columns.customer_id.in_((owner, NIL)), columns.tm_delete.is_(None)
    )
    found = (await executor.execute(query)).all()
    there = {str(row.id) for row in found} | {row.name for row in found}
    return {text for text in asked if text in there or text.lower() in there}


def _mentioned(value: Any, field: str) -> Iterator[str]:
    """What every field of this name holds, however deep: actions may hold actions. Not what nothing can be called."""
    if isinstance(value, list):
        for item in value:
            yield from _mentioned(item, field)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == field and isinstance(item, str):
                if _can_be_stored(item):
                    yield item
            else:
                yield from _mentioned(item, field)


def _can_be_stored(name: str) -> bool:
    """Whether a database could have it: PostgreSQL does not even look for NUL, nor for half a surrogate pair."""
    return not any(character == "\0" or "\ud800" <= character <= "\udfff" for character in name)


def _ids(texts: Iterable[str]) -> Iterator[UUID]:
    for text in texts:
        with suppress(ValueError):
            yield UUID(text)


def refusal(error: FlowError) -> ApiError:
    """What is wrong with a flow's actions, as the API says it."""
    details = [
        Violation(field=format_path(fault.path), reason="INVALID_ACTION", message=fault.problem)
        for fault in error.faults[:100]
    ]
    message = f"{details[0].field}: {details[0].message}" if details[0].field else details[0].message
    return ApiError("INVALID_ACTION", message, details=details)


async def require_flow(executor: Executor, owner: UUID, flow_id: UUID, field: str, *, medium: Medium = "call") -> None:
    """For bodies that name a flow, the nil UUID being none. It must be its user's own, or the platform's, and cannot
    be deleted until a transaction that asked ends. One that is to run on messages must not need a call. Raises ApiError
    FLOW_NOT_FOUND and INVALID_ACTION as faults of the body (400)."""
    if flow_id == NIL:
        return
    row = await rows.one(executor, tables.flows, flow_id, hold="shared" if isinstance(executor, Transaction) else "")
    if row is None or row["customer_id"] not in (owner, NIL):
        problem = f"there is no flow {flow_id}; list the flows to find its id"
        violation = Violation(field=field, reason="FLOW_NOT_FOUND", message=problem)
        raise ApiError("FLOW_NOT_FOUND", f"{field}: {problem}", status="INVALID_ARGUMENT", details=[violation])
    if medium == "message" and (problem := needs_a_call(ACTIONS, (action["type"] for action in row["actions"]))):
        raise fault_in(field, "INVALID_ACTION", problem)
