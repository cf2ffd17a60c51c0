"""What a request can be refused for: one envelope for every failure, with reasons that never change their names."""

import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Literal, NamedTuple

import structlog
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic_core import ErrorDetails
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.responses import JSONResponse, Response

from api.http.exchange import exchange_of
from api.http.messages import sentence
from api.http.methods import Methods
from engine.rate_limit import RateLimit
from flows.faults import format_path
from routing.errors import RoutingError
from routing.models.fields import reason_of
from routing.models.sentences import fields_at
from store.database.engines import reason, senseless
from store.database.errors import StoreError
from store.resources.billing import InsufficientBalance
from store.rows import TokenError

Status = Literal[
    "INVALID_ARGUMENT",
    "UNAUTHENTICATED",
    "PAYMENT_REQUIRED",
    "PERMISSION_DENIED",
    "NOT_FOUND",
    "DEADLINE_EXCEEDED",
    "ALREADY_EXISTS",
    "FAILED_PRECONDITION",
    "OUT_OF_RANGE",
    "RESOURCE_EXHAUSTED",
    "UNAVAILABLE",
    "INTERNAL",
]

HTTP_STATUS: Mapping[str, int] = {
    "INVALID_ARGUMENT": 400,
    "UNAUTHENTICATED": 401,
    "PAYMENT_REQUIRED": 402,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "DEADLINE_EXCEEDED": 408,
    "ALREADY_EXISTS": 409,
    "FAILED_PRECONDITION": 409,
    "OUT_OF_RANGE": 413,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
    "INTERNAL": 500,
}

# Reasons whose status is not INVALID_ARGUMENT; `<RESOURCE>_NOT_FOUND` is NOT_FOUND. The documentation lists all.
STATUS_OF: Mapping[str, Status] = {
    "AUTHENTICATION_REQUIRED": "UNAUTHENTICATED",
    "INVALID_CREDENTIALS": "UNAUTHENTICATED",
    "INSUFFICIENT_BALANCE": "PAYMENT_REQUIRED",
    "PERMISSION_DENIED": "PERMISSION_DENIED",
    "SOURCE_NOT_ALLOWED": "PERMISSION_DENIED",
    "DESTINATION_NOT_ALLOWED": "PERMISSION_DENIED",
    "CUSTOMER_SUSPENDED": "PERMISSION_DENIED",
    "PATH_NOT_FOUND": "NOT_FOUND",
    "REQUEST_TIMEOUT": "DEADLINE_EXCEEDED",
    "REQUEST_TOO_LARGE": "OUT_OF_RANGE",
    "NUMBER_ALREADY_EXISTS": "ALREADY_EXISTS",
    "NAME_ALREADY_EXISTS": "ALREADY_EXISTS",
    "EXTENSION_ALREADY_EXISTS": "ALREADY_EXISTS",
    "BILLING_ACCOUNT_ALREADY_EXISTS": "ALREADY_EXISTS",
    "NUMBER_NOT_AVAILABLE": "FAILED_PRECONDITION",
    "NUMBER_STATE_INVALID": "FAILED_PRECONDITION",
    "PROVIDER_IN_USE": "FAILED_PRECONDITION",
    "FLOW_IN_USE": "FAILED_PRECONDITION",
    "CUSTOMER_IN_USE": "FAILED_PRECONDITION",
    "RESOURCE_IN_USE": "FAILED_PRECONDITION",
    "DECLARED_IN_FILE": "FAILED_PRECONDITION",
    "CALL_ALREADY_HANGUP": "FAILED_PRECONDITION",
    "CALL_IN_PROGRESS": "FAILED_PRECONDITION",
    "GROUPCALL_ALREADY_HANGUP": "FAILED_PRECONDITION",
    "RECORDING_IN_PROGRESS": "FAILED_PRECONDITION",
    "RUNS_ON_OTHER_NODE": "FAILED_PRECONDITION",
    "NO_ROUTE_AVAILABLE": "FAILED_PRECONDITION",
    "IDEMPOTENCY_KEY_REUSED": "FAILED_PRECONDITION",
    "IDEMPOTENCY_KEY_IN_USE": "FAILED_PRECONDITION",
    "RATE_LIMIT_EXCEEDED": "RESOURCE_EXHAUSTED",
    "VIRTUAL_NUMBER_LIMIT": "RESOURCE_EXHAUSTED",
    "EXTENSION_LIMIT": "RESOURCE_EXHAUSTED",
    "WEBHOOK_LIMIT": "RESOURCE_EXHAUSTED",
    "SERVICE_UNAVAILABLE": "UNAVAILABLE",
    "INTERNAL_ERROR": "INTERNAL",
}

