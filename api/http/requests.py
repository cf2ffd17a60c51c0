"""What happens to every request before it is routed and after it is answered: its id, its limits, its log line, and the
headers that every answer has."""

import asyncio
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import structlog
from sqlalchemy.exc import DBAPIError
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.auth import recognise, shown_in
from api.http.errors import ApiError, Unreadable, error_of, respond, too_many
from api.http.exchange import Exchange, begin
from api.http.methods import Methods
from api.http.services import Services
from store.database.errors import StoreError

MAX_BODY = 1024 * 1024  # bytes
MAX_UPLOAD = 64 * 1024 * 1024  # bytes of a CSV file
PATIENCE = 30.0
"""Seconds that the next part of a body may take."""
LONGEST_BODY = 60.0
"""Seconds that a whole body may take; one of CSV ten times that."""
# A method may be any word: metrics are not kept for what clients make up.
_METHODS = frozenset(("GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH"))
_READING = frozenset(("GET", "HEAD", "OPTIONS"))
_LOOKED_AFTER = frozenset(("/healthz", "/readyz", "/metrics"))
_GUARDED = "/v1.0/"
# The credentials were looked at, or were not to be; whatever else is refused may be so before anybody did.
_LOOKED_AT = frozenset((401, 403, 429, 503))
_STATIC = "/docs/static/"
_WELL_FORMED = re.compile(r"[A-Za-z0-9._:-]{1,128}")


Observer = Callable[[str, str, int, float], None]
"""Told of every answered request, for metrics: method ("OTHER" for one that HTTP does not know), template of the path,
status, seconds."""


# What browsers are told of every answer; those of a document that says otherwise itself stay as they are.
HEADERS: Mapping[bytes, bytes] = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"content-security-policy": b"frame-ancestors 'none'",
    b"cache-control": b"no-store",
}


class Requests:
    """ASGI middleware. Plain, without a task or a stream of its own for each request. `services` may change."""

    def __init__(self, app: ASGIApp, methods: Methods, services: Callable[[], Services], observe: Observer) -> None:
        self.app = app
        self.methods = methods
        self.services = services
        self.observe = observe
        self.log = structlog.get_logger()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.monotonic()
        services = self.services()
        request = Request(scope)
        exchange = Exchange(_request_id(request), services.clients.address(scope))
        begin(scope, exchange)
        status = 500
        started = False
        head = request.method == "HEAD"
        # Whoever asks for a head gets that of the GET (RFC 9110 §9.3.2). The server goes on to know it for what it is.
        inner = {**scope, "method": "GET"} if head else scope

        async def answer(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                if request.method not in _READING and message["status"] < 400:
                    # What the answer says is true for the very next call.
                    await services.settled()
                started = True
                status = message["status"]
                if status >= 400 and status not in _LOOKED_AT:
                    await self._whose(services, request, exchange)
                message["headers"] = _headed(message["headers"], exchange.request_id, scope["path"])
            elif head:
                message = {"type": "http.response.body", "more_body": message.get("more_body", False)}
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=exchange.request_id):
            try:
                refusal = self._refusal(services, request, exchange)
                if refusal is not None:
                    await respond(request, refusal)(scope, receive, answer)
                else:
                    await self.app(inner, _Body(request, receive), answer)
            except Exception as error:
                self.log.error("request failed", method=request.method, path=scope["path"], exc_info=True)
                if started:
                    raise  # the server cuts the connection, so that nobody takes a half for the whole
                problem = f"something went wrong here ({type(error).__name__}); the log has it under "
                problem += exchange.request_id
                await respond(request, ApiError("INTERNAL_ERROR", problem))(scope, receive, answer)
            finally:
                seconds = time.monotonic() - began
                self._count(services, exchange, scope["path"])
                self.observe(
                    request.method if request.method in _METHODS else "OTHER", _template(inner), status, seconds
                )
                # Whether the engine is ready is an answer, not a refusal.
                if status >= 400 and (exchange.reason or scope["path"] not in _LOOKED_AFTER):
                    services.refusals.tell(exchange, request.method, scope["path"], status)
                self.log.debug(
                    "request",
                    method=request.method,
                    path=scope["path"],  # without the query: it may hold a key
                    status=status,
                    ms=round(seconds * 1000, 1),
                )

    def _refusal(self, services: Services, request: Request, exchange: Exchange) -> ApiError | None:
        path = request.scope["path"]
        # Who looks after this machine wants to know how it is until its end.
        if services.draining() and path not in _LOOKED_AFTER:
            return ApiError("SERVICE_UNAVAILABLE", "the engine is stopping; ask another node", retry_after=5)
        wait = self._wait(services, request, exchange)
        if wait:
            return too_many("requests", wait)
        taken = self.methods.refused(request.method, path)
        if taken:
            return error_of(405, headers={"Allow": ", ".join(taken)})
        announced = request.headers.get("content-length", "")
        # No more digits than the largest body has: int() of a thousand of them is work that anybody could ask for.
        if announced.isdecimal() and (len(announced) > 12 or int(announced) > _limit(request)):
            return error_of(413)
        return None

    def _wait(self, services: Services, request: Request, exchange: Exchange) -> float:
        """Seconds until this may be asked again; 0 where it may be asked now. Who looks after this machine may always
        ask: an address is often a proxy's, and shared with those who ask too much."""
        path, limits = request.scope["path"], services.limits
        if path in _LOOKED_AFTER:
            return 0.0
        wait = limits.wait(exchange.address)
        if not wait:
            return 0.0
        shown = shown_in(request)
        # Nothing asks for credentials but operations under /v1.0.
        guarded = path.startswith(_GUARDED) and request.method in self.methods.at(path)
        if not (guarded and shown and limits.looks_up(exchange.address, shown)):
            exchange.counted = True
            return wait
        exchange.wait = wait  # for `api.http.auth`, where they are no good
        return 0.0

    async def _whose(self, services: Services, request: Request, exchange: Exchange) -> None:
        """Find out who asked for what was refused before anybody looked: for the log, and for the limits."""
        shown = shown_in(request)
        if exchange.caller is None and shown and not (exchange.wait and not services.limits.knows(shown)):
            with suppress(ApiError, StoreError, DBAPIError, OSError):
                await recognise(request, services, shown)

    def _count(self, services: Services, exchange: Exchange, path: str) -> None:
        """Whatever was asked without good credentials counts against the address."""
        good = exchange.caller is not None or exchange.accepted or exchange.counted or exchange.wait
        if not good and path not in _LOOKED_AFTER:
            services.limits.count(exchange.address)


