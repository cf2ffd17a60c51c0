"""The application: the routers of all resources, one error envelope, one OpenAPI document."""

from importlib import import_module
from pkgutil import walk_packages

from fastapi import FastAPI
from fastapi.routing import APIRoute

from api import resources
from api.http import errors, idempotency
from api.http.bodies import Router
from api.http.methods import Methods
from api.http.requests import Observer, Requests, unobserved
from api.http.services import Services
from api.openapi import docs_pages, document
from api.openapi.introduction import INTRODUCTION


def find_routers() -> list[Router]:
    """The routers of all resources: `router` in each module of `api.resources`. In the order of the documentation: the
    login, then by their first path."""
    modules = (import_module(found.name) for found in walk_packages(resources.__path__, f"{resources.__name__}."))
    routers = [module.router for module in modules if isinstance(getattr(module, "router", None), Router)]
    return sorted(routers, key=lambda router: (bool(router.base), router.tag != "login", *sorted(_paths(router))[:1]))


def _paths(router: Router) -> list[str]:
    return [route.path for route in router.routes if isinstance(route, APIRoute)]


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
    routers = find_routers()
    for router in routers:
        app.include_router(router, prefix=router.base)
    docs_pages.install(app)
    methods = Methods(app.routes)
    document.install(app, {router.tag: router.about for router in routers if router.about})
    idempotency.install(app)
    # Added last, so that it is around everything else.
    app.add_middleware(
        Requests,
        methods=methods,
        services=lambda: app.state.services,
        observe=observe,
    )
    return app


__all__ = ["find_routers", "make_app"]
