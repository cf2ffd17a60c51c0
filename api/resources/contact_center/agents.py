"""Agents: people and programs that log in, and whom queues ring at their addresses."""

from typing import Annotated, Any, Literal, get_args
from uuid import UUID

from pydantic import BeforeValidator, Field

from api.http.auth import Caller, Permission, Who, guarded
from api.http.bodies import router_for
from api.http.errors import ApiError, fault_in
from api.http.listing import Listing, OfCustomer, Pages
from api.http.passwords import LONGEST, SHORTEST, TooBusy, hash_password
from api.http.services import Services, Use
from api.models.changes import changes, takes_back
from api.models.destinations import require_destinations
from api.models.fields import Body, Detail, Name, Times, absent
from api.openapi.schema import ANY_TEXT, documented
from api.resources.resource import Resource
from flows.calls.address import Address
from store import rows
from store.database import tables
from store.resources.agents import shown
from store.rows import IntegrityError, Row
from store.store import Transaction

router = router_for("agents", "People and programs that log in, and whom queues ring.")
AGENTS = Resource(tables.agents, "agent")

Username = Annotated[Name, Field(min_length=1)]
Password = Annotated[str, Field(min_length=SHORTEST, max_length=LONGEST, json_schema_extra={"pattern": ANY_TEXT})]
Addresses = Annotated[list[Address], Field(max_length=20)]
Tags = Annotated[list[UUID], Field(max_length=100)]
Status = Literal["available", "away", "busy", "offline"]
ShownStatus = Annotated[Literal["available", "away", "busy", "offline", "ringing"], BeforeValidator(shown)]
RingMethod = Literal["ring_all", "linear"]


@documented(example={"status": "available", "addresses": []})
class Agent(Times):
    """An agent. Its password is never shown. `declared_in` is the configuration file that owns all of it but `status`
    and the password, "" for none. `status` is what it says of itself, or what queues make of one that is
    available: `ringing`, and `busy` during the talk and the time after it."""

    id: UUID
    customer_id: UUID
    username: str
    name: str
    detail: str
    permission: Permission
    addresses: list[Address]
    status: ShownStatus
    ring_method: RingMethod
    tag_ids: list[UUID]
    declared_in: str


class AgentCreate(Body):
    """A new agent. Its permission is at most that of whoever makes it."""

    customer_id: UUID | None = None
    username: Username
    password: Password
    name: Name = ""
    detail: Detail = ""
    permission: Permission = "customer_agent"
    addresses: Addresses = Field([])
    status: Status = "offline"
    ring_method: RingMethod = "ring_all"
    tag_ids: Tags = Field([])


@takes_back(Agent)
class AgentUpdate(Body):
    """What is to change. A new password ends every token that was given for the old one. `away`, `offline` and `busy`
    hold at once: a queue that rings the agent stops. `available` ends the time after a talk. A status that is as GET
    shows it, `ringing` among them, changes nothing."""

    password: Password = absent()
    name: Name | None = None
    detail: Detail | None = None
    permission: Permission = absent()
    addresses: Addresses | None = None
    status: Literal[Status, "ringing"] = absent()
    ring_method: RingMethod = absent()
    tag_ids: Tags | None = None


_CLEARED = {"name": "", "detail": "", "addresses": [], "tag_ids": []}
_NEVER_DECLARED = {"status", "password_hash"}
"""What of an agent that a configuration file declares is not the file's."""
# What agents without any more permission may change of themselves.
_ONES_OWN = {"password", "name", "detail", "status", "addresses", "ring_method"}


@router.get("/agents", response_model=Listing[Agent], **guarded("customer_agent"))
async def list_agents(services: Use, caller: Who, paging: Pages, customer_id: OfCustomer = None) -> Any:
    """The agents, newest first."""
    return await AGENTS.list(services, caller, paging, customer_id=customer_id)


