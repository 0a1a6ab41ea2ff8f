"""The program that runs an application: uvicorn, from the first request to the last answer."""

from __future__ import annotations

import contextlib
import logging
import math
import socket

import uvicorn
from starlette.applications import Starlette

from pipelines.serving.server.connections import TimedProtocol

logger = logging.getLogger(__name__)

MAX_IDLE_S = 20.0
"""Seconds within which the head of a request has to be there, the first and each that follows."""

MAX_CONNECTIONS = 1000
"""Connections at a time; one more is answered with 503."""


class _Server(uvicorn.Server):
    """uvicorn's server, which says that it is there once it listens."""

    def __init__(self, config: uvicorn.Config, greeting: str) -> None:
        super().__init__(config)
        self._greeting = greeting

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        logger.info(self._greeting)


def run_application(
    application: Starlette, listener: socket.socket, *, greeting: str, timeout_s: float
) -> None:
    """Runs an application until Ctrl-C or SIGTERM, and answers what was asked before.

    Args:
        application: The application.
        listener: A bound socket.
        greeting: A line for the log, once requests are accepted.
        timeout_s: Seconds to wait for requests in flight at the end; and for the head of a
            request, if they are fewer than `MAX_IDLE_S`.
    """
    config = uvicorn.Config(
        application,
        http=TimedProtocol,
        ws="none",
        lifespan="on",
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=math.ceil(min(MAX_IDLE_S, timeout_s)),
        timeout_graceful_shutdown=math.ceil(timeout_s),
    )
    # What clients send wrong is answered to them, and no matter of the log.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
    server = _Server(config, greeting)
    # uvicorn ends the requests first, and then raises the signal again.
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    logger.info("the server has ended; every request was answered")
