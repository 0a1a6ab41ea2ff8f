"""Features: what a frozen backbone makes of a split's images, in several views each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pipelines.features.engines import POOLED
from pipelines.features.store import Space

_IN_MEMORY_BYTES = 512 * 2**20


class Features:
    """Features of N images in V views, read from memory-mapped shards.

    A set that fits half a GiB is held in memory, since it is read in every epoch.

    Args:
        spaces: V of them, one a view, the plain one first; each has every image.
        images: SHA-256 of the N images.
    """

    def __init__(self, spaces: Sequence[Space], images: Sequence[str]) -> None:
        self.num_images, self.num_views = len(images), len(spaces)
        self.num_features = spaces[0].num_features
        self._shards = [shard for space in spaces for shard in space.shards]
        starts = np.cumsum([0, *(len(space.shards) for space in spaces)])
        # int64 [V, N, 2]: which shard, which row.
        self._places = np.array(
            [
                [(start + shard, row) for shard, row in map(space.place, images)]
                for space, start in zip(spaces, starts, strict=False)
            ],
            np.int64,
        ).reshape(self.num_views, self.num_images, 2)
        self._held: npt.NDArray[np.float32] | None = None
        if self._places[..., 0].size * 2 * self.num_features * 4 <= _IN_MEMORY_BYTES:
            grid = np.indices(self._places.shape[:2])
            held = self._gather(grid[1].ravel(), grid[0].ravel())
            self._held = held.reshape(self.num_views, self.num_images, 2, -1)
            self._shards = []

    def __len__(self) -> int:
        return self.num_images

    def width(self, pooling: str) -> int:
        """Returns how many numbers a head with a pooling sees of an image."""
        return self.num_features * (2 if pooling == "concatenated" else 1)

    def read(
        self,
        pooling: str,
        images: npt.NDArray[np.int64] | None = None,
        views: npt.NDArray[np.int64] | int = 0,
    ) -> npt.NDArray[np.float32]:
        """Returns features as a head with a pooling sees them.

        Args:
            pooling: A row of `zoo.heads.head.POOLINGS`.
            images: int64 [B], which images, in 0 to N - 1; None takes all in order.
            views: int64 [B], which view of each, in 0 to V - 1; one number for all.

        Returns:
            float32 [B, F], or [B, 2F] with both poolings.
        """
        images = np.arange(self.num_images) if images is None else images
        views = np.broadcast_to(views, images.shape)
        rows = self._held[views, images] if self._held is not None else self._gather(images, views)
        kept = POOLED if pooling == "concatenated" else (pooling,)
        return rows[:, [POOLED.index(name) for name in kept]].reshape(len(images), -1)

    def _gather(
        self, images: npt.NDArray[np.int64], views: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        shards, rows = self._places[views, images].T
        result = np.empty((len(images), len(POOLED), self.num_features), np.float32)
        for shard in np.unique(shards):
            chosen = shards == shard
            result[chosen] = self._shards[shard][rows[chosen]]
        return result