@router.post(
    "/agents",
    status_code=201,
    response_model=Agent,
    **guarded(
        "customer_admin",
        409,
        examples={
            "Somebody who may log in": {
                "username": "bob",
                "password": "a long password",
                "permission": "customer_manager",
            }
        },
    ),
)
async def create_agent(services: Use, caller: Who, body: AgentCreate) -> Any:
    """Create an agent."""
    _refuse_more_than_own(caller, body.permission)
    owner = caller.owner(body.customer_id)
    require_destinations(services, owner, body.addresses, "addresses")
    values = body.model_dump(exclude={"password", "customer_id"}) | {
        "customer_id": owner,
        "password_hash": await _hashed(services, caller, body.password),
    }
    try:
        async with services.store.write() as transaction:
            await _require_customer(transaction, owner)
            row = await rows.insert(transaction, tables.agents, values)
            transaction.changed("agent", row["id"])
    except IntegrityError:
        problem = f"there is an agent with the user name {body.username!r} already; choose another"
        raise fault_in("username", "NAME_ALREADY_EXISTS", problem) from None
    return row


@router.get("/agents/{agent_id}", response_model=Agent, **guarded("customer_agent"))
async def get_agent(services: Use, caller: Who, agent_id: UUID) -> Any:
    """One agent."""
    return await AGENTS.get(services, caller, agent_id)


@router.put(
    "/agents/{agent_id}",
    response_model=Agent,
    **guarded("customer_agent", 409, examples={"Another name": {"name": "another name"}}),
)
async def update_agent(services: Use, caller: Who, agent_id: UUID, body: AgentUpdate) -> Any:
    """Change an agent. Every agent may change its own password, name, status and addresses; the rest, and other
    agents, take a customer_admin."""
    hashed = None
    if "password" in body.model_fields_set:
        hashed = await _hashed(services, caller, body.password)

    async def change(_transaction: Transaction, before: Row) -> Row:
        values = changes(body, before, Agent, _CLEARED)
        if not caller.may("customer_admin") and (agent_id != caller.agent_id or values.keys() - _ONES_OWN):
            problem = f"an agent may change of itself: {', '.join(sorted(_ONES_OWN))}; the rest takes customer_admin"
            raise ApiError("PERMISSION_DENIED", problem)
        _refuse_more_than_own(caller, before["permission"])
        if "addresses" in values:
            require_destinations(services, before["customer_id"], body.addresses or (), "addresses")
        if "permission" in values:
            _refuse_more_than_own(caller, values["permission"])
            if agent_id == caller.agent_id:
                problem = "nobody changes their own permission, which could leave no admin; let another admin do it"
                raise ApiError("RESOURCE_IN_USE", problem)
        if values.get("status") == "ringing":
            problem = f"says what a queue does; choose one of {', '.join(get_args(Status))}"
            raise fault_in("status", "INVALID_REQUEST_PARAMETER", problem)
        if hashed is not None:
            del values["password"]
            values["password_hash"] = hashed
        return values

    return await AGENTS.update(services, caller, agent_id, change, free=_NEVER_DECLARED)


@router.delete("/agents/{agent_id}", response_model=Agent, **guarded("customer_admin", 409))
async def delete_agent(services: Use, caller: Who, agent_id: UUID) -> Any:
    """Delete an agent; its access keys and tokens open nothing from then on."""

    async def allowed(_transaction: Transaction, before: Row) -> None:
        _refuse_more_than_own(caller, before["permission"])
        if agent_id == caller.agent_id:
            raise ApiError("RESOURCE_IN_USE", "nobody deletes the agent that they are; let another admin do it")

    return await AGENTS.delete(services, caller, agent_id, allowed)


async def _hashed(services: Services, caller: Caller, password: str) -> str:
    """In its customer's turn: who makes many agents keeps nobody from logging in. Raises ApiError."""
    source = f"customer {caller.customer_id}"
    try:
        return await services.password_queue.run(lambda: hash_password(password), source=source, name="")
    except TooBusy as error:
        problem = "too many passwords are being set; wait as long as Retry-After says"
        raise ApiError("RATE_LIMIT_EXCEEDED", problem, retry_after=error.retry_after) from None


def _refuse_more_than_own(caller: Caller, permission: Permission) -> None:
    if not caller.may(permission):
        problem = f"an agent with {permission} is beyond these credentials, which have {caller.permission}"
        raise ApiError("PERMISSION_DENIED", problem)


async def _require_customer(transaction: Transaction, customer_id: UUID) -> None:
    if await rows.one(transaction, tables.customers, customer_id) is None:
        problem = f"there is no customer {customer_id}; list the customers to find its id"
        raise fault_in("customer_id", "CUSTOMER_NOT_FOUND", problem)
