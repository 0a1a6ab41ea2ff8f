"""Metrics of a server, in the text format of Prometheus."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """What a server counts; each server has its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "zoo_requests",
            "Requests that were answered, by route and status.",
            ["route", "status"],
            registry=self._registry,
        )
        self.seconds = Histogram(
            "zoo_request_seconds",
            "Seconds from the head of a request to its answer.",
            ["route"],
            registry=self._registry,
        )
        self.images = Counter(
            "zoo_images",
            "Images, by whether they were predicted or broken.",
            ["outcome"],
            registry=self._registry,
        )
        self.batches = Histogram(
            "zoo_batch_images",
            "Images of a batch that the network computed.",
            registry=self._registry,
            buckets=_BATCHES,
        )
        self.waiting = Gauge(
            "zoo_waiting_images",
            "Images that are decoded, wait or are computed.",
            registry=self._registry,
        )
        self.version = Gauge(
            "zoo_model_version", "The version that is served.", registry=self._registry
        )

    def text(self) -> bytes:
        """Returns all metrics, as Prometheus reads them."""
        return generate_latest(self._registry)


class MeasuredRequests:
    """ASGI middleware that counts requests and their seconds, by the name of their endpoint.

    Args:
        app: The application.
        metrics: Where they are counted.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            # The router names it; a path that it does not know has none.
            route = getattr(scope.get("endpoint"), "__name__", "none")
            self._metrics.requests.labels(route, str(status)).inc()
            self._metrics.seconds.labels(route).observe(time.monotonic() - began)
