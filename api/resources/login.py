"""Logging in: a user name and a password for a token."""

from typing import Annotated

import sqlalchemy as sa
from fastapi import Request
from pydantic import BaseModel, Field
from sqlalchemy.engine import RowMapping

from api.http.auth import refuse_suspended
from api.http.bodies import body_examples, router_for
from api.http.errors import ApiError, envelopes, too_many
from api.http.exchange import exchange_of
from api.http.passwords import LONGEST, TooBusy, password_fits
from api.http.services import Services, Use
from api.models.fields import Body
from api.openapi.schema import ANY_TEXT, documented
from engine.sip.peers import counted_source
from store.database.tables import agents, customers

router = router_for("login", "A token for a user name and a password.")


class Login(Body):
    """Who and with what."""

    username: Annotated[str, Field(max_length=255, json_schema_extra={"pattern": ANY_TEXT})]
    password: Annotated[str, Field(max_length=LONGEST, json_schema_extra={"pattern": ANY_TEXT})]


@documented(example={"token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxYzJkM2U0ZiJ9.c2lnbmF0dXJl"})
class Token(BaseModel):
    """`token` goes into `Authorization: Bearer` or `?token=`, and counts for seven days."""

    username: str
    token: str


@router.post(
    "/auth/login",
    summary="Log in",
    response_model=Token,
    responses=envelopes(400, 401, 403, 429, 500, 503),
    openapi_extra=body_examples(
        {"Put your own user name and password": {"username": "ann", "password": "correct horse"}}
    ),
)
async def log_in(services: Use, request: Request, body: Login) -> Token:
    """A token for a user name and a password."""
    exchange = exchange_of(request)
    # Counted before anything is looked at, and taken back where it was right: a thousand at once are not all checked.
    wait = services.limits.count(exchange.address)
    exchange.counted = True
    if wait:
        raise too_many("wrong passwords", wait)
    row = await _found(services, body.username)
    known = row["password_hash"] if row else None
    try:
        fits = await services.password_queue.run(
            lambda: password_fits(body.password, known), source=counted_source(exchange.address), name=body.username
        )
    except TooBusy as error:
        raise too_many("logins", error.retry_after) from None
    if not fits or row is None:
        raise ApiError(
            "INVALID_CREDENTIALS",
            "the user name or the password is wrong; correct it, or have an admin set another password",
        )
    services.limits.take_back(exchange.address)
    # Not before the password is known to be right: nobody else learns that there is such a user.
    refuse_suspended(row["suspended"])
    token = services.tokens.make(row["id"], row["password_hash"], services.store.clock())
    return Token(username=body.username, token=token)


async def _found(services: Services, username: str) -> RowMapping | None:
    query = (
        sa.select(agents.c.id, agents.c.password_hash, customers.c.suspended)
        .join(customers, customers.c.id == agents.c.customer_id)
        .where(agents.c.username == username, agents.c.tm_delete.is_(None), customers.c.tm_delete.is_(None))
    )
    async with services.store.read() as connection:
        return (await connection.execute(query)).mappings().one_or_none()
