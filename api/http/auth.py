"""Who asks, and whether that may be: tokens and access keys, four permissions, one guard for every operation."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any, Literal, cast
from uuid import UUID

import sqlalchemy as sa
from fastapi import Depends, Request, Security
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.security import APIKeyQuery, HTTPAuthorizationCredentials, HTTPBearer

from api.http import idempotency
from api.http.bodies import body_examples
from api.http.errors import ApiError, error_responses, fault_in, too_many
from api.http.exchange import exchange_of
from api.http.passwords import has_password
from api.http.services import Services, Use
from api.http.tokens import KEY_BEGINNING, InvalidTokenError, key_hash, password_mark
from flows.faults import printable
from routing.models.sentences import shown_key
from store.database.tables import accesskeys, agents, customers

Permission = Literal["project_super_admin", "customer_admin", "customer_manager", "customer_agent"]

RANK: Mapping[str, int] = {
    "customer_agent": 1,
    "customer_manager": 2,
    "customer_admin": 3,
    "project_super_admin": 4,
}
"""Each permission includes those below it."""


@dataclass(kw_only=True, slots=True, frozen=True)
class Caller:
    """Whoever sent the request. `key_id` is the access key's, None for a token of a login; `key_expires`: None for
    never."""

    agent_id: UUID
    customer_id: UUID
    permission: Permission
    key_id: UUID | None = None
    request_rate: int = 0
    key_expires: datetime | None = None
    password_mark: str = ""
    """Of a token's login: the token is void with another password."""

    @property
    def is_super(self) -> bool:
        """Whether it sees every customer's resources."""
        return self.permission == "project_super_admin"

    @property
    def scope(self) -> UUID | None:
        """The customer whose resources it sees; None: all of them."""
        return None if self.is_super else self.customer_id

    def may(self, permission: Permission) -> bool:
        """Whether its permission is this one or more."""
        return RANK[self.permission] >= RANK[permission]

    def owner(self, asked: UUID | None) -> UUID:
        """The customer that a new resource belongs to: its own, or for a super admin the one it asks for. Raises
        ApiError PERMISSION_DENIED where it asks for another."""
        if asked is None or asked == self.customer_id:
            return self.customer_id
        if self.is_super:
            return asked
        raise fault_in(
            "customer_id", "PERMISSION_DENIED", "only a super admin creates for other customers; leave it out"
        )


_bearer = HTTPBearer(
    scheme_name="bearer", auto_error=False, description="A token of POST /auth/login, or an access key."
)
_token = APIKeyQuery(
    name="token", scheme_name="token", auto_error=False, description="The same, for tools that cannot set a header."
)
_accesskey = APIKeyQuery(name="accesskey", scheme_name="accesskey", auto_error=False, description="An access key.")


def _credentials(
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)] = None,
    token: Annotated[str | None, Security(_token)] = None,
    accesskey: Annotated[str | None, Security(_accesskey)] = None,
) -> str:
    return (bearer.credentials if bearer else token or accesskey) or ""


Shown = Annotated[str, Depends(_credentials)]
"""`shown: Shown` as a parameter of an operation that calls `recognise` itself: the token or key; "" for none."""


async def identify(request: Request, services: Use, shown: Shown) -> Caller:
    """The caller. Raises ApiError AUTHENTICATION_REQUIRED, INVALID_CREDENTIALS, CUSTOMER_SUSPENDED."""
    return await recognise(request, services, shown)


Who = Annotated[Caller, Depends(identify)]
"""`caller: Who` as a parameter of an operation."""


async def recognise(request: Request, services: Services, shown: str) -> Caller:
    """The caller that these credentials belong to; found once for each request."""
    exchange = exchange_of(request)
    if exchange.caller is not None:
        return cast(Caller, exchange.caller)
    try:
        if not shown:
            problem = "no credentials; log in at POST /auth/login, or send an access key as ?accesskey= or Bearer"
            raise ApiError("AUTHENTICATION_REQUIRED", problem)
        caller = await (_of_key if shown.startswith(KEY_BEGINNING) else _of_token_or_key)(services, shown)
    except ApiError as error:
        if exchange.wait and error.status == "UNAUTHENTICATED":
            raise too_many("wrong credentials", exchange.wait) from None
        raise
    services.limits.remember(shown)
    exchange.caller = caller
    return caller


def shown_in(request: Request) -> str:
    """The credentials that a request shows, whatever they are worth: as `_credentials` finds them, before anything
    knows what the request is for."""
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    query = request.query_params
    return (bearer if scheme.lower() == "bearer" else "") or query.get("token") or query.get("accesskey") or ""


async def _of_token_or_key(services: Services, shown: str) -> Caller:
    if shown.count(".") != 2:
        # The key that the configuration sets for the first super admin may look like anything.
        return await _of_key(services, shown)
    try:
        claims = services.tokens.read(shown)
    except InvalidTokenError as error:
        raise ApiError("INVALID_CREDENTIALS", str(error)) from None
    row = await _look_up(services, _AGENTS.where(agents.c.id == claims.agent_id))
    # Whoever has read the store knows what signs tokens, and the mark of an agent that has no password: nobody has been
    # given a token of such a one.
    if row is None or not has_password(row["password_hash"]):
        raise ApiError("INVALID_CREDENTIALS", "the token is none of ours; log in again")
    if password_mark(row["password_hash"]) != claims.password_mark:
        raise ApiError("INVALID_CREDENTIALS", "the token is void, its password has changed; log in again")
    return replace(_caller(row, row["permission"], None), password_mark=claims.password_mark)