def _headed(headers: Sequence[tuple[bytes, bytes]], request_id: str, path: str) -> list[tuple[bytes, bytes]]:
    there = {name.lower() for name, _ in headers}
    # Keeping what is no secret and never changes is all that a cache may do here.
    kept = [pair for pair in headers if pair[0].lower() != b"cache-control" or path.startswith(_STATIC)]
    there -= set() if path.startswith(_STATIC) else {b"cache-control"}
    return [
        *kept,
        (b"x-request-id", request_id.encode()),
        *((name, value) for name, value in HEADERS.items() if name not in there),
    ]


def _template(scope: Scope) -> str:
    """Of the path, such as /v1.0/flows/{flow_id}; "" for a path that leads nowhere. Of bounded number, so that metrics
    can be kept for each."""
    # Where a router is included with a prefix, FastAPI keeps the whole path here and the router's part in `route`.
    found = scope.get("fastapi", {}).get("effective_route_context") or scope.get("route")
    return str(getattr(found, "path", ""))


class _Body:
    """A `receive` that lets nobody send without end: neither bytes, nor a byte now and then."""

    def __init__(self, request: Request, receive: Receive) -> None:
        self._receive = receive
        self._limit = _limit(request)
        self._seen = 0
        self._whole = False
        self._began = time.monotonic()
        self._longest = LONGEST_BODY * (10 if self._limit == MAX_UPLOAD else 1)

    async def __call__(self) -> Message:
        """The next message. Raises Unreadable."""
        if self._whole:
            return await self._receive()  # what comes now is that the client has gone
        left = self._began + self._longest - time.monotonic()
        try:
            async with asyncio.timeout(max(0, min(PATIENCE, left))):
                message = await self._receive()
        except TimeoutError:
            raise Unreadable(error_of(408, headers={"Connection": "close"})) from None
        if message["type"] == "http.request":
            self._whole = not message.get("more_body", False)
            self._seen += len(message.get("body", b""))
            if self._seen > self._limit:
                raise Unreadable(error_of(413, headers={"Connection": "close"}))
        return message


def _limit(request: Request) -> int:
    return MAX_UPLOAD if request.headers.get("content-type", "").startswith("text/csv") else MAX_BODY


def _request_id(request: Request) -> str:
    given = request.headers.get("x-request-id", "")
    return given if _WELL_FORMED.fullmatch(given) else new_request_id()


def new_request_id() -> str:
    """For a request that brings none of its own."""
    return f"req_{os.urandom(12).hex()}"


def unobserved(_method: str, _route: str, _status: int, _seconds: float) -> None:
    """Nobody counts requests."""


__all__ = ["HEADERS", "MAX_BODY", "MAX_UPLOAD", "Observer", "Requests", "new_request_id", "unobserved"]
