"""Logging in: a user name and a password for a token."""

from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from api import patterns
from api.auth import refuse_suspended
from api.errors import ApiError, envelopes
from api.fields import Body
from api.passwords import LONGEST, password_fits
from api.services import Use
from store.tables import agents, customers

router = APIRouter(tags=["login"])


class Login(Body):
    """Who and with what."""

    username: Annotated[str, Field(max_length=255, json_schema_extra={"pattern": patterns.ANY_TEXT})]
    password: Annotated[str, Field(max_length=LONGEST, json_schema_extra={"pattern": patterns.ANY_TEXT})]


class Token(BaseModel):
    """`token` goes into `Authorization: Bearer` or `?token=`, and counts for seven days."""

    username: str
    token: str


@router.post("/auth/login", response_model=Token, responses=envelopes(400, 401, 403, 429, 500, 503))
async def log_in(services: Use, request: Request, body: Login) -> Token:
    """A token for a user name and a password."""
    address = request.client.host if request.client else ""
    query = (
        sa.select(agents.c.id, agents.c.password_hash, customers.c.suspended)
        .join(customers, customers.c.id == agents.c.customer_id)
        .where(agents.c.username == body.username, agents.c.tm_delete.is_(None), customers.c.tm_delete.is_(None))
    )
    async with services.store.read() as connection:
        row = (await connection.execute(query)).mappings().one_or_none()
    if not await password_fits(body.password, row["password_hash"] if row else None) or row is None:
        wait = services.limits.address(address, services.clock())
        if wait:
            problem = "too many wrong passwords from this address; wait as long as Retry-After says"
            raise ApiError("RATE_LIMIT_EXCEEDED", problem, retry_after=wait)
        raise ApiError(
            "INVALID_CREDENTIALS",
            "the user name or the password is wrong; correct it, or have an admin set another password",
        )
    # Not before the password is known to be right: nobody else learns that there is such a user.
    refuse_suspended(row["suspended"])
    token = services.tokens.make(row["id"], row["password_hash"], services.store.clock())
    return Token(username=body.username, token=token)
