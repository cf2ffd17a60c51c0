"""What happens to every request before it is routed and after it is answered: its id, its limits, its log line."""

import os
import re
import time
from collections.abc import Callable
from typing import Protocol

import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import ApiError, respond

MAX_BODY = 1024 * 1024  # bytes
MAX_UPLOAD = 64 * 1024 * 1024  # bytes of a CSV file
_WELL_FORMED = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class Admission(Protocol):
    """Decides whether an address may ask once more; the seconds to wait where it may not, else 0."""

    def __call__(self, address: str) -> float: ...


Observer = Callable[[str, str, int, float], None]
"""Told of every answered request, for metrics: method, template of the path, status, seconds."""


class Requests:
    """ASGI middleware. Plain, without a task or a stream of its own for each request."""

    def __init__(self, app: ASGIApp, admit: Admission, observe: Observer, draining: Callable[[], bool]) -> None:
        self.app = app
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

        async def answer(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                started = True
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            refusal = self._refusal(request)
            if refusal is not None:
                await respond(request, refusal)(scope, receive, answer)
            else:
                await self.app(scope, _bounded(receive, _limit(request)), answer)
        except _TooLarge as error:
            if not started:
                problem = f"the body is larger than {error.limit} bytes; send less at a time"
                await respond(request, ApiError("REQUEST_TOO_LARGE", problem))(scope, receive, answer)
        except Exception as error:
            self.log.error(
                "request failed", request_id=request_id, method=request.method, path=request.url.path, exc_info=True
            )
            if started:
                raise
            problem = f"something went wrong here ({type(error).__name__}); the log has it under {request_id}"
            await respond(request, ApiError("INTERNAL_ERROR", problem))(scope, receive, answer)
        finally:
            seconds = time.monotonic() - began
            route = getattr(scope.get("route"), "path", "")
            self.observe(request.method, route, status, seconds)
            self.log.debug(
                "request",
                request_id=request_id,
                method=request.method,
                path=request.url.path,  # without the query: it may hold a key
                status=status,
                ms=round(seconds * 1000, 1),
            )

    def _refusal(self, request: Request) -> ApiError | None:
        if self.draining():
            return ApiError("SERVICE_UNAVAILABLE", "the engine is stopping; ask another node", retry_after=5)
        wait = self.admit(request.client.host if request.client else "")
        if wait:
            return ApiError("RATE_LIMIT_EXCEEDED", "too many requests from this address", retry_after=wait)
        return None


class _TooLarge(Exception):
    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit


def _limit(request: Request) -> int:
    return MAX_UPLOAD if request.headers.get("content-type", "").startswith("text/csv") else MAX_BODY


def _bounded(receive: Receive, limit: int) -> Receive:
    seen = 0

    async def bounded() -> Message:
        nonlocal seen
        message = await receive()
        if message["type"] == "http.request":
            seen += len(message.get("body", b""))
            if seen > limit:
                raise _TooLarge(limit)
        return message

    return bounded


def _request_id(request: Request) -> str:
    given = request.headers.get("x-request-id", "")
    return given if _WELL_FORMED.fullmatch(given) else f"req_{os.urandom(12).hex()}"


def unobserved(_method: str, _route: str, _status: int, _seconds: float) -> None:
    """Nobody counts requests."""


__all__ = ["MAX_BODY", "MAX_UPLOAD", "Admission", "Observer", "Requests", "unobserved"]
