"""Who may ask a server: a token, the names of this host, and headers that bind browsers."""

from __future__ import annotations

import hmac
import logging
import os
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.serving.server.responses import error_response

logger = logging.getLogger(__name__)

OPEN_PATHS = frozenset({"/", "/page.css", "/page.js", "/icon.svg", "/healthz"})
"""Paths that need no token: they say nothing of the model."""

_HEADERS = {
    # Nothing comes from elsewhere, and nothing goes there; a photograph is shown from memory.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Access:
    """ASGI middleware that refuses who may not ask; what fails is one line of the log.

    Args:
        app: The application.
        token: What requests bear, `Authorization: Bearer TOKEN`; empty asks for none.
        hosts: Names that a request may have been sent to; none admits all. A page elsewhere
            can send requests to this host by a name of its own, which it resolves to an
            address here: DNS rebinding.
    """

    def __init__(self, app: ASGIApp, *, token: str, hosts: Iterable[str]) -> None:
        self._app, self._token, self._hosts = app, token.encode(), frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def send_with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        refusal = self._refuse(Headers(scope=scope), scope["path"])
        if refusal is not None:
            await error_response(*refusal)(scope, receive, send_with_headers)
            return
        try:
            await self._app(scope, receive, send_with_headers)
        except ClientDisconnect:
            return  # there is nobody to answer
        except Exception as error:
            if begun or os.environ.get("ZOO_DEBUG") == "1":
                raise
            # A fault of this project; its text may quote what the client must not see.
            text = " ".join(str(error).split())[:200]
            logger.error(f"{scope['method']} {scope['path']}: {type(error).__name__}: {text}")
            answer = error_response(500, "the server failed; its log says more")
            await answer(scope, receive, send_with_headers)

    def _refuse(self, headers: Headers, path: str) -> tuple[int, str, dict[str, str]] | None:
        """Returns status, message and headers of a refusal; None if the request is admitted."""
        host = headers.get("host", "")
        if self._hosts and _name_of(f"//{host}") not in self._hosts:
            return 403, f"this server is not {host or 'without a name'}", {}
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return 403, f"pages of {origin} may not ask this server", {}
        if not self._token or path in OPEN_PATHS:
            return None
        scheme, _, token = headers.get("authorization", "").partition(" ")
        # Of bytes, since texts are compared in constant time only where they are ASCII.
        right = hmac.compare_digest(token.strip().encode(errors="replace"), self._token)
        if right and scheme.lower() == "bearer":
            return None
        return (
            401,
            "the token is wrong" if token else "this server asks for a token",
            {"WWW-Authenticate": "Bearer"},
        )


def _name_of(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
