"""Users, passwords and keys, on the store itself, whether an engine runs on it or not (`trunkline admin`)."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from api.http.auth import RANK
from api.http.passwords import LONGEST, SHORTEST, hash_password
from api.http.tokens import key_hash, key_prefix, make_key
from config.loading import load
from config.logs import configure
from routing.identifiers import PLATFORM
from service.bootstrap import bootstrap
from service.file_modes import loose
from service.python_flows import python_flow_names
from service.storage import absent_file, store_url
from store import rows
from store.cluster.engine_lock import EngineLock
from store.cluster.heartbeat import NodeHeartbeat
from store.database.engines import parse_url
from store.database.file import database_files, database_path
from store.database.tables import accesskeys, agents, customers
from store.maintenance.declared_files import declaring_files, release
from store.maintenance.encryption import forget
from store.rows import IntegrityError, Row
from store.store import Store, Transaction


class AdminError(Exception):
    """What was asked cannot be done; a sentence for the user."""


@asynccontextmanager
async def store_of(
    config: Path, show: Callable[[str], None], warn: Callable[[str], None] = lambda told: None
) -> AsyncIterator[Store]:
    """The store that a configuration names, brought up to date. `show` is given the first access key where the store
    is new, `warn` a sentence where its file had to be made. Raises ConfigurationError, StoreError, AdminError."""
    configuration = load(config, python_flows=python_flow_names)
    configure("warning", configuration.settings.log.format)
    if configuration.settings.store == ":memory:":
        raise AdminError(f"{config}: store is :memory:, which no other process can reach; use the API, or name a file")
    url = store_url(configuration)
    absent = absent_file(url)
    store = await Store.open(url)
    try:
        if absent is not None:
            warn(f"made a new store: {absent} was not there")
        if (file := database_path(parse_url(url))) is not None:
            for path, mode, mended in loose(database_files(file)):
                warn(f"others can read a file with secrets in it: {path} has the mode {mode:04o}; {mended}")
        made_up = await bootstrap(store, configuration.settings.api.admin_key)
        if made_up:
            show(made_up)
        yield store
    finally:
        await store.close()


async def users(store: Store) -> Sequence[Row]:
    """Every agent that can log in: username, permission, customer (its name), tm_create."""
    query = (
        sa.select(agents.c.username, agents.c.permission, customers.c.name.label("customer"), agents.c.tm_create)
        .join(customers, customers.c.id == agents.c.customer_id)
        .where(agents.c.tm_delete.is_(None))
        .order_by(agents.c.tm_create)
    )
    async with store.read() as connection:
        return [dict(row) for row in (await connection.execute(query)).mappings()]


async def create_user(store: Store, username: str, password: str, permission: str, customer: str) -> UUID:
    """A new agent; its id. `customer`: id or name, "" for the platform's. Raises AdminError."""
    if permission not in RANK:
        raise AdminError(f"{permission!r} is no permission; use one of {', '.join(RANK)}")
    values: dict[str, Any] = {
        "username": username,
        "name": username,
        "password_hash": await _hashed(password),
        "permission": permission,
        "status": "offline",
        "ring_method": "ring_all",
    }
    try:
        async with store.write() as transaction:
            values["customer_id"] = await _customer(transaction, customer)
            row = await rows.insert(transaction, agents, values)
            transaction.changed("agent", row["id"])
    except IntegrityError:
        raise AdminError(f"there is a user {username!r} already; choose another name, or set its password") from None
    identifier: UUID = row["id"]
    return identifier


async def set_password(store: Store, username: str, password: str) -> None:
    """A new password; tokens that were given for the old one open nothing any more. Raises AdminError."""
    hashed = await _hashed(password)
    async with store.write() as transaction:
        agent = await _agent(transaction, username)
        await rows.update(transaction, agents, agent["id"], {"password_hash": hashed})
        transaction.changed("agent", agent["id"])


