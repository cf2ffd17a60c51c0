"""Numbers in the store: taken, made, moved, counted, searched and put on offer.

A number exists once: among the living rows an index lets only one have it. What happens to it depends on its status,
and the statement that changes the status also asks for it, so that of many who want the same thing one gets it.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from routing.directory.customers import Tier
from routing.models.number import NumberStatus
from store.database.tables import billing_accounts, customers, numbers
from store.rows import Page, Row, TokenError
from store.store import Executor, Transaction

_COLUMNS = numbers.c
_LIVING = _COLUMNS.tm_delete.is_(None)
_OF_THE_API = _COLUMNS.declared_in == ""
# Written out: with a parameter SQLite does not use the index that has this condition.
_ON_OFFER = sa.and_(_COLUMNS.status == sa.literal_column("'available'"), _LIVING, _OF_THE_API)
_RELEASED = sa.and_(_COLUMNS.status == "released", _COLUMNS.tm_delete.is_not(None))
IN_USE: tuple[NumberStatus, ...] = ("active", "suspended")


# ---- one number


async def living(executor: Executor, number: str) -> Row | None:
    """The number, whoever has it; None where it does not exist or was released."""
    query = sa.select(numbers).where(_COLUMNS.number == number, _LIVING)
    found = (await executor.execute(query)).mappings().one_or_none()
    return None if found is None else dict(found)


async def take(transaction: Transaction, number: str, customer_id: UUID, values: Mapping[str, Any]) -> Row | None:
    """Give a number that is on offer to a customer, with `values`. None where it is not on offer (any more)."""
    now = transaction.now
    taken: Row = {"status": "active", "customer_id": customer_id, "tm_purchase": now, "tm_create": now}
    statement = (
        sa.update(numbers)
        .where(_COLUMNS.number == number, _ON_OFFER)
        .values(taken | {"tm_update": now} | dict(values))
        .returning(*_COLUMNS)
    )
    found = (await transaction.execute(statement)).mappings().one_or_none()
    return None if found is None else dict(found)


async def make(transaction: Transaction, values: Mapping[str, Any]) -> Row | None:
    """A number that does not exist yet. None where it does."""
    made = await _insert(transaction, [values])
    return made[0] if made else None


async def _insert(transaction: Transaction, some: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Those that did not exist; they come back in no certain order."""
    now = transaction.now
    new = [{"id": uuid4(), "tm_create": now, "tm_update": now} | dict(values) for values in some]
    insert = postgresql.insert if transaction.connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(numbers).on_conflict_do_nothing().returning(*_COLUMNS)
    return [dict(row) for row in (await transaction.execute(statement, new)).mappings()]


async def change(
    transaction: Transaction,
    number_id: UUID,
    scope: UUID | None,
    before: Collection[NumberStatus],
    values: Mapping[str, Any],
) -> Row | None:
    """Change a number that has one of these statuses. `scope`: only if it is this customer's. None where there is none
    such, also where a file owns it."""
    where = [_COLUMNS.id == number_id, _COLUMNS.status.in_(before), _LIVING, _OF_THE_API]
    if scope is not None:
        where.append(_COLUMNS.customer_id == scope)
    changed = {"tm_update": transaction.now} | dict(values)
    found = (
        await transaction.execute(sa.update(numbers).where(*where).values(changed).returning(*_COLUMNS))
    ).mappings()
    row = found.one_or_none()
    return None if row is None else dict(row)


async def released(executor: Executor, number_id: UUID, scope: UUID | None) -> Row | None:
    """A number that was given back. `scope`: only if it was this customer's. None where there is none such."""
    query = sa.select(numbers).where(_COLUMNS.id == number_id, _RELEASED)
    if scope is not None:
        query = query.where(_COLUMNS.customer_id == scope)
    found = (await executor.execute(query)).mappings().one_or_none()
    return None if found is None else dict(found)


async def offer_again(transaction: Transaction, given_back: Row) -> Row | None:
    """A new number on offer in place of one that was given back, as it was before: nothing of its customer's is left
    in it. None where somebody has made one meanwhile."""
    kept = ("number", "type", "provider_id", "origin", "price", "country", "region", "city", "kind")
    return await make(transaction, {name: given_back[name] for name in kept} | {"status": "available"})


async def withdraw(transaction: Transaction, number_id: UUID) -> Row | None:
    """Take a number out of the inventory. None where it is not on offer."""
    now = transaction.now
    statement = sa.update(numbers).where(_COLUMNS.id == number_id, _ON_OFFER).values(tm_update=now, tm_delete=now)
    found = (await transaction.execute(statement.returning(*_COLUMNS))).mappings().one_or_none()
    return None if found is None else dict(found)


# ---- what a customer may have


async def hold_customer(transaction: Transaction, customer_id: UUID, *, alone: bool) -> Tier | None:
    """Keep a customer from being deleted until the transaction ends, and tell its tier ("free" where it has no
    account); None where there is no such customer. `alone`: only one transaction at a time holds it, so that what it
    has can be counted."""
    query = (
        sa.select(sa.func.coalesce(billing_accounts.c.tier, "free"))
        .select_from(
            customers.outerjoin(
                billing_accounts,
                sa.and_(billing_accounts.c.customer_id == customers.c.id, billing_accounts.c.tm_delete.is_(None)),
            )
        )
        .where(customers.c.id == customer_id, customers.c.tm_delete.is_(None))
        .with_for_update(of=customers, read=not alone)
    )
    tier: Tier | None = (await transaction.execute(query)).scalar_one_or_none()
    return tier


