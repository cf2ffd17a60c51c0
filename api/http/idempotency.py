"""Idempotency-Key: a POST that was sent twice is carried out once, and answered twice.

The guard of every operation calls `claim` when it knows who asks and that they may; the middleware `Idempotency` keeps
the answer. Between the two, the table `idempotency` has a row with status 0: the first request is being worked on. The
answer is in the table before the first byte of it is sent.

A process that dies in between leaves such a row behind. After a minute the next request with that key takes it over
and is carried out, whether or not the first one was: a crash between the commit of an operation and the keeping of its
answer is the one case in which a key does not protect.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import sqlalchemy as sa
import structlog
from fastapi import FastAPI
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.errors import ApiError, fault_in
from api.http.exchange import exchange_of
from api.http.passwords import TooBusy, hash_with
from api.http.services import Services
from store.database.engines import reason
from store.database.errors import StoreError
from store.database.tables import idempotency
from store.store import Store

KEPT = timedelta(hours=24)
ABANDONED = timedelta(minutes=1)
"""After this long without an answer, the process that worked on it is thought to be dead."""
LARGEST = 1024 * 1024  # bytes of an answer that is kept
HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
KEY_PATTERN = "^[!-~]([ -~]{0,253}[!-~])?$"
# What is shown once is not kept where a reader of the database would find it.
SECRET_FIELDS = frozenset({"accesskey", "secret", "token", "password"})
# Failures that the next attempt may not meet again.
_PASSING = frozenset({401, 403, 408, 413, 429})

_KEY = re.compile(KEY_PATTERN)
_CLAIM = "trunkline.idempotency"
_UNKNOWN_BODY = ""


class Replay(Exception):
    """The answer is known already."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


@dataclass(slots=True, frozen=True)
class _Claim:
    """A row that this request made, and no other that took it over since."""

    store: Store
    customer_id: UUID
    key: str
    made: datetime

    @property
    def _mine(self) -> sa.ColumnElement[bool]:
        columns = idempotency.c
        return sa.and_(
            columns.customer_id == self.customer_id,
            columns.key == self.key,
            columns.status == 0,
            columns.tm_create == self.made,
        )

    async def keep(self, status: int, body: str) -> None:
        """Answer the next one with this."""
        async with self.store.write() as transaction:
            await transaction.execute(sa.update(idempotency).where(self._mine).values(status=status, body=body))

    async def release(self) -> None:
        """Let the next one be carried out."""
        async with self.store.write() as transaction:
            await transaction.execute(sa.delete(idempotency).where(self._mine))


async def claim(request: Request, services: Services, customer_id: UUID, agent_id: UUID) -> None:
    """For a POST with a key: the first one goes on. Raises Replay for one that was answered, ApiError for one that is
    being worked on, a key that was used for something else, or no key at all."""
    given = request.headers.getlist(HEADER)
    if not given or request.method != "POST":
        return
    if len(given) > 1 or not _KEY.fullmatch(given[0]):
        problem = "must be given once, as 1 to 255 printable ASCII characters; a UUID does well"
        raise fault_in(HEADER, "INVALID_REQUEST_PARAMETER", problem)
    key, asked = given[0], await _hash(request, agent_id)
    if _secret(await request.body()):
        asked = await _slowly(services, customer_id, key, asked)
    store, columns = services.store, idempotency.c
    insert = (postgresql if store.dialect == "postgresql" else sqlite).insert
    this = sa.and_(columns.customer_id == customer_id, columns.key == key)
    async with store.write() as transaction:
        now = transaction.now
        over = sa.or_(
            columns.tm_create <= now - KEPT, sa.and_(columns.status == 0, columns.tm_create <= now - ABANDONED)
        )
        # One statement for a new row and for one whose time is over: of two that come at once, one gets it.
        values = {"customer_id": customer_id, "key": key, "request_hash": asked, "status": 0, "body": ""}
        values["tm_create"] = now
        statement = insert(idempotency).values(values)
        claiming = statement.on_conflict_do_update(
            index_elements=[columns.customer_id, columns.key],
            set_={"request_hash": asked, "status": 0, "body": "", "tm_create": now},
            where=over,
        ).returning(columns.key)
        if (await transaction.execute(claiming)).first() is not None:
            request.scope[_CLAIM] = _Claim(store, customer_id, key, now)
            return
        row = (await transaction.execute(sa.select(idempotency).where(this))).mappings().one_or_none()
    if row is not None and row["request_hash"] != asked:
        problem = "this key was used for another request; use a new key for each"
        raise fault_in(HEADER, "IDEMPOTENCY_KEY_REUSED", problem)
    # None: the first request failed between the two statements. Its client may send it again at once.
    if row is None or not row["status"]:
        problem = "the first request with this key is still being worked on; ask again in a second"
        raise fault_in(HEADER, "IDEMPOTENCY_KEY_IN_USE", problem, retry_after=1)
    if row["body"] == _UNKNOWN_BODY:
        problem = (
            f"this was carried out ({row['status']}), and its answer is not kept, as it held a secret or was very "
            "long; list what there is, delete what is of no use without the answer, and ask with a new key"
        )
        raise fault_in(HEADER, "IDEMPOTENCY_KEY_REUSED", problem)
    raise Replay(row["status"], row["body"])


