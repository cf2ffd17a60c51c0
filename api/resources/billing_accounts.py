"""Billing accounts: a customer's tier and credit, topped up by super admins, with a ledger of every change."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, Field

from api.http.auth import Who, guarded
from api.http.bodies import router_for
from api.http.errors import ApiError, fault_in, not_found
from api.http.listing import Listing, OfCustomer, Pages
from api.http.services import Use
from api.models.changes import changes, takes_back
from api.models.fields import Body, Detail, Name, Times, Timestamp, absent
from api.openapi.examples import CUSTOMER
from api.openapi.schema import documented
from api.resources.resource import Resource
from routing.directory.customers import Tier
from store import rows
from store.database import tables
from store.resources import billing, customers
from store.rows import IntegrityError, Row
from store.store import Transaction

router = router_for("billing accounts", "Credit, tiers and every change of a balance.")
ACCOUNTS = Resource(tables.billing_accounts, "billing_account")


@documented(example={"balance": 5_000_000})
class BillingAccount(Times):
    """An account, in micro-units of the platform's currency. `balance` is the credit; `reserved` is the part of it that
    calls hold which are up, so that `balance - reserved` can be spent."""

    id: UUID
    customer_id: UUID
    name: str
    detail: str
    tier: Tier
    balance: int
    reserved: int


class BillingAccountCreate(Body):
    """An account for a customer that has none."""

    customer_id: UUID
    name: Name = ""
    detail: Detail = ""
    tier: Tier = "free"


@takes_back(BillingAccount)
class BillingAccountUpdate(Body):
    """What is to change. `tier` is for super admins; what a customer has beyond a lower tier it keeps."""

    name: Name | None = None
    detail: Detail | None = None
    tier: Tier = absent()


class TopUp(Body):
    """Credit to add."""

    amount: Annotated[int, Field(ge=1, le=10**15, description="Micro-units.")]
    detail: Detail = ""


@documented(example={"kind": "top_up", "amount": 5_000_000, "balance": 5_000_000})
class LedgerEntry(BaseModel):
    """A change of the balance by `amount`, which is negative where something was paid; `balance` is the one after it.
    `reference_id` is the call or the number that was paid for."""

    id: UUID
    customer_id: UUID
    account_id: UUID
    kind: Literal["top_up", "call", "message", "purchase", "adjustment"]
    amount: int
    balance: int
    reference_id: UUID
    detail: str
    tm_create: Timestamp


_CLEARED = {"name": "", "detail": ""}


@router.get("/billing_accounts", response_model=Listing[BillingAccount], **guarded("customer_manager"))
async def list_billing_accounts(services: Use, caller: Who, paging: Pages, customer_id: OfCustomer = None) -> Any:
    """The accounts, newest first; one's own, or as a super admin everybody's."""
    return await ACCOUNTS.list(services, caller, paging, customer_id=customer_id)


@router.post(
    "/billing_accounts",
    status_code=201,
    response_model=BillingAccount,
    **guarded(
        "project_super_admin",
        409,
        examples={"Put the id of a customer that has no account": {"customer_id": CUSTOMER, "tier": "basic"}},
    ),
)
async def create_billing_account(services: Use, caller: Who, body: BillingAccountCreate) -> Any:
    """Create an account for a customer that has none (each is made with one)."""
    try:
        async with services.store.write() as transaction:
            if not await customers.hold(transaction, body.customer_id):
                problem = f"there is no customer {body.customer_id}; list the customers to find its id"
                raise fault_in("customer_id", "CUSTOMER_NOT_FOUND", problem)
            row = await billing.open_account(transaction, body.customer_id, body.tier, body.name, body.detail)
            transaction.changed("customer", body.customer_id)
            return row
    except IntegrityError:
        problem = f"customer {body.customer_id} has an account already; change that one"
        raise fault_in("customer_id", "BILLING_ACCOUNT_ALREADY_EXISTS", problem) from None


@router.get("/billing_accounts/{account_id}", response_model=BillingAccount, **guarded("customer_manager"))
async def get_billing_account(services: Use, caller: Who, account_id: UUID) -> Any:
    """One account."""
    return await ACCOUNTS.get(services, caller, account_id)


@router.put(
    "/billing_accounts/{account_id}",
    response_model=BillingAccount,
    **guarded("customer_admin", examples={"Another tier": {"tier": "professional"}}),
)
async def update_billing_account(services: Use, caller: Who, account_id: UUID, body: BillingAccountUpdate) -> Any:
    """Change what an account is called, and as a super admin its tier."""

    async def change(_transaction: Transaction, before: Row) -> Row:
        values = changes(body, before, BillingAccount, _CLEARED)
        if "tier" in values and not caller.is_super:
            raise fault_in("tier", "PERMISSION_DENIED", "only a super admin changes it; leave it out")
        return values | {"tm_update": billing.no_earlier(services.store.clock())}

    return await ACCOUNTS.update(services, caller, account_id, change)


@router.delete("/billing_accounts/{account_id}", response_model=BillingAccount, **guarded("project_super_admin", 409))
async def delete_billing_account(services: Use, caller: Who, account_id: UUID) -> Any:
    """Delete the account of a customer that is no more. The ledger is kept."""

    async def left_over(transaction: Transaction, row: Row) -> None:
        if await customers.hold(transaction, row["customer_id"]):
            problem = f"customer {row['customer_id']} lives on this account; delete the customer first"
            raise ApiError("RESOURCE_IN_USE", problem)

    return await ACCOUNTS.delete(services, caller, account_id, left_over)


@router.post(
    "/billing_accounts/{account_id}/top_up",
    summary="Add credit to a billing account",
    response_model=BillingAccount,
    **guarded(
        "project_super_admin",
        examples={"5 of the currency, in micro-units": {"amount": 5_000_000, "detail": "invoice 7"}},
    ),
)
async def top_up_billing_account(services: Use, caller: Who, account_id: UUID, body: TopUp) -> Any:
    """Add credit; the answer is the account with its new balance."""
    try:
        async with services.store.write() as transaction:
            if await billing.top_up(transaction, account_id, body.amount, body.detail) is None:
                raise not_found(ACCOUNTS.word, account_id)
            return await ACCOUNTS.find(transaction, caller, account_id)
    except billing.BalanceLimit as error:
        raise fault_in("amount", "INVALID_REQUEST_PARAMETER", f"is too much: {error}") from None


@router.get(
    "/billing_accounts/{account_id}/ledger",
    summary="List every change of an account's balance",
    response_model=Listing[LedgerEntry],
    **guarded("customer_manager"),
)
async def list_ledger(
    services: Use,
    caller: Who,
    account_id: UUID,
    paging: Pages,
    kind: Annotated[Literal["top_up", "call", "message", "purchase", "adjustment"] | None, Query()] = None,
) -> Any:
    """Every change of the balance, newest first. All amounts together are the balance."""
    columns = tables.ledger.c
    where = [columns.account_id == account_id, *([] if kind is None else [columns.kind == kind])]
    async with services.store.read() as connection:
        await ACCOUNTS.find(connection, caller, account_id)
        page = await rows.page(connection, tables.ledger, *where, size=paging.size, token=paging.token)
    return {"result": page.rows, "next_page_token": page.next_token}
