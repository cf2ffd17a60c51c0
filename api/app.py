"""The application: every router under /v1.0, one error envelope, one OpenAPI document."""

from fastapi import APIRouter, FastAPI

from api.http import errors, idempotency
from api.http.methods import Methods
from api.http.requests import Observer, Requests, unobserved
from api.http.services import Services
from api.openapi import docs_pages, document
from api.openapi.introduction import INTRODUCTION
from api.resources import accesskeys, bans, billing_accounts, customers, events, flows, health, login, webhooks
from api.resources.calls import attempts, calls, groupcalls, providercalls, recordings, traces
from api.resources.contact_center import agents, conferences, queues
from api.resources.messages import messages, opt_outs
from api.resources.numbers import available_numbers, inventory, numbers
from api.resources.routing import providers, routes, statistics

BASE = "/v1.0"
ROUTERS: list[APIRouter] = [
    login.router,
    accesskeys.router,
    agents.router,
    available_numbers.router,
    bans.router,
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
    opt_outs.router,
    providercalls.router,
    providers.router,
    queues.router,
    recordings.router,
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
        summary="Numbers, flows, providers, routes and calls of a SIP signalling engine",
        description=INTRODUCTION,
        openapi_url=None,  # `api.openapi.docs_pages` serves it
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
    document.install(app)
    idempotency.install(app)
    # Added last, so that it is around everything else.
    app.add_middleware(
        Requests,
        methods=methods,
        services=lambda: app.state.services,
        observe=observe,
    )
    return app


__all__ = ["BASE", "ROUTERS", "make_app"]
