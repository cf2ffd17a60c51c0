"""Prepaid credit: accounts, and a ledger whose entries always add up to the balance.

Amounts are integers, in micro-units of the platform's currency. An account's `balance` is the customer's money;
`reserved` is the part of it that running calls may use (`store.resources.reservations`), so that `balance - reserved`
is what can still be spent. Neither goes below zero, whatever happens at the same time: whoever changes an account holds
its row (`Book`), and the table's CHECK constraints would refuse the rest.

The platform itself (the nil customer) has no account and pays nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Self
from uuid import UUID, uuid4

import sqlalchemy as sa

from routing.directory.customers import Tier
from routing.identifiers import NIL
from store import rows
from store.database.bulk import BulkWrite
from store.database.tables import billing_accounts, customers, ledger
from store.rows import Row
from store.store import Executor, Transaction

EntryKind = Literal["top_up", "call", "message", "purchase", "adjustment"]

MOST = 2**63 - 1
"""What the columns can hold, and so the largest balance."""
_MICROSECOND = timedelta(microseconds=1)
_LEDGER = BulkWrite(ledger)


class InsufficientBalance(Exception):
    """An account cannot pay that.

    Attributes:
        amount: What was to be paid.
        available: What the account could have paid; 0 where there is no account.
    """

    def __init__(self, amount: int, available: int) -> None:
        super().__init__(f"this costs {amount} micro-units and the account can spend {available}; top it up first")
        self.amount = amount
        self.available = available


class BalanceLimit(Exception):
    """A balance would be larger than its column."""


@dataclass(kw_only=True, slots=True)
class Account:
    """A billing account while its row is held.

    Attributes:
        may_spend: It lives, and so does its customer, who is not suspended.
        tm_entry: When its newest ledger entry was made, or later.
    """

    id: UUID
    customer_id: UUID
    balance: int
    reserved: int
    may_spend: bool
    living: bool
    tm_entry: datetime

    @property
    def available(self) -> int:
        """What can be spent or reserved."""
        return self.balance - self.reserved


class Book:
    """Some accounts, held until the transaction ends; what is done to them here is written by `write`.

    Rows are taken in the order of their ids, so that two transactions never wait for each other. On SQLite there is
    one writer at a time in any case.
    """

    def __init__(self, transaction: Transaction, accounts: Sequence[Account]) -> None:
        self._transaction = transaction
        self.accounts = {account.id: account for account in accounts}
        self.of_customer = {account.customer_id: account for account in accounts if account.living}
        self._before = {account.id: (account.balance, account.reserved) for account in accounts}
        self._entries: list[Row] = []

    @classmethod
    async def open(
        cls, transaction: Transaction, account_ids: Iterable[UUID] = (), customer_ids: Iterable[UUID] = ()
    ) -> Self:
        """Hold these accounts, deleted ones too, and the living ones of these customers."""
        accounts = billing_accounts.c
        wanted: list[sa.ColumnElement[bool]] = []
        if by_account := set(account_ids):
            wanted.append(accounts.id.in_(by_account))
        if by_customer := set(customer_ids):
            wanted.append(sa.and_(accounts.customer_id.in_(by_customer), accounts.tm_delete.is_(None)))
        if not wanted:
            return cls(transaction, ())
        query = (
            sa.select(
                accounts.id,
                accounts.customer_id,
                accounts.balance,
                accounts.reserved,
                accounts.tm_update,
                accounts.tm_delete,
                customers.c.id.label("customer"),
                customers.c.suspended,
                customers.c.tm_delete.label("customer_deleted"),
            )
            .select_from(billing_accounts.outerjoin(customers, customers.c.id == accounts.customer_id))
            .where(sa.or_(*wanted))
            .order_by(accounts.id)
            .with_for_update(of=billing_accounts)
        )
        found = (await transaction.execute(query)).all()
        return cls(
            transaction,
            [
                Account(
                    id=row.id,
                    customer_id=row.customer_id,
                    balance=row.balance,
                    reserved=row.reserved,
                    may_spend=(
                        row.tm_delete is None
                        and row.customer is not None
                        and row.customer_deleted is None
                        and not row.suspended
                    ),
                    living=row.tm_delete is None,
                    tm_entry=row.tm_update,
                )
                for row in found
            ],
        )

    def enter(self, account: Account, kind: EntryKind, amount: int, reference_id: UUID = NIL, detail: str = "") -> Row:
        """Change the balance by `amount` (negative: spend) and note it. Raises BalanceLimit."""
        if account.balance + amount > MOST:
            raise BalanceLimit(f"a balance can be at most {MOST} micro-units; this one is {account.balance}")
        account.balance += amount
        # Strictly later than the entry before: sorted by time, the entries of an account are in the order in which
        # they were made, also where several nodes' clocks or several transactions at once say otherwise.
        account.tm_entry = max(self._transaction.now, account.tm_entry + _MICROSECOND)
        entry: Row = {
            "id": uuid4(),
            "customer_id": account.customer_id,
            "account_id": account.id,
            "kind": kind,
            "amount": amount,
            "balance": account.balance,
            "reference_id": reference_id,
            "detail": detail,
            "tm_create": account.tm_entry,
        }
        self._entries.append(entry)
        return entry

    async def write(self) -> None:
        """Two statements, however many accounts and entries there are."""
        changed = []
        for account in self.accounts.values():
            balance, reserved = self._before[account.id]
            if (balance, reserved) != (account.balance, account.reserved):
                changed.append(
                    {
                        "account": account.id,
                        "spent": account.balance - balance,
                        "held": account.reserved - reserved,
                        "at": account.tm_entry,
                    }
                )
        if changed:
            await self._transaction.execute(_CHANGE_ACCOUNT, changed)
        await _LEDGER.write(self._transaction.connection, self._entries)


# Differences and not what was computed: even if a row could be changed behind a Book's back, no money would be made.
_CHANGE_ACCOUNT = (
    sa.update(billing_accounts)
    .where(billing_accounts.c.id == sa.bindparam("account"))
    .values(
        balance=billing_accounts.c.balance + sa.bindparam("spent"),
        reserved=billing_accounts.c.reserved + sa.bindparam("held"),
        tm_update=sa.bindparam("at"),
    )
)


async def open_account(
    transaction: Transaction, customer_id: UUID, tier: Tier = "free", name: str = "", detail: str = ""
) -> Row:
    """An empty account for a customer. Raises rows.IntegrityError if it has a living one."""
    values = {"customer_id": customer_id, "tier": tier, "name": name, "detail": detail}
    row = await rows.insert(transaction, billing_accounts, values)
    transaction.changed("billing_account", row["id"])
    return row


async def account_of(executor: Executor, customer_id: UUID) -> Row | None:
    """A customer's living account."""
    accounts = billing_accounts.c
    query = sa.select(billing_accounts).where(accounts.customer_id == customer_id, accounts.tm_delete.is_(None))
    found = (await executor.execute(query)).mappings().one_or_none()
    return None if found is None else dict(found)