# Reasons whose code of HTTP says more than the one that their status has.
_HTTP_OF: Mapping[str, int] = {"METHOD_NOT_ALLOWED": 405}
# Waiting alone changes nothing.
_NOT_WITH_TIME: frozenset[str] = frozenset({"VIRTUAL_NUMBER_LIMIT", "WEBHOOK_LIMIT", "EXTENSION_LIMIT"})

# Reasons that are found in a body, a parameter or a path, all of them INVALID_ARGUMENT; and the method.
INVALID: frozenset[str] = frozenset(
    {
        "INVALID_ACTION",
        "INVALID_ANONYMOUS_VALUE",
        "INVALID_ID",
        "INVALID_JSON_BODY",
        "INVALID_NUMBER",
        "INVALID_REQUEST_PARAMETER",
        "INVALID_TECH_HEADER",
        "METHOD_NOT_ALLOWED",
        "MISSING_REQUEST_PARAMETER",
        "VIRTUAL_NUMBER_FORMAT_INVALID",
        "VIRTUAL_NUMBER_RESERVED",
    }
)
REASONS: frozenset[str] = INVALID | STATUS_OF.keys()
"""Every reason there is but `<RESOURCE>_NOT_FOUND`, which each resource has (404 in a path, 400 in a body). They do
not change their names."""


MOST_FAULTS = 100
"""Faults of one request that are told."""


class Violation(BaseModel):
    """What is wrong with one field: its place as `destinations[0].target`, and a sentence."""

    field: str
    reason: str
    message: str


class ErrorBody(BaseModel):
    """The error itself. Programs branch on `reason`; `message` is for people."""

    status: Status
    reason: str
    message: str
    request_id: str
    details: list[Violation] | None = None


class ErrorEnvelope(BaseModel):
    """Every 4xx and 5xx."""

    error: ErrorBody


class ApiError(Exception):
    """A request is refused. `reason` decides the status: `NOT_FOUND` for `…_NOT_FOUND`, `STATUS_OF`, or
    INVALID_ARGUMENT; `status` overrides that. `retry_after` in seconds goes into the header of that name."""

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        status: Status | None = None,
        retry_after: float = 0.0,
        details: Sequence[Violation] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.status: Status = status or status_of(reason)
        self.retry_after = retry_after
        self.details = list(details)
        self.headers = dict(headers or {})


class Unreadable(HTTPException):
    """Raised where the body is being read: FastAPI takes any other exception for JSON that cannot be read."""

    def __init__(self, error: ApiError) -> None:
        super().__init__(http_status(error))
        self.error = error


def status_of(reason: str) -> Status:
    """The canonical status that goes with a reason."""
    if reason in STATUS_OF:
        return STATUS_OF[reason]
    return "NOT_FOUND" if reason.endswith("_NOT_FOUND") else "INVALID_ARGUMENT"


def not_found(resource: str, identifier: object) -> ApiError:
    """There is none with this id, or it is another customer's. `resource` is its word, such as "provider"."""
    problem = f"there is no {spoken(resource)} {identifier}; list them to find its id"
    return ApiError(f"{resource.upper()}_NOT_FOUND", problem)


