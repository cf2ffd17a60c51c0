"""Extensions in the store: how many a customer has, whose numbers they may show, and what becomes of them."""

from collections.abc import Collection
from uuid import UUID

import sqlalchemy as sa

from routing.identifiers import NIL, PLATFORM
from store.database.tables import customers, extensions, numbers
from store.resources.numbers import IN_USE
from store.rows import Row
from store.store import KEY_LENGTH, Executor, Transaction


def change_key(name: str) -> str:
    """The `key` of a change of the extension with this name."""
    return name[:KEY_LENGTH]


def owners(customer_id: UUID) -> tuple[UUID, ...]:
    """The customer; the platform goes by two ids, the nil UUID and one of its own."""
    return (NIL, PLATFORM) if customer_id in (NIL, PLATFORM) else (customer_id,)


async def held(executor: Executor, customer_id: UUID) -> int:
    """How many a customer has."""
    query = sa.select(sa.func.count()).where(extensions.c.customer_id == customer_id, extensions.c.tm_delete.is_(None))
    count: int = (await executor.execute(query)).scalar_one()
    return count


async def listed(executor: Executor) -> list[Row]:
    """All of them by name, each with the name of its `customer`, "" for the platform."""
    query = (
        sa.select(extensions, customers.c.name.label("customer"))
        .outerjoin(customers, customers.c.id == extensions.c.customer_id)
        .where(extensions.c.tm_delete.is_(None))
        .order_by(extensions.c.name)
    )
    return [dict(row) for row in (await executor.execute(query)).mappings()]


async def own_numbers(executor: Executor, customer_id: UUID, wanted: Collection[str]) -> set[str]:
    """Those of the numbers that this customer has. In a transaction it goes on having them until that ends."""
    columns = numbers.c
    query = sa.select(columns.number).where(
        columns.number.in_(wanted),
        columns.customer_id.in_(owners(customer_id)),
        columns.status.in_(IN_USE),
        columns.tm_delete.is_(None),
    )
    if isinstance(executor, Transaction):
        query = query.with_for_update(read=True)
    return set((await executor.execute(query)).scalars())


async def forget_number(transaction: Transaction, customer_id: UUID, number: str) -> None:
    """The customer has given this number back: none of its extensions shows it any more. Those of a file keep what that
    says."""
    columns = extensions.c
    query = sa.select(columns.id, columns.name, columns.caller_id, columns.caller_ids).where(
        columns.customer_id.in_(owners(customer_id)),
        sa.or_(columns.caller_id == number, sa.cast(columns.caller_ids, sa.Text).contains(f'"{number}"')),
        columns.declared_in == "",
        columns.tm_delete.is_(None),
    )
    for row in (await transaction.execute(query.with_for_update())).all():
        values = {
            "caller_id": "" if row.caller_id == number else row.caller_id,
            "caller_ids": [other for other in row.caller_ids if other != number],
            "tm_update": transaction.now,
        }
        await transaction.execute(sa.update(extensions).where(columns.id == row.id).values(values))
        transaction.changed("extension", row.id, change_key(row.name))