async def create_key(store: Store, username: str, name: str, permission: str) -> str:
    """A new access key of this user, to be shown once. `permission`: "" for the user's own. Raises AdminError."""
    async with store.write() as transaction:
        agent = await _agent(transaction, username)
        least = permission or agent["permission"]
        if RANK.get(least, 0) not in range(1, RANK[agent["permission"]] + 1):
            raise AdminError(f"{permission!r} is no permission up to {agent['permission']}, which {username} has")
        return await _make_key(transaction, agent, name, least)


async def reset_keys(store: Store, username: str) -> tuple[int, str]:
    """Revoke every key of this user and make a new one: how many there were, and the new key. Raises AdminError."""
    async with store.write() as transaction:
        agent = await _agent(transaction, username)
        revoked = await transaction.execute(
            sa.update(accesskeys)
            .where(accesskeys.c.agent_id == agent["id"], accesskeys.c.tm_delete.is_(None))
            .values(tm_delete=transaction.now, tm_update=transaction.now)
        )
        # In the same transaction: nobody is left without a key when this process ends in between.
        return revoked.rowcount, await _make_key(transaction, agent, "reset", agent["permission"])


async def _make_key(transaction: Transaction, agent: Row, name: str, permission: str) -> str:
    key = make_key()
    values = {
        "customer_id": agent["customer_id"],
        "agent_id": agent["id"],
        "name": name,
        "key_hash": key_hash(key),
        "key_prefix": key_prefix(key),
        "permission": permission,
    }
    row = await rows.insert(transaction, accesskeys, values)
    transaction.changed("accesskey", row["id"])
    return key


async def _hashed(password: str) -> str:
    if not SHORTEST <= len(password) <= LONGEST:
        raise AdminError(f"a password has {SHORTEST} to {LONGEST} characters; this one has {len(password)}")
    return await hash_password(password)


async def _agent(transaction: Transaction, username: str) -> Row:
    query = sa.select(agents).where(agents.c.username == username, agents.c.tm_delete.is_(None))
    found = (await transaction.execute(query)).mappings().one_or_none()
    if found is None:
        raise AdminError(f"there is no user {username!r}; `trunkline admin users` lists them")
    return dict(found)


async def _customer(transaction: Transaction, customer: str) -> UUID:
    if not customer:
        return PLATFORM
    wanted: Any = customers.c.name == customer
    with suppress(ValueError):
        wanted = customers.c.id == UUID(customer)
    query = sa.select(customers.c.id).where(wanted, customers.c.tm_delete.is_(None))
    found = (await transaction.execute(query)).scalars().all()
    if len(found) != 1:
        problem = "there is no customer" if not found else "several customers are named"
        raise AdminError(f"{problem} {customer!r}; write its id")
    identifier: UUID = found[0]
    return identifier


async def forget_secrets(store: Store) -> int:
    """Delete what a lost key has encrypted; how many rows. Raises AdminError."""
    path = database_path(store.address)
    lock = EngineLock.take(path) if path is not None else None
    try:
        if path is None and not await NodeHeartbeat(store, "").alone():
            raise AdminError("engines run on this store, or did within the minute; stop them first")
        lost = await forget(store)
    finally:
        if lock is not None:
            lock.close()
    if not lost:
        raise AdminError("nothing in the store is encrypted")
    return lost


async def declaring(store: Store) -> Mapping[str, Mapping[str, int]]:
    """How many resources of each kind each configuration file has declared."""
    async with store.read() as connection:
        return await declaring_files(connection)


async def release_file(store: Store, config: str, file: str) -> Mapping[str, int]:
    """What `file` has declared becomes the API's; how many of each kind. `config` is the file that is read. Both are
    absolute paths. Raises AdminError: nothing was done."""
    if file == config:
        problem = f"{file} is the configuration itself: take what it should not declare out of it and reload"
        raise AdminError(problem)
    async with store.write() as transaction:
        released = await release(transaction, file)
    if not released:
        known = ", ".join(sorted(await declaring(store))) or "none"
        raise AdminError(f"nothing in the store was declared in {file}; the files are: {known}")
    return released
