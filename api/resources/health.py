"""For machines that look after this one: is it alive, does it take calls, what has it counted."""

import asyncio
from collections.abc import Mapping
from typing import Any, Literal

from fastapi import Request
from pydantic import BaseModel
from sqlalchemy.exc import DBAPIError
from starlette.responses import JSONResponse, Response

from api.http.auth import Shown, recognise
from api.http.bodies import router_for
from api.http.errors import ApiError, envelopes
from api.http.services import Use
from api.http.tokens import key_hash
from api.openapi.schema import documented
from routing.identifiers import PLATFORM
from store.database.errors import StoreError

router = router_for("health", "For machines that look after this one.", base="")
PATIENCE = 2.0
"""Seconds that the store has to say whose a key is."""
REMEMBERED = 3600.0
"""Seconds for which a key that was good for metrics is good without the store."""
MOST_WATCHERS = 100
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@documented(example={"status": "ok"})
class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"]


@documented(example={"checks": {"engine": "ok", "store": "ok", "directory": "ok"}})
class Ready(BaseModel):
    """Whether calls should be sent here, and what each part says: "ok", or what is wrong with it."""

    status: Literal["ready", "not ready"]
    checks: dict[str, str]


@router.get("/healthz", summary="Say that the process lives", response_model=Alive, responses=envelopes(500))
async def healthz() -> Any:
    """Alive: the event loop turns. Restart what does not answer this."""
    return {"status": "ok"}


@router.get(
    "/readyz",
    summary="Say whether calls should be sent here",
    response_model=Ready,
    responses=envelopes(500) | {503: {"model": Ready}},
)
async def readyz(services: Use) -> Any:
    """Ready: the listeners are open, the store answers, the directory is current, and the engine is not stopping.
    A load balancer sends calls to those that answer 200."""
    checks: Mapping[str, str] = await services.checks()
    ready = all(found == "ok" for found in checks.values())
    document = {"status": "ready" if ready else "not ready", "checks": checks}
    return JSONResponse(document, 200 if ready else 503)


@router.get(
    "/metrics",
    summary="Show metrics for Prometheus",
    response_class=Response,
    responses=envelopes(401, 403, 500, 503) | {200: {"content": {METRICS_TYPE: {"schema": {"type": "string"}}}}},
)
async def metrics(services: Use, request: Request, shown: Shown) -> Response:
    """Counters and gauges for Prometheus. For super admins, and for keys of the platform's own agents, however little
    else those may do. Where the request comes from says nothing: a proxy on this machine asks for the whole world.
    While the store does not answer, keys that were good within the last hour still are."""
    try:
        async with asyncio.timeout(PATIENCE):
            caller = await recognise(request, services, shown)
    except (StoreError, DBAPIError, OSError) as error:
        # It is then that somebody wants to see how many calls wait to be stored.
        seen = services.watchers.get(key_hash(shown))
        if seen is None or services.clock() - seen > REMEMBERED:
            raise StoreError("whose credentials these are cannot be looked up") from error
    else:
        services.watchers.pop(key_hash(shown), None)
        if not caller.is_super and caller.customer_id != PLATFORM:
            raise ApiError("PERMISSION_DENIED", "metrics take a key of the platform; ask its admin for one")
        services.watchers[key_hash(shown)] = services.clock()
        if len(services.watchers) > MOST_WATCHERS:
            services.watchers.pop(next(iter(services.watchers)))
    return Response(await services.metrics(), media_type=METRICS_TYPE)
