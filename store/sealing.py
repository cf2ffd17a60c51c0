"""Secrets that the store keeps and has to read again, encrypted: trunk passwords, what signs tokens and webhooks.

`secret_key` lists keys, as Fernet takes them (AES-128 in CBC with HMAC-SHA-256, a version and a time in each token:
https://github.com/fernet/spec): the first seals, each of them opens. A store is sealed as a whole or not at all, which
a row of `secrets` shows that only the right key opens. So what somebody makes look like a sealed value is nothing but
a text: in a store that is not sealed everything is sealed at the first start with a key, whatever it looks like.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from store import tables
from store.database_file import database_path
from store.engines import BUSY_TIMEOUT
from store.errors import StoreError, StoreRefused

if TYPE_CHECKING:
    from cryptography.fernet import Fernet, MultiFernet

    from store.store import Store, Transaction

MARK: Final = "fernet:"
"""What a sealed value begins with."""
WITNESS: Final = "sealed"
"""The row of `secrets` whose value tells whether the store is sealed, and that a key is the right one."""
BATCH: Final = 500
_LOCK: Final = 0x7365616C  # "seal": nodes that start together seal one after the other

Work = Callable[[str], str]


class SecretUnreadable(StoreError):
    """A secret that none of this engine's keys opens."""


def _fernets(keys: Sequence[str]) -> "tuple[Fernet, MultiFernet]":
    from cryptography.fernet import Fernet, MultiFernet  # 40 ms, which only a store that is sealed has to wait

    made = [Fernet(key) for key in keys]
    return made[0], MultiFernet(made)


class Vault:
    """Seals and opens. Without keys everything is kept as it is."""

    def __init__(self, keys: Sequence[str] = ()) -> None:
        """`keys`: 32 octets each, in base64; `config.settings` has looked at them."""
        fernets = _fernets(keys) if keys else None
        self._first = fernets and fernets[0]
        self._all = fernets and fernets[1]

    @property
    def seals(self) -> bool:
        """Whether there is a key."""
        return self._first is not None

    def seal(self, text: str) -> str:
        """As it is kept. What is empty is no secret."""
        if self._first is None or not text:
            return text
        return MARK + self._first.encrypt(text.encode("utf-8", "surrogatepass")).decode()

    def open(self, kept: str) -> str:
        """What was sealed. Raises SecretUnreadable."""
        if not kept.startswith(MARK):
            return kept
        if self._all is None:
            raise SecretUnreadable("a secret of the store is encrypted, and secret_key is not set")
        from cryptography.fernet import InvalidToken

        try:
            return self._all.decrypt(kept.removeprefix(MARK)).decode("utf-8", "surrogatepass")
        except InvalidToken:
            raise SecretUnreadable("none of the keys under secret_key opens a secret of the store") from None

    def renew(self, kept: str) -> str:
        """Sealed with the first key, whatever it was sealed with, if it was. Raises SecretUnreadable."""
        if self._first is None or not kept:
            return kept
        if kept.startswith(MARK):
            from cryptography.fernet import InvalidToken

            try:
                self._first.decrypt(kept.removeprefix(MARK))
                return kept
            except InvalidToken:
                pass
        return self.seal(self.open(kept))


# ---- where secrets stand


def _text(value: str, work: Work) -> str:
    return work(value)


def _in_settings(value: Mapping[str, Any], work: Work) -> dict[str, Any]:
    """Of a provider: its password, and headers that may be an account's key."""
    changed = dict(value)
    if changed.get("password"):
        changed["password"] = work(changed["password"])
    headers = changed.get("tech_headers")
    if headers and isinstance(headers, list):
        done = [(name, text, work(text)) for name, text in headers]
        changed["tech_headers"] = [[name, made] for name, text, made in done if made or not text]
    return changed


_PLACES: Final[Mapping[str, tuple[str, Callable[[Any, Work], Any]]]] = {
    "providers": ("settings", _in_settings),
    "webhooks": ("secret", _text),
    "secrets": ("value", _text),
}


def worked(table: sa.Table, row: Mapping[str, Any], work: Work) -> dict[str, Any]:
    """A row with `work` done to what is secret in it. Tables that have no secrets, and rows without that column, stay
    as they are."""
    changed = dict(row)
    if table.name in _PLACES:
        column, each = _PLACES[table.name]
        if column in changed:
            changed[column] = each(changed[column], work)
    return changed


# ---- the store as a whole


async def unlock(store: "Store", keys: Sequence[str]) -> int:
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


async def forget(store: "Store") -> int:
    """The key is lost: what it has sealed goes. Providers lose their passwords and headers, webhooks their secret (and
    are disabled), and what signs tokens is made anew, so that everybody logs in again. How many rows; 0 where the store
    is not sealed. For when no engine runs."""
    async with store.write() as transaction:
        witness = sa.select(tables.secrets.c.name).where(tables.secrets.c.name == WITNESS)
        if (await transaction.execute(witness)).first() is None:
            return 0
        lost = await _everywhere(transaction, lambda kept: "" if kept.startswith(MARK) else kept)
        webhooks, secrets = tables.webhooks, tables.secrets
        await transaction.execute(sa.update(webhooks).where(webhooks.c.secret == "").values(enabled=False))
        await transaction.execute(sa.delete(secrets).where(secrets.c.value == ""))
    return lost


def _check(store: "Store", vault: Vault, witness: str) -> None:
    problem = "put the key that they were encrypted with there"
    if not vault.seals:
        raise StoreRefused(f"{store.url}: its secrets are encrypted, and secret_key is not set: {problem}")
    try:
        vault.open(witness)
    except SecretUnreadable:
        raise StoreRefused(f"{store.url}: none of the keys under secret_key opens its secrets: {problem}") from None


async def _refuse_beside_others(store: "Store", transaction: "Transaction") -> None:
    """Engines that run have no key: what is sealed from now on they could not read."""
    from store.cluster.nodes import SILENCE, is_over

    nodes = tables.nodes.c
    recently = nodes.tm_seen >= await store.common_now(transaction) - SILENCE
    query = sa.select(nodes.name, nodes.process).where(recently, nodes.process != "")
    others = [row.name for row in await transaction.execute(query) if not is_over(row.process)]
    if others:
        problem = f"secret_key cannot be switched on while other engines run on it without one ({', '.join(others)})"
        raise StoreError(f"{store.url}: {problem}: end them first")


async def _everywhere(transaction: "Transaction", work: Work) -> int:
    """Do `work` to every secret there is; how many rows that has changed."""
    changed = 0
    for name, (column, each) in _PLACES.items():
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
