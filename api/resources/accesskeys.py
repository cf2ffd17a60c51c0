"""Access keys: what programs send in place of a login. Shown once, kept as a hash, limited, and revoked by deletion."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, Field

from api.http.auth import Caller, Permission, Who, guarded
from api.http.bodies import router_for
from api.http.errors import ApiError, fault_in, not_found
from api.http.listing import Listing, OfCustomer, Pages
from api.http.services import Use
from api.http.tokens import key_hash, key_prefix, make_key
from api.models.changes import changes, takes_back
from api.models.fields import Body, Detail, Name, Times, Timestamp
from api.openapi.schema import documented
from api.resources.resource import Resource
from store.database import tables
from store.rows import Row
from store.store import Transaction

router = router_for("accesskeys", "What programs send in place of a login.")
ACCESSKEYS = Resource(tables.accesskeys, "accesskey")


@documented(example={"key_prefix": "tk_rkYAy"})
class AccessKey(Times):
    """A key, of which only the beginning is known here. `permission`: the most that it may do."""

    id: UUID
    customer_id: UUID
    agent_id: UUID
    name: str
    detail: str
    key_prefix: str
    permission: Permission
    tm_expire: Timestamp | None


@documented(example={"accesskey": "tk_rkYAyMVwQQ8a1Zs0dXvJmT5cP2hLwE7uBnG9fK4iR6o", "key_prefix": "tk_rkYAy"})
class NewAccessKey(AccessKey):
    """With `accesskey` itself, which is shown this once."""

    accesskey: str


class AccessKeyCreate(Body):
    """A new key of the caller's own. It may do what its owner may, or less; without `tm_expire` it does not expire. One
    that is made with a key may do no more than that key, and expires with it at the latest."""

    name: Name = ""
    detail: Detail = ""
    permission: Permission | None = None
    tm_expire: Annotated[AwareDatetime | None, Field(description="RFC 3339, in the future.")] = None


@takes_back(AccessKey)
class AccessKeyUpdate(Body):
    """What is to change."""

    name: Name | None = None
    detail: Detail | None = None


def _visible(caller: Caller) -> list[Any]:
    """Agents see their own keys, admins their customer's."""
    return [] if caller.may("customer_admin") else [tables.accesskeys.c.agent_id == caller.agent_id]


@router.get("/accesskeys", response_model=Listing[AccessKey], **guarded("customer_agent"))
async def list_accesskeys(services: Use, caller: Who, paging: Pages, customer_id: OfCustomer = None) -> Any:
    """The keys, newest first: one's own, or as an admin the customer's."""
    return await ACCESSKEYS.list(services, caller, paging, *_visible(caller), customer_id=customer_id)


@router.post(
    "/accesskeys",
    status_code=201,
    response_model=NewAccessKey,
    **guarded(
        "customer_agent",
        examples={
            "A key with all that you may": {"name": "reports"},
            "A key that may only look, until a day": {
                "permission": "customer_agent",
                "tm_expire": "2199-12-31T00:00:00Z",
            },
        },
    ),
)
async def create_accesskey(services: Use, caller: Who, body: AccessKeyCreate) -> Any:
    """Create a key for oneself. Keep it: nobody can show it again."""
    permission = body.permission or caller.permission
    if not caller.may(permission):
        problem = f"a key cannot have more than its maker, which is {caller.permission}; ask for that or less"
        raise fault_in("permission", "PERMISSION_DENIED", problem)
    expire = _until(caller, body.tm_expire, services.store.clock())
    key = make_key()
    row = await ACCESSKEYS.create(
        services,
        body.model_dump()
        | {
            "customer_id": caller.customer_id,
            "agent_id": caller.agent_id,
            "permission": permission,
            "tm_expire": expire,
            "key_hash": key_hash(key),
            "key_prefix": key_prefix(key),
        },
    )
    return row | {"accesskey": key}


@router.get("/accesskeys/{accesskey_id}", response_model=AccessKey, **guarded("customer_agent"))
async def get_accesskey(services: Use, caller: Who, accesskey_id: UUID) -> Any:
    """One key."""
    row = await ACCESSKEYS.get(services, caller, accesskey_id)
    _refuse_others(caller, row)
    return row


@router.put(
    "/accesskeys/{accesskey_id}",
    response_model=AccessKey,
    **guarded("customer_agent", examples={"Another name": {"name": "another name"}}),
)
async def update_accesskey(services: Use, caller: Who, accesskey_id: UUID, body: AccessKeyUpdate) -> Any:
    """Change what a key is called."""

    async def change(_transaction: Transaction, before: Row) -> Row:
        _refuse_others(caller, before)
        return changes(body, before, AccessKey, {"name": "", "detail": ""})

    return await ACCESSKEYS.update(services, caller, accesskey_id, change)


@router.delete(
    "/accesskeys/{accesskey_id}", summary="Revoke an access key", response_model=AccessKey, **guarded("customer_agent")
)
async def delete_accesskey(services: Use, caller: Who, accesskey_id: UUID) -> Any:
    """Revoke a key. It opens nothing from the next request on."""
    return await ACCESSKEYS.delete(services, caller, accesskey_id, _own(caller))


def _own(caller: Caller) -> Any:
    async def check(_transaction: Transaction, row: Row) -> None:
        _refuse_others(caller, row)
        # Else whoever holds the least of keys could take all others away. A login is the owner itself.
        itself = row["id"] == caller.key_id or (caller.key_id is None and row["agent_id"] == caller.agent_id)
        if not itself and row["permission"] and not caller.may(row["permission"]):
            problem = f"a key with {row['permission']} is beyond these credentials, which have {caller.permission}"
            raise ApiError("PERMISSION_DENIED", problem)

    return check


def _refuse_others(caller: Caller, row: Row) -> None:
    if row["agent_id"] != caller.agent_id and not caller.may("customer_admin"):
        raise not_found("accesskey", row["id"])


def _until(caller: Caller, expire: datetime | None, now: datetime) -> datetime | None:
    """When a new key expires: a key that does would otherwise be good for another that does not."""
    if expire is not None and expire <= now:
        raise fault_in(
            "tm_expire", "INVALID_REQUEST_PARAMETER", "is in the past; write a time to come, or leave it out"
        )
    if caller.key_expires is not None and expire is not None and expire > caller.key_expires:
        problem = f"a key cannot outlive its maker, which expires at {caller.key_expires.isoformat()}; leave it out"
        raise fault_in("tm_expire", "PERMISSION_DENIED", problem)
    return expire or caller.key_expires
