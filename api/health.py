"""For machines that look after this one: is it alive, does it take calls, what has it counted."""

from collections.abc import Mapping
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from api.auth import recognise
from api.errors import ApiError, envelopes
from api.services import Use

router = APIRouter(tags=["health"])
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"]


class Ready(BaseModel):
    """Whether calls should be sent here, and what each part says: "ok", or what is wrong with it."""

    status: Literal["ready", "not ready"]
    checks: dict[str, str]


@router.get("/healthz", response_model=Alive, responses=envelopes(500))
async def healthz() -> Any:
    """Alive: the event loop turns. Restart what does not answer this."""
    return {"status": "ok"}


@router.get("/readyz", response_model=Ready, responses=envelopes(429, 500) | {503: {"model": Ready}})
async def readyz(services: Use) -> Any:
    """Ready: the listeners are open, the store answers, the directory is current, and the engine is not stopping.
    A load balancer sends calls to those that answer 200."""
    checks: Mapping[str, str] = await services.checks()
    ready = all(found == "ok" for found in checks.values())
    document = {"status": "ready" if ready else "not ready", "checks": checks}
    return JSONResponse(document, 200 if ready else 503)


@router.get(
    "/metrics",
    response_class=Response,
    responses=envelopes(401, 403, 429, 500, 503) | {200: {"content": {METRICS_TYPE: {"schema": {"type": "string"}}}}},
)
async def metrics(services: Use, request: Request) -> Response:
    """Counters and gauges for Prometheus. From this machine without credentials, from elsewhere a super admin's."""
    if not _local(request):
        header = request.headers.get("authorization", "")
        query = request.query_params
        shown = header.removeprefix("Bearer ") or query.get("token") or query.get("accesskey") or ""
        caller = await recognise(request, services, shown)
        if not caller.is_super:
            raise ApiError("PERMISSION_DENIED", "metrics take the permission project_super_admin")
    return Response(await services.metrics(), media_type=METRICS_TYPE)


def _local(request: Request) -> bool:
    return request.client is not None and (request.client.host.startswith("127.") or request.client.host == "::1")