async def _of_key(services: Services, key: str) -> Caller:
    query = _AGENTS.add_columns(
        accesskeys.c.id.label("key_id"), accesskeys.c.permission.label("key_permission"), accesskeys.c.tm_expire
    ).join(accesskeys, accesskeys.c.agent_id == agents.c.id)
    row = await _look_up(
        services, query.where(accesskeys.c.key_hash == key_hash(key), accesskeys.c.tm_delete.is_(None))
    )
    if row is None or (row["tm_expire"] is not None and row["tm_expire"] <= services.store.clock()):
        raise ApiError("INVALID_CREDENTIALS", "this access key does not exist, is revoked or has expired")
    # A key never does more than its owner, also when the owner has been given less since.
    least = min(row["key_permission"] or row["permission"], row["permission"], key=RANK.__getitem__)
    return replace(_caller(row, least, row["key_id"]), key_expires=row["tm_expire"])


_AGENTS = (
    sa.select(
        agents.c.id,
        agents.c.customer_id,
        agents.c.permission,
        agents.c.password_hash,
        customers.c.suspended,
        customers.c.request_rate,
    )
    .select_from(agents)
    .join(customers, customers.c.id == agents.c.customer_id)
    .where(agents.c.tm_delete.is_(None), customers.c.tm_delete.is_(None))
)


async def still_valid(services: Services, caller: Caller) -> bool:
    """Whether the credentials of a long answer's caller are still good for what it was told, and its customer not
    suspended."""
    query = _AGENTS.where(agents.c.id == caller.agent_id, customers.c.suspended.is_(False))
    if caller.key_id is not None:
        lives = sa.or_(accesskeys.c.tm_expire.is_(None), accesskeys.c.tm_expire > services.store.clock())
        query = query.join(accesskeys, accesskeys.c.agent_id == agents.c.id).where(
            accesskeys.c.id == caller.key_id, accesskeys.c.tm_delete.is_(None), lives
        )
    row = await _look_up(services, query)
    if row is None or RANK[row["permission"]] < RANK[caller.permission]:
        return False
    return not caller.password_mark or caller.password_mark == password_mark(row["password_hash"])


async def _look_up(services: Services, query: Any) -> Mapping[str, Any] | None:
    async with services.store.read() as connection:
        found = (await connection.execute(query)).mappings().one_or_none()
    return None if found is None else dict(found)


def refuse_suspended(suspended: bool) -> None:
    """Whoever belongs to a suspended customer has no API. Raises ApiError CUSTOMER_SUSPENDED."""
    if suspended:
        raise ApiError("CUSTOMER_SUSPENDED", "this customer is suspended; ask the platform's admin")


def _caller(row: Mapping[str, Any], permission: Permission, key_id: UUID | None) -> Caller:
    refuse_suspended(row["suspended"])
    return Caller(
        agent_id=row["id"],
        customer_id=row["customer_id"],
        permission=permission,
        key_id=key_id,
        request_rate=row["request_rate"],
    )


class _Guard:
    """The dependency behind `guarded`."""

    def __init__(self, permission: Permission) -> None:
        self.permission = permission

    async def __call__(self, request: Request, services: Use, caller: Who) -> None:
        wait = services.limits.customer(caller.customer_id, caller.request_rate)
        if wait:
            raise ApiError(
                "RATE_LIMIT_EXCEEDED",
                "too many requests of this customer; wait as long as Retry-After says",
                retry_after=wait,
            )
        if not caller.may(self.permission):
            problem = f"this takes the permission {self.permission}, and these credentials have {caller.permission}"
            raise ApiError("PERMISSION_DENIED", problem)
        refuse_unknown_parameters(request)
        # Last: what is refused above is not remembered, and whoever may not ask is not given another's answer.
        await idempotency.claim(request, services, caller.customer_id, caller.agent_id)


def guarded(permission: Permission, *http: int, examples: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What every operation but the login passes to its decorator: `@router.get("/flows", **guarded("customer_agent"))`.
    `http` are statuses of errors beyond the usual ones; `examples` of its body, as `body_examples` takes them."""
    return {
        "dependencies": [Depends(_Guard(permission))],
        "responses": error_responses(*http),
        "openapi_extra": {"x-permission": permission} | (body_examples(examples) if examples else {}),
    }


_KNOWN: dict[Callable[..., Any], frozenset[str]] = {}


def refuse_unknown_parameters(request: Request) -> None:
    """A filter that is misspelt would otherwise list everything; one with a NUL could find nothing. Raises ApiError."""
    route = request.scope.get("route")
    if not isinstance(route, APIRoute) or not request.query_params:
        return
    known = _KNOWN.get(route.endpoint)
    if known is None:
        known = _KNOWN[route.endpoint] = frozenset(_query_names(route.dependant)) | {"token", "accesskey"}
    for name, value in request.query_params.multi_items():
        if "\x00" in value:  # PostgreSQL would fail at it
            raise fault_in(printable(shown_key(name)), "INVALID_REQUEST_PARAMETER", "holds a NUL character; remove it")
        if name not in known:
            choices = ", ".join(sorted(known - {"token", "accesskey"})) or "none"
            problem = f"is no parameter that is known here; there are: {choices}"
            raise fault_in(printable(shown_key(name)), "INVALID_REQUEST_PARAMETER", problem)


def _query_names(dependant: Dependant) -> Iterator[str]:
    for field in dependant.query_params:
        yield field.alias
    for inner in dependant.dependencies:
        yield from _query_names(inner)
