"""The application: every router under /v1.0, one error envelope, one OpenAPI document."""

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI

from api import (
    accesskeys,
    agents,
    attempts,
    available_numbers,
    billing_accounts,
    calls,
    conferences,
    customers,
    docs_pages,
    errors,
    events,
    flows,
    groupcalls,
    health,
    idempotency,
    inventory,
    login,
    messages,
    numbers,
    providercalls,
    providers,
    queues,
    routes,
    statistics,
    traces,
    webhooks,
)
from api.methods import Methods
from api.requests import Observer, Requests, unobserved
from api.services import Services

BASE = "/v1.0"
ROUTERS: list[APIRouter] = [
    login.router,
    accesskeys.router,
    agents.router,
    available_numbers.router,
    billing_accounts.router,
    calls.router,
    attempts.router,
    traces.router,
    conferences.router,
    customers.router,
    events.router,
    flows.router,
    groupcalls.router,
    inventory.router,
    messages.router,
    numbers.router,
    providercalls.router,
    providers.router,
    queues.router,
    routes.router,
    statistics.router,
    webhooks.router,
]
"""Those under /v1.0, in the order of the documentation."""


def make_app(services: Services, *, version: str = "0", observe: Observer = unobserved) -> FastAPI:
    """The ASGI application on these services."""
    app = FastAPI(
        title="Trunkline",
        version=version,
        description="Numbers, flows, providers, routes and calls of a SIP signalling engine.",
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        separate_input_output_schemas=False,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.services = services
    errors.install(app, lambda: methods)
    app.include_router(health.router)
    for router in ROUTERS:
        app.include_router(router, prefix=BASE)
    docs_pages.install(app)
    methods = Methods(app.routes)
    _describe(app)
    idempotency.install(app)
    # Added last, so that it is around everything else.
    app.add_middleware(
        Requests,
        methods=methods,
        admit=lambda address: app.state.services.limits.address(address, app.state.services.clock()),
        observe=observe,
        draining=lambda: app.state.services.draining(),
    )
    return app


def _describe(app: FastAPI) -> None:
    """The OpenAPI document has what no single operation says: 400 where FastAPI would say 422, and what the
    middleware takes and answers."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            for operations in document["paths"].values():
                for method, operation in operations.items():
                    operation["responses"].pop("422", None)
                    if "requestBody" in operation:
                        operation["responses"] |= {"408": _refused(408), "413": _refused(413)}
                    if method == "post" and "x-permission" in operation:
                        operation["responses"].setdefault("409", _refused(409))
                        idempotency.document(operation)
            for name in ("HTTPValidationError", "ValidationError"):
                document.get("components", {}).get("schemas", {}).pop(name, None)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way of changing the document


def _refused(code: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/ErrorEnvelope"}
    return {"description": HTTPStatus(code).phrase, "content": {"application/json": {"schema": schema}}}


__all__ = ["BASE", "ROUTERS", "make_app"]
