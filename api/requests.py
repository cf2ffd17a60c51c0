"""What happens to every request before it is routed and after it is answered: its id, its limits, its log line."""

import asyncio
import os
import re
import time
from collections.abc import Callable
from typing import Protocol

import structlog
from fastapi import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import ApiError, error_of, respond
from api.methods import Methods

MAX_BODY = 1024 * 1024  # bytes
MAX_UPLOAD = 64 * 1024 * 1024  # bytes of a CSV file
PATIENCE = 30.0
"""Seconds that the next part of a body may take."""
LONGEST_BODY = 60.0
"""Seconds that a whole body may take; one of CSV ten times that."""
# A method may be any word: metrics are not kept for what clients make up.
_METHODS = frozenset(("GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH"))
_LOOKED_AFTER = frozenset(("/healthz", "/readyz", "/metrics"))
_ALIVE = "/healthz"
_WELL_FORMED = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class Admission(Protocol):
    """Decides whether an address may ask once more; the seconds to wait where it may not, else 0."""

    def __call__(self, address: str) -> float: ...


Observer = Callable[[str, str, int, float], None]
"""Told of every answered request, for metrics: method ("OTHER" for one that HTTP does not know), template of the path,
status, seconds."""


class Requests:
    """ASGI middleware. Plain, without a task or a stream of its own for each request."""

    def __init__(
        self, app: ASGIApp, methods: Methods, admit: Admission, observe: Observer, draining: Callable[[], bool]
    ) -> None:
        self.app = app
        self.methods = methods
        self.admit = admit
        self.observe = observe
        self.draining = draining
        self.log = structlog.get_logger()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.monotonic()
        request = Request(scope)
        request_id = _request_id(request)
        scope["trunkline.request_id"] = request_id
        status = 500
        started = False
        head = request.method == "HEAD"
        # Whoever asks for a head gets that of the GET (RFC 9110 §9.3.2). The server goes on to know it for what it is.
        inner = {**scope, "method": "GET"} if head else scope

        async def answer(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                started = True
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            elif head:
                message = {"type": "http.response.body", "more_body": message.get("more_body", False)}
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                refusal = self._refusal(request)
                if refusal is not None:
                    await respond(request, refusal)(scope, receive, answer)
                else:
                    await self.app(inner, _Body(request, receive), answer)
            except Exception as error:
                self.log.error("request failed", method=request.method, path=scope["path"], exc_info=True)
                if started:
                    raise  # the server cuts the connection, so that nobody takes a half for the whole
                problem = f"something went wrong here ({type(error).__name__}); the log has it under {request_id}"
                await respond(request, ApiError("INTERNAL_ERROR", problem))(scope, receive, answer)
            finally:
                seconds = time.monotonic() - began
                self.observe(
                    request.method if request.method in _METHODS else "OTHER", _template(inner), status, seconds
                )
                self.log.debug(
                    "request",
                    method=request.method,
                    path=scope["path"],  # without the query: it may hold a key
                    status=status,
                    ms=round(seconds * 1000, 1),
                )

    def _refusal(self, request: Request) -> ApiError | None:
        # Who looks after this machine wants to know how it is until its end.
        if self.draining() and request.scope["path"] not in _LOOKED_AFTER:
            return ApiError("SERVICE_UNAVAILABLE", "the engine is stopping; ask another node", retry_after=5)
        # Who shows credentials is counted by them. Whether the process lives costs nothing to say, and whoever is told
        # 429 instead would restart it: an address is often a proxy's, and shared with those who ask too much.
        free = request.scope["path"] == _ALIVE or _shows_credentials(request)
        wait = 0.0 if free else self.admit(request.client.host if request.client else "")
        if wait:
            problem = "too many requests from this address; wait as long as Retry-After says"
            return ApiError("RATE_LIMIT_EXCEEDED", problem, retry_after=wait)
        taken = self.methods.refused(request.method, request.scope["path"])
        if taken:
            return error_of(405, headers={"Allow": ", ".join(taken)})
        announced = request.headers.get("content-length", "")
        # No more digits than the largest body has: int() of a thousand of them is work that anybody could ask for.
        if announced.isdecimal() and (len(announced) > 12 or int(announced) > _limit(request)):
            return error_of(413)
        return None


def _shows_credentials(request: Request) -> bool:
    query = request.query_params
    return "authorization" in request.headers or "token" in query or "accesskey" in query


def _template(scope: Scope) -> str:
    """Of the path, such as /v1.0/flows/{flow_id}; "" for a path that leads nowhere. Of bounded number, so that metrics
    can be kept for each."""
    # Where a router is included with a prefix, FastAPI keeps the whole path here and the router's part in `route`.
    found = scope.get("fastapi", {}).get("effective_route_context") or scope.get("route")
    return str(getattr(found, "path", ""))


class _BodyRefused(HTTPException):
    """Raised where the body is being read. FastAPI takes any other exception for JSON that cannot be read."""


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
        """The next message. Raises HTTPException 408, 413."""
        if self._whole:
            return await self._receive()  # what comes now is that the client has gone
        left = self._began + self._longest - time.monotonic()
        try:
            async with asyncio.timeout(max(0, min(PATIENCE, left))):
                message = await self._receive()
        except TimeoutError:
            raise _BodyRefused(408, headers={"Connection": "close"}) from None
        if message["type"] == "http.request":
            self._whole = not message.get("more_body", False)
            self._seen += len(message.get("body", b""))
            if self._seen > self._limit:
                raise _BodyRefused(413, headers={"Connection": "close"})
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


__all__ = ["MAX_BODY", "MAX_UPLOAD", "Admission", "Observer", "Requests", "new_request_id", "unobserved"]
