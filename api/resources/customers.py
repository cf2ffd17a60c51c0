"""Customers: who numbers, flows, calls and money belong to. Super admins make, limit and suspend them."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

from pydantic import AfterValidator, Field

from api.http.auth import Caller, Who, guarded
from api.http.bodies import router_for
from api.http.errors import ApiError, fault_in, not_found
from api.http.listing import Listing, Pages
from api.http.messages import explained
from api.http.services import Use
from api.models.changes import changes, takes_back
from api.models.countries import Country
from api.models.fields import NIL, Body, Detail, Name, Times
from routing.directory.customers import Tier
from store import rows
from store.database import tables
from store.resources import billing, customers
from store.rows import Row
from store.store import Executor, Transaction

router = router_for("customers", "Whom numbers, flows, calls and money belong to.")


def _each_once(codes: list[str]) -> list[str]:
    return sorted(set(codes))


Countries = Annotated[list[Country], Field(max_length=300), AfterValidator(_each_once)]
EMAIL = explained(
    r"^([^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+)?$",
    "is no address of mail; write it like billing@example.com",
)
Email = Annotated[Name, Field(pattern=EMAIL, examples=["billing@example.com"], json_schema_extra={"pattern": EMAIL})]
RequestRate = Annotated[int, Field(ge=0, le=100_000)]


class Customer(Times):
    """A customer. `destination_countries`: the only ones that its calls may leave for; none: all. `request_rate`: API
    requests a second, 0 for the engine's own limit. A suspended one has no API and calls nobody outside."""

    id: UUID
    name: str
    detail: str
    email: str
    suspended: bool
    destination_countries: list[str]
    request_rate: int
    billing_account_id: UUID


class CustomerCreate(Body):
    """A new customer, with a billing account of this tier."""

    name: Name = ""
    detail: Detail = ""
    email: Email = ""
    suspended: bool = False
    destination_countries: Countries = Field([])
    request_rate: RequestRate = 0
    tier: Tier = "free"


@takes_back(Customer)
class CustomerUpdate(Body):
    """What is to change. All but `name`, `detail` and `email` is for super admins."""

    name: Name | None = None
    detail: Detail | None = None
    email: Email | None = None
    suspended: bool | None = None
    destination_countries: Countries | None = None
    request_rate: RequestRate | None = None


_CLEARED = {"name": "", "detail": "", "email": "", "suspended": False, "destination_countries": [], "request_rate": 0}
_ONES_OWN = {"name", "detail", "email"}


@router.get("/customers", response_model=Listing[Customer], **guarded("customer_agent"))
async def list_customers(services: Use, caller: Who, paging: Pages) -> Any:
    """The customers, newest first: for super admins all of them, for others their own."""
    table = tables.customers
    where = [] if caller.is_super else [table.c.id == caller.customer_id]
    async with services.store.read() as connection:
        page = await rows.page(connection, table, *where, size=paging.size, token=paging.token)
        return {"result": await _shown(connection, page.rows), "next_page_token": page.next_token}


@router.post(
    "/customers",
    status_code=201,
    response_model=Customer,
    **guarded(
        "project_super_admin",
        examples={
            "A customer that may call two countries": {
                "name": "Acme",
                "tier": "basic",
                "destination_countries": ["US", "DE"],
            }
        },
    ),
)
async def create_customer(services: Use, caller: Who, body: CustomerCreate) -> Any:
    """Create a customer and its billing account."""
    identifier = uuid4()
    async with services.store.write() as transaction:
        values = body.model_dump(exclude={"tier"}) | {"id": identifier}
        row = await rows.insert(transaction, tables.customers, values)
        account = await billing.open_account(transaction, identifier, body.tier, body.name)
        transaction.changed("customer", identifier)
    return row | {"billing_account_id": account["id"]}


@router.get("/customers/{customer_id}", response_model=Customer, **guarded("customer_agent"))
async def get_customer(services: Use, caller: Who, customer_id: UUID) -> Any:
    """One customer."""
    async with services.store.read() as connection:
        (shown,) = await _shown(connection, [await _find(connection, caller, customer_id)])
    return shown


@router.put(
    "/customers/{customer_id}",
    response_model=Customer,
    **guarded("customer_admin", 409, examples={"Another address": {"email": "admin@example.com"}}),
)
async def update_customer(services: Use, caller: Who, customer_id: UUID, body: CustomerUpdate) -> Any:
    """Change a customer. A suspended one has no API from the next request on and makes no new calls to the outside;
    those that are up and cost something end within a minute."""
    async with services.store.write() as transaction:
        (before,) = await _shown(transaction, [await _find(transaction, caller, customer_id)])
        values = changes(body, before, Customer, _CLEARED)
        if not caller.is_super and (more := sorted(values.keys() - _ONES_OWN)):
            problem = f"only a super admin changes this; change {', '.join(sorted(_ONES_OWN))}"
            raise fault_in(more[0], "PERMISSION_DENIED", problem)
        if values.get("suspended") and customer_id == caller.customer_id:
            problem = "nobody suspends the customer that they belong to; it would end this login"
            raise ApiError("CUSTOMER_IN_USE", problem)
        row = await rows.update(transaction, tables.customers, customer_id, values)
        if row is None:  # deleted since
            raise not_found("customer", customer_id)
        transaction.changed("customer", customer_id)
        (shown,) = await _shown(transaction, [row])
    return shown


@router.delete("/customers/{customer_id}", response_model=Customer, **guarded("project_super_admin", 409))
async def delete_customer(services: Use, caller: Who, customer_id: UUID) -> Any:
    """Delete a customer that has no numbers and no calls any more. Its agents, their access keys, its webhooks and
    extensions go with it; its billing account stays until it is deleted, too."""
    if customer_id == caller.customer_id:
        raise ApiError(
            "CUSTOMER_IN_USE", "nobody deletes the customer that they belong to; let a super admin of another one do it"
        )
    async with services.store.write() as transaction:
        if not await customers.hold(transaction, customer_id):
            raise not_found("customer", customer_id)
        counts = zip(("number", "running call"), await customers.in_use(transaction, customer_id), strict=True)
        has = " and ".join(f"{count} {word}{'s' * (count > 1)}" for word, count in counts if count)
        if has:
            problem = f"customer {customer_id} still has {has}; release numbers and hang up calls first"
            raise ApiError("CUSTOMER_IN_USE", problem)
        await customers.revoke(transaction, customer_id)
        row = await rows.soft_delete(transaction, tables.customers, customer_id)
        assert row is not None  # it is held
        transaction.changed("customer", customer_id)
        (shown,) = await _shown(transaction, [row])
    return shown


async def _find(executor: Executor, caller: Caller, customer_id: UUID) -> Row:
    """Raises ApiError CUSTOMER_NOT_FOUND, also for any but one's own."""
    row = None
    if caller.is_super or customer_id == caller.customer_id:
        hold: Literal["", "alone"] = "alone" if isinstance(executor, Transaction) else ""
        row = await rows.one(executor, tables.customers, customer_id, hold=hold)
    if row is None:
        raise not_found("customer", customer_id)
    return row


async def _shown(executor: Executor, some: Sequence[Row]) -> list[Row]:
    accounts = await customers.account_ids(executor, [row["id"] for row in some])
    return [row | {"billing_account_id": accounts.get(row["id"], NIL)} for row in some]
