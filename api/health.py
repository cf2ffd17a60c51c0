"""For machines that look after this one: is it alive, does it take calls, what has it counted."""

from collections.abc import Mapping
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from api.auth import Who
from api.errors import ApiError, envelopes
from api.services import Use
from routing.identifiers import PLATFORM

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
async def metrics(services: Use, caller: Who) -> Response:
    """Counters and gauges for Prometheus. For super admins, and for keys of the platform's own agents, however little
    else those may do. Where the request comes from says nothing: a proxy on this machine asks for the whole world."""
    if not caller.is_super and caller.customer_id != PLATFORM:
        raise ApiError("PERMISSION_DENIED", "metrics take a key of the platform; ask its admin for one")
    return Response(await services.metrics(), media_type=METRICS_TYPE)
