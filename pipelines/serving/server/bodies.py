"""Bodies of requests, read within limits of size, of time and of the memory of all of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.exceptions import HTTPException
from starlette.requests import Request

from pipelines.serving.server.admission import RETRY_AFTER
from pipelines.serving.server.limits import Limits

_CLOSE = {"Connection": "close"}
_HELD_BODIES = 16
"""Bodies of the largest size that fit into memory together; small ones are more."""


class BodyReader:
    """Reads bodies; a client that sends slowly holds nothing but what it has sent.

    Args:
        limits: The server's.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held = 0

    @contextlib.asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytes]:
        """Yields the body of a request, which counts as held until the body of `with` ends.

        Args:
            request: Whose body nobody has read.

        Raises:
            HTTPException: 413, it is too large; 408, it is too slow; or 503, there is no memory
                for it now.
        """
        largest = self._limits.max_body_bytes
        if _declared_size(request) > 2 * largest:
            raise self._too_large()
        chunks: list[bytes] = []
        try:
            size = await self._receive(request, chunks)
            if size > largest:
                raise self._too_large()
            yield b"".join(chunks)
        finally:
            self._held -= sum(map(len, chunks))

    async def _receive(self, request: Request, chunks: list[bytes]) -> int:
        """Appends what comes of a body, up to the limit; returns its size."""
        largest, size = self._limits.max_body_bytes, 0
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                async for chunk in request.stream():
                    size += len(chunk)
                    # What is a little too large is read to its end and dropped: a client that
                    # is still sending would not see the answer.
                    if size > 2 * largest:
                        raise self._too_large()
                    if size <= largest:
                        chunks.append(chunk)
                        self._held += len(chunk)
                    if self._held > _HELD_BODIES * largest:
                        raise HTTPException(
                            503, "too much is being uploaded", {**RETRY_AFTER, **_CLOSE}
                        )
        except TimeoutError:
            raise HTTPException(
                408,
                f"the body did not arrive within {self._limits.timeout_s:g} s; "
                f"received {size} bytes",
                _CLOSE,
            ) from None
        return size

    def _too_large(self) -> HTTPException:
        return HTTPException(
            413, f"the body is too large; expected at most {self._limits.max_body_mb} MB", _CLOSE
        )


def _declared_size(request: Request) -> int:
    declared = request.headers.get("content-length", "")
    return int(declared) if declared.isascii() and declared.isdecimal() else 0
