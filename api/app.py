"""The application: every router under /v1.0, one error envelope, one OpenAPI document."""

from typing import Any

from fastapi import APIRouter, FastAPI

from api import (
    accesskeys,
    agents,
    available_numbers,
    billing_accounts,
    conferences,
    customers,
    docs_pages,
    errors,
    events,
    flows,
    health,
    inventory,
    login,
    numbers,
    providers,
    queues,
    routes,
    webhooks,
)
from api.requests import Observer, Requests, unobserved
from api.services import Services

BASE = "/v1.0"
ROUTERS: list[APIRouter] = [
    login.router,
    accesskeys.router,
    agents.router,
    available_numbers.router,
    billing_accounts.router,
    conferences.router,
    customers.router,
    events.router,
    flows.router,
    inventory.router,
    numbers.router,
    providers.router,
    queues.router,
    routes.router,
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
    )
    app.state.services = services
    errors.install(app)
    app.include_router(health.router)
    for router in ROUTERS:
        app.include_router(router, prefix=BASE)
    docs_pages.install(app)
    _describe(app)
    app.add_middleware(
        Requests,
        admit=lambda address: services.limits.address(address, services.clock()),
        observe=observe,
        draining=lambda: services.draining(),
    )
    return app


def _describe(app: FastAPI) -> None:
    """The OpenAPI document says 400 where FastAPI would say 422."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            for operations in document["paths"].values():
                for operation in operations.values():
                    operation["responses"].pop("422", None)
            for name in ("HTTPValidationError", "ValidationError"):
                document.get("components", {}).get("schemas", {}).pop(name, None)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way of changing the document


__all__ = ["BASE", "ROUTERS", "make_app"]