def spoken(resource: str) -> str:
    """A resource's word as sentences have it: "billing account" for "billing_account"."""
    return _SPOKEN.get(resource, resource.replace("_", " "))


_SPOKEN: Mapping[str, str] = {"accesskey": "access key", "opt_out": "opt-out"}


def fault_in(field: str, reason: str, problem: str, *, retry_after: float = 0.0) -> ApiError:
    """A field of the body, a parameter or a header is wrong in a way that its type does not tell, or not allowed; ""
    for the body as a whole. What a body names and there is not (`…_NOT_FOUND`) is 400."""
    status: Status | None = "INVALID_ARGUMENT" if reason.endswith("_NOT_FOUND") else None
    violation = Violation(field=field, reason=reason, message=problem)
    message = f"{field}: {problem}" if field else problem
    return ApiError(reason, message, status=status, retry_after=retry_after, details=[violation])


def error_responses(*http: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of an operation with a guard: the envelope for each of these and for what any guard answers."""
    return envelopes(400, 401, 403, 404, 429, 500, 503, *http)


def envelopes(*http: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of an operation: the envelope for each of these, and no other."""
    return {code: {"model": ErrorEnvelope, "description": HTTPStatus(code).phrase} for code in sorted(set(http))}


class _Refusal(NamedTuple):
    reason: str
    message: str


_STARLETTE: Mapping[int, _Refusal] = {
    404: _Refusal("PATH_NOT_FOUND", "there is nothing at this path; /openapi.json lists the paths there are"),
    405: _Refusal("METHOD_NOT_ALLOWED", "this path does not take that method; the Allow header says which it takes"),
    408: _Refusal("REQUEST_TIMEOUT", "the body did not arrive in time; send it again, faster"),
    413: _Refusal("REQUEST_TOO_LARGE", "the body is larger than 1 MiB, or 64 MiB of CSV; send less at a time"),
}


def error_of(code: int, detail: str = "", headers: Mapping[str, str] | None = None) -> ApiError:
    """What a status code of HTTP itself stands for here; `detail` where it is none of those known."""
    return ApiError(*_STARLETTE.get(code, _Refusal("INVALID_REQUEST_PARAMETER", detail)), headers=headers)


def envelope(error: ApiError, request_id: str) -> dict[str, Any]:
    """What the body of every refusal is."""
    body: dict[str, Any] = {
        "status": error.status,
        "reason": error.reason,
        "message": str(error),
        "request_id": request_id,
    }
    if error.details:
        body["details"] = [violation.model_dump() for violation in error.details]
    return {"error": body}


def respond(request: Request, error: ApiError) -> Response:
    """The envelope as a response."""
    headers = error.headers
    soon = error.status in ("RESOURCE_EXHAUSTED", "UNAVAILABLE") and error.reason not in _NOT_WITH_TIME
    if error.retry_after or soon:
        # Whole seconds (RFC 9110 §10.2.3), and never 0, which would be an invitation to come back at once.
        headers["Retry-After"] = str(max(1, -int(-error.retry_after // 1)))
    if error.status == "UNAUTHENTICATED":
        headers["WWW-Authenticate"] = "Bearer"  # RFC 9110 §15.5.2
    exchange = exchange_of(request)
    exchange.reason = error.reason
    return JSONResponse(envelope(error, exchange.request_id), http_status(error), headers)


def http_status(error: ApiError) -> int:
    """The code of HTTP that goes with an error."""
    return _HTTP_OF.get(error.reason) or HTTP_STATUS[error.status]


def too_many(what: str, wait: float) -> ApiError:
    """An address has to wait; `what` there were too many of."""
    problem = f"too many {what} from this address; wait as long as Retry-After says"
    return ApiError("RATE_LIMIT_EXCEEDED", problem, retry_after=wait)


def install(app: FastAPI, methods: Callable[[], Methods]) -> None:
    """Let every failure of `app` come out as the envelope. `methods`: of its paths, when all of them are there."""
    log_lines = RateLimit(1.0, 10)

    @app.exception_handler(ApiError)
    async def _api_error(request: Request, error: ApiError) -> Response:
        return respond(request, error)

    @app.exception_handler(RoutingError)
    async def _routing(request: Request, error: RoutingError) -> Response:
        return respond(request, ApiError(error.reason, str(error)))

    @app.exception_handler(InsufficientBalance)
    async def _unpaid(request: Request, error: InsufficientBalance) -> Response:
        return respond(request, ApiError("INSUFFICIENT_BALANCE", str(error)))

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        return respond(request, invalid(error.errors(), body_model(request.scope.get("route"))))

    @app.exception_handler(AnyHTTPException)
    async def _http(request: Request, error: AnyHTTPException) -> Response:
        code = error.status_code
        if isinstance(error, Unreadable):
            return respond(request, error.error)
        if code == 400:
            problem = "the body cannot be read as JSON; check its quotes, commas and encoding (UTF-8)"
            return respond(request, ApiError("INVALID_JSON_BODY", problem))
        headers = dict(error.headers or {})
        if code == 405:
            headers["Allow"] = ", ".join(methods().at(request.scope["path"]))
        return respond(request, error_of(code, str(error.detail), headers))

    @app.exception_handler(TokenError)
    async def _token(request: Request, error: TokenError) -> Response:
        problem = f"{error}; leave it out to begin at the newest"
        return respond(request, fault_in("page_token", "INVALID_REQUEST_PARAMETER", problem))

    @app.exception_handler(StoreError)
    @app.exception_handler(DBAPIError)
    async def _store(request: Request, error: Exception) -> Response:
        if isinstance(error, DBAPIError) and senseless(error):
            raise error  # a fault of ours, which asking again does not mend
        # Not the statement, whose parameters nobody but the store should see; and not a line for each of thousands.
        if log_lines.allows("", time.monotonic()):
            log = structlog.get_logger()
            log.error("the store failed a request", request_id=exchange_of(request).request_id, error=reason(error))
        problem = "the store does not answer; try again in a moment"
        if request.method not in ("GET", "HEAD"):
            problem += ", but look first: what was asked for may have been done"
        return respond(request, ApiError("SERVICE_UNAVAILABLE", problem, retry_after=1))


def body_model(route: object) -> type[BaseModel] | None:
    """What an operation takes as its body; None where it takes none, or one of several."""
    if not isinstance(route, APIRoute) or route.body_field is None:
        return None
    kind = route.body_field.field_info.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def invalid(errors: Sequence[Any], model: type[BaseModel] | None = None) -> ApiError:
    """What pydantic found, as one error: its reason is the first fault's, `details` has all of them. `model` is what
    the body should have been: it has the names that may have been meant."""
    details = [_violation(error, model) for error in errors[:MOST_FAULTS]]
    first = details[0]
    if first.reason == "INVALID_JSON_BODY":
        return ApiError(first.reason, first.message)
    message = f"{first.field}: {first.message}" if first.field else first.message
    status: Status | None = "INVALID_ARGUMENT" if first.reason.endswith("_NOT_FOUND") else None
    return ApiError(first.reason, message, details=details, status=status)


def _violation(error: ErrorDetails, model: type[BaseModel] | None) -> Violation:
    source, *place = error["loc"] or ("body",)
    field = format_path(place)
    kind = error["type"]
    if kind == "json_invalid" or (source == "body" and not place and kind in ("model_attributes_type", "dict_type")):
        problem = "the body is no JSON object; send one with Content-Type: application/json"
        return Violation(field="", reason="INVALID_JSON_BODY", message=problem)
    reason = reason_of(dict(error))
    if source == "path":
        reason = "INVALID_ID"
    elif kind == "missing" and not place:
        return Violation(field="", reason="INVALID_JSON_BODY", message="the body is missing; send a JSON object")
    known = fields_at(model, place) if model and source == "body" and kind == "extra_forbidden" else ()
    return Violation(field=field, reason=reason, message=sentence(error, known))
