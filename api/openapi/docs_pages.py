"""Pages about the API for people: Swagger UI and ReDoc, from files that are installed here, without a CDN; and the
document that they show.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Final

from fastapi import FastAPI
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api.http.errors import error_of, respond

_FILES: Final = files("fastapi_offline") / "static"
_TYPES: Final = {
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "redoc.standalone.js": "text/javascript; charset=utf-8",
}
_STATIC: Final = "/docs/static"
_NO_ICON: Final = "data:,"
# ReDoc's logo, which the policy below would refuse: a browser would write an error to its console.
_LOGO: Final = b"https://cdn.redoc.ly/redoc/logo-mini.svg"
# The pages carry a script of their own in line, and get nothing from other hosts.
_NOTHING_FROM_ELSEWHERE: Final = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; worker-src blob:; frame-ancestors 'none'; base-uri 'none'"
)


def install(app: FastAPI) -> None:
    """Serve `/docs` (Swagger UI), `/redoc`, their files and `/openapi.json`; none of them is part of the OpenAPI
    document. Whoever opens `/` in a browser is led to the first."""

    async def home(request: Request) -> Response:
        if "text/html" not in request.headers.get("accept", ""):
            return respond(request, error_of(404))
        return RedirectResponse("/docs", 302)

    async def swagger(_request: Request) -> Response:
        page = get_swagger_ui_html(
            openapi_url="/openapi.json",
            title="Trunkline: the API",
            swagger_js_url=f"{_STATIC}/swagger-ui-bundle.js",
            swagger_css_url=f"{_STATIC}/swagger-ui.css",
            swagger_favicon_url=_NO_ICON,
        )
        page.headers["Content-Security-Policy"] = _NOTHING_FROM_ELSEWHERE
        return page

    async def redoc(_request: Request) -> Response:
        page = get_redoc_html(
            openapi_url="/openapi.json",
            title="Trunkline: the API",
            redoc_js_url=f"{_STATIC}/redoc.standalone.js",
            redoc_favicon_url=_NO_ICON,
            with_google_fonts=False,
        )
        page.headers["Content-Security-Policy"] = _NOTHING_FROM_ELSEWHERE
        return page

    app.add_route("/", home, include_in_schema=False)
    app.add_route("/openapi.json", _document(app), include_in_schema=False)
    app.add_route("/docs", swagger, include_in_schema=False)
    app.add_route("/redoc", redoc, include_in_schema=False)
    for name, content_type in _TYPES.items():
        app.add_route(f"{_STATIC}/{name}", _file(name, content_type), include_in_schema=False)


def _document(app: FastAPI) -> Callable[[Request], Awaitable[Response]]:
    """Serves what `app.openapi()` is, made once: in a thread, as it takes as long as a hundred calls."""
    content: bytes | None = None
    making = asyncio.Lock()

    def made() -> bytes:
        return json.dumps(app.openapi(), ensure_ascii=False, separators=(",", ":")).encode()

    async def serve(_request: Request) -> Response:
        nonlocal content
        async with making:
            if content is None:
                content = await asyncio.to_thread(made)
        return Response(content, media_type="application/json")

    return serve


def _file(name: str, content_type: str) -> Callable[[Request], Awaitable[Response]]:
    content: bytes | None = None

    async def serve(_request: Request) -> Response:
        nonlocal content
        if content is None:
            content = (_FILES / name).read_bytes().replace(_LOGO, _NO_ICON.encode())
        return Response(content, media_type=content_type, headers={"Cache-Control": "max-age=86400"})

    return serve