async def top_up(transaction: Transaction, account_id: UUID, amount: int, detail: str = "") -> Row | None:
    """Add `amount` (more than 0) to a living account; the ledger entry, None where there is no such account. Raises
    ValueError, BalanceLimit."""
    if amount <= 0:
        raise ValueError(f"{amount} is no amount to add")
    return await _enter(transaction, account_id, "top_up", amount, detail)


async def adjust(transaction: Transaction, account_id: UUID, amount: int, detail: str = "") -> Row | None:
    """Correct a balance by `amount`, up or down; the ledger entry, None where there is no such account. Raises
    InsufficientBalance where that would take what is not there or what running calls may use, ValueError for 0,
    BalanceLimit."""
    if amount == 0:
        raise ValueError("an adjustment by 0 changes nothing")
    return await _enter(transaction, account_id, "adjustment", amount, detail)


async def _enter(t: Transaction, account_id: UUID, kind: EntryKind, amount: int, detail: str) -> Row | None:
    book = await Book.open(t, account_ids=[account_id])
    account = book.accounts.get(account_id)
    if account is None or not account.living:
        return None
    if account.available + amount < 0:
        raise InsufficientBalance(-amount, account.available)
    entry = book.enter(account, kind, amount, detail=detail)
    await book.write()
    t.changed("billing_account", account_id)
    return entry


async def purchase(
    transaction: Transaction, customer_id: UUID, amount: int, reference_id: UUID, detail: str = ""
) -> Row | None:
    """Pay for something, such as a number (`reference_id`), from what running calls have not reserved.

    Returns the ledger entry; None where nothing is to be paid: `amount` is 0, or the customer is the platform. Raises
    InsufficientBalance, also where there is no account or it may not spend; ValueError for a negative amount.
    """
    if amount < 0:
        raise ValueError(f"{amount} is no price")
    if amount == 0 or customer_id == NIL:
        return None
    book = await Book.open(transaction, customer_ids=[customer_id])
    account = book.of_customer.get(customer_id)
    if account is None or not account.may_spend:
        raise InsufficientBalance(amount, 0)
    if account.available < amount:
        raise InsufficientBalance(amount, account.available)
    entry = book.enter(account, "purchase", -amount, reference_id, detail)
    await book.write()
    transaction.changed("billing_account", account.id)
    return entry


def no_earlier(now: datetime) -> Any:
    """What to set an account's `tm_update` to when something else than its money changes: never back, as the times
    of its ledger entries go on from there."""
    column = billing_accounts.c.tm_update
    return sa.case((column > now, column), else_=sa.literal(now, column.type))
