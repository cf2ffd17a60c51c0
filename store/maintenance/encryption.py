"""Encryption of a store as a whole: switched on, renewed with a new key, and given up when the key is lost.

A store is sealed as a whole or not at all, which a row of `secrets` shows that only the right key opens. So what
somebody makes look like a sealed value is nothing but a text: in a store that is not sealed everything is sealed at the
first start with a key, whatever it looks like.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from store.database import tables
from store.database.engines import BUSY_TIMEOUT
from store.database.errors import StoreError, StoreRefused
from store.database.file import database_path
from store.database.vault import MARK, SECRET_COLUMNS, SecretUnreadable, Vault, Work
from store.resources.nodes import SILENCE, is_over
from store.store import Store, Transaction

WITNESS: Final = "sealed"
"""The row of `secrets` whose value tells whether the store is sealed, and that a key is the right one."""
BATCH: Final = 500
_LOCK: Final = 0x7365616C  # "seal": nodes that start together seal one after the other


async def unlock(store: Store, keys: Sequence[str]) -> int:
    """Make `store.vault` that of these keys. A store that was not sealed is from now on, and what other keys have
    sealed is sealed with the first; how many rows were written. Raises StoreRefused where the right key is not there,
    StoreError where others would be locked out, or SQLAlchemy's DBAPIError."""
    vault = Vault(keys)
    async with store.write() as transaction:
        if store.dialect == "postgresql":
            await transaction.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        elif vault.seals:
            # What a row was before is not left in its page.
            await transaction.execute(sa.text("PRAGMA secure_delete = ON"))
        query = sa.select(tables.secrets.c.value).where(tables.secrets.c.name == WITNESS)
        witness: str | None = (await transaction.execute(query)).scalar_one_or_none()
        written = 0
        if witness is not None:
            _check(store, vault, witness)
            written = await _everywhere(transaction, vault.renew)
        elif vault.seals:
            await _refuse_beside_others(store, transaction)
            written = await _everywhere(transaction, vault.seal)
            values = {"name": WITNESS, "value": vault.seal(WITNESS)}
            await transaction.execute(sa.insert(tables.secrets), values)
    store.vault = vault
    path = database_path(store.address)
    if path is not None and written:
        await asyncio.to_thread(_wipe, path, whole=witness is None)
    return written


def _wipe(path: Path, *, whole: bool) -> None:
    """What was there in clear is neither left in the log nor, with `whole`, in pages that are free."""
    with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)) as connection:
        if whole:
            connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


async def forget(store: Store) -> int:
    """The key is lost: what it has sealed goes. Providers lose their passwords and headers, extensions their passwords,
    webhooks their secret (and are disabled), and what signs tokens is made anew, so that everybody logs in again. How
    many rows; 0 where the store is not sealed. For when no engine runs."""
    async with store.write() as transaction:
        witness = sa.select(tables.secrets.c.name).where(tables.secrets.c.name == WITNESS)
        if (await transaction.execute(witness)).first() is None:
            return 0
        lost = await _everywhere(transaction, lambda kept: "" if kept.startswith(MARK) else kept)
        webhooks, secrets = tables.webhooks, tables.secrets
        await transaction.execute(sa.update(webhooks).where(webhooks.c.secret == "").values(enabled=False))
        await transaction.execute(sa.delete(secrets).where(secrets.c.value == ""))
    return lost


def _check(store: Store, vault: Vault, witness: str) -> None:
    problem = "put the key that they were encrypted with there"
    if not vault.seals:
        raise StoreRefused(f"{store.url}: its secrets are encrypted, and secret_key is not set: {problem}")
    try:
        vault.open(witness)
    except SecretUnreadable:
        raise StoreRefused(f"{store.url}: none of the keys under secret_key opens its secrets: {problem}") from None


async def _refuse_beside_others(store: Store, transaction: Transaction) -> None:
    """Engines that run have no key: what is sealed from now on they could not read."""
    nodes = tables.nodes.c
    recently = nodes.tm_seen >= await store.common_now(transaction) - SILENCE
    query = sa.select(nodes.name, nodes.process).where(recently, nodes.process != "")
    others = [row.name for row in await transaction.execute(query) if not is_over(row.process)]
    if others:
        problem = f"secret_key cannot be switched on while other engines run on it without one ({', '.join(others)})"
        raise StoreError(f"{store.url}: {problem}: end them first")


async def _everywhere(transaction: Transaction, work: Work) -> int:
    """Do `work` to every secret there is; how many rows that has changed."""
    changed = 0
    for name, (column, each) in SECRET_COLUMNS.items():
        table = tables.metadata.tables[name]
        key = next(iter(table.primary_key))
        last: Any = None
        while True:
            query = sa.select(key, table.c[column]).order_by(key).limit(BATCH).with_for_update()
            if last is not None:
                query = query.where(key > last)
            rows: list[tuple[Any, Any]] = [tuple(row) for row in await transaction.execute(query)]
            for identifier, value in rows:
                made = _left_alone(each, value, work)
                if made != value:
                    statement = sa.update(table).where(key == identifier).values({column: made})
                    await transaction.execute(statement)
                    changed += 1
            if len(rows) < BATCH:
                break
            last = rows[-1][0]
    return changed


def _left_alone(each: Callable[[Any, Work], Any], value: Any, work: Work) -> Any:
    """What no key opens stays as it is: it may be what somebody has made look like a secret."""
    try:
        return each(value, work)
    except SecretUnreadable:
        return value