async def virtual_held(executor: Executor, customer_id: UUID) -> int:
    """How many virtual numbers a customer has, in use or resting."""
    virtual = _COLUMNS.type == sa.literal_column("'virtual'")  # written out, as above
    query = sa.select(sa.func.count()).where(_COLUMNS.customer_id == customer_id, virtual, _LIVING)
    held: int = (await executor.execute(query)).scalar_one()
    return held


async def living_among(executor: Executor, some: Sequence[str]) -> set[str]:
    """Those of these numbers that exist."""
    query = sa.select(_COLUMNS.number).where(_COLUMNS.number.in_(some), _LIVING)
    return set((await executor.execute(query)).scalars())


# ---- the inventory


@dataclass(kw_only=True, slots=True, frozen=True)
class Search:
    """What is looked for among the numbers on offer; "" is everything. Regions and cities are found in capital and
    small letters. `digits` are anywhere in the number, or at its beginning if they begin with `+`."""

    country: str = ""
    kind: str = ""
    region: str = ""
    city: str = ""
    digits: str = ""

    def where(self) -> list[sa.ColumnElement[bool]]:
        """As conditions."""
        found: list[sa.ColumnElement[bool]] = []
        if self.country:
            found.append(_COLUMNS.country == self.country)
        if self.kind:
            found.append(_COLUMNS.kind == self.kind)
        for column, text in ((_COLUMNS.region, self.region), (_COLUMNS.city, self.city)):
            if text:
                # By the database on both sides: SQLite's lower() leaves all letters but ASCII as they are.
                found.append(sa.func.lower(column) == sa.func.lower(text))
        if self.digits:
            found.append(_COLUMNS.number.like(f"{'' if self.digits[0] == '+' else '%'}{self.digits}%"))
        return found


async def on_offer(executor: Executor, search: Search, size: int, token: str = "") -> Page:
    """A page of the numbers on offer, by country, kind and number. Raises TokenError."""
    place = (_COLUMNS.country, _COLUMNS.kind, _COLUMNS.number)
    query = sa.select(numbers).where(_ON_OFFER, *search.where())
    if token:
        # Only what is not the same in all rows: SQLite begins within its index at the columns that are compared.
        same = (search.country, search.kind, "")
        after = [pair for pair, fixed in zip(zip(place, _parse(token), strict=True), same, strict=True) if not fixed]
        query = query.where(sa.tuple_(*(column for column, _ in after)) > sa.tuple_(*(sa.literal(v) for _, v in after)))
    found = (await executor.execute(query.order_by(*place).limit(size + 1))).mappings()
    rows = [dict(row) for row in found]
    if len(rows) <= size:
        return Page(rows, "")
    last = rows[size - 1]
    return Page(rows[:size], _token(last["country"], last["kind"], last["number"]))


# Plain, so that an API can say what a token looks like: "US.local.15551234567".
_TOKEN = re.compile(r"([A-Z]{2}|)\.([a-z_]*)\.([0-9]{7,15})", re.ASCII)


def _token(country: str, kind: str, number: str) -> str:
    return f"{country}.{kind}.{number.removeprefix('+')}"


def _parse(token: str) -> tuple[str, str, str]:
    place = _TOKEN.fullmatch(token)
    if place is None:
        raise TokenError("the page token is none that this list has given out")
    country, kind, digits = place.groups()
    return country, kind, f"+{digits}"


_OFFERED = ("provider_id", "price", "country", "region", "city", "kind", "name")
_CHANGE_OFFER = (
    sa.update(numbers)
    .where(_COLUMNS.id == sa.bindparam("on_offer"), _ON_OFFER)
    .values({name: sa.bindparam(f"new_{name}") for name in _OFFERED} | {"tm_update": sa.bindparam("now")})
)


@dataclass(slots=True)
class Offered:
    """What has become of numbers that were to be put on offer, by their rows. `held` have the row that is in the way
    beside them; None where somebody was quicker."""

    added: list[Row]
    changed: list[Row]
    unchanged: list[Row]
    held: list[tuple[Row, Row | None]]


async def offer(transaction: Transaction, some: Sequence[Row]) -> Offered:
    """Put numbers on offer, `available` and nobody's; those that are already get these prices, providers and places.
    Each number comes once, and each row has the same columns."""
    query = sa.select(numbers).where(_COLUMNS.number.in_([row["number"] for row in some]), _LIVING)
    known = {row["number"]: dict(row) for row in (await transaction.execute(query)).mappings()}
    done = Offered([], [], [], [])
    new = []
    for row in some:
        old = known.get(row["number"])
        if old is None:
            new.append(row)
        elif old["status"] != "available" or old["declared_in"]:
            done.held.append((row, old))
        elif all(old[name] == row[name] for name in _OFFERED):
            done.unchanged.append(old)
        else:
            done.changed.append(row | {"id": old["id"]})
    if new:
        done.added = await _insert(transaction, new)
        added = {row["number"] for row in done.added}
        done.held += [(row, None) for row in new if row["number"] not in added]
    if done.changed:
        now = transaction.now
        values = [
            {"on_offer": row["id"], "now": now} | {f"new_{name}": row[name] for name in _OFFERED}
            for row in done.changed
        ]
        await transaction.execute(_CHANGE_OFFER, values)
    return done
