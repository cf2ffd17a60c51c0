"""The first start on a store: the platform's own customer, a super admin, and the key that opens the API."""

import secrets

import sqlalchemy as sa

from api.http.tokens import key_hash, key_prefix, make_key
from routing.identifiers import PLATFORM
from store import rows
from store.database.tables import accesskeys, agents, billing_accounts, customers
from store.database.tables import secrets as kept_secrets
from store.store import Store, Transaction

FIRST_ADMIN = "admin"
TOKEN_SECRET = "tokens"
NONCE_SECRET = "nonces"


async def bootstrap(store: Store, admin_key: str = "") -> str:
    """Make what a new store lacks. Returns the access key that was made up, to be shown once; "" where the store has
    a super admin already or the configuration brings the key (`admin_key`), which is made good at every start."""
    async with store.write() as transaction:
        known = await rows.one(transaction, customers, PLATFORM)
        if known is None:
            await rows.insert(transaction, customers, {"id": PLATFORM, "name": "platform"})
            account = {"customer_id": PLATFORM, "name": "platform", "tier": "unlimited"}
            await rows.insert(transaction, billing_accounts, account)
            transaction.changed("customer", PLATFORM)
        admin = await _super_admin(transaction)
        made_up = ""
        if admin is None:
            values = {
                "customer_id": PLATFORM,
                "username": FIRST_ADMIN,
                "name": FIRST_ADMIN,
                "password_hash": "",  # no password fits until `trunkline admin password` has set one
                "permission": "project_super_admin",
                "status": "offline",
                "ring_method": "ring_all",
            }
            admin = await rows.insert(transaction, agents, values)
            if not admin_key:
                made_up = make_key()
        key = made_up or admin_key
        if key and not await _has_key(transaction, key):
            values = {
                "customer_id": admin["customer_id"],
                "agent_id": admin["id"],
                "name": "first key" if made_up else "api.admin_key",
                "key_hash": key_hash(key),
                "key_prefix": key_prefix(key) if made_up else "",
                "permission": "project_super_admin",
            }
            await rows.insert(transaction, accesskeys, values)
    return made_up


async def token_secret(store: Store) -> str:
    """The secret that signs tokens."""
    return await _kept(store, TOKEN_SECRET)


async def nonce_secret(store: Store) -> bytes:
    """The secret that the nonces of digest logins are made with."""
    return (await _kept(store, NONCE_SECRET)).encode()


async def _kept(store: Store, name: str) -> str:
    """A secret that is made once, and the same for all nodes on this store."""
    async with store.write() as transaction:
        query = sa.select(kept_secrets.c.value).where(kept_secrets.c.name == name)
        value: str | None = (await transaction.execute(query)).scalar_one_or_none()
        if value is None:
            value = store.vault.seal(secrets.token_urlsafe(48))
            await transaction.execute(sa.insert(kept_secrets), {"name": name, "value": value})
    return store.vault.open(value)


async def _super_admin(transaction: Transaction) -> rows.Row | None:
    query = (
        sa.select(agents)
        .where(agents.c.permission == "project_super_admin", agents.c.tm_delete.is_(None))
        .order_by(agents.c.tm_create)
        .limit(1)
    )
    found = (await transaction.execute(query)).mappings().one_or_none()
    return None if found is None else dict(found)


async def _has_key(transaction: Transaction, key: str) -> bool:
    query = sa.select(accesskeys.c.id).where(accesskeys.c.key_hash == key_hash(key))
    return (await transaction.execute(query)).first() is not None
