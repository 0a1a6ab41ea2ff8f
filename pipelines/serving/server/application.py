"""The ASGI application of a server: its routes, what guards them, and what runs beside them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from importlib.resources import files

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipelines.serving.server.access import Access
from pipelines.serving.server.metrics import MeasuredRequests
from pipelines.serving.server.plain_api import PlainApi
from pipelines.serving.server.responses import answer_http_exception, json_response
from pipelines.serving.server.service import Service
from pipelines.serving.server.tensorflow_serving import TensorFlowServingApi

_PAGE = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
"""File and type of what the page consists of, by path."""


def build_application(service: Service, *, token: str = "", hosts: Iterable[str] = ()) -> Starlette:
    """Builds the application.

    Args:
        service: What the routes share.
        token: What requests bear; empty asks for none.
        hosts: Names that a request may have been sent to; none admits all.
    """

    async def healthz(request: Request) -> Response:
        return json_response({"status": "ok"})

    async def metrics(request: Request) -> Response:
        return Response(service.metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    @contextlib.asynccontextmanager
    async def lifespan(application: Starlette) -> AsyncIterator[None]:
        watch = asyncio.create_task(service.versions.watch())
        try:
            yield
        finally:
            watch.cancel()
            service.workers.close()

    return Starlette(
        routes=[
            *(_page_route(path, *file) for path, file in _PAGE.items()),
            Route("/healthz", healthz),
            Route("/metrics", metrics),
            *PlainApi(service).routes,
            *TensorFlowServingApi(service).routes,
        ],
        middleware=[
            Middleware(MeasuredRequests, metrics=service.metrics),
            Middleware(Access, token=token, hosts=hosts),
        ],
        exception_handlers={HTTPException: answer_http_exception},
        lifespan=lifespan,
    )


def _page_route(path: str, name: str, media_type: str) -> Route:
    content = (files("pipelines.serving.server") / "page" / name).read_bytes()

    async def page(request: Request) -> Response:
        return Response(content, media_type=media_type)

    return Route(path, page)