async def _slowly(services: Services, customer_id: UUID, key: str, asked: str) -> str:
    """In the place of the hash of a body with a password: a reader of the database could try passwords at it, and what
    is kept of the password itself takes its time for that reason (RFC 9106 §1). In its customer's turn. Raises
    ApiError."""
    salt = hashlib.sha256(customer_id.bytes + key.encode()).digest()[:16]
    try:
        slow = await services.password_queue.run(
            lambda: hash_with(asked, salt), source=f"customer {customer_id}", name=""
        )
    except TooBusy as error:
        problem = "too many passwords are being set; wait as long as Retry-After says"
        raise ApiError("RATE_LIMIT_EXCEEDED", problem, retry_after=error.retry_after) from None
    return hashlib.sha256(slow.encode()).hexdigest()


async def _hash(request: Request, agent_id: UUID) -> str:
    """Of everything that makes it the same request: who, what, where."""
    query = [pair for pair in request.query_params.multi_items() if pair[0] not in ("token", "accesskey")]
    parts = [
        agent_id.bytes,
        request.method.encode(),
        request.scope["path"].encode(errors="surrogatepass"),
        urlencode(query, errors="surrogatepass").encode(),
        request.headers.get("content-type", "").encode(),
        await request.body(),
    ]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8) + part)
    return digest.hexdigest()


class Idempotency:
    """ASGI middleware: keeps the answer of a request that has a claim."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        answer = _Answer(scope, send)
        try:
            await self.app(scope, receive, answer)
        except Exception:
            await answer.failed()
            raise


class _Answer:
    """A `send` that holds the answer back until it is kept."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._held: list[Message] = []
        self._size = 0

    @property
    def _claim(self) -> _Claim | None:
        found: _Claim | None = self._scope.get(_CLAIM)
        return found

    async def __call__(self, message: Message) -> None:
        """The next part of the answer."""
        if self._claim is None:
            await self._send(message)
            return
        self._held.append(message)
        self._size += len(message.get("body", b""))
        ends = message["type"] == "http.response.body" and not message.get("more_body", False)
        if ends or self._size > LARGEST:
            await self._keep()
            for held in self._held:
                await self._send(held)
            self._held.clear()

    async def _keep(self) -> None:
        claim = self._scope.pop(_CLAIM)
        status = self._held[0]["status"]
        if status >= 500 or status in _PASSING:
            await _done(claim.release())
            return
        body = b"".join(message.get("body", b"") for message in self._held).decode()
        await _done(claim.keep(status, body if self._size <= LARGEST and not _secret(body) else _UNKNOWN_BODY))

    async def failed(self) -> None:
        """There is no answer."""
        claim = self._scope.pop(_CLAIM, None)
        if claim is not None:
            await _done(claim.release())


async def _done(work: Any) -> None:
    # What was asked for has been done by now: a store that fails here must not make an error of it. The row stays
    # as it is, and after a minute it is nobody's.
    try:
        await work
    except (StoreError, DBAPIError) as error:
        structlog.get_logger().error("the answer to a request with an Idempotency-Key is not kept", error=reason(error))


def _secret(body: str | bytes) -> bool:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return True  # not JSON: whatever it is, it cannot be given again as JSON
    return isinstance(document, dict) and any(document.get(name) for name in SECRET_FIELDS)


def install(app: FastAPI) -> None:
    """Let `app` know what an Idempotency-Key is."""

    @app.exception_handler(Replay)
    async def _replay(request: Request, known: Replay) -> Response:
        if known.status >= 400:
            exchange_of(request).reason = json.loads(known.body)["error"]["reason"]
        return Response(known.body, known.status, {REPLAYED: "true"}, "application/json")

    app.add_middleware(Idempotency)


def document(operation: dict[str, Any]) -> None:
    """Add the header to a POST in the OpenAPI document."""
    operation.setdefault("parameters", []).append(
        {
            "name": HEADER,
            "in": "header",
            "required": False,
            "description": (
                "A text of your own, new for each request, such as a UUID. The same request with the same key is "
                f"carried out once in 24 hours; the second answer is the first one, with `{REPLAYED}: true`. "
                "Failures of 401, 403, 429 and 5xx do not count. An answer that shows a secret is not kept: asking "
                "again for it is a 409."
            ),
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": KEY_PATTERN},
        }
    )
    for code, answer in operation["responses"].items():
        if code < "5" and code not in ("401", "403", "429"):
            answer.setdefault("headers", {})[REPLAYED] = {
                "description": "`true` where this is the answer to an earlier request with the same key.",
                "schema": {"type": "string", "const": "true"},
            }


__all__ = ["HEADER", "REPLAYED", "SECRET_FIELDS", "Idempotency", "Replay", "claim", "document", "install"]
