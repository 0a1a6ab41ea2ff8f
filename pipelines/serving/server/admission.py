"""Admission of images: how many a server works on at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from starlette.exceptions import HTTPException

from pipelines.serving.server.limits import Limits

RETRY_AFTER = {"Retry-After": "1"}
"""Header of a refusal that ends soon: seconds to wait."""


class Admission:
    """Counts the images that a server works on, and refuses those beyond its limits.

    Args:
        limits: The server's.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.num_images = 0

    @contextlib.contextmanager
    def admit(self, num_images: int) -> Iterator[None]:
        """Counts images until the body ends.

        Args:
            num_images: Of one request.

        Raises:
            HTTPException: 413, they are too many for one request; or 503, too many are waiting.
        """
        if num_images > self._limits.max_images:
            raise HTTPException(
                413, f"a request may hold {self._limits.max_images} images; received {num_images}"
            )
        if self.num_images + num_images > max(self._limits.max_waiting, num_images):
            raise HTTPException(
                503, f"{self.num_images} images are waiting; try again in a second", RETRY_AFTER
            )
        self.num_images += num_images
        try:
            yield
        finally:
            self.num_images -= num_images
