"""Feature arrays: the features of a split's images, in one or several views of each."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.features.engines.network import STORED_POOLINGS
from pipelines.features.store import FeatureFolder
from zoo.large_arrays import empty_floats, row_blocks

_IN_MEMORY_BYTES = 512 * 2**20

_MAPPED_BYTES = 64 * 2**20
"""Memory of mapped shards, about: the kernel would take it back only when others need it."""

_READ_BYTES = 64 * 2**10
"""What a row brings into memory, at most: its page and the neighbors that Linux maps with it."""


class FeatureArray:
    """Features of N images in V views.

    Up to 512 MiB are held in memory, because every epoch reads them; larger arrays are
    read from memory-mapped shards, of which some 64 MiB stay in memory.

    Args:
        folders: V folders, one per view and the plain view first; each has all images.
        digests: SHA-256 of the N images, uint8 [N, 32].
        poolings: What is stored of each image, P names.
    """

    def __init__(
        self,
        folders: Sequence[FeatureFolder],
        digests: npt.NDArray[np.uint8],
        poolings: tuple[str, ...] = STORED_POOLINGS,
    ) -> None:
        self.num_images, self.num_views = len(digests), len(folders)
        self._poolings, self._row = poolings, folders[0].row
        self.dtype, self.num_features = self._row.dtype, self._row.shape[1]
        self._channels = slice(None)
        # int64 [V, N, 2]: index into self._shards, row of that shard.
        self._locations = np.stack([folder.locate(digests) for folder in folders])
        self._shards = [shard for folder in folders for shard in folder.shards]
        first_shard = np.cumsum([0, *(len(folder.shards) for folder in folders)])
        self._locations[..., 0] += first_shard[:-1, np.newaxis]
        self._in_memory: npt.NDArray[Any] | None = None
        self._read_bytes = 0
        if self._locations[..., 0].size * self._row.num_bytes <= _IN_MEMORY_BYTES:
            views, images = np.indices(self._locations.shape[:2])
            rows = self._gather(images.ravel(), views.ravel())
            # [V, N, P, F]
            self._in_memory = rows.reshape(self.num_views, self.num_images, *self._row.shape)
            self._shards = []

    def __len__(self) -> int:
        return self.num_images

    def part(self, channels: slice) -> FeatureArray:
        """Returns the same features with a part of the channels of each pooling.

        Args:
            channels: From `start` to `stop`, without a step.
        """
        part = copy.copy(self)
        part._channels, part.num_features = channels, channels.stop - channels.start
        return part

    def first(self, count: int) -> FeatureArray:
        """Returns the features of the first images alone.

        Args:
            count: How many.
        """
        part = copy.copy(self)
        part.num_images = min(count, self.num_images)
        return part

    def width(self, pooling: str) -> int:
        """Returns the number of inputs of a head with this pooling."""
        return self.num_features * (2 if pooling == "concatenated" else 1)

    def read(
        self,
        pooling: str,
        images: npt.NDArray[np.int64] | None = None,
        views: npt.NDArray[np.int64] | int = 0,
    ) -> npt.NDArray[Any]:
        """Reads features as the inputs of a head.

        Args:
            pooling: The head's pooling, a row of `zoo.heads.head.POOLINGS`; or of what is stored.
            images: int64 [B], in 0 to N - 1; None reads all images in order.
            views: int64 [B], the view of each image, in 0 to V - 1; an int for all.

        Returns:
            [B, F], or [B, 2F] where both poolings are concatenated; float32 but for maps.
        """
        images = np.arange(self.num_images) if images is None else images
        views = np.broadcast_to(views, images.shape)
        poolings = self._poolings if pooling == "concatenated" else (pooling,)
        parts = [self._take(images, views, self._poolings.index(name)) for name in poolings]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def read_views(self, pooling: str, max_augmented: int | None = None) -> npt.NDArray[np.float32]:
        """Reads views of all images as the inputs of a head, float32 [V, N, F], plain ones first.

        They lie on disk where they are many, see `zoo.large_arrays`.

        Args:
            pooling: As `read` takes it.
            max_augmented: How many augmented views to read, at most; None reads all.
        """
        most = self.num_views if max_augmented is None else 1 + max_augmented
        num_views = min(self.num_views, most)
        rows = empty_floats(num_views, self.num_images, self.width(pooling))
        for view in range(num_views):
            for block, part in zip(
                row_blocks(self.num_images), self.read_blocks(pooling, view), strict=True
            ):
                rows[view, block] = part
        return rows

    def read_blocks(self, pooling: str, view: int = 0) -> Iterator[npt.NDArray[np.float32]]:
        """Reads a view of all images in order, some at a time.

        Args:
            pooling: As `read` takes it.
            view: The view.

        Yields:
            The rows of each of `zoo.large_arrays.row_blocks`, as of `read`.
        """
        for block in row_blocks(self.num_images):
            yield self.read(pooling, np.arange(block.start, block.stop), view)

    def _take(
        self, images: npt.NDArray[np.int64], views: npt.NDArray[np.int64], pooling: int
    ) -> npt.NDArray[Any]:
        """Reads the features of one pooling, by its place, [B, F]."""
        if self._in_memory is not None:
            return self._in_memory[:, :, pooling, self._channels][views, images]
        return self._gather(images, views, pooling, self._channels)

    def _gather(
        self,
        images: npt.NDArray[np.int64],
        views: npt.NDArray[np.int64],
        *part: int | slice,
    ) -> npt.NDArray[Any]:
        """Reads features from the shards: [B, P, F], or the part at an index of [P, F].

        Args:
            images: int64 [B].
            views: int64 [B].
            *part: What to take of each image's features; nothing takes all.
        """
        shards, rows = self._locations[views, images].T
        shape = np.empty(self._row.shape)[part].shape
        result = np.empty((len(images), *shape), self._row.dtype)
        order = np.argsort(shards, kind="stable")
        starts = np.flatnonzero(np.diff(shards[order], prepend=-1))
        for places in np.split(order, starts)[1:]:  # what is before the first start is empty
            shard = self._shards[shards[places[0]]]
            result[places] = shard.features[(rows[places], *part)]
            self._count_read(len(places) * max(_READ_BYTES, self._row.num_bytes))
        return result

    def _count_read(self, num_bytes: int) -> None:
        """Gives back the memory of mapped shards once there may be too much of it."""
        self._read_bytes += num_bytes
        if self._read_bytes > _MAPPED_BYTES:
            self._read_bytes = 0
            for shard in self._shards:
                shard.release()
