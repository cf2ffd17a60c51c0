"""What most resources do alike with their table: list, create, get, change, delete, each within its owner's scope."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import sqlalchemy as sa

from api.http.auth import Caller
from api.http.errors import fault_in, not_found
from api.http.listing import Paging
from api.http.services import Services
from api.models.fields import NIL, refuse_declared
from store import rows
from store.database import tables
from store.rows import Row
from store.store import Executor, Transaction

Check = Callable[[Transaction, Row], Awaitable[None]]
"""Looks at the row before it is changed, in the same transaction; raises ApiError where it must not be."""

Change = Callable[[Transaction, Row], Awaitable[Mapping[str, Any]]]
"""Looks at the row that is to be changed, in the same transaction, and says what is put into it; raises ApiError where
it must not be."""


async def require_owner(executor: Executor, owner: UUID) -> None:
    """That there is this customer, the nil UUID being the platform. It cannot be deleted until a transaction that asked
    ends. Raises ApiError CUSTOMER_NOT_FOUND as a fault of the body (400)."""
    hold: Literal["", "shared"] = "shared" if isinstance(executor, Transaction) else ""
    if owner != NIL and await rows.one(executor, tables.customers, owner, hold=hold) is None:
        problem = f"there is no customer {owner}; list the customers to find its id"
        raise fault_in("customer_id", "CUSTOMER_NOT_FOUND", problem)


@dataclass(slots=True, frozen=True)
class Resource:
    """A table of rows that belong to customers. `word` is what it is called: "queue"; changes carry it too."""

    table: sa.Table
    word: str

    async def list(
        self,
        services: Services,
        caller: Caller,
        paging: Paging,
        *where: Any,
        customer_id: UUID | None = None,
        deleted: bool = False,
    ) -> dict[str, Any]:
        """A page of what the caller may see, or of what is `deleted` of that. `customer_id` is a super admin's filter,
        and nothing to others."""
        scope = customer_id if caller.is_super else caller.customer_id
        async with services.store.read() as connection:
            page = await rows.page(
                connection,
                self.table,
                *where,
                size=paging.size,
                token=paging.token,
                customer_id=scope,
                deleted=deleted,
            )
        return {"result": page.rows, "next_page_token": page.next_token}

    async def find(self, executor: Executor, caller: Caller, identifier: UUID) -> Row:
        """The row; in a transaction nobody else changes it, or comes to refer to it (`rows.one` with `hold`), until
        that ends. Raises ApiError `…_NOT_FOUND`, also where it is another customer's."""
        hold: Literal["", "alone"] = "alone" if isinstance(executor, Transaction) else ""
        row = await rows.one(executor, self.table, identifier, caller.scope, hold=hold)
        if row is None:
            raise not_found(self.word, identifier)
        return row

    async def get(self, services: Services, caller: Caller, identifier: UUID) -> Row:
        """The row, in a read of its own."""
        async with services.store.read() as connection:
            return await self.find(connection, caller, identifier)

    async def create(self, services: Services, values: Mapping[str, Any]) -> Row:
        """A new row; `values` has its owner. Raises ApiError CUSTOMER_NOT_FOUND."""
        async with services.store.write() as transaction:
            await require_owner(transaction, values["customer_id"])
            row = await rows.insert(transaction, self.table, values)
            transaction.changed(self.word, row["id"])
        return row

    async def update(
        self,
        services: Services,
        caller: Caller,
        identifier: UUID,
        change: Change,
        free: Collection[str] = (),
    ) -> Row:
        """The row with what `change` puts into it. Of what a file declares only the columns `free` change."""
        async with services.store.write() as transaction:
            before = await self.find(transaction, caller, identifier)
            values = await change(transaction, before)
            if not values or set(values) - set(free):
                refuse_declared(before, self.word)
            row = await rows.update(transaction, self.table, identifier, values)
            transaction.changed(self.word, identifier)
        assert row is not None  # it was found in this transaction
        return row

    async def delete(self, services: Services, caller: Caller, identifier: UUID, check: Check | None = None) -> Row:
        """The row as it was, with `tm_delete`."""
        async with services.store.write() as transaction:
            before = await self.find(transaction, caller, identifier)
            refuse_declared(before, self.word)
            if check is not None:
                await check(transaction, before)
            row = await rows.soft_delete(transaction, self.table, identifier)
            transaction.changed(self.word, identifier)
        assert row is not None  # it was found in this transaction
        return row
